//! Uses what a replica said before it lost its disk: begins a view with the victim's request for it from then, with that of
//! a replica that was cut off, and with its own lie, none of which knows what the victim has committed to since.

use std::collections::{BTreeMap, BTreeSet};

use dtn_consensus::{Message, NewView, ViewChange, required};
use dtn_primitives::{ValidatorIndex, VoteKind};

use crate::{Adversary, Context, Outgoing};

/// Requests for views that it remembers.
const REMEMBERED: usize = 256;

#[derive(Default)]
pub(crate) struct Amnesiac {
    /// The first request that each replica made for each view.
    old: BTreeMap<(u64, ValidatorIndex), ViewChange>,
    /// Who votes in views that it has left: it forgot that.
    victims: BTreeSet<ValidatorIndex>,
    /// The views that it has begun.
    begun: BTreeSet<u64>,
}

impl Amnesiac {
    /// The victim, once there is one.
    fn victim(&self) -> Option<ValidatorIndex> {
        self.victims.first().copied()
    }

    /// A new view of the liar, the laggard who asks for it and a victim who asked for it long ago, and another block in it.
    fn begin(&mut self, laggard: &ViewChange, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let (seat, view) = (context.seat, laggard.view);
        let signer = seat.signer();
        let victims = self.victims.iter().filter(|victim| **victim != laggard.validator);
        let mut changes: BTreeMap<_, _> =
            victims.filter_map(|victim| Some((*victim, self.old.get(&(view, *victim))?.clone()))).collect();
        changes.insert(laggard.validator, laggard.clone());
        changes.insert(seat.me, ViewChange::sign(view, seat.me, laggard.decided.clone(), vec![], signer));
        let changes: Vec<_> = changes.into_values().collect();
        let (base, blocks) = required(&changes, seat.domain);
        let quorum = seat.validators.quorum();
        if changes.len() < quorum || !blocks.is_empty() || base != laggard.height() || !self.begun.insert(view) {
            return Vec::new();
        }
        let parent = laggard.decided.as_ref().map_or(seat.domain.network_id, |decided| decided.block_hash);
        let block = seat.block(base + 1, parent, u64::MAX - view);
        let vote = |kind| seat.vote(kind, (view, base + 1), block.header.hash());
        let lies = [
            Message::NewView(NewView::sign(view, changes, vec![], signer)),
            Message::PrePrepare { vote: vote(VoteKind::PrePrepare), block: block.clone() },
            Message::Vote(vote(VoteKind::Commit)),
        ];
        let others = seat.others().filter(|other| *other == laggard.validator || self.victims.contains(other));
        others.flat_map(|to| lies.iter().map(move |lie| Outgoing::new(to, lie.clone()))).collect()
    }
}

impl Adversary<Message> for Amnesiac {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        // The victim is not to know what is decided with its vote; and in the views that the liar has begun it stays with
        // its lie.
        let withheld = match &message {
            Message::Vote(vote) => {
                (vote.kind == VoteKind::Commit && Some(to) == self.victim()) || self.begun.contains(&vote.view)
            }
            Message::PrePrepare { vote, .. } => vote.validator == context.seat.me && self.begun.contains(&vote.view),
            Message::ViewChange(_) | Message::NewView(_) => true,
            _ => false,
        };
        if withheld { Vec::new() } else { vec![Outgoing::new(to, message)] }
    }

    fn height(&mut self, own: u64, _to: ValidatorIndex) -> Option<u64> {
        Some(own)
    }

    fn heard(&mut self, _from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        match message {
            Message::ViewChange(change) => {
                let validators = context.seat.validators;
                let mine = validators.primary(change.view, change.height() + 1) == context.seat.me;
                if self.old.len() < REMEMBERED {
                    self.old.entry((change.view, change.validator)).or_insert(change.clone());
                }
                let asks = !self.victims.is_empty() && mine && !self.victims.contains(&change.validator);
                if asks { self.begin(&change.clone(), context) } else { Vec::new() }
            }
            Message::Vote(vote) => {
                let left = self.old.keys().any(|(view, by)| *by == vote.validator && *view > vote.view);
                if left && vote.kind != VoteKind::Checkpoint {
                    self.victims.insert(vote.validator);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}
