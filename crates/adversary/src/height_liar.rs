//! Says that it is where nobody is, or nowhere.

use dtn_primitives::ValidatorIndex;

use crate::{Adversary, Context, Outgoing};

/// More than any network decides.
const ABSURD: u64 = 1 << 60;

pub(crate) struct HeightLiar;

impl<M: Clone> Adversary<M> for HeightLiar {
    fn instead(&mut self, to: ValidatorIndex, message: M, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        vec![Outgoing::new(to, message)]
    }

    fn height(&mut self, own: u64, to: ValidatorIndex) -> Option<u64> {
        match to.0 % 3 {
            0 => Some(ABSURD),
            1 => Some(own.saturating_add(100)),
            _ => Some(0),
        }
    }
}
