//! Says everything as late as it may without being taken for dead.

use std::time::Duration;

use dtn_primitives::ValidatorIndex;

use crate::{Adversary, Context, Outgoing};

/// A little less than the time after which the others leave its view.
const DELAY: Duration = Duration::from_millis(700);

/// Says everything as late as it may without being taken for dead.
pub struct Slow;

impl<M> Adversary<M> for Slow {
    fn instead(&mut self, to: ValidatorIndex, message: M, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        vec![Outgoing { to, message, delay: DELAY }]
    }
}
