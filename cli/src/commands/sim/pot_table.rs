//! `dtn-cli sim pot-table`: the prototype's published table, by its model and by that of shared links.

use anyhow::Result;
use clap::Args;
use dtn_runs::pot_table;

use crate::output;

/// Reproduce the published table.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dtn-cli sim pot-table --json")]
pub(crate) struct PotTable {
    /// Decides all that is left to chance
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &PotTable) -> Result<()> {
    let cells = pot_table::reproduce(options.seed);
    if options.json { output::json(&cells) } else { output::line(pot_table::table(&cells)) }
}
