//! Rounds of sequential work among peers of a network of its own, each verifying all others, and what each took.

mod simulated;

use std::{ops::ControlFlow, time::Duration};

use alloy_primitives::{Address, U256};
use dtn_report::{RoundEntry, RoundTotals, Tell, VerificationEntry};
use dtn_testbed::{
    Home, TestbedError,
    rounds::{self, Asked},
};
use serde::Serialize;

use crate::{BenchError, Result};
pub use simulated::Simulation;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many peers.
    pub peers: usize,
    /// How many rounds.
    pub rounds: u64,
    /// Steps of work for each peer.
    pub steps: u64,
    /// How long the peers have for a round.
    pub deadline: Duration,
    /// The peers that claim half of their work as all of it.
    pub half_work: Vec<usize>,
}

/// All rounds, and what they took.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// How many peers.
    pub peers: usize,
    /// Steps of work for each.
    pub steps: u64,
    /// Each round.
    pub rounds: Vec<RoundEntry>,
    /// What they took together.
    pub totals: RoundTotals,
}

impl Plan {
    fn asked(&self) -> Asked {
        let quorum = self.peers.saturating_sub(self.half_work.len()) as u16;
        Asked { steps: self.steps, deadline: self.deadline, quorum, reward: U256::ZERO }
    }

    /// Whether it can be measured, as [`measure`] asks first.
    pub fn check(&self) -> Result<()> {
        let (faulty, cheats) = (dtn_primitives::max_faulty(self.peers), self.half_work.len());
        if self.rounds == 0 {
            return Err(BenchError::Missing("--rounds is 1 or more"));
        }
        if let Some(peer) = self.half_work.iter().find(|peer| **peer >= self.peers) {
            return Err(BenchError::NoPeer { peer: *peer, last: self.peers.max(1) - 1 });
        }
        if cheats > faulty {
            return Err(BenchError::Faults { peers: self.peers, faulty, how: "that cheat", asked: cheats });
        }
        // What the peers would refuse is told before there are any.
        Asked { quorum: 1, ..self.asked() }.order(0).map_err(TestbedError::from)?;
        Ok(())
    }
}

/// Makes a network in a folder, starts it and has it work the rounds. `seen` hears of each, with the names of the peers, and
/// ends it by a break. The peers go on when it ends, however it does. Within tokio's runtime of several threads.
pub async fn measure(
    plan: &Plan,
    home: &Home,
    mut seen: impl FnMut(&RoundEntry, &[(Address, String)]) -> ControlFlow<()>,
    tell: Tell<'_>,
) -> Result<Outcome> {
    plan.check()?;
    dtn_testbed::init_and_tell(home, &dtn_testbed::Plan::local("aow", plan.peers), tell)?;
    plan.half_work.iter().try_for_each(|peer| dtn_testbed::set_half_work(home, *peer))?;
    dtn_testbed::up_all(home, tell).await?;
    let client = dtn_testbed::client(home)?;
    let (names, asked) = (rounds::names(&client), plan.asked());
    let mut entries = Vec::new();
    for _ in 0..plan.rounds {
        let opened_at = rounds::open(&client, home, &asked).await?;
        let (_, entry) = rounds::end(&client, opened_at, &asked, tell).await?;
        if seen(&entry, &names).is_break() {
            return Err(BenchError::Interrupted);
        }
        entries.push(entry);
    }
    Ok(Outcome::new(plan.peers, plan.steps, entries))
}

impl Outcome {
    fn new(peers: usize, steps: u64, rounds: Vec<RoundEntry>) -> Self {
        let totals = RoundTotals::of(&rounds);
        Self { peers, steps, rounds, totals }
    }

    /// Whether everyone who worked, so many of them, was accepted by everyone, and nobody else by anybody.
    pub fn check(&self, workers: usize) -> Result<()> {
        for round in &self.rounds {
            let number = round.round;
            let completed = round.completions.len();
            if completed != workers {
                return Err(BenchError::Completed { number, completed, workers });
            }
            let judged_wrongly = |it: &&VerificationEntry| it.valid == round.missing.contains(&it.node);
            if let Some(it) = round.verifications.iter().find(judged_wrongly) {
                return Err(BenchError::Judged { number, node: it.node, verifier: it.verifier });
            }
            let expected = workers * (self.peers - 1);
            let valid = round.verifications.iter().filter(|it| it.valid).count();
            if valid != expected {
                return Err(BenchError::Verifications { number, valid, expected });
            }
        }
        Ok(())
    }
}
