//! What proofs of sequential work are made of, and what may be said of them.

use dtn_aow::{MAX_PROOF_BYTES, MAX_REPLAYED_STEPS, MAX_STEPS, Parameters, Security};
use dtn_report::{Table, left, right, units};
use serde::Serialize;

/// The sets of options that proofs are made with, and what may be said of them.
#[derive(Debug, Serialize)]
pub struct ProofOptions {
    /// The field.
    pub field: String,
    /// What a step is.
    pub map: String,
    /// The hash of the proofs.
    pub hash: String,
    /// Of proofs of so many steps.
    pub steps: u64,
    /// The most that are proven.
    pub max_steps: u64,
    /// The most that are undone instead.
    pub max_replayed_steps: u64,
    /// The longest proof.
    pub max_proof_bytes: usize,
    /// The sets.
    pub sets: Vec<Set>,
    /// What is claimed.
    pub claimed: &'static str,
    /// What is not.
    pub not_claimed: &'static str,
}

/// A set of options.
#[derive(Debug, Serialize)]
pub struct Set {
    /// Its name.
    pub name: Security,
    /// The bits that are proven.
    pub proven_bits: u32,
    /// What it consists of.
    #[serde(flatten)]
    pub parameters: Parameters,
    /// Of 2²⁰ steps; a proof of others differs by the logarithm.
    pub proof_bytes: usize,
}

/// Bytes of a proof of 2²⁰ steps, up to some hundred: how many paths meet is chance.
const fn proof_bytes(security: Security) -> usize {
    match security {
        Security::Fast => 115_896,
        Security::Proven100 => 210_065,
        Security::Proven128 => 269_387,
    }
}

const CLAIMED: &str = "Sequential work with cheap verification and integrity: whoever has the result of T steps from a start that \
nobody chose has run them, one after the other, or has broken a proof that so many bits are proven of.";

const NOT_CLAIMED: &str = "No proven delay: steps that are roots lose their latency to massive parallelism (ePrint 2024/873). Not \
one-way: who may choose a start chooses the result and goes back. No secrecy: a proof hides nothing. Quantum computers were \
not looked at.";

impl ProofOptions {
    /// Of proofs of so many steps.
    pub fn of(steps: u64) -> Self {
        let set = |name: Security| Set {
            name,
            proven_bits: name.proven_bits(steps),
            parameters: name.parameters(),
            proof_bytes: proof_bytes(name),
        };
        Self {
            field: "2^128 - 45*2^40 + 1".into(),
            map: "x -> cube root of (x - 5)".into(),
            hash: "Blake3, 256 bits".into(),
            steps,
            max_steps: MAX_STEPS,
            max_replayed_steps: MAX_REPLAYED_STEPS,
            max_proof_bytes: MAX_PROOF_BYTES,
            sets: Security::ALL.map(set).into(),
            claimed: CLAIMED,
            not_claimed: NOT_CLAIMED,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let title = format!("Proofs of {} steps of {} modulo {}", units::thousands(self.steps), self.map, self.field);
        let columns = ["proven bits", "extension", "blowup", "queries", "grinding", "folding", "of 2^20 steps"];
        let mut table = Table::new(title, std::iter::once(left("set")).chain(columns.map(right)));
        for Set { name, proven_bits, parameters, proof_bytes } in &self.sets {
            let Parameters { extension, blowup, queries, grinding, folding, .. } = parameters;
            let extension = if *extension == 1 { "none".to_string() } else { format!("degree {extension}") };
            let numbers = [*blowup, *queries, *grinding as usize, *folding].map(|number| number.to_string());
            let size = units::bytes(*proof_bytes as u64);
            let head = [name.to_string(), proven_bits.to_string(), extension];
            table.row(head.into_iter().chain(numbers).chain([size]));
        }
        format!(
            "{table}\nWork of up to {} steps is undone and needs no proof.\n\nClaimed: {}\n\nNot claimed: {}",
            units::thousands(self.max_replayed_steps),
            self.claimed,
            self.not_claimed
        )
    }
}
