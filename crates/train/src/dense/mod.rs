//! Networks of layers: softmax regression, least squares, and hidden layers of rectified units, trained by gradient descent
//! with momentum.

mod descent;
mod product;

use dtn_primitives::B256;

pub(crate) use descent::{Descent, output_errors};
use product::{Sparse, multiply};

use crate::{
    data::Dataset,
    number::{ONE, activation, round_shift},
    random::Stream,
    recipe::Shape,
};

/// The stream of a seed that gives initial weights; that of epoch e is e + 1.
const INITIAL: u64 = 0;

/// A layer: a matrix with a row for each input and a last one for the bias, and a column for each output. Q24.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) weights: Vec<i32>,
}

/// The layers that a seed begins with: uniform within ±√(6 / (inputs + outputs)), and no bias.
pub(crate) fn initial(shape: &Shape, seed: B256) -> Vec<Layer> {
    let mut stream = Stream::new(seed, INITIAL);
    let mut layer = |(inputs, outputs): (usize, usize)| {
        let limit = ((6u64 << 48) / (inputs + outputs) as u64).isqrt() as u32;
        let mut weights: Vec<_> =
            (0..inputs * outputs).map(|_| stream.below(2 * limit + 1) as i32 - limit as i32).collect();
        weights.resize((inputs + 1) * outputs, 0);
        Layer { inputs, outputs, weights }
    };
    shape.layers().into_iter().map(&mut layer).collect()
}

/// What goes through the layers for some rows.
#[derive(Debug, Default)]
struct Pass {
    /// What each layer takes in, with a one for the bias at the end of each row. Q16.
    inputs: Vec<Sparse>,
    /// What the last layer gives. Q16.
    logits: Vec<i32>,
    sums: Vec<i64>,
}

impl Pass {
    fn forward(&mut self, layers: &[Layer], data: &Dataset, rows: impl Iterator<Item = usize>) {
        self.inputs.resize_with(layers.len(), Sparse::default);
        if let Some(first) = self.inputs.first_mut() {
            first.clear();
            for row in rows {
                let features = data.features(row);
                // From Q12 to Q16.
                features.iter().enumerate().for_each(|(column, value)| first.push(column, i32::from(*value) << 4));
                first.push(features.len(), ONE);
                first.end_row();
            }
        }
        for (at, layer) in layers.iter().enumerate() {
            multiply(&self.inputs[at], &layer.weights, layer.outputs, &mut self.sums);
            let values = self.sums.iter().map(|sum| activation(round_shift(*sum, 24)));
            match self.inputs.get_mut(at + 1) {
                None => {
                    self.logits.clear();
                    self.logits.extend(values);
                }
                Some(next) => {
                    next.clear();
                    for (place, value) in values.enumerate() {
                        next.push(place % layer.outputs, value.max(0));
                        if (place + 1) % layer.outputs == 0 {
                            next.push(layer.outputs, ONE);
                            next.end_row();
                        }
                    }
                }
            }
        }
    }
}

/// The logits of some rows, row by row.
pub(crate) fn logits(layers: &[Layer], data: &Dataset, rows: std::ops::Range<usize>) -> Vec<i32> {
    let mut pass = Pass::default();
    pass.forward(layers, data, rows);
    pass.logits
}
