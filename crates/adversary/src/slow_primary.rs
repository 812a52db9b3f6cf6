//! As the primary proposes each block as late as it can without losing its view.

use dtn_consensus::Message;
use dtn_primitives::ValidatorIndex;

use crate::{Adversary, Context, Outgoing};

/// The part of a view's time that a proposal takes, in percent.
const PERCENT: u32 = 85;

pub(crate) struct SlowPrimary;

impl Adversary<Message> for SlowPrimary {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let own = matches!(&message, Message::PrePrepare { vote, .. } if vote.validator == context.seat.me);
        let mut outgoing = Outgoing::new(to, message);
        if own {
            outgoing.delay = context.seat.view_timeout * PERCENT / 100;
        }
        vec![outgoing]
    }
}
