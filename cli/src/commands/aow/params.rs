//! `dtn-cli aow params`: what proofs are made of, and what may be said of them.

use anyhow::Result;
use clap::Args;
use dtn_aow::{MAX_PROOF_BYTES, MAX_REPLAYED_STEPS, MAX_STEPS, Parameters, Security};
use dtn_report::{Table, left, right, units};
use serde::Serialize;

use crate::output;

/// Show the sets of options.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow params
  dtn-cli aow params --steps 65536 --json")]
pub(crate) struct Params {
    /// Of proofs of so many steps
    #[arg(long, default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1..=MAX_STEPS))]
    steps: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    field: String,
    map: String,
    hash: String,
    steps: u64,
    max_steps: u64,
    max_replayed_steps: u64,
    max_proof_bytes: usize,
    sets: Vec<Set>,
    claimed: &'static str,
    not_claimed: &'static str,
}

#[derive(Debug, Serialize)]
struct Set {
    name: Security,
    proven_bits: u32,
    #[serde(flatten)]
    parameters: Parameters,
    /// Of 2²⁰ steps; a proof of others differs by the logarithm.
    proof_bytes: usize,
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

pub(crate) fn run(params: &Params) -> Result<()> {
    let set = |name: Security| Set {
        name,
        proven_bits: name.proven_bits(params.steps),
        parameters: name.parameters(),
        proof_bytes: proof_bytes(name),
    };
    let document = Document {
        field: "2^128 - 45*2^40 + 1".into(),
        map: "x -> cube root of (x - 5)".into(),
        hash: "Blake3, 256 bits".into(),
        steps: params.steps,
        max_steps: MAX_STEPS,
        max_replayed_steps: MAX_REPLAYED_STEPS,
        max_proof_bytes: MAX_PROOF_BYTES,
        sets: Security::ALL.map(set).into(),
        claimed: CLAIMED,
        not_claimed: NOT_CLAIMED,
    };
    if params.json { output::json(&document) } else { document.print() }
}

impl Document {
    fn print(&self) -> Result<()> {
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
        output::line(table)?;
        output::line(format!(
            "Work of up to {} steps is undone and needs no proof.",
            units::thousands(self.max_replayed_steps)
        ))?;
        output::line(format!("\nClaimed: {}\n\nNot claimed: {}", self.claimed, self.not_claimed))
    }
}
