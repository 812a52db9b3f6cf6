//! `dtn-cli train attack`: claims that are forged, and what the checks of a peer make of them.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use dtn_bench::forging::{self, Forgery};

use crate::output;

/// Forge claims, and check them as peers do.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train attack
  dtn-cli train attack splice foreign-seed --claims 10000 --seed 7

A small run is forged in all ways, or in those named: bits of states, of hashes, of the model and of opened rows; other workers',
tries' and points' runs; states that change places; runs that go on from another one's state; lengths; others' statements; better
scores. Whoever forges hashes anew what is forged. None may be accepted, and no check may panic. Exit code 1 otherwise.")]
pub(crate) struct Attack {
    /// In these ways [default: all]
    ways: Vec<Way>,
    /// How many
    #[arg(long, default_value_t = 20_000)]
    claims: u64,
    /// Chooses them
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// A way, as it is written.
#[derive(Debug, Clone, Copy)]
struct Way(Forgery);

impl ValueEnum for Way {
    fn value_variants<'a>() -> &'a [Self] {
        const WAYS: [Way; Forgery::ALL.len()] = {
            let mut ways = [Way(Forgery::ALL[0]); Forgery::ALL.len()];
            let mut at = 0;
            while at < ways.len() {
                ways[at] = Way(Forgery::ALL[at]);
                at += 1;
            }
            ways
        };
        &WAYS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

pub(super) fn run(attack: &Attack, json: bool) -> Result<()> {
    let ways: Vec<_> = attack.ways.iter().map(|way| way.0).collect();
    let ways = if ways.is_empty() { Forgery::ALL.to_vec() } else { ways };
    let outcome = forging::run(attack.claims, attack.seed, &ways, &output::bars())?;
    if json {
        output::json(&outcome)?
    } else {
        output::line(outcome.table())?
    }
    ensure!(outcome.accepted == 0, "{} forged claims were accepted", outcome.accepted);
    ensure!(outcome.panicked == 0, "a check panicked over {} forged claims", outcome.panicked);
    Ok(())
}
