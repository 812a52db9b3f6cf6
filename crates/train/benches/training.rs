//! Training in integers against the same training in floats, one thread each; and what proving and checking add.
//!
//! The floats are summed in one order, as integers need not be, so that they too have one result a machine. Both leave out
//! products with zero. `DTN_MNIST` names an encoded data set with more rows, see the page on the kernel.

use std::{hint::black_box, ops::ControlFlow};

use criterion::{Criterion, criterion_group, criterion_main};
use dtn_primitives::B256;
use dtn_train::{Dataset, Evaluation, Family, Fraction, Grid, Job, Origin, Recipe, Run, Task, shipped, train};

const RATE: f32 = 0.05;
const MOMENTUM: f32 = 0.9;

fn fraction(text: &str) -> Vec<Fraction> {
    text.parse().into_iter().collect()
}

fn descent(hidden: u16, epochs: u32) -> Recipe {
    let grid =
        Grid { learning_rate: fraction("0.05"), momentum: fraction("0.9"), l2: fraction("0"), ..Grid::default() };
    Recipe { family: Family::Mlp { hidden: vec![hidden] }, grid, epochs, batch: 32, segment_steps: 32 }
}

fn trees(depth: u8, rounds: u32) -> Recipe {
    let grid = Grid { learning_rate: fraction("0.2"), l2: fraction("1"), sample: fraction("0.6"), ..Grid::default() };
    Recipe { family: Family::Gbdt { depth, bins: 64 }, grid, epochs: rounds, batch: 0, segment_steps: 2 }
}

/// A layer in floats, laid out as ours.
struct Layer {
    outputs: usize,
    weights: Vec<f32>,
    velocities: Vec<f32>,
}

impl Layer {
    fn new(inputs: usize, outputs: usize) -> Self {
        let count = (inputs + 1) * outputs;
        let limit = (6.0 / (inputs + outputs) as f32).sqrt();
        let weights = (0..count).map(|at| limit * (at as f32 * 0.618 % 2.0 - 1.0)).collect();
        Self { outputs, weights, velocities: vec![0.0; count] }
    }

    /// Sums in the order of the inputs.
    fn forward(&self, taken_in: &[f32], sums: &mut [f32]) {
        sums.fill(0.0);
        for (factor, weights) in taken_in.iter().zip(self.weights.chunks_exact(self.outputs)) {
            if *factor != 0.0 {
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += factor * weight);
            }
        }
    }

    fn change(&mut self, taken_in: &[Vec<f32>], errors: &[Vec<f32>]) {
        let rows = taken_in.len() as f32;
        let mut sums = vec![0.0; self.outputs];
        for input in 0..self.weights.len() / self.outputs {
            sums.fill(0.0);
            for (taken_in, errors) in taken_in.iter().zip(errors) {
                let factor = taken_in[input];
                if factor != 0.0 {
                    sums.iter_mut().zip(errors).for_each(|(sum, error)| *sum += factor * error);
                }
            }
            let row = input * self.outputs..(input + 1) * self.outputs;
            let changed = self.weights[row.clone()].iter_mut().zip(&mut self.velocities[row]).zip(&sums);
            for ((weight, velocity), sum) in changed {
                *velocity = *velocity * MOMENTUM + sum / rows;
                *weight -= RATE * *velocity;
            }
        }
    }
}

/// As many steps as the recipe takes, with one hidden layer.
fn in_floats(data: &Dataset, hidden: usize, steps: usize) -> f32 {
    let (features, classes) = (usize::from(data.outline().features), data.outline().task.outputs());
    let (mut first, mut last) = (Layer::new(features, hidden), Layer::new(hidden, classes));
    let rows: Vec<Vec<f32>> = (0..data.rows())
        .map(|row| data.features(row).iter().map(|value| f32::from(*value) / 4096.0).chain([1.0]).collect())
        .collect();
    for step in 0..steps {
        let batch: Vec<_> = (0..32).map(|at| (step * 32 + at) * 7919 % rows.len()).collect();
        let (mut taken_in, mut units, mut errors, mut back) = (vec![], vec![], vec![], vec![]);
        for row in batch {
            let mut unit = vec![0.0; hidden];
            first.forward(&rows[row], &mut unit);
            unit.iter_mut().for_each(|value| *value = value.max(0.0));
            unit.push(1.0);
            let mut error = vec![0.0; classes];
            last.forward(&unit, &mut error);
            let largest = error.iter().copied().fold(f32::MIN, f32::max);
            error.iter_mut().for_each(|logit| *logit = (*logit - largest).exp());
            let sum: f32 = error.iter().sum();
            error.iter_mut().for_each(|power| *power /= sum);
            error[data.label(row) as usize] -= 1.0;
            let through = |(value, weights): (&f32, &[f32])| match *value > 0.0 {
                true => weights.iter().zip(&error).map(|(weight, error)| weight * error).sum(),
                false => 0.0,
            };
            back.push(unit.iter().zip(last.weights.chunks_exact(classes)).take(hidden).map(through).collect());
            taken_in.push(rows[row].clone());
            units.push(unit);
            errors.push(error);
        }
        last.change(&units, &errors);
        first.change(&taken_in, &back);
    }
    last.weights[0]
}

fn run(job: &Job<'_>) -> B256 {
    let mut run = Run::start(job);
    while !run.is_over() {
        run.advance();
    }
    run.model().root()
}

fn measure(criterion: &mut Criterion, name: &str, data: &Dataset, hidden: u16, epochs: u32) {
    let recipe = descent(hidden, epochs);
    let origin =
        Origin { attempt: 0, network: B256::ZERO, block: B256::ZERO, order: B256::ZERO, worker: Default::default() };
    let Ok(job) = Job::new(&recipe, 0, data, origin.seed()) else { panic!("{name} has no such recipe") };
    let steps = job.plan().steps as usize;
    let mut group = criterion.benchmark_group(format!("{name}, {hidden} units, {steps} steps"));
    group.sample_size(10);
    group.bench_function("integers", |bencher| bencher.iter(|| run(&job)));
    group.bench_function("floats in one order", |bencher| {
        bencher.iter(|| in_floats(black_box(data), hidden.into(), steps));
    });
    group.bench_function("integers with the trace", |bencher| {
        bencher.iter(|| train(&recipe, 0, data, origin, |_, _| ControlFlow::Continue(())));
    });
    let mut one = Run::start(&job);
    one.advance();
    let (state, model) = (one.state(), one.model());
    group.bench_function("one segment, with its witness", |bencher| {
        bencher.iter(|| Run::resume(&job, &state).map(|mut run| run.audit()));
    });
    let holdout = data.split(360.min(data.rows() as u32 - 1), B256::ZERO).map(|(_, holdout)| holdout);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    if let (Ok(holdout), Ok(pool)) = (holdout, pool) {
        let score = || pool.install(|| Evaluation::of(&model, &holdout));
        group.bench_function(format!("score of {} rows", holdout.rows()), |bencher| bencher.iter(score));
    }
    group.finish();
}

fn forests(criterion: &mut Criterion, name: &str, data: &Dataset, depth: u8, rounds: u32) {
    let recipe = trees(depth, rounds);
    let Ok(job) = Job::new(&recipe, 0, data, B256::ZERO) else { panic!("{name} has no such recipe") };
    let mut group = criterion.benchmark_group(format!("{name}, {rounds} rounds of trees with {depth} levels"));
    group.sample_size(10);
    for threads in [1, 2] {
        if let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
            group.bench_function(format!("{threads} threads"), |bencher| bencher.iter(|| pool.install(|| run(&job))));
        }
    }
    group.finish();
}

fn training(criterion: &mut Criterion) {
    if let Ok(digits) = shipped("digits") {
        measure(criterion, "digits", &digits, 128, 32);
        forests(criterion, "digits", &digits, 4, 60);
    }
    let more = std::env::var("DTN_MNIST").ok().and_then(|file| std::fs::read(file).ok());
    if let Some(data) = more.and_then(|bytes| Dataset::decode(&bytes).ok())
        && matches!(data.outline().task, Task::Classes(_))
    {
        measure(criterion, "MNIST", &data, 64, 16);
        forests(criterion, "MNIST", &data, 4, 40);
    }
}

criterion_group!(benches, training);
criterion_main!(benches);
