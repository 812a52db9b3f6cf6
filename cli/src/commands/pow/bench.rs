//! `dtn-cli pow bench`: how fast this machine hashes, beside the libraries and the prototype's loop.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::output;

/// Measure how fast this machine hashes, all in one run.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dtn-cli pow bench --time 2s --json")]
pub(crate) struct Bench {
    /// How long each item is measured
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration, value_name = "TIME")]
    time: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let report = dtn_bench::hashing::measure(bench.time)?;
    if bench.json { output::json(&report) } else { output::line(report.text()) }
}
