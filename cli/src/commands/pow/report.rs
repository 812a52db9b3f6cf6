//! `dtn-cli pow report`: how the nodes of a network compare in their races.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use dtn_client::{Races, ledger::node_name};
use dtn_report::{Bars, Distribution, Page, Table, left, right, units};
use dtn_testbed::Home;
use futures::{StreamExt, pin_mut};
use serde::Serialize;

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

/// What is compared.
#[derive(Debug, Serialize)]
struct Comparison {
    /// Races that are over.
    races: usize,
    nodes: Vec<NodeResult>,
}

/// One node's results; times and rates are `None` without a claim.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
struct NodeResult {
    node: String,
    /// Races won, and claims that were in the block that closed their race.
    won: usize,
    claims: usize,
    /// Of all races, those won.
    share: f64,
    mean_us: Option<u64>,
    median_us: Option<u64>,
    p95_us: Option<u64>,
    hashes_per_second: Option<f64>,
    #[serde(skip)]
    times_us: Vec<u64>,
}

impl NodeResult {
    /// From the times of its claims, in microseconds, and the hashes that they took.
    fn new(node: String, (won, races): (usize, usize), mut times_us: Vec<u64>, hashes: u128) -> Self {
        times_us.sort_unstable();
        let (count, total) = (times_us.len(), times_us.iter().map(|time| u128::from(*time)).sum::<u128>());
        // The nearest rank: the least time that so many per cent are at or below.
        let rank = |percent: usize| times_us.get((count * percent).div_ceil(100).max(1) - 1).copied();
        Self {
            node,
            won,
            claims: count,
            share: if races == 0 { 0.0 } else { won as f64 / races as f64 },
            mean_us: total.checked_div(count as u128).and_then(|mean| mean.try_into().ok()),
            median_us: rank(50),
            p95_us: rank(95),
            hashes_per_second: (total > 0).then(|| hashes as f64 * 1e6 / total as f64),
            times_us,
        }
    }
}

pub(super) async fn run(compare: Compare) -> Result<()> {
    let comparison = read(&Home::new(&compare.home)).await?;
    if let Some(file) = &compare.html {
        fs::write(file, page(&comparison).to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if compare.json { output::json(&comparison) } else { output::line(table(&comparison)) }
}

async fn read(home: &Home) -> Result<Comparison> {
    let blocks = dtn_testbed::blocks(home, None).await?;
    let (tip, validators) = (blocks.tip().await?, blocks.validators());
    let bar = output::progress(tip, "blocks");
    let mut races = Races::default();
    let mut count = 0;
    let mut found: Vec<(usize, Vec<u64>, u128)> = vec![Default::default(); validators.len()];
    let all = blocks.up_to(tip);
    pin_mut!(all);
    while let Some(block) = all.next().await {
        for race in races.next(block?)? {
            count += 1;
            if let Some(index) = validators.index_of(race.winner()?.worker) {
                found[index.as_usize()].0 += 1;
            }
            // What a worker finds after its first solution it has searched for longer, by the rules of the race.
            let mut known = BTreeSet::new();
            for part in race.parts.iter().filter(|part| known.insert(part.worker)) {
                let Some(index) = validators.index_of(part.worker) else { continue };
                let (_, times, hashes) = &mut found[index.as_usize()];
                times.push(part.claim.duration_us);
                *hashes += u128::from(part.claim.nonce) + 1;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let nodes = (0..).map(node_name).zip(found);
    let nodes = nodes.map(|(name, (won, times, hashes))| NodeResult::new(name, (won, count), times, hashes)).collect();
    Ok(Comparison { races: count, nodes })
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
    use super::*;

    #[test]
    fn times_are_ranked_whatever_their_order_and_a_node_without_a_claim_has_none() {
        let times: Vec<u64> = (1..=100).rev().map(|time| time * 1_000).collect();
        let node = NodeResult::new("Node1".into(), (30, 120), times, 5_050_000);
        assert_eq!((node.mean_us, node.median_us, node.p95_us), (Some(50_500), Some(50_000), Some(95_000)));
        assert_eq!((node.share, node.hashes_per_second), (0.25, Some(1e6)));
        let one = NodeResult::new("Node2".into(), (1, 120), vec![7], 1);
        assert_eq!((one.mean_us, one.median_us, one.p95_us), (Some(7), Some(7), Some(7)));
        let none = NodeResult::new("Node3".into(), (0, 0), Vec::new(), 0);
        assert_eq!((none.share, none.mean_us, none.p95_us, none.hashes_per_second), (0.0, None, None, None));
        let page = page(&Comparison { races: 120, nodes: vec![node, none] }).to_string();
        assert!(page.contains("Node1") && page.contains("25.0 %") && !page.contains("NaN"), "{page}");
    }
}
