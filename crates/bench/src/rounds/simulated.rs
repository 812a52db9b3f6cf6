//! The same rounds in virtual time. The work, the proofs and their verification are real
//! and timed on this machine, one after the other; what messages take comes from the delays, and what agreement takes
//! from the simulator's replicas under the same delays.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B128, B256, U256};
use dtn_aow::{Delay, Start, Trace};
use dtn_node::ROUND_SECURITY;
use dtn_primitives::{Completed, Completion, Domain, MIN_VALIDATORS, Round, keccak256, quorum};
use dtn_report::{RoundEntry, VerificationEntry};
use dtn_simulator::{Latency, Scenario, play};
use dtn_testbed::rounds::completion_entry;
use rand::{SeedableRng, rngs::StdRng};

use super::Outcome;
use crate::{BenchError, Result};

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Simulation {
    /// How many peers.
    pub peers: usize,
    /// How many rounds.
    pub rounds: u64,
    /// Steps of work for each peer.
    pub steps: u64,
    /// How long messages are under way.
    pub delay: Latency,
    /// Decides the delays.
    pub seed: u64,
}

/// A peer's proven work.
struct Done {
    start: Start,
    trace_result: dtn_aow::Element,
    proof: Vec<u8>,
    compute: Duration,
    prove: Duration,
}

impl Simulation {
    /// Who takes part.
    pub fn nodes(&self) -> Vec<Address> {
        (0..self.peers).map(|peer| Address::from_word(keccak256((peer as u64).to_be_bytes()))).collect()
    }

    /// Plays the rounds; `seen` hears of each, and ends it by a break.
    pub fn play(&self, mut seen: impl FnMut(&RoundEntry) -> ControlFlow<()>) -> Result<Outcome> {
        let Self { peers, steps, .. } = *self;
        if peers < MIN_VALIDATORS {
            return Err(BenchError::Peers(peers));
        }
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut before = Previous { height: 0, hash: keccak256(self.seed.to_be_bytes()), beacon: B256::ZERO };
        let mut rounds = Vec::new();
        for number in 1..=self.rounds {
            let entry = self.round(number, &mut before, &mut random)?;
            if seen(&entry).is_break() {
                return Err(BenchError::Interrupted);
            }
            rounds.push(entry);
        }
        Ok(Outcome::new(peers, steps, rounds))
    }

    fn round(&self, number: u64, before: &mut Previous, random: &mut StdRng) -> Result<RoundEntry> {
        let domain = Domain::new(keccak256("simulated"), dtn_chain::networks::LOCAL_CHAIN_ID);
        let (nodes, steps) = (self.nodes(), self.steps);
        let opening = before.height + 1;
        let start =
            |node: &Address| Start { domain, round: number, previous_block_hash: before.hash, node: *node, steps };
        let done = nodes.iter().map(|node| Done::work(start(node))).collect::<Result<Vec<_>>>()?;
        // When each peer has verified each other's work: word of it, a question, the proof.
        let mut verifications = Vec::new();
        let mut accepted = vec![Vec::new(); self.peers];
        for (maker, work) in done.iter().enumerate() {
            let ready = work.compute + work.prove;
            accepted[maker].push(ready);
            for verifier in (0..self.peers).filter(|verifier| *verifier != maker) {
                let [word, question, answer] = [(); 3].map(|()| self.delay.sample(random));
                let began = Instant::now();
                let verdict = dtn_aow::verify(&work.start.statement(work.trace_result), ROUND_SECURITY, &work.proof);
                let verify = began.elapsed();
                if verdict.is_ok() {
                    accepted[maker].push(ready + word + question + answer + verify);
                }
                verifications.push(VerificationEntry {
                    verifier: nodes[verifier],
                    node: nodes[maker],
                    valid: verdict.is_ok(),
                    reason: verdict.err().map(|error| error.to_string()),
                    bytes: work.proof.len() as u64,
                    network_us: (question + answer).as_micros() as u64,
                    verify_us: verify.as_micros() as u64,
                });
            }
        }
        // A block with a completion can be decided once a quorum has verified it.
        let votable = accepted.iter_mut().map(|times| {
            times.sort();
            times.get(quorum(self.peers) - 1).copied().unwrap_or_default()
        });
        let last = votable.max().unwrap_or_default();
        let agreement = self.agreement(number)?;
        let completed: Vec<_> =
            nodes.iter().zip(&done).map(|(node, work)| work.completed(*node, number, opening + 1)).collect();
        let round = Round {
            number,
            height: opening,
            block_hash: before.hash,
            steps,
            quorum: self.peers as u16,
            reward: U256::ZERO,
            opened_at_ms: 0,
            deadline_ms: u64::MAX,
            completed,
            closing: None,
        };
        let beacon = round.beacon(before.beacon);
        *before = Previous { height: opening + 1, hash: keccak256(beacon), beacon };
        Ok(RoundEntry {
            round: number,
            steps,
            height: opening,
            closed_at: opening + 1,
            duration_ms: (last + agreement).as_millis() as u64,
            beacon,
            completions: round.completed.into_iter().map(completion_entry).collect(),
            missing: Vec::new(),
            verifications,
        })
    }

    /// How long the replicas take to decide a block under these delays.
    fn agreement(&self, number: u64) -> Result<Duration> {
        let mut scenario = Scenario::client(self.peers, self.seed.wrapping_add(number), 1, 1, 256);
        scenario.links.latency = Some(self.delay);
        scenario.pace.view_timeout = None;
        scenario.pace.housekeeping = None;
        let report = play(&scenario);
        let decided = report.measured.decision_latencies().map(|(_, latency)| latency).max();
        decided.ok_or_else(|| BenchError::UndecidedRound(report.verdict.name()))
    }
}

/// What a round begins with.
struct Previous {
    height: u64,
    hash: B256,
    beacon: B256,
}

impl Done {
    fn work(start: Start) -> Result<Self> {
        let began = Instant::now();
        let trace = Trace::run(Delay::default(), start.element(), start.steps, |_| ControlFlow::Continue(()))?;
        let (compute, trace_result, began) = (began.elapsed(), trace.result(), Instant::now());
        let proof = trace.prove(start.context(), ROUND_SECURITY)?;
        Ok(Self { start, trace_result, proof, compute, prove: began.elapsed() })
    }

    fn completed(&self, node: Address, round: u64, height: u64) -> Completed {
        let completion = Completion {
            round,
            result: B128::new(self.trace_result.to_bytes()),
            proof_digest: keccak256(&self.proof),
            payee: node,
            started_at_us: 0,
            compute_us: self.compute.as_micros() as u64,
            prove_us: self.prove.as_micros() as u64,
        };
        Completed { node, height, timestamp_ms: 0, completion }
    }
}
