//! `dtn-cli sim regions`: where replicas may be.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::Args;
use dtn_report::{Table, left, right};
use dtn_simulator::{REGIONS, round_trip};
use serde::Serialize;

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

#[derive(Debug, Serialize)]
struct Region {
    name: &'static str,
    azure: &'static str,
    round_trip_ms: BTreeMap<&'static str, f64>,
}

pub(crate) fn run(options: &Regions) -> Result<()> {
    let ms = |from: &str, to: &str| round_trip(from, to).map(|time| time.as_secs_f64() * 1e3);
    if options.json {
        let region = |(name, azure): (&'static str, &'static str)| Region {
            name,
            azure,
            round_trip_ms: REGIONS.iter().filter_map(|(to, _)| Some((*to, ms(name, to)?))).collect(),
        };
        return output::json(&REGIONS.map(region));
    }
    let from = &options.from.to_lowercase();
    let mut table = Table::new("Regions", [left("region"), left("Azure's name"), right(format!("from {from}, ms"))]);
    for (name, azure) in REGIONS {
        let time = ms(from, name).with_context(|| format!("there is no region {from}: leave --from out to see all"))?;
        table.row([name.to_string(), azure.to_string(), format!("{time:.0}")]);
    }
    table.note("Round trips; a message takes half of that.");
    output::line(table)
}
