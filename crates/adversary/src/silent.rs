//! Says nothing.

use dtn_primitives::ValidatorIndex;

use crate::{Adversary, Context, Outgoing};

/// Says nothing.
pub struct Silent;

impl<M> Adversary<M> for Silent {
    fn instead(&mut self, _to: ValidatorIndex, _message: M, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        Vec::new()
    }
}
