//! `dtn-cli aow bench`: what work, proofs and verifying cost on this machine.

use std::{hint::black_box, num::NonZeroUsize, ops::ControlFlow, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_aow::{Delay, Element, MAX_REPLAYED_STEPS, MAX_STEPS, Security, Trace, verify};
use dtn_primitives::B256;
use dtn_report::{Table, left, right, units};
use serde::{Deserialize, Serialize};
use winterfell::math::{FieldElement, fields::f128::BaseElement};

use super::prove::{milliseconds, pool, time};
use crate::{
    commands::bench::{Machine, peak_memory},
    output,
};

/// The exponent of a cube root: 1/3 modulo p - 1.
const THIRD: u128 = 226_854_911_280_625_642_308_916_371_969_163_307_691;

/// How many cube roots are taken at a time, and how many times.
const BATCH: u64 = 10_000;
const BATCHES: usize = 20;

/// Steps of the table that is also proven with one step in a row: as many as an ordinary machine has the memory for.
const COMPARED_STEPS: u64 = 1 << 16;

/// And the options: with little work before the places are known, which takes as long whatever the table is.
const COMPARED: Security = Security::Proven100;

/// As [`Trace::run`] packs them.
const WIDTH: usize = 32;

/// Measure work and proofs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow bench
  dtn-cli aow bench --steps 65536 --security proven-100 --repeat 5 --json

Each proof is made by a process of its own, whose memory is that of the proof; the best of the repetitions counts. On a
machine that does other things as well, believe the ratios rather than the times.")]
pub(crate) struct Measure {
    /// How many steps are proven
    #[arg(long, default_value_t = 1 << 20)]
    steps: u64,
    /// How many steps are proven with one and with 32 steps in a row; 2^20 with one take 4 GiB
    #[arg(long, default_value_t = COMPARED_STEPS)]
    compared_steps: u64,
    /// The options of the proofs
    #[arg(long, default_value_t)]
    security: Security,
    /// How often each proof is made
    #[arg(long, default_value_t = 3)]
    repeat: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Make one proof, for the process that has started this one
    #[arg(long, hide = true)]
    case: Option<String>,
}

/// What is proven, and how.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Case {
    steps: u64,
    steps_in_a_row: usize,
    security: Security,
    threads: usize,
}

/// What came of a case.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Measured {
    #[serde(flatten)]
    case: Case,
    evaluate_ms: f64,
    prove_ms: f64,
    /// Nothing with other than 32 steps in a row, which no verifier accepts.
    verify_ms: Option<f64>,
    proof_bytes: usize,
    peak_memory_bytes: u64,
}

/// Nanoseconds, of the fastest batch.
#[derive(Debug, Serialize)]
struct Costs {
    step_ns: f64,
    winterfell_ns: f64,
    back_ns: f64,
}

#[derive(Debug, Serialize)]
struct Document {
    machine: Machine,
    costs: Costs,
    proofs: Vec<Measured>,
    /// How many times as fast and as small it is to have 32 steps in a row as one.
    packing_speeds_up: f64,
    packing_shrinks: f64,
}

pub(crate) fn run(measure: &Measure) -> Result<()> {
    if let Some(case) = &measure.case {
        return output::json(&serde_json::from_str::<Case>(case)?.measure()?);
    }
    let least = MAX_REPLAYED_STEPS + 1;
    ensure!((least..=MAX_STEPS).contains(&measure.steps), "--steps {}: give {least} to {MAX_STEPS}", measure.steps);
    let compared = measure.compared_steps;
    ensure!((least..=MAX_STEPS).contains(&compared), "--compared-steps {compared}: give {least} to {MAX_STEPS}");
    ensure!((1..=100).contains(&measure.repeat), "--repeat {}: give 1 to 100", measure.repeat);
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let compared =
        |steps_in_a_row| Case { steps: measure.compared_steps, steps_in_a_row, security: COMPARED, threads: 1 };
    let case = |threads| Case { steps: measure.steps, steps_in_a_row: WIDTH, security: measure.security, threads };
    let mut cases = vec![compared(1), compared(WIDTH), case(1)];
    cases.extend((cores > 1).then(|| case(cores)));

    let bar = output::progress(cases.len() as u64 * u64::from(measure.repeat) + 1, "measurements");
    let costs = Costs::measure();
    bar.inc(1);
    let mut proofs = Vec::new();
    for case in cases {
        let mut best: Option<Measured> = None;
        for _ in 0..measure.repeat {
            let measured = case.in_a_child()?;
            best = Some(best.map_or(measured, |best| best.and(measured)));
            bar.inc(1);
        }
        proofs.extend(best);
    }
    bar.finish_and_clear();
    let ratio = |figure: fn(&Measured) -> f64| figure(&proofs[0]) / figure(&proofs[1]);
    let document = Document {
        machine: Machine::this(),
        costs,
        packing_speeds_up: ratio(|measured| measured.prove_ms),
        packing_shrinks: ratio(|measured| measured.peak_memory_bytes as f64),
        proofs,
    };
    if measure.json { output::json(&document) } else { document.print() }
}

impl Case {
    fn in_a_child(self) -> Result<Measured> {
        let mut command = Command::new(std::env::current_exe()?);
        let output = command.args(["aow", "bench", "--case", &serde_json::to_string(&self)?]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "measuring {self:?}: {}", said.trim());
        serde_json::from_slice(&output.stdout).with_context(|| format!("measuring {self:?}"))
    }

    fn measure(self) -> Result<Measured> {
        let Self { steps, steps_in_a_row, security, threads } = self;
        ensure!((1..255).contains(&steps_in_a_row), "{steps_in_a_row} steps in a row");
        let pool = pool(NonZeroUsize::new(threads))?;
        let start = Element::new(123_456_789).unwrap_or(Element::ZERO);
        let began = Instant::now();
        let go_on = |_| ControlFlow::Continue(());
        let trace = Trace::with_width(Delay::default(), start, steps, steps_in_a_row, go_on)?;
        let evaluate_ms = milliseconds(began);
        let statement = trace.statement(B256::ZERO);
        let began = Instant::now();
        let proof = pool.install(|| trace.prove(B256::ZERO, security))?;
        let prove_ms = milliseconds(began);
        let peak_memory_bytes = peak_memory();
        let check = || -> Result<f64> {
            let began = Instant::now();
            verify(&statement, security, &proof)?;
            Ok(milliseconds(began))
        };
        let verify_ms = if steps_in_a_row == WIDTH {
            // The first one also loads what it needs.
            let times = (0..10).map(|_| check()).collect::<Result<Vec<_>>>()?;
            times.into_iter().reduce(f64::min)
        } else {
            None
        };
        Ok(Measured { case: self, evaluate_ms, prove_ms, verify_ms, proof_bytes: proof.len(), peak_memory_bytes })
    }
}

impl Measured {
    /// The better of two.
    fn and(self, other: Self) -> Self {
        Self {
            evaluate_ms: self.evaluate_ms.min(other.evaluate_ms),
            prove_ms: self.prove_ms.min(other.prove_ms),
            verify_ms: self.verify_ms.zip(other.verify_ms).map(|(one, other)| one.min(other)),
            peak_memory_bytes: self.peak_memory_bytes.min(other.peak_memory_bytes),
            ..self
        }
    }
}

impl Costs {
    /// The three in turns, so that what else the machine does slows all of them down.
    fn measure() -> Self {
        let delay = Delay::default();
        let mut x = Element::new(123_456_789).unwrap_or(Element::ZERO);
        let mut y = BaseElement::new(123_456_789);
        let mut best = [f64::INFINITY; 3];
        for _ in 0..BATCHES {
            let mut batch = |index: usize, step: &mut dyn FnMut()| {
                let began = Instant::now();
                (0..BATCH).for_each(|_| step());
                best[index] = f64::min(best[index], began.elapsed().as_secs_f64() * 1e9 / BATCH as f64);
            };
            batch(0, &mut || x = delay.step(x));
            batch(1, &mut || y = (y - BaseElement::new(5)).exp(THIRD));
            batch(2, &mut || x = delay.back(x));
        }
        black_box((x, y));
        let [step_ns, winterfell_ns, back_ns] = best;
        Self { step_ns, winterfell_ns, back_ns }
    }
}

impl Document {
    fn print(&self) -> Result<()> {
        let Machine { cpu, cores, load_average, .. } = &self.machine;
        output::line(format!("{cpu}, {cores} cores, load {load_average:.1}\n"))?;
        let Costs { step_ns, winterfell_ns, back_ns } = self.costs;
        let mut table = Table::new("A step, one thread", [left("operation"), right("ns"), right("times a step")]);
        for (name, ns) in [
            ("step: cube root", step_ns),
            ("the same by winterfell's exp", winterfell_ns),
            ("step undone: cube", back_ns),
        ] {
            table.row([name.to_string(), format!("{ns:.0}"), format!("{:.2}", ns / step_ns)]);
        }
        output::line(table)?;
        let columns = ["in a row", "options", "threads", "steps took", "proof took", "verified in", "proof", "memory"];
        let mut table = Table::new("Proofs", std::iter::once(right("steps")).chain(columns.map(right)));
        for measured in &self.proofs {
            let Case { steps, steps_in_a_row, security, threads } = measured.case;
            table.row([
                units::thousands(steps),
                steps_in_a_row.to_string(),
                security.to_string(),
                threads.to_string(),
                time(measured.evaluate_ms),
                format!("{}, {:.2} of that", time(measured.prove_ms), measured.prove_ms / measured.evaluate_ms),
                measured.verify_ms.map_or_else(|| "never".to_string(), time),
                units::bytes(measured.proof_bytes as u64),
                units::bytes(measured.peak_memory_bytes),
            ]);
        }
        output::line(table)?;
        let (faster, smaller) = (self.packing_speeds_up, self.packing_shrinks);
        output::line(format!(
            "32 steps in a row: proven {faster:.1} times as fast as one, with {smaller:.1} times less memory."
        ))
    }
}
