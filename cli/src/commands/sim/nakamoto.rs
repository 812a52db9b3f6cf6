//! `dtn-cli sim nakamoto`: miners, and validators that make their blocks final.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use dtn_simulator::{RateChange, Scenario};

use super::runs::{Runs, play_all};

/// The blocks of a run that nothing says the length of.
const BLOCKS: u64 = 100;

/// Have miners extend a chain, and validators make it final.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim nakamoto --nodes 10 --latency 350ms --block-interval 10s
  dtn-cli sim nakamoto --nodes 4 --shares 70,10,10,10 --byzantine 1 --behaviour withholder
  dtn-cli sim nakamoto --nodes 4 --shares 42,20,19,19 --byzantine 1 --behaviour selfish-miner --blocks 2000
  dtn-cli sim nakamoto --nodes 4 --rate-change 1h:10 --blocks 1000 --json
  dtn-cli sim nakamoto scenarios/nakamoto-majority.toml --html run.html

The replicas are the ones that `dtn-cli l1` runs in a network whose blocks are mined. Work is real, its time is virtual: a
replica finds a block with the nonce that it would have found, after as many tries. Blocks are filled as --transactions
says; --blocks more have to become final once nothing more happens to the replicas. Exit code 1 if they do not, or not
alike.")]
pub(crate) struct Simulate {
    #[command(flatten)]
    runs: Runs,
    /// The time between two blocks that the work is adjusted to; 10s without
    #[arg(long, value_parser = humantime::parse_duration, help_heading = "Mining")]
    block_interval: Option<Duration>,
    /// Blocks on top of one before validators make it final; 6 without
    #[arg(long, help_heading = "Mining")]
    confirmations: Option<u64>,
    /// Expected hashes for the first block; 1,000 without
    #[arg(long, help_heading = "Mining")]
    expected_hashes: Option<u64>,
    /// Hashes a second of all replicas together; what finds the first block in an interval without
    #[arg(long, help_heading = "Mining", allow_hyphen_values = true)]
    hash_rate: Option<f64>,
    /// Each replica's part of that, as numbers of any sum: 70,10,10,10; equal parts without
    #[arg(long, value_delimiter = ',', help_heading = "Mining", allow_hyphen_values = true)]
    shares: Vec<f64>,
    /// The length at which a withholder releases its secret chain; one more than the confirmations without
    #[arg(long, help_heading = "Mining")]
    secret: Option<u64>,
    /// From a time on, so many times the hash rate of the beginning: 1h:10 (repeat)
    #[arg(long, value_name = "TIME:FACTOR", value_parser = parse_change, help_heading = "Mining")]
    rate_change: Vec<RateChange>,
}

pub(crate) fn run(simulate: &Simulate) -> Result<()> {
    play_all(&simulate.runs, &|path, scenario| {
        simulate.change(path.as_os_str().is_empty(), scenario);
        Ok(())
    })
}

impl Simulate {
    fn change(&self, is_new: bool, scenario: &mut Scenario) {
        if is_new && !self.runs.says_blocks() {
            scenario.load.blocks = BLOCKS;
        }
        let mining = scenario.mining.get_or_insert_default();
        mining.block_interval = self.block_interval.unwrap_or(mining.block_interval);
        mining.confirmations = self.confirmations.unwrap_or(mining.confirmations);
        mining.expected_hashes = self.expected_hashes.unwrap_or(mining.expected_hashes);
        mining.hash_rate = self.hash_rate.or(mining.hash_rate);
        mining.secret = self.secret.or(mining.secret);
        if !self.shares.is_empty() {
            mining.shares.clone_from(&self.shares);
        }
        mining.changes.extend(&self.rate_change);
    }
}

fn parse_change(text: &str) -> Result<RateChange> {
    let form = || "write 1h:10".to_string();
    let (at, factor) = text.split_once(':').with_context(form)?;
    let at = humantime::parse_duration(at.trim()).map_err(|error| anyhow!("{text}: {error}"))?;
    Ok(RateChange { at, factor: factor.trim().parse().ok().with_context(form)? })
}
