//! `dtn-cli sim bounds`: what no protocol can escape.

use anyhow::{Result, ensure};
use clap::Args;
use dtn_runs::textbook;
use dtn_simulator::property;

use crate::{failure::Coded, output};

/// The most rounds.
const MAX_ROUNDS: u64 = 1_000_000;

/// Play lower bounds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim bounds
  dtn-cli sim bounds --rounds 100 --json

A lower bound is a protocol for an adversary: what it does here is what the proof says, to protocols that are made for fewer liars,
fewer rounds, fewer messages or other networks. An agreement is kept undecided, and what each of its rounds could have come to
is shown beside it. Exit code 1 if a bound does not show.")]
pub(crate) struct Bounds {
    /// For how many rounds agreement is kept undecided
    #[arg(long, default_value_t = 10_000)]
    rounds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(bounds: &Bounds) -> Result<()> {
    let rounds = bounds.rounds;
    ensure!(
        (1..=MAX_ROUNDS).contains(&rounds),
        Coded::argument(format_args!("--rounds {rounds}: give 1 to {MAX_ROUNDS}"))
    );
    let played = property::bounds(rounds);
    if bounds.json {
        output::json(&played)?;
    } else {
        output::line(textbook::bounds_tables(&played))?;
    }
    ensure!(played.are_shown(), "a bound did not come about");
    Ok(())
}
