//! The kernel as others see it.

#![allow(clippy::unwrap_used)]

mod accuracy;
mod bounds;
mod import;
mod mutations;
mod recipes;
mod runs;
mod vectors;

use std::ops::ControlFlow;

use dtn_primitives::{Address, B256};
use dtn_train::{Dataset, Family, Fraction, Grid, Manifest, Model, Origin, Progress, Recipe, train};

/// Where a run comes from that nobody else has.
fn origin(attempt: u16) -> Origin {
    let hash = B256::repeat_byte;
    Origin { network: hash(1), block: hash(2), order: hash(3), worker: Address::repeat_byte(4), attempt }
}

fn decimal(text: &str) -> Vec<Fraction> {
    vec![text.parse().unwrap()]
}

/// A recipe for layers, with momentum 0.9.
fn descent(hidden: &[u16], epochs: u32, batch: u16, segment_steps: u32, learning_rate: &str, l2: &str) -> Recipe {
    let family = if hidden.is_empty() { Family::Linear } else { Family::Mlp { hidden: hidden.to_vec() } };
    let grid =
        Grid { learning_rate: decimal(learning_rate), momentum: decimal("0.9"), l2: decimal(l2), ..Grid::default() };
    Recipe { family, grid, epochs, batch, segment_steps }
}

/// A recipe for trees.
fn trees(depth: u8, rounds: u32, segment_steps: u32, learning_rate: &str, l2: &str) -> Recipe {
    let grid =
        Grid { learning_rate: decimal(learning_rate), l2: decimal(l2), sample: decimal("0.5"), ..Grid::default() };
    Recipe { family: Family::Gbdt { depth, bins: 64 }, grid, epochs: rounds, batch: 0, segment_steps }
}

/// A training with the states that begin and end its segments.
fn trained(recipe: &Recipe, data: &Dataset, origin: Origin) -> (Model, Manifest, Vec<Vec<u8>>) {
    let mut states = Vec::new();
    let keep = |_: Progress, state: &[u8]| {
        states.push(state.to_vec());
        ControlFlow::Continue(())
    };
    let (model, manifest) = train(recipe, 0, data, origin, keep).unwrap().unwrap();
    (model, manifest, states)
}

/// A generator for tests: which numbers it gives does not matter.
struct Numbers(u64);

impl Numbers {
    /// As `DTN_SEED` says, or as the test is written. A failure prints it.
    fn new(seed: u64) -> Self {
        let seed = std::env::var("DTN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(seed);
        println!("DTN_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0 >> 11) * bound as u128) >> 53) as usize
    }
}
