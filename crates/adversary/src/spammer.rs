//! Votes in all views but the one that the others are in.

use dtn_consensus::{Message, ViewChange};
use dtn_primitives::{B256, ValidatorIndex, VoteKind};
use rand::Rng;

use crate::{Adversary, Context, Outgoing};

pub(crate) struct WrongViewSpammer;

impl Adversary<Message> for WrongViewSpammer {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let mut messages = vec![Outgoing::new(to, message.clone())];
        if let Message::Vote(vote) = message {
            for view in [vote.view.wrapping_sub(1), vote.view.saturating_add(1), u64::MAX] {
                let vote = context.seat.vote(vote.kind, (view, vote.height), vote.block_hash);
                messages.push(Outgoing::new(to, Message::Vote(vote)));
            }
        }
        messages
    }

    fn unasked(&mut self, height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let seat = context.seat;
        let signer = seat.signer();
        let far = context.rng.random_range(1..1_000_000);
        let block = seat.block(height + 1, B256::repeat_byte(1), far);
        let mut messages = Vec::new();
        for view in [view.saturating_add(far), u64::MAX, view.saturating_sub(1)] {
            let change = ViewChange::sign(view, seat.me, None, vec![], signer);
            messages.push(Message::ViewChange(change));
            let vote = seat.vote(VoteKind::PrePrepare, (view, height + 1), block.header.hash());
            messages.push(Message::PrePrepare { vote, block: block.clone() });
        }
        messages.iter().flat_map(|message| Outgoing::to_all(message, context)).collect()
    }
}
