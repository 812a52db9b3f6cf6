//! `dtn-cli aow fuzz`: proofs that were tampered with.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroUsize,
    ops::ControlFlow,
    panic,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use dtn_aow::{
    Delay, Element, Security, Statement, Trace,
    mutation::{Fields, Mutation},
    verify,
};
use dtn_bench::{peak_memory, threads};
use dtn_peer::files;
use dtn_primitives::B256;
use dtn_report::{Table, left, right, units};
use serde::{Deserialize, Serialize};

use crate::output;

/// Steps of the proofs that are tampered with.
const STEPS: [u64; 5] = [2049, 3000, 4096, 9000, 1 << 16];

/// After so many the count is written down.
const CHUNK: u64 = 1 << 12;

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

/// How far it is, as the file has it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    seed: u64,
    done: u64,
    mutations: BTreeMap<Mutation, Counts>,
}

/// What came of a kind of mutation.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Counts {
    refused: u64,
    accepted: u64,
    panicked: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    state: State,
    accepted: u64,
    panicked: u64,
    proofs_a_second: f64,
    peak_memory_bytes: u64,
    threads: usize,
}

pub(crate) fn run(fuzz: &Fuzz) -> Result<()> {
    let mut state = fuzz.state.as_deref().map_or_else(|| Ok(State::default()), read)?;
    ensure!(state.done == 0 || state.seed == fuzz.seed, "the file is of seed {}: give that one", state.seed);
    state.seed = fuzz.seed;
    let (statements, proofs) = originals()?;
    let threads = threads(fuzz.threads);
    let bar = output::progress(fuzz.proofs, "proofs");
    bar.set_position(state.done);
    let (began, before) = (Instant::now(), state.done);

    // Panics are counted, not printed.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let mut written = Ok(());
    while state.done < fuzz.proofs && written.is_ok() {
        let end = (state.done + CHUNK).min(fuzz.proofs);
        let next = AtomicU64::new(state.done);
        let work = || -> BTreeMap<Mutation, Counts> {
            let mut counts = BTreeMap::<Mutation, Counts>::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return counts;
                }
                let (mutation, of, bytes) = Mutation::number(fuzz.seed, number, &proofs);
                let (statement, security) = &statements[of];
                let count = counts.entry(mutation).or_default();
                match panic::catch_unwind(|| verify(statement, *security, &bytes)) {
                    Ok(Err(_)) => count.refused += 1,
                    Ok(Ok(())) => count.accepted += 1,
                    Err(_) => count.panicked += 1,
                }
                bar.inc(1);
            }
        };
        let counted: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        for counts in counted {
            for (mutation, counts) in counts.map_err(|_| anyhow!("a thread panicked"))? {
                let all = state.mutations.entry(mutation).or_default();
                all.refused += counts.refused;
                all.accepted += counts.accepted;
                all.panicked += counts.panicked;
            }
        }
        state.done = end;
        written = fuzz.state.as_deref().map_or(Ok(()), |path| write(path, &state));
    }
    panic::set_hook(hook);
    written?;
    bar.finish_and_clear();

    let total = |count: fn(&Counts) -> u64| state.mutations.values().map(count).sum();
    let outcome = Outcome {
        accepted: total(|counts| counts.accepted),
        panicked: total(|counts| counts.panicked),
        proofs_a_second: (state.done - before.min(state.done)) as f64 / began.elapsed().as_secs_f64(),
        peak_memory_bytes: peak_memory(),
        threads,
        state,
    };
    if fuzz.json {
        output::json(&outcome)?
    } else {
        output::line(outcome.table())?
    }
    ensure!(outcome.accepted == 0, "{} mutated proofs were accepted", outcome.accepted);
    ensure!(outcome.panicked == 0, "the verifier panicked over {} mutated proofs", outcome.panicked);
    Ok(())
}

/// What a proof says, and with which options.
type Said = (Statement, Security);

/// The proofs that are tampered with, and what they say.
fn originals() -> Result<(Vec<Said>, Vec<Fields>)> {
    let (mut statements, mut proofs) = (Vec::new(), Vec::new());
    for (steps, security) in STEPS.into_iter().flat_map(|steps| Security::ALL.map(|security| (steps, security))) {
        let start = Element::new(u128::from(steps)).unwrap_or(Element::ZERO);
        let trace = Trace::run(Delay::default(), start, steps, |_| ControlFlow::Continue(()))?;
        statements.push((trace.statement(B256::ZERO), security));
        let proof = trace.prove(B256::ZERO, security)?;
        proofs.push(Fields::of(proof).context("a proof that cannot be read back")?);
    }
    Ok((statements, proofs))
}

fn read(path: &Path) -> Result<State> {
    match files::read(path, files::MOST) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is no count", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Whole or not at all.
fn write(path: &Path, state: &State) -> Result<()> {
    let beside = path.with_extension("part");
    let result =
        fs::write(&beside, serde_json::to_string_pretty(state)? + "\n").and_then(|()| fs::rename(&beside, path));
    result.with_context(|| format!("writing {}", path.display()))
}

impl Outcome {
    fn table(&self) -> Table {
        let State { seed, done, mutations } = &self.state;
        let title = format!("{} mutated proofs, seed {seed}", units::thousands(done));
        let mut table = Table::new(title, [left("how"), right("refused"), right("accepted"), right("panicked")]);
        for (mutation, Counts { refused, accepted, panicked }) in mutations {
            let counts = [refused, accepted, panicked].map(units::thousands);
            table.row(std::iter::once(mutation.to_string()).chain(counts));
        }
        let rate = units::thousands(self.proofs_a_second as u64);
        let memory = units::bytes(self.peak_memory_bytes);
        table.row([format!("{rate} a second, {memory} at most"), String::new(), String::new(), String::new()]);
        table
    }
}
