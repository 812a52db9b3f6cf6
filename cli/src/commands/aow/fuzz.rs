//! `dtn-cli aow fuzz`: proofs that were tampered with.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_bench::{
    tampering::{self, State},
    threads,
};
use dtn_peer::files;

use crate::output;

/// Verify proofs that were tampered with.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow fuzz
  dtn-cli aow fuzz --proofs 1000000 --seed 7 --state fuzz.json

Proofs of different lengths and options are tampered with in six ways: bits are flipped, lengths changed, parts cut out and
put in, fields swapped, and two proofs spliced. None may be accepted, and none may make the verifier panic or allocate what
it asks for. With --state a run that was stopped goes on where it stopped. Exit code 1 if one is accepted or panics.")]
pub(crate) struct Fuzz {
    /// How many
    #[arg(long, default_value_t = 20_000)]
    proofs: u64,
    /// Chooses them
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads; all cores without
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Keep the count in this file
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(fuzz: &Fuzz) -> Result<()> {
    let state = fuzz.state.as_deref().map_or_else(|| Ok(State::default()), read)?;
    let counted = |state: &State| -> Result<()> {
        fuzz.state.as_deref().map_or(Ok(()), |path| Ok(files::write_json(path, state)?))
    };
    let asked = (fuzz.proofs, fuzz.seed);
    let outcome = tampering::go_on(state, asked, threads(fuzz.threads), counted, &output::bars())?;
    if fuzz.json {
        output::json(&outcome)?
    } else {
        output::line(outcome.table())?
    }
    ensure!(outcome.accepted == 0, "{} mutated proofs were accepted", outcome.accepted);
    ensure!(outcome.panicked == 0, "the verifier panicked over {} mutated proofs", outcome.panicked);
    Ok(())
}

fn read(path: &Path) -> Result<State> {
    match files::read(path, files::MOST) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is no count", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}
