//! The prototype's published table, by its model and by that of shared links.

use std::time::Duration;

use dtn_report::{Table, left, right};
use dtn_simulator::{Load, Pace, Rate, Scenario, Sharing};
use serde::Serialize;

use super::outcome::play;

/// Its rows: transactions, replicas, and seconds at 0.1, 30 and 125 Mbit/s. The prototype's README (Proof of Training,
/// "Sample experiments").
const PUBLISHED: [(usize, usize, [Option<f64>; 3]); 8] = [
    (100, 10, [Some(8.609), Some(1.494), Some(1.497)]),
    (100, 30, [Some(8.707), Some(1.685), Some(1.755)]),
    (1000, 30, [Some(73.536), Some(1.682), Some(1.833)]),
    (100, 50, [Some(8.697), Some(1.842), Some(1.752)]),
    (200, 50, [Some(15.984), Some(1.908), Some(1.893)]),
    (500, 50, [Some(37.532), Some(1.767), Some(1.678)]),
    (5000, 50, [Some(37.532), Some(1.767), Some(1.678)]),
    (10_000, 50, [None, Some(7.215), Some(2.074)]),
];

const RATES: [f64; 3] = [0.1, 30.0, 125.0];

/// One cell in its three versions, in seconds.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// Transactions.
    pub transactions: usize,
    /// Replicas.
    pub nodes: usize,
    /// Megabits a second.
    pub mbps: f64,
    /// As it was published.
    pub published_s: Option<f64>,
    /// By the prototype's model.
    pub fpbft_s: Option<f64>,
    /// By that of shared links.
    pub shared_s: Option<f64>,
}

/// Plays every cell of the table.
pub fn reproduce(seed: u64) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (transactions, nodes, published) in PUBLISHED {
        for (mbps, published_s) in RATES.into_iter().zip(published) {
            let seconds = |model| {
                let (outcome, _) = play(&prototype(nodes, transactions, mbps, model, seed));
                outcome.replied_ms.map(|ms| ms / 1e3)
            };
            let (fpbft_s, shared_s) = (seconds(Sharing::Fpbft), seconds(Sharing::Shared));
            cells.push(Cell { transactions, nodes, mbps, published_s, fpbft_s, shared_s });
        }
    }
    cells
}

/// An experiment of the prototype: its client waits for the replies of all, which are as long as the request, and its
/// machines take no time.
fn prototype(nodes: usize, transactions: usize, mbps: f64, model: Sharing, seed: u64) -> Scenario {
    let mut scenario = Scenario { n: nodes, seed, ..Scenario::default() };
    let load = Load { transactions, replies: Some(nodes), long_replies: true, ..Load::default() };
    (scenario.load, scenario.links.model, scenario.links.bandwidth) = (load, model, Rate::mbps(mbps));
    let pace = Pace { gathering: Duration::ZERO, writing: Duration::ZERO, ..Pace::default() };
    scenario.pace = Pace { signing: Duration::ZERO, verifying: Duration::ZERO, ..pace };
    // Nobody says anything twice.
    let patient = scenario.view_timeout() * 4;
    (scenario.pace.view_timeout, scenario.pace.housekeeping) = (Some(patient), Some(patient));
    scenario
}

/// As people read it.
pub fn table(cells: &[Cell]) -> Table {
    let headings = ["published", "fpbft", "off by", "shared"];
    let columns = [left("transactions"), right("nodes"), right("Mbit/s")];
    let mut table = Table::new(
        "Seconds until the client has every replica's reply",
        columns.into_iter().chain(headings.map(right)),
    );
    for cell in cells {
        let seconds = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
        let off = cell.published_s.zip(cell.fpbft_s).map(|(published, ours)| 100.0 * (ours / published - 1.0));
        let mark = match (cell.transactions, cell.mbps) {
            (500 | 5000, _) => " *",
            (10_000, 30.0) => " †",
            _ => "",
        };
        table.row([
            format!("{}{mark}", dtn_report::units::thousands(cell.transactions)),
            cell.nodes.to_string(),
            cell.mbps.to_string(),
            seconds(cell.published_s),
            seconds(cell.fpbft_s),
            off.map_or("-".into(), |off| format!("{off:+.1} %")),
            seconds(cell.shared_s),
        ]);
    }
    table.note("* One published row, labelled 5,000 transactions, whose times are those of 500: shown as both.");
    table.note("† Nothing explains the published time: the prototype's own model, computed by hand, gives ours.");
    table.note(
        "fpbft: each message has a connection of its own and pauses 100 ms before every tenth of a second's worth. shared: \
         one uplink and one downlink a replica. Latency 35 to 350 ms, 310 B a transaction.",
    );
    table
}
