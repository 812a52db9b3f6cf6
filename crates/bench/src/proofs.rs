//! What sequential work, its proofs and verifying them cost on this machine.

use std::{hint::black_box, io, num::NonZeroUsize, ops::ControlFlow, process::Command, time::Instant};

use dtn_aow::{Delay, Element, MAX_REPLAYED_STEPS, MAX_STEPS, Security, Trace, verify};
use dtn_primitives::B256;
use dtn_report::{Progress, Table, Tell, left, right, units};
use serde::{Deserialize, Serialize};
use winterfell::math::{FieldElement, fields::f128::BaseElement};

use crate::{
    BenchError, Result,
    machine::{self, Machine, peak_memory},
};

/// The exponent of a cube root: 1/3 modulo p - 1.
const THIRD: u128 = 226_854_911_280_625_642_308_916_371_969_163_307_691;

/// How many cube roots are taken at a time, and how many times.
const BATCH: u64 = 10_000;
const BATCHES: usize = 20;

/// Steps of the table that is also proven with one step in a row: as many as an ordinary machine has the memory for.
pub const COMPARED_STEPS: u64 = 1 << 16;

/// The options of the proofs that are compared: with little work before the places are known, which takes as long whatever
/// the table is.
const COMPARED: Security = Security::Proven100;

/// As [`Trace::run`] packs them.
const WIDTH: usize = 32;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many steps are proven.
    pub steps: u64,
    /// How many steps are proven with one and with 32 steps in a row.
    pub compared_steps: u64,
    /// The options of the proofs.
    pub security: Security,
    /// How often each proof is made. The best counts.
    pub repeat: u32,
}

/// What is proven, and how.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Case {
    /// How many steps.
    pub steps: u64,
    /// How many of them a row of the table has.
    pub steps_in_a_row: usize,
    /// With which options.
    pub security: Security,
    /// By how many threads.
    pub threads: usize,
}

/// What came of a case.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Measured {
    /// What was proven.
    #[serde(flatten)]
    pub case: Case,
    /// How long the steps took.
    pub evaluate_ms: f64,
    /// How long the proof took.
    pub prove_ms: f64,
    /// Nothing with other than 32 steps in a row, which no verifier accepts.
    pub verify_ms: Option<f64>,
    /// How long the proof is.
    pub proof_bytes: usize,
    /// The most memory that the process had.
    pub peak_memory_bytes: u64,
}

/// Nanoseconds, of the fastest batch.
#[derive(Debug, Serialize)]
pub struct Costs {
    /// A step: a cube root.
    pub step_ns: f64,
    /// The same by winterfell.
    pub winterfell_ns: f64,
    /// A step undone.
    pub back_ns: f64,
}

/// What work and proofs cost.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Of a step.
    pub costs: Costs,
    /// Of proofs.
    pub proofs: Vec<Measured>,
    /// How many times as fast it is to have 32 steps in a row as one.
    pub packing_speeds_up: f64,
    /// How many times as small.
    pub packing_shrinks: f64,
}

/// Measures. Each proof is made by a process of its own, whose memory is that of the proof: `program` starts this program
/// so that it measures the case whose JSON is the next argument by [`Case::measure`], and prints what it gives as JSON.
pub fn measure(plan: &Plan, program: impl Fn() -> io::Result<Command>, tell: Tell<'_>) -> Result<Report> {
    plan.check()?;
    let cores = machine::threads(None);
    let compared = |steps_in_a_row| Case { steps: plan.compared_steps, steps_in_a_row, security: COMPARED, threads: 1 };
    let case = |threads| Case { steps: plan.steps, steps_in_a_row: WIDTH, security: plan.security, threads };
    let mut cases = vec![compared(1), compared(WIDTH), case(1)];
    cases.extend((cores > 1).then(|| case(cores)));

    tell(Progress::Stage { what: "measurements", parts: cases.len() as u64 * u64::from(plan.repeat) + 1 });
    let costs = Costs::measure();
    tell(Progress::Part);
    let mut proofs = Vec::new();
    for case in cases {
        let mut best: Option<Measured> = None;
        for _ in 0..plan.repeat {
            let measured = case.alone(program().map_err(BenchError::Process)?)?;
            best = Some(best.map_or(measured, |best| best.and(measured)));
            tell(Progress::Part);
        }
        proofs.extend(best);
    }
    tell(Progress::Over);
    let ratio = |figure: fn(&Measured) -> f64| figure(&proofs[0]) / figure(&proofs[1]);
    Ok(Report {
        machine: Machine::this(),
        costs,
        packing_speeds_up: ratio(|measured| measured.prove_ms),
        packing_shrinks: ratio(|measured| measured.peak_memory_bytes as f64),
        proofs,
    })
}

impl Plan {
    fn check(&self) -> Result<()> {
        let (least, most) = (MAX_REPLAYED_STEPS + 1, MAX_STEPS);
        let repeat = u64::from(self.repeat);
        let all = [
            ("steps", self.steps, least, most),
            ("compared-steps", self.compared_steps, least, most),
            ("repeat", repeat, 1, 100),
        ];
        match all.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
            Some((option, value, least, most)) => Err(BenchError::OutOfRange { option, value, least, most }),
            None => Ok(()),
        }
    }
}

impl Case {
    fn alone(self, mut program: Command) -> Result<Measured> {
        let answer = |source| BenchError::Answer { case: self, source };
        let output =
            program.arg(serde_json::to_string(&self).map_err(answer)?).output().map_err(BenchError::Process)?;
        match output.status.success() {
            true => serde_json::from_slice(&output.stdout).map_err(answer),
            false => {
                Err(BenchError::Failed { case: self, said: String::from_utf8_lossy(&output.stderr).trim().into() })
            }
        }
    }

    /// Proves it here.
    pub fn measure(self) -> Result<Measured> {
        let Self { steps, steps_in_a_row, security, threads } = self;
        if !(1..255).contains(&steps_in_a_row) {
            return Err(BenchError::Missing("a row has 1 to 254 steps"));
        }
        let threads = machine::threads(NonZeroUsize::new(threads));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
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

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn time(ms: f64) -> String {
    units::duration((ms * 1e3) as u64)
}

impl Report {
    /// As people read it, in parts.
    pub fn text(&self) -> [String; 4] {
        let Machine { cpu, cores, load_average, .. } = &self.machine;
        let machine = format!("{cpu}, {cores} cores, load {load_average:.1}\n");
        let Costs { step_ns, winterfell_ns, back_ns } = self.costs;
        let mut step = Table::new("A step, one thread", [left("operation"), right("ns"), right("times a step")]);
        for (name, ns) in [
            ("step: cube root", step_ns),
            ("the same by winterfell's exp", winterfell_ns),
            ("step undone: cube", back_ns),
        ] {
            step.row([name.to_string(), format!("{ns:.0}"), format!("{:.2}", ns / step_ns)]);
        }
        let columns = ["in a row", "options", "threads", "steps took", "proof took", "verified in", "proof", "memory"];
        let mut proofs = Table::new("Proofs", std::iter::once(right("steps")).chain(columns.map(right)));
        for measured in &self.proofs {
            let Case { steps, steps_in_a_row, security, threads } = measured.case;
            proofs.row([
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
        let (faster, smaller) = (self.packing_speeds_up, self.packing_shrinks);
        let packing =
            format!("32 steps in a row: proven {faster:.1} times as fast as one, with {smaller:.1} times less memory.");
        [machine, step.to_string(), proofs.to_string(), packing]
    }
}
