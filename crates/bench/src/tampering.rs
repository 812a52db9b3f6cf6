//! Proofs that were tampered with, and what the verifier makes of them.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    panic,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use dtn_aow::{
    Delay, Element, Security, Statement, Trace,
    mutation::{Fields, Mutation},
    verify,
};
use dtn_primitives::B256;
use dtn_report::{Progress, Table, Tell, left, right, units};
use serde::{Deserialize, Serialize};

use crate::{BenchError, Result, machine::peak_memory};

/// Steps of the proofs that are tampered with.
const STEPS: [u64; 5] = [2049, 3000, 4096, 9000, 1 << 16];

/// After so many the count is written down.
const CHUNK: u64 = 1 << 12;

/// How far it is, as a file has it.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct State {
    /// Chooses them.
    pub seed: u64,
    /// How many were tampered with.
    pub done: u64,
    /// What came of each kind.
    pub mutations: BTreeMap<Mutation, Counts>,
}

/// What came of a kind of mutation.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Counts {
    /// How many were refused.
    pub refused: u64,
    /// How many were accepted.
    pub accepted: u64,
    /// Over how many the verifier panicked.
    pub panicked: u64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The count.
    #[serde(flatten)]
    pub state: State,
    /// How many were accepted.
    pub accepted: u64,
    /// Over how many the verifier panicked.
    pub panicked: u64,
    /// How many a second were tampered with and verified.
    pub proofs_a_second: f64,
    /// The most memory that this process has had.
    pub peak_memory_bytes: u64,
    /// On how many threads.
    pub threads: usize,
}

/// Goes on from a count until so many proofs were tampered with, on so many threads. `counted` is told the count now and then,
/// and ends it by an error. Panics are counted, and nothing is printed of them: meanwhile, of those of no thread.
pub fn go_on<E: From<BenchError>>(
    mut state: State,
    (proofs, seed): (u64, u64),
    threads: usize,
    counted: impl Fn(&State) -> Result<(), E>,
    tell: Tell<'_>,
) -> Result<Outcome, E> {
    if state.done > 0 && state.seed != seed {
        return Err(BenchError::OtherSeed(state.seed).into());
    }
    state.seed = seed;
    let originals = Originals::make()?;
    tell(Progress::Stage { what: "proofs", parts: proofs });
    tell(Progress::Parts(state.done));
    let (began, before) = (Instant::now(), state.done);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let mut written = Ok(());
    while state.done < proofs && written.is_ok() {
        let end = (state.done + CHUNK).min(proofs);
        written = originals.tamper(&mut state, end, threads, tell).map_err(E::from).and_then(|()| counted(&state));
    }
    panic::set_hook(hook);
    written?;
    tell(Progress::Over);
    let total = |count: fn(&Counts) -> u64| state.mutations.values().map(count).sum();
    Ok(Outcome {
        accepted: total(|counts| counts.accepted),
        panicked: total(|counts| counts.panicked),
        proofs_a_second: (state.done - before.min(state.done)) as f64 / began.elapsed().as_secs_f64(),
        peak_memory_bytes: peak_memory(),
        threads,
        state,
    })
}

/// The proofs that are tampered with, and what they say, with which options.
struct Originals {
    statements: Vec<(Statement, Security)>,
    proofs: Vec<Fields>,
}

impl Originals {
    fn make() -> Result<Self> {
        let (mut statements, mut proofs) = (Vec::new(), Vec::new());
        for (steps, security) in STEPS.into_iter().flat_map(|steps| Security::ALL.map(|security| (steps, security))) {
            let start = Element::new(u128::from(steps)).unwrap_or(Element::ZERO);
            let trace = Trace::run(Delay::default(), start, steps, |_| ControlFlow::Continue(()))?;
            statements.push((trace.statement(B256::ZERO), security));
            let proof = trace.prove(B256::ZERO, security)?;
            proofs.push(Fields::of(proof).ok_or(BenchError::Missing("a proof that cannot be read back"))?);
        }
        Ok(Self { statements, proofs })
    }

    /// Tampers with those up to `end`, and counts what comes of it.
    fn tamper(&self, state: &mut State, end: u64, threads: usize, tell: Tell<'_>) -> Result<()> {
        let (next, seed) = (AtomicU64::new(state.done), state.seed);
        let work = || -> BTreeMap<Mutation, Counts> {
            let mut counts = BTreeMap::<Mutation, Counts>::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return counts;
                }
                let (mutation, of, bytes) = Mutation::number(seed, number, &self.proofs);
                let (statement, security) = &self.statements[of];
                let count = counts.entry(mutation).or_default();
                match panic::catch_unwind(|| verify(statement, *security, &bytes)) {
                    Ok(Err(_)) => count.refused += 1,
                    Ok(Ok(())) => count.accepted += 1,
                    Err(_) => count.panicked += 1,
                }
                tell(Progress::Part);
            }
        };
        let counted: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        for counts in counted {
            for (mutation, counts) in counts.map_err(|_| BenchError::Missing("a thread panicked"))? {
                let all = state.mutations.entry(mutation).or_default();
                all.refused += counts.refused;
                all.accepted += counts.accepted;
                all.panicked += counts.panicked;
            }
        }
        state.done = end;
        Ok(())
    }
}

impl Outcome {
    /// As people read it.
    pub fn table(&self) -> Table {
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
