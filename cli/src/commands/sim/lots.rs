//! `dtn-cli sim lots`: how often Streamlet makes something final where leaders are drawn by lot.

use anyhow::{Result, ensure};
use clap::Args;
use dtn_runs::lots;

use crate::{failure::Coded, output};

/// Play Streamlet by lot.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim lots
  dtn-cli sim lots --nodes 4,10,64 --epochs 5000 --json

As many replicas as may be faulty never say anything. Where a part p of all lives, p³ of all epochs make something final, and the
first one comes after (1 - p³) / (p³ (1 - p)) on average. Exit code 1 if chance does not explain what was measured.")]
pub(crate) struct Lots {
    /// How many replicas, 4 to 100; several one after the other
    #[arg(long, value_delimiter = ',', default_value = "4,10")]
    nodes: Vec<usize>,
    /// How many epochs, 100 to 1,000,000
    #[arg(long, default_value_t = 20_000)]
    epochs: u64,
    /// Decides what is left to chance
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(lots: &Lots) -> Result<()> {
    let Lots { nodes, epochs, seed, json } = lots;
    let wrong = nodes.iter().find(|n| !(4..=100).contains(*n));
    ensure!(
        wrong.is_none(),
        Coded::argument(format_args!("--nodes {}: give 4 to 100", wrong.copied().unwrap_or_default()))
    );
    let is_in = (100..=1_000_000).contains(epochs);
    ensure!(is_in, Coded::argument(format_args!("--epochs {epochs}: give 100 to 1,000,000")));
    let played: Vec<_> = nodes.iter().map(|n| dtn_simulator::lots(*n, (n - 1) / 3, *epochs, *seed)).collect();
    if *json { output::json(&played) } else { output::line(lots::table(&played)) }?;
    ensure!(played.iter().all(dtn_simulator::Lots::is_right), "chance does not explain what was measured");
    Ok(())
}
