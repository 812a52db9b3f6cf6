//! Where replicas may be, and how long messages take between there.

use std::collections::BTreeMap;

use dtn_report::{Table, left, right};
use dtn_simulator::{REGIONS, round_trip};
use serde::Serialize;

/// A region.
#[derive(Debug, Serialize)]
pub struct Region {
    /// What it is called here.
    pub name: &'static str,
    /// What Azure calls it.
    pub azure: &'static str,
    /// To all, in milliseconds.
    pub round_trip_ms: BTreeMap<&'static str, f64>,
}

fn ms(from: &str, to: &str) -> Option<f64> {
    round_trip(from, to).map(|time| time.as_secs_f64() * 1e3)
}

/// All of them.
pub fn all() -> Vec<Region> {
    let region = |(name, azure): (&'static str, &'static str)| Region {
        name,
        azure,
        round_trip_ms: REGIONS.iter().filter_map(|(to, _)| Some((*to, ms(name, to)?))).collect(),
    };
    REGIONS.map(region).into()
}

/// The round trips from one of them, in whatever case its name is written; `None` if there is none.
pub fn table(from: &str) -> Option<Table> {
    let from = &from.to_lowercase();
    let mut table = Table::new("Regions", [left("region"), left("Azure's name"), right(format!("from {from}, ms"))]);
    for (name, azure) in REGIONS {
        table.row([name.to_string(), azure.to_string(), format!("{:.0}", ms(from, name)?)]);
    }
    table.note("Round trips; a message takes half of that.");
    Some(table)
}
