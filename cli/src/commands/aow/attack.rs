//! `dtn-cli aow attack`: the ways out of the work, tried out.

use anyhow::{Result, ensure};
use clap::Args;
use dtn_aow::{
    MAX_REPLAYED_STEPS, Security, Start,
    attack::{Attack, Attempt},
};
use dtn_documents::work;
use dtn_primitives::{Address, Domain, keccak256};

use crate::output;

/// So many peers check what one of them publishes.
const VERIFIERS: u64 = 4;

/// Fewer steps are undone, and half of them would be.
const MIN_STEPS: u64 = 2 * MAX_REPLAYED_STEPS + 2;

/// Try to get out of the work.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow attack
  dtn-cli aow attack --steps 65536 --security proven-100 --json

A worker of a round publishes something else than its work: half of it, another node's, last round's, and so on. Each of
four peers computes the start that it expects and checks the proof. Exit code 1 if one of them accepts.")]
pub(crate) struct Try {
    /// How many steps the round asks for
    #[arg(long, default_value_t = 1 << 14)]
    steps: u64,
    /// The options that the peers ask for
    #[arg(long, default_value_t)]
    security: Security,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(attempt: &Try) -> Result<()> {
    let most = 1 << 20;
    ensure!((MIN_STEPS..=most).contains(&attempt.steps), "--steps {}: give {MIN_STEPS} to {most}", attempt.steps);
    let start = Start {
        domain: Domain::new(keccak256("a network"), 31337),
        round: 7,
        previous_block_hash: keccak256("the block before"),
        node: Address::from_word(keccak256("the worker")),
        steps: attempt.steps,
    };
    let bar = output::progress(Attack::ALL.len() as u64 + 1, "claims");
    let check = |attack: Option<Attack>| -> Result<Attempt> {
        let made = Attempt::of(attack, &start, attempt.security, VERIFIERS)?;
        bar.inc(1);
        Ok(made)
    };
    let attempts = std::iter::once(None).chain(Attack::ALL.map(Some)).map(check).collect::<Result<Vec<_>>>()?;
    bar.finish_and_clear();
    if attempt.json {
        output::json(&attempts)?
    } else {
        output::line(work::attempts(&attempts, attempt.steps, attempt.security))?
    }
    for Attempt { attack, accepted, .. } in &attempts {
        match attack {
            None => ensure!(*accepted as u64 == VERIFIERS, "the honest work was not accepted by all"),
            Some(attack) => ensure!(*accepted == 0, "{attack}: {accepted} accepted it"),
        }
    }
    Ok(())
}
