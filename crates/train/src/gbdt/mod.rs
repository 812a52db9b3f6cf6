//! Boosted trees: in each round a tree for each output follows the gradient of what the trees before it say.

mod bins;
mod split;
mod tree;

use dtn_primitives::B256;
use rayon::prelude::*;

pub(crate) use bins::Bins;
pub(crate) use tree::{Node, Tree};

use crate::{
    data::{Dataset, Task},
    dense::output_errors,
    number::{ONE, activation},
    random::{Stream, shuffled},
    recipe::{Point, sampled_rows},
};
use split::Grower;

/// Trees that are being grown.
#[derive(Debug)]
pub(crate) struct Boosting {
    /// Round by round, in each a tree for each output.
    pub(crate) trees: Vec<Tree>,
    /// What they say of each row together, output by output, Q16.
    scores: Vec<Vec<i64>>,
    errors: Vec<i32>,
}

impl Boosting {
    /// With trees of the rounds before.
    pub(crate) fn resume(trees: Vec<Tree>, data: &Dataset) -> Self {
        let outputs = data.outline().task.outputs();
        let mut boosting = Self { trees: Vec::new(), scores: vec![vec![0; data.rows()]; outputs], errors: Vec::new() };
        trees.chunks_exact(outputs).for_each(|round| boosting.add(round.to_vec(), data));
        boosting
    }

    /// Grows the trees of a round, and gives the errors p - y before them, Q16, row by row.
    pub(crate) fn step(
        &mut self,
        data: &Dataset,
        bins: &Bins,
        seed: B256,
        round: u32,
        depth: u8,
        point: &Point,
    ) -> &[i32] {
        self.take_errors(data);
        let count = data.rows() as u32;
        let mut rows = shuffled(count, Stream::new(seed, u64::from(round) + 1));
        rows.truncate(sampled_rows(point.sample, count) as usize);
        rows.sort_unstable();
        let outputs = self.scores.len();
        let task = data.outline().task;
        let grow = |output: usize| {
            let slopes: Vec<_> = self.errors.iter().skip(output).step_by(outputs).map(|e| slope(task, *e)).collect();
            Grower::new(data, bins, slopes, depth, point).grow(rows.clone())
        };
        // Each tree by itself, so that no thread has to wait for, or be told apart from, another.
        let round = (0..outputs).into_par_iter().map(grow).collect();
        self.add(round, data);
        &self.errors
    }

    fn add(&mut self, round: Vec<Tree>, data: &Dataset) {
        self.scores.par_iter_mut().zip(&round).for_each(|(scores, tree)| {
            scores.iter_mut().enumerate().for_each(|(row, score)| *score += i64::from(tree.value(data.features(row))));
        });
        self.trees.extend(round);
    }

    fn take_errors(&mut self, data: &Dataset) {
        let task = data.outline().task;
        self.errors.clear();
        let mut errors = Vec::new();
        for row in 0..data.rows() {
            let logits: Vec<_> = self.scores.iter().map(|scores| activation(scores[row])).collect();
            output_errors(task, &logits, data.label(row), &mut errors);
            self.errors.extend(&errors);
        }
    }
}

/// The first and the second derivative of a row's loss by its logit, Q16. Both derive from the error: of a class the
/// probability p is the error, or one more than it where the class is the right one.
fn slope(task: Task, error: i32) -> [i64; 2] {
    let curvature = match task {
        Task::Classes(_) => {
            let probability = i64::from(if error < 0 { error + ONE } else { error });
            (probability * (i64::from(ONE) - probability)) >> 16
        }
        Task::Number => ONE.into(),
    };
    [error.into(), curvature]
}

/// The logits of some rows, row by row.
pub(crate) fn logits(trees: &[Tree], data: &Dataset, rows: std::ops::Range<usize>) -> Vec<i32> {
    let outputs = data.outline().task.outputs();
    let mut found = Vec::with_capacity(rows.len() * outputs);
    for row in rows {
        let features = data.features(row);
        for output in 0..outputs {
            let trees = trees.iter().skip(output).step_by(outputs);
            found.push(activation(trees.map(|tree| i64::from(tree.value(features))).sum()));
        }
    }
    found
}
