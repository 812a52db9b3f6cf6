//! A step of gradient descent.

use dtn_primitives::B256;
use multiversion::multiversion;

use super::{
    Layer, Pass, initial,
    product::{Sparse, multiply},
};
use crate::{
    data::{Dataset, Task},
    number::{MAX_VELOCITY, MAX_WEIGHT, ONE, activation, round_shift, softmax},
    random::{Stream, shuffled},
    recipe::{Point, Shape},
};

/// Layers that are being trained.
#[derive(Debug)]
pub(crate) struct Descent {
    pub(crate) layers: Vec<Layer>,
    /// Of each weight of each layer, Q32.
    pub(crate) velocities: Vec<Vec<i64>>,
    /// The rows in the order of an epoch, if it has begun.
    order: Option<(u32, Vec<u32>)>,
    room: Room,
}

/// What is used again in each step.
#[derive(Debug, Default)]
struct Room {
    pass: Pass,
    /// p - y of each row and output, Q16.
    errors: Vec<i32>,
    /// The errors behind a layer, and before it.
    behind: Vec<i32>,
    before: Vec<i32>,
    sparse: Sparse,
    transposed: Vec<i32>,
    sums: Vec<i64>,
}

impl Descent {
    /// As a seed begins.
    pub(crate) fn start(shape: &Shape, seed: B256) -> Self {
        let layers = initial(shape, seed);
        let velocities = layers.iter().map(|layer| vec![0; layer.weights.len()]).collect();
        Self::resume(layers, velocities)
    }

    /// As it was after some step.
    pub(crate) fn resume(layers: Vec<Layer>, velocities: Vec<Vec<i64>>) -> Self {
        Self { layers, velocities, order: None, room: Room::default() }
    }

    /// Takes the step of this place in an epoch, and gives the errors p - y, Q16, row by row.
    pub(crate) fn step(
        &mut self,
        data: &Dataset,
        seed: B256,
        (epoch, place): (u32, u32),
        batch: usize,
        point: &Point,
    ) -> &[i32] {
        let order = match self.order.take() {
            Some((of, order)) if of == epoch => order,
            _ => shuffled(data.rows() as u32, Stream::new(seed, u64::from(epoch) + 1)),
        };
        let rows = order[place as usize * batch..][..batch].iter().map(|row| *row as usize);
        let room = &mut self.room;
        room.pass.forward(&self.layers, data, rows.clone());
        room.take_errors(data, rows);
        let change = Change::new(point, batch);
        for (at, layer) in self.layers.iter_mut().enumerate().rev() {
            if at > 0 {
                room.pass_back(layer, at);
            }
            room.sparse.fill_transposed(&room.pass.inputs[at], layer.inputs + 1);
            multiply(&room.sparse, &room.behind, layer.outputs, &mut room.sums);
            let (weights, biases) = layer.weights.split_at_mut(layer.inputs * layer.outputs);
            let (of_weights, of_biases) = self.velocities[at].split_at_mut(weights.len());
            change.apply(weights, of_weights, &room.sums[..weights.len()]);
            // Biases are not pulled to zero.
            Change { l2: 0, ..change }.apply(biases, of_biases, &room.sums[weights.len()..]);
            std::mem::swap(&mut room.behind, &mut room.before);
        }
        self.order = Some((epoch, order));
        &self.room.errors
    }
}

impl Room {
    /// The errors of the last layer.
    fn take_errors(&mut self, data: &Dataset, rows: impl Iterator<Item = usize>) {
        let Outputs { task, count } = Outputs::of(data);
        self.errors.clear();
        let mut errors = Vec::with_capacity(count);
        for (logits, row) in self.pass.logits.chunks_exact(count).zip(rows) {
            output_errors(task, logits, data.label(row), &mut errors);
            self.errors.extend(&errors);
        }
        self.behind.clone_from(&self.errors);
    }

    /// From the errors behind a layer those before it: through its weights, and only to units that were not zero.
    fn pass_back(&mut self, layer: &Layer, at: usize) {
        let Layer { inputs, outputs, weights } = layer;
        self.transposed.clear();
        self.transposed.resize(inputs * outputs, 0);
        for (input, row) in weights.chunks_exact(*outputs).take(*inputs).enumerate() {
            row.iter().enumerate().for_each(|(output, weight)| self.transposed[output * inputs + input] = *weight);
        }
        self.sparse.fill(&self.behind, *outputs);
        multiply(&self.sparse, &self.transposed, *inputs, &mut self.sums);
        self.before.clear();
        self.before.resize(self.sums.len(), 0);
        for (row, taken_in) in self.pass.inputs[at].rows().enumerate() {
            // All but the last, which is the bias.
            for (unit, _) in &taken_in[..taken_in.len() - 1] {
                let place = row * inputs + *unit as usize;
                self.before[place] = activation(round_shift(self.sums[place], 24));
            }
        }
    }
}

/// What a data set asks for in a row.
struct Outputs {
    task: Task,
    count: usize,
}

impl Outputs {
    fn of(data: &Dataset) -> Self {
        let task = data.outline().task;
        Self { task, count: task.outputs() }
    }
}

/// The errors of a row, Q16: of classes, probabilities less 1 for the right one; of a number, by how much it is too large.
pub(crate) fn output_errors(task: Task, logits: &[i32], label: i32, errors: &mut Vec<i32>) {
    match task {
        Task::Classes(_) => {
            softmax(logits, errors);
            errors[label as usize] -= ONE;
        }
        Task::Number => {
            errors.clear();
            errors.extend(logits.iter().map(|logit| activation(i64::from(*logit) - i64::from(label))));
        }
    }
}

/// How weights change by the sums of a batch.
#[derive(Debug, Clone, Copy)]
struct Change {
    learning_rate: i64,
    momentum: i64,
    l2: i64,
    /// log₂ of the rows.
    mean: u32,
    /// Half a mean's divisor.
    half: i64,
}

impl Change {
    fn new(point: &Point, batch: usize) -> Self {
        let [learning_rate, momentum, l2] =
            [point.learning_rate, point.momentum, point.l2].map(|fraction| fraction.0.into());
        let mean = batch.ilog2();
        Self { learning_rate, momentum, l2, mean, half: (1 << mean) >> 1 }
    }

    fn apply(self, weights: &mut [i32], velocities: &mut [i64], sums: &[i64]) {
        change(self, weights, velocities, sums);
    }
}

/// No product here has more than 61 bits: a sum has 56, a velocity 44, a weight 28, and a fraction 16.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn change(change: Change, weights: &mut [i32], velocities: &mut [i64], sums: &[i64]) {
    let Change { learning_rate, momentum, l2, mean, half } = change;
    for ((weight, velocity), sum) in weights.iter_mut().zip(velocities).zip(sums) {
        let wide = i64::from(*weight);
        let gradient = (sum.wrapping_add(half) >> mean).wrapping_add(round_shift(wide.wrapping_mul(l2), 8));
        let kept = round_shift(velocity.wrapping_mul(momentum), 16);
        *velocity = kept.wrapping_add(gradient).clamp(-MAX_VELOCITY, MAX_VELOCITY);
        let step = round_shift(velocity.wrapping_mul(learning_rate), 24);
        let limit = i64::from(MAX_WEIGHT);
        *weight = wide.wrapping_sub(step).clamp(-limit, limit) as i32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Fraction;

    #[test]
    fn weights_and_velocities_stop_at_their_bounds_and_nothing_overflows_before() {
        let most = Point {
            learning_rate: Fraction(1 << 16),
            momentum: Fraction((1 << 16) - 1),
            l2: Fraction(1 << 16),
            ..Point::default()
        };
        let change = Change::new(&most, 1);
        for sign in [-1i64, 1] {
            let (mut weights, mut velocities) = (vec![0; 70], vec![0; 70]);
            // The largest sum: two factors of 22 bits, 4,096 times.
            let sums = vec![sign << 56; 70];
            for _ in 0..100 {
                change.apply(&mut weights, &mut velocities, &sums);
                let weight = i64::from(weights[0]);
                assert_eq!(velocities, vec![sign * MAX_VELOCITY; 70]);
                assert_eq!(weight, -sign * i64::from(MAX_WEIGHT));
            }
            assert!(weights.iter().all(|weight| *weight == weights[0]));
        }
    }

    #[test]
    fn a_change_is_that_of_the_definition() {
        let point =
            Point { learning_rate: Fraction(6554), momentum: Fraction(58982), l2: Fraction(66), ..Point::default() };
        let (mut weights, mut velocities) = (vec![1 << 24, -5], vec![1 << 32, -7]);
        Change::new(&point, 4).apply(&mut weights, &mut velocities, &[2 << 32, 3]);
        // 0.9 of 1, half of 1, and 0.001 of 1.
        let first = 58982 * (1i64 << 16) + (1 << 31) + (66 << 16);
        assert_eq!(velocities[0], first);
        assert_eq!(i64::from(weights[0]), (1 << 24) - round_shift(first * 6554, 24));
        // -7 · 0.9 = -6.3, 3/4 = 0.75, -5 · 0.001 · 256 = -1.3.
        assert_eq!((velocities[1], weights[1]), (-6 + 1 - 1, -5));
    }
}
