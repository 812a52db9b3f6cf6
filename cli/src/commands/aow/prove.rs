//! `dtn-cli aow prove` and `dtn-cli aow verify`: work with a proof, in a file.

use std::{num::NonZeroUsize, ops::ControlFlow, path::PathBuf, time::Instant};

use alloy_primitives::Address;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use dtn_aow::{Bound, Delay, Element, Expected, Security, Trace, files::ProofFile, verify};
use dtn_documents::work::{Proven, Verified};
use dtn_primitives::B256;

use crate::output;

/// Do work and prove it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow prove --start 123 --steps 65536 --out work.json
  dtn-cli aow prove --start 123 --steps 1048576 --security proven-100 --threads 1 --out work.json
  dtn-cli aow prove --steps 65536 --round 3 --node 0x1111111111111111111111111111111111111111 --chain-id 31337 \\
      --network-id 0x0707070707070707070707070707070707070707070707070707070707070707 \\
      --block-hash 0x0909090909090909090909090909090909090909090909090909090909090909 --out work.json

The steps take about a second for 2^20, one after the other; proving takes about as long by one thread, and less by more.
Of a round, the start is hashed from what it is bound to, so that nobody chooses it. The file is JSON with all that the
proof says, and the proof.")]
pub(crate) struct Prove {
    /// Where to begin: a number below 2^128 - 45*2^40 + 1
    #[arg(long, required_unless_present = "round")]
    start: Option<String>,
    /// How many steps, up to 2^24
    #[arg(long)]
    steps: u64,
    /// The constant of the map
    #[arg(long, default_value = "5", conflicts_with = "round")]
    alpha: String,
    /// What the proof is bound to besides, 32 bytes; zeros without
    #[arg(long, conflicts_with = "round")]
    context: Option<B256>,
    #[command(flatten)]
    bound: BoundOptions,
    /// The options of the proof: fast, proven-100 or proven-128
    #[arg(long, default_value_t)]
    security: Security,
    /// Threads that prove; all cores without
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Where to write the proof
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the start of a round's work is hashed from.
#[derive(Debug, Args)]
pub(super) struct BoundOptions {
    /// Begin where a round does, by its number
    #[arg(long, requires_all = ["node", "network_id", "chain_id", "block_hash"], conflicts_with = "start")]
    round: Option<u64>,
    /// Who works in the round
    #[arg(value_parser = dtn_primitives::parse_address, long, requires = "round")]
    node: Option<Address>,
    /// The network of the round
    #[arg(long, requires = "round")]
    network_id: Option<B256>,
    /// The chain on which the network settles
    #[arg(long, requires = "round")]
    chain_id: Option<u64>,
    /// The hash of the block that opened the round
    #[arg(long, requires = "round")]
    block_hash: Option<B256>,
}

impl BoundOptions {
    pub(super) fn bound(&self) -> Option<Bound> {
        Some(Bound {
            network_id: self.network_id?,
            chain_id: self.chain_id?,
            round: self.round?,
            previous_block_hash: self.block_hash?,
            node: self.node?,
        })
    }
}

pub(crate) fn prove(prove: &Prove) -> Result<()> {
    let bound = prove.bound.bound();
    let (delay, start, context) = match bound {
        Some(bound) => {
            let start = bound.start(prove.steps);
            (Delay::default(), start.element(), start.context())
        }
        None => {
            let start = prove.start.as_deref().context("give --start")?;
            let delay = Delay::new(element(&prove.alpha, "--alpha")?);
            (delay, element(start, "--start")?, prove.context.unwrap_or_default())
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(dtn_bench::threads(prove.threads)).build()?;
    let bar = output::progress(prove.steps, "steps");
    let began = Instant::now();
    let trace = Trace::run(delay, start, prove.steps, |done| {
        bar.set_position(done);
        ControlFlow::Continue(())
    })?;
    let evaluate_ms = milliseconds(began);
    bar.finish_and_clear();
    let statement = trace.statement(context);
    let began = Instant::now();
    let proof = pool.install(|| trace.prove(context, prove.security))?;
    let prove_ms = milliseconds(began);
    let proven = Proven {
        start: start.to_string(),
        steps: prove.steps,
        result: statement.result.to_string(),
        security: prove.security,
        proven_bits: prove.security.proven_bits(prove.steps),
        proof_bytes: proof.len(),
        evaluate_ms,
        prove_ms,
        threads: pool.current_num_threads(),
        out: prove.out.clone(),
    };
    ProofFile::new(&statement, bound, prove.security, proof).write(&prove.out)?;
    if prove.json { output::json(&proven) } else { output::line(proven.table()) }
}

/// Check a proof.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow verify work.json
  dtn-cli aow verify work.json --security proven-100 --steps 1048576 --start 123
  dtn-cli aow verify work.json --round 3 --node 0x1111111111111111111111111111111111111111 --chain-id 31337 \\
      --network-id 0x0707070707070707070707070707070707070707070707070707070707070707 \\
      --block-hash 0x0909090909090909090909090909090909090909090909090909090909090909

That a proof holds says that its steps lead from its start to its result. Whether those are the ones that you asked for is
what the other options are for: a file may state anything. Exit code 1 if it does not hold or states something else.")]
pub(crate) struct Verify {
    /// A file that `aow prove` has written
    file: PathBuf,
    /// The one set of options that is accepted
    #[arg(long, default_value_t)]
    security: Security,
    /// It must begin here
    #[arg(long)]
    start: Option<String>,
    /// It must be of so many steps
    #[arg(long)]
    steps: Option<u64>,
    /// It must be of the map with this constant
    #[arg(long, default_value = "5")]
    alpha: String,
    /// It must lead here
    #[arg(long)]
    result: Option<String>,
    /// It must be bound to these 32 bytes
    #[arg(long)]
    context: Option<B256>,
    #[command(flatten)]
    bound: BoundOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn check(check: &Verify) -> Result<()> {
    let file = ProofFile::read(&check.file)?;
    let statement = file.statement()?;
    let number = |text: &Option<String>, name| text.as_deref().map(|text| element(text, name)).transpose();
    let expected = Expected {
        start: number(&check.start, "--start")?,
        steps: check.steps,
        alpha: element(&check.alpha, "--alpha")?,
        result: number(&check.result, "--result")?,
        context: check.context,
        round: check.bound.bound(),
    };
    expected.check(&statement)?;
    let began = Instant::now();
    verify(&statement, check.security, &file.proof)
        .with_context(|| format!("the proof does not hold for {}", check.security))?;
    let verified = Verified {
        start: statement.start.to_string(),
        steps: statement.steps,
        result: statement.result.to_string(),
        context: statement.context,
        round: file.round,
        security: check.security,
        proven_bits: check.security.proven_bits(statement.steps),
        proof_bytes: file.proof.len(),
        verify_ms: milliseconds(began),
    };
    if check.json { output::json(&verified) } else { output::line(verified.table()) }
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

/// Reads a number of the field.
fn element(decimal: &str, name: &str) -> Result<Element> {
    decimal.parse().map_err(|error| anyhow!("{name} {error}"))
}
