//! `dtn-cli sim regions`: where replicas may be.

use anyhow::{Context, Result};
use clap::Args;
use dtn_runs::regions;

use crate::output;

/// List regions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim regions
  dtn-cli sim regions --from sydney
  dtn-cli sim regions --json

Medians of 30 days until 30 July 2026, as Microsoft published them (Azure network round-trip latency statistics, CC BY 4.0).")]
pub(crate) struct Regions {
    /// Round trips from this region
    #[arg(long, default_value = "frankfurt")]
    from: String,
    /// Print JSON, with all round trips
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Regions) -> Result<()> {
    if options.json {
        return output::json(&regions::all());
    }
    let from = &options.from;
    let table = regions::table(from);
    output::line(
        table.with_context(|| format!("there is no region {}: leave --from out to see all", from.to_lowercase()))?,
    )
}
