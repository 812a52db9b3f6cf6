//! Says again what was said long ago.

use std::collections::VecDeque;

use dtn_primitives::ValidatorIndex;
use rand::Rng;

use crate::{Adversary, Context, Outgoing};

const REMEMBERED: usize = 2_000;
const AT_ONCE: usize = 24;

/// Says again what was said long ago.
pub struct Replayer<M>(VecDeque<M>);

impl<M> Default for Replayer<M> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<M: Clone> Replayer<M> {
    fn remember(&mut self, message: &M) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(message.clone());
    }
}

impl<M: Clone> Adversary<M> for Replayer<M> {
    fn instead(&mut self, to: ValidatorIndex, message: M, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        self.remember(&message);
        vec![Outgoing::new(to, message)]
    }

    fn heard(&mut self, _from: ValidatorIndex, message: &M, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        self.remember(message);
        Vec::new()
    }

    fn unasked(&mut self, _height: u64, _view: u64, context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let picks: Vec<_> = (0..AT_ONCE).map(|_| context.rng.random_range(0..self.0.len())).collect();
        picks.into_iter().flat_map(|pick| Outgoing::to_all(&self.0[pick], context)).collect()
    }
}
