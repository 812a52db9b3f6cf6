//! `dtn-cli sim mutants`: whether the checker catches protocols with a rule left out.

use anyhow::{Result, ensure};
use clap::Args;
use dtn_runs::textbook;
use dtn_simulator::property;

use super::{protocols, sweep::check_seeds};
use crate::output;

/// The most seeds of each.
const MAX_SEEDS: u64 = 1_000_000;

/// Leave out rules.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim mutants
  dtn-cli sim mutants --seeds 2000 --json
  dtn-cli sim mutants --protocol blocks --seeds 200

Each protocol of the textbook is played with one of its rules left out, inside the assumptions of its theorem, until each
property has caught it that does; and each promise is broken once beyond the assumptions. Exit code 1 if a mutant or a
promise is left: then the checker is blind there.")]
pub(crate) struct Mutants {
    /// Whose: a protocol's, all of those without blocks, chains for those that chain blocks, or blocks for these and PBFT
    #[arg(long, default_value = "all")]
    protocol: String,
    /// Seeds that are tried for each
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(mutants: &Mutants) -> Result<()> {
    let seeds = mutants.seeds;
    check_seeds(seeds, MAX_SEEDS)?;
    let matrix = property::matrix(&protocols(&mutants.protocol)?, seeds);
    if mutants.json {
        output::json(&matrix)?;
    } else {
        output::line(textbook::matrix_tables(&matrix))?;
    }
    let gaps = matrix.gaps();
    ensure!(gaps.is_empty(), "{}", gaps.join("\n"));
    Ok(())
}
