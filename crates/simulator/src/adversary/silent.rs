//! Says nothing.

use dtn_primitives::ValidatorIndex;

use super::{Adversary, Context, Outgoing};

pub(crate) struct Silent;

impl<M> Adversary<M> for Silent {
    fn instead(&mut self, _to: ValidatorIndex, _message: M, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        Vec::new()
    }
}
