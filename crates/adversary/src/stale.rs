//! Leaves views as if it had decided and prepared nothing, and begins its own with that.

use std::collections::BTreeMap;

use dtn_consensus::{Message, NewView, ViewChange};
use dtn_primitives::{ValidatorIndex, VoteKind};

use crate::{Adversary, Context, Outgoing};

/// Requests for views that it remembers, to begin a view with.
const REMEMBERED: usize = 64;

#[derive(Default)]
pub(crate) struct LyingState {
    /// By view and replica.
    asked: BTreeMap<(u64, ValidatorIndex), ViewChange>,
}

impl LyingState {
    /// Its request for a view, which forgets everything.
    fn forgetful(view: u64, context: &Context<'_>) -> ViewChange {
        let seat = context.seat;
        let signer = seat.signer();
        ViewChange::sign(view, seat.me, None, vec![], signer)
    }
}

impl Adversary<Message> for LyingState {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let seat = context.seat;
        let message = match message {
            Message::ViewChange(change) => Message::ViewChange(Self::forgetful(change.view, context)),
            Message::NewView(honest) => {
                // The requests that say least, and a block of its own choice on top of nothing.
                let mut changes: BTreeMap<_, _> =
                    honest.view_changes.iter().map(|change| (change.validator, change.clone())).collect();
                for change in self.asked.range((honest.view, ValidatorIndex(0))..).map(|(_, change)| change) {
                    if change.view == honest.view && change.prepared.is_empty() {
                        changes.insert(change.validator, change.clone());
                    }
                }
                changes.insert(seat.me, Self::forgetful(honest.view, context));
                let block = seat.block(1, seat.domain.network_id, honest.view);
                let vote = seat.vote(VoteKind::PrePrepare, (honest.view, 1), block.header.hash());
                let signer = seat.signer();
                let proposals = if honest.view.is_multiple_of(2) { vec![vote] } else { vec![] };
                Message::NewView(NewView::sign(honest.view, changes.into_values().collect(), proposals, signer))
            }
            message => message,
        };
        vec![Outgoing::new(to, message)]
    }

    fn heard(
        &mut self,
        _from: ValidatorIndex,
        message: &Message,
        _context: &mut Context<'_>,
    ) -> Vec<Outgoing<Message>> {
        if let Message::ViewChange(change) = message {
            self.asked.insert((change.view, change.validator), change.clone());
            if self.asked.len() > REMEMBERED {
                self.asked.pop_first();
            }
        }
        Vec::new()
    }

    fn unasked(&mut self, _height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let message = Message::ViewChange(Self::forgetful(view + 1, context));
        Outgoing::to_all(&message, context)
    }
}
