//! Sends as much as it can that has to be kept.

use dtn_consensus::{CHECKPOINT_INTERVAL, LOG_WINDOW, Message, ViewChange};
use dtn_primitives::{B256, ValidatorIndex, VoteKind};
use rand::Rng;

use crate::{Adversary, Context, Outgoing};

const VOTES_AT_ONCE: usize = 16;
const BLOCKS_AT_ONCE: u64 = 20;

pub(crate) struct MemoryExhauster;

impl Adversary<Message> for MemoryExhauster {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        vec![Outgoing::new(to, message)]
    }

    fn unasked(&mut self, height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let seat = context.seat;
        let mut messages = Vec::new();
        for _ in 0..VOTES_AT_ONCE {
            let hash = B256::from(context.rng.random::<[u8; 32]>());
            let ahead = height.saturating_add(context.rng.random_range(1..2 * LOG_WINDOW));
            let kind = if context.rng.random() { VoteKind::Commit } else { VoteKind::Prepare };
            messages.push(Message::Vote(seat.vote(kind, (view, ahead), hash)));
            let checkpoint = ahead.next_multiple_of(CHECKPOINT_INTERVAL) + CHECKPOINT_INTERVAL * (ahead % 1_000);
            messages.push(Message::Checkpoint(seat.vote(VoteKind::Checkpoint, (0, checkpoint), hash)));
            let block = seat.block(ahead, hash, ahead);
            let vote = seat.vote(VoteKind::PrePrepare, (view, ahead), block.header.hash());
            messages.push(Message::PrePrepare { vote, block });
        }
        let far = view.saturating_add(context.rng.random_range(1..u64::MAX / 2));
        let signer = seat.signer();
        messages.push(Message::ViewChange(ViewChange::sign(far, seat.me, None, vec![], signer)));
        for number in 0..BLOCKS_AT_ONCE {
            messages.push(Message::Body(seat.block(height + 1, B256::ZERO, far.saturating_add(number))));
        }
        messages.iter().flat_map(|message| Outgoing::to_all(message, context)).collect()
    }
}
