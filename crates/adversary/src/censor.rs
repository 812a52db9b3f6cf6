//! Says what a correct replica would. What it does not say is in its host: it never proposes one client's requests.

use dtn_primitives::ValidatorIndex;

use crate::{Adversary, Context, Outgoing};

pub(crate) struct Censor;

impl<M: Clone> Adversary<M> for Censor {
    fn instead(&mut self, to: ValidatorIndex, message: M, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        vec![Outgoing::new(to, message)]
    }
}
