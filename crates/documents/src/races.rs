//! Races for proofs of work: the ledger of those that are over, how the nodes compare in them, and one solution.

use std::num::NonZeroUsize;

use alloy_primitives::{B256, hex};
use dtn_client::{
    Comparison,
    ledger::{Entry, seed::timestamp},
};
use dtn_report::{Bars, Distribution, Page, Table, left, right, units};
use serde::Serialize;

/// How much of a line is shown, in characters.
const SHOWN: usize = 40;

/// One row for each race that is over.
pub fn ledger(entries: &[Entry]) -> Table {
    let columns = [
        right("entry"),
        left("node"),
        left("data"),
        left("transaction"),
        right("nonce"),
        left("hash"),
        right("time"),
        left("start (UTC)"),
        left("end (UTC)"),
        right("height"),
        left("block"),
        left("signature"),
    ];
    let mut table = Table::new("Ledger", columns);
    for Entry { record: it, .. } in entries {
        table.row([
            it.number.to_string(),
            it.node.clone(),
            shown(&it.text()),
            units::short(it.transaction),
            it.nonce.to_string(),
            units::short(it.hash),
            units::duration(it.duration_us),
            timestamp(it.started_at_us),
            timestamp(it.ended_at_us),
            it.height.to_string(),
            units::short(it.block),
            units::short(hex::encode_prefixed(it.signature.0)),
        ]);
    }
    table
}

/// A race that is over, in a line.
pub fn entry(Entry { record: it, .. }: &Entry) -> String {
    format!(
        "#{} {} won \"{}\": nonce {}, hash {}, {} from {} to {}",
        it.number,
        it.node,
        shown(&it.text()),
        it.nonce,
        units::short(it.hash),
        units::duration(it.duration_us),
        timestamp(it.started_at_us),
        timestamp(it.ended_at_us),
    )
}

/// A text without what would move the cursor, and only its beginning.
fn shown(text: &str) -> String {
    let mut characters = text.escape_debug();
    let mut shown: String = characters.by_ref().take(SHOWN).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

fn rate(hashes_per_second: f64) -> String {
    format!("{:.2} MH/s", hashes_per_second / 1e6)
}

/// The nodes side by side.
pub fn comparison(Comparison { races, nodes }: &Comparison) -> Table {
    let columns = [
        left("node"),
        right("won"),
        right("share"),
        right("claims"),
        right("mean"),
        right("median"),
        right("p95"),
        right("hash rate"),
    ];
    let mut table = Table::new(format!("{} races", units::thousands(races)), columns);
    let time = |us: Option<u64>| us.map_or_else(|| units::NONE.into(), units::duration);
    for it in nodes {
        table.row([
            it.node.clone(),
            units::thousands(it.won),
            format!("{:.1} %", 100.0 * it.share),
            units::thousands(it.claims),
            time(it.mean_us),
            time(it.median_us),
            time(it.p95_us),
            it.hashes_per_second.map_or_else(|| units::NONE.into(), rate),
        ]);
    }
    table.note("times from the beginning of a node's search to its solution, of each node's first claim in a race that took the lead");
    table
}

/// The same with charts.
pub fn page(compared: &Comparison) -> Page {
    let Comparison { races, nodes } = compared;
    let mut won = Bars::new(["won", "claims"]);
    let mut times = Bars::new(["mean", "p95"]);
    let mut spread = Distribution::new("time");
    for it in nodes {
        let count = |count: usize| (count as f64, units::thousands(count));
        won.row(&it.node, [count(it.won), count(it.claims)]);
        let Some((mean, p95)) = it.mean_us.zip(it.p95_us) else { continue };
        times.row(&it.node, [mean, p95].map(|us| (us as f64, units::duration(us))));
        spread.series(&it.node, it.times_us.iter().map(|us| *us as f64 / 1e3));
    }
    let mut page = Page::new("Races for proofs of work");
    page.facts([("races", units::thousands(races)), ("nodes", nodes.len().to_string())])
        .table(&comparison(compared))
        .figure("Races won, and claims in time", &won)
        .figure("Time to a solution", &times)
        .figure("How the times are distributed", &spread);
    page
}

/// What a search found.
#[derive(Debug, Serialize)]
pub struct Solved {
    /// The nonce.
    pub nonce: u64,
    /// Its hash.
    pub hash: B256,
    /// How many hashes a solution is expected to take.
    pub expected_hashes: f64,
    /// How many this one took.
    pub hashes_tried: u64,
    /// How many a second.
    pub hashes_per_second: f64,
    /// On so many threads.
    pub threads: NonZeroUsize,
    /// How was hashed.
    pub backend: String,
    /// When the search began, in microseconds since the Unix epoch.
    pub started_at_us: u64,
    /// When it ended.
    pub ended_at_us: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

impl Solved {
    /// For people.
    pub fn table(&self) -> Table {
        let mut table = Table::new("Solution", [left("what"), left("value")]);
        let tried = format!("{} of {} expected", units::thousands(self.hashes_tried), self.expected_hashes);
        let rate = format!("{:.1} MH/s, {} threads, {}", self.hashes_per_second / 1e6, self.threads, self.backend);
        for (what, value) in [
            ("nonce", self.nonce.to_string()),
            ("hash", self.hash.to_string()),
            ("hashes", tried),
            ("time", units::duration(self.duration_us)),
            ("rate", rate),
        ] {
            table.row([what.to_string(), value]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use dtn_client::NodeResult;

    use super::*;

    #[test]
    fn a_node_without_a_claim_has_no_times_on_the_page() {
        let node = NodeResult::new("Node1".into(), (30, 120), vec![1_000], 5_050_000);
        let none = NodeResult::new("Node3".into(), (0, 0), Vec::new(), 0);
        let page = page(&Comparison { races: 120, nodes: vec![node, none] }).to_string();
        assert!(page.contains("Node1") && page.contains("25.0 %") && !page.contains("NaN"), "{page}");
    }
}
