//! `dtn-cli pow report`: how the nodes of a network compare in their races.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use dtn_client::Comparison;
use dtn_peer::files::{self, Access};
use dtn_report::{Bars, Distribution, Page, Table, left, right, units};
use dtn_testbed::Home;

use crate::output;

/// Compare the nodes of a network.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli pow report --home races
  dtn-cli pow report --home races --html races.html --json

A race counts for each node whose claim is in the block that closed it: others may have found a solution later, or none. The
times are those that the nodes state and sign, from when a node began to search until it found its nonce. The nonces are tried in
their order, so the rate is that of all nonces up to those found. Exit codes: 0 done, 1 failed.")]
pub(crate) struct Compare {
    /// The folder of the network
    #[arg(long, env = "DTN_HOME", default_value = ".dtn", value_name = "DIR")]
    home: PathBuf,
    /// Write a page with charts, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(compare: Compare) -> Result<()> {
    let blocks = dtn_testbed::blocks(&Home::new(&compare.home), None).await?;
    let tip = blocks.tip().await?;
    let bar = output::progress(tip, "blocks");
    let comparison = dtn_client::compare(&blocks, tip, || bar.inc(1)).await?;
    bar.finish_and_clear();
    if let Some(file) = &compare.html {
        files::write(file, page(&comparison).to_string().as_bytes(), Access::Shared)?;
    }
    if compare.json { output::json(&comparison) } else { output::line(table(&comparison)) }
}

fn rate(hashes_per_second: f64) -> String {
    format!("{:.2} MH/s", hashes_per_second / 1e6)
}

fn table(Comparison { races, nodes }: &Comparison) -> Table {
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

fn page(comparison: &Comparison) -> Page {
    let Comparison { races, nodes } = comparison;
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
        .table(&table(comparison))
        .figure("Races won, and claims in time", &won)
        .figure("Time to a solution", &times)
        .figure("How the times are distributed", &spread);
    page
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
