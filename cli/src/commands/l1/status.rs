//! `dtn-cli l1 status`: how all peers are doing, at once.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use dtn_api::Status;
use dtn_report::{Table, left, right, units};
use dtn_testbed::{Found, Home, Survey};
use tokio::time::{MissedTickBehavior, interval};

use crate::{interruption, output};

/// The shortest pause between two looks at a network.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// Clears a terminal and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows the statuses of all peers, once or again and again.
pub(super) async fn run(home: &Home, watch: Option<Duration>, json: bool) -> Result<()> {
    let survey = Survey::of(home)?;
    let Some(pause) = watch else {
        return print(json, home, survey.ask().await);
    };
    let mut ticks = interval(pause.max(MIN_PAUSE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watching = async {
        loop {
            ticks.tick().await;
            let answers = survey.ask().await;
            if json {
                output::json_line(&answers.into_iter().map(Found::peer).collect::<Vec<_>>())?;
            } else {
                if io::stdout().is_terminal() {
                    output::exact(CLEAR)?;
                }
                output::line(table(home, &answers))?;
            }
        }
    };
    interruption::until_asked(watching).await
}

/// Prints the statuses of all peers; fails if none answers.
pub(super) fn print(json: bool, home: &Home, answers: Vec<Found>) -> Result<()> {
    let table = table(home, &answers);
    // A network's peers say the same of all its ports.
    let others: BTreeSet<_> = answers.iter().filter_map(Found::other).map(str::to_string).collect();
    let others = others.into_iter().collect::<Vec<_>>().join("; ");
    let statuses: Vec<_> = answers.into_iter().map(Found::peer).collect();
    super::print(json, &statuses, || table.to_string())?;
    if statuses.iter().any(Option::is_some) {
        return Ok(());
    }
    let up = format!("start them with `dtn-cli l1 up --home {}`", home.path().display());
    ensure!(others.is_empty(), "no peer of this network answers, and its addresses are taken: {others}");
    bail!("no peer answers: {up}")
}

fn table(home: &Home, answers: &[Found]) -> Table {
    let columns = [
        right("peer"),
        left("address"),
        right("view"),
        right("height"),
        right("behind"),
        left("block"),
        right("checkpoint"),
        right("linked"),
        right("pending"),
        right("open orders"),
        right("memory"),
        left("remarks"),
    ];
    let mut table = Table::new(format!("Peers of {}", home.path().display()), columns);
    let statuses = || answers.iter().filter_map(Found::as_peer);
    let best = statuses().map(|status| status.height).max().unwrap_or(0);
    let timeouts: BTreeSet<_> = statuses().map(|status| status.vitals.view_timeout_ms).collect();
    for (index, answer) in answers.iter().enumerate() {
        let status = match answer {
            Found::Peer(status) => status,
            Found::None => {
                table.row([index.to_string(), "does not answer".into()]);
                continue;
            }
            Found::Other(who) => {
                table.row([index.to_string(), who.clone()]);
                continue;
            }
        };
        table.row([
            index.to_string(),
            units::short(status.address),
            status.view.to_string(),
            status.height.to_string(),
            (best - status.height).to_string(),
            units::short(status.block_hash),
            status.checkpoint.to_string(),
            format!("{}/{}", status.connected.len(), answers.len() - 1),
            status.pending_transactions.to_string(),
            status.open_orders.to_string(),
            units::bytes(status.vitals.memory_bytes),
            remarks(status).join("; "),
        ]);
    }
    match timeouts.iter().collect::<Vec<_>>()[..] {
        [] => {}
        [ms] => _ = table.note(format!("A primary has {ms} ms to decide something (view_timeout_ms).")),
        ref several => {
            let several = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            table.note(format!("view_timeout_ms differs between the peers ({several}), so views end unevenly."));
        }
    }
    table
}

fn remarks(status: &Status) -> Vec<String> {
    let mut remarks = Vec::new();
    if Some(status.primary) == status.validator {
        remarks.push("primary".to_string());
    }
    if let Some(mining) = &status.mining {
        remarks.push(format!(
            "mines on {} at height {}, {} blocks mined",
            units::short(mining.block_hash),
            mining.height,
            units::thousands(mining.mined_blocks)
        ));
        if mining.reorganizations > 0 {
            let (count, deepest) = (mining.reorganizations, mining.deepest_reorganization);
            remarks.push(format!("{count} reorganizations, the deepest left {deepest} blocks"));
        }
        if mining.chains_below_checkpoint > 0 {
            remarks.push("was shown a chain that leaves out a final block".to_string());
        }
    }
    if status.silent {
        remarks.push("does not vote yet: it asks the others, catches up, or has lost its store".to_string());
    }
    if status.vitals.twin_seen {
        remarks.push("another process runs with its key".to_string());
    }
    if status.vitals.crowded_out > 0 {
        remarks
            .push(format!("{} connections to its port were crowded out", units::thousands(status.vitals.crowded_out)));
    }
    if !status.evidence.is_empty() {
        remarks.push(format!("evidence against {:?}", status.evidence));
    }
    if status.faults.iter().any(|count| *count > 0) {
        remarks.push(format!("faulty messages by peer: {:?}", status.faults));
    }
    remarks
}
