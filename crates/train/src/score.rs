//! How good a model is, as integers: what peers compare must be the same to the last bit.

use std::cmp::{Ordering, Reverse};

use dtn_primitives::{Address, B256, keccak256};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    data::{Dataset, Task},
    model::{Model, OtherShape},
    number::{activation, surprise},
};

/// How many rows one thread takes at a time.
const ROWS: usize = 64;

/// How good a model is on some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "task")]
pub enum Score {
    /// Of classes.
    Classes {
        /// The rows.
        rows: u32,
        /// The rows of which the largest logit, the first of several, is that of the right class.
        correct: u32,
        /// The sum of -log₂ of the right class's probability, Q16.
        loss: u64,
    },
    /// Of numbers.
    Number {
        /// The rows.
        rows: u32,
        /// The sum of the squares of the errors, each at most 64, Q32.
        squared_error: u64,
    },
}

impl Score {
    /// Whether it is the better one of two on the same rows: more rows are right; of as many, the loss is less.
    pub fn is_better_than(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Greater
    }

    fn compare(&self, other: &Self) -> Ordering {
        let key = |score: &Self| match *score {
            Self::Classes { correct, loss, .. } => (correct, Reverse(loss)),
            Self::Number { squared_error, .. } => (0, Reverse(squared_error)),
        };
        key(self).cmp(&key(other))
    }

    /// The part of the rows that is right, or of numbers the mean square of the errors, for people.
    pub fn summary(&self) -> f64 {
        match *self {
            Self::Classes { rows, correct, .. } => f64::from(correct) / f64::from(rows),
            Self::Number { rows, squared_error } => squared_error as f64 / 4_294_967_296.0 / f64::from(rows),
        }
    }
}

/// What a model says of some rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// How good that is.
    pub score: Score,
    /// All logits, Q16, row by row.
    pub logits: Vec<i32>,
}

impl Evaluation {
    /// Evaluates a model on rows, by as many threads as rayon has here.
    pub fn of(model: &Model, data: &Dataset) -> Result<Self, OtherShape> {
        model.fits(data)?;
        let rows = data.rows();
        let chunks = (0..rows.div_ceil(ROWS)).into_par_iter();
        let chunks = chunks.map(|chunk| model.logits(data, chunk * ROWS..rows.min((chunk + 1) * ROWS)));
        let logits: Vec<i32> = chunks.collect::<Vec<_>>().concat();
        let score = score(data, &logits);
        Ok(Self { score, logits })
    }

    /// What a validator states of the rows: `keccak256("DTN/train/score" ‖ order ‖ claim ‖ validator ‖ logits)`, the logits as
    /// numbers of four bytes, little-endian. Who has not evaluated the model cannot tell it, nor copy it from another.
    pub fn statement(&self, order: B256, claim: B256, validator: Address) -> B256 {
        let mut bytes = [b"DTN/train/score", &order[..], &claim[..], &validator[..]].concat();
        bytes.extend(self.logits.iter().flat_map(|logit| logit.to_le_bytes()));
        keccak256(bytes)
    }

    /// The class that each row is said to be of.
    pub fn classes(&self, task: Task) -> Vec<usize> {
        self.logits.chunks_exact(task.outputs()).map(largest).collect()
    }
}

fn score(data: &Dataset, logits: &[i32]) -> Score {
    let task = data.outline().task;
    let rows = data.rows() as u32;
    let of_rows = logits.chunks_exact(task.outputs()).zip((0..data.rows()).map(|row| data.label(row)));
    match task {
        Task::Classes(_) => {
            let (mut correct, mut loss) = (0, 0);
            for (logits, label) in of_rows {
                correct += u32::from(largest(logits) == label as usize);
                loss += surprise(logits, label as usize);
            }
            Score::Classes { rows, correct, loss }
        }
        Task::Number => {
            let error = |(logits, label): (&[i32], i32)| activation(i64::from(logits[0]) - i64::from(label));
            let squared_error = of_rows.map(error).map(|error| i64::from(error).pow(2) as u64).sum();
            Score::Number { rows, squared_error }
        }
    }
}

/// The first place of the largest.
fn largest(logits: &[i32]) -> usize {
    let mut best = 0;
    for (place, logit) in logits.iter().enumerate() {
        best = if *logit > logits[best] { place } else { best };
    }
    best
}
