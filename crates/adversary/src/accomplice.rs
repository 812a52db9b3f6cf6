//! Says to each of the others what that one has said itself. Where a network is parted and hears it on both sides, f + 1 of these are
//! a quorum with either side.

use std::collections::{BTreeMap, BTreeSet};

use dtn_consensus::{
    Message, ViewChange,
    chained::{self, Status},
};
use dtn_primitives::{B256, ValidatorIndex, Vote, VoteKind};

use crate::{Adversary, Context, Outgoing, chained::vote};

/// What it has said to whom: each thing once, lest two of them answer each other for ever.
#[derive(Default)]
pub(crate) struct Accomplice {
    votes: BTreeSet<(ValidatorIndex, VoteKind, u64, u64, B256)>,
    /// The highest view that it has asked for.
    views: BTreeMap<ValidatorIndex, u64>,
}

impl Accomplice {
    /// The same vote, or one of another kind for the same.
    fn echo(&mut self, to: ValidatorIndex, said: &Vote, kind: VoteKind, context: &Context<'_>) -> Option<Vote> {
        let is_new = self.votes.insert((to, kind, said.view, said.height, said.block_hash));
        let echo = || Vote::clone(&vote(kind, (said.view, said.height), said.block_hash, context));
        (is_new && said.validator == to).then(echo)
    }

    fn leaves(&mut self, to: ValidatorIndex, view: u64) -> bool {
        self.views.insert(to, view).is_none_or(|known| known < view)
    }
}

impl Adversary<chained::Message> for Accomplice {
    fn instead(
        &mut self,
        _: ValidatorIndex,
        _: chained::Message,
        _: &mut Context<'_>,
    ) -> Vec<Outgoing<chained::Message>> {
        Vec::new()
    }

    fn heard(
        &mut self,
        from: ValidatorIndex,
        message: &chained::Message,
        context: &mut Context<'_>,
    ) -> Vec<Outgoing<chained::Message>> {
        use chained::Message::{Commit, Notarized, Propose, Vote};
        let said = match message {
            Propose(offer) => self.echo(from, &offer.vote, offer.vote.kind, context).map(|it| Vote(it.into())),
            Vote(said) => self.echo(from, said, said.kind, context).map(|it| Vote(it.into())),
            Commit(votes) => {
                let echoed = votes.iter().filter_map(|said| self.echo(from, said, said.kind, context));
                Some(Commit(echoed.map(Into::into).collect()))
            }
            // Whoever collects commits does not send its own.
            Notarized(shown) => {
                let it = shown.proposal;
                let commit = vote(VoteKind::Commit, (it.view, it.height), it.block, context);
                Some(Commit(vec![commit]))
            }
            chained::Message::Status(status) => self.leaves(from, status.view).then(|| {
                let Status { view, .. } = **status;
                let own = Status { view, tip: 0, proof: None, asks: 0, answers: 0, silent: false };
                chained::Message::Status(Box::new(own))
            }),
            _ => None,
        };
        said.map(|said| Outgoing::new(from, said)).into_iter().collect()
    }
}

impl Adversary<Message> for Accomplice {
    fn instead(&mut self, _: ValidatorIndex, _: Message, _: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        Vec::new()
    }

    fn heard(&mut self, from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let said = match message {
            Message::PrePrepare { vote: said, .. } | Message::Announce(said) => {
                self.echo(from, said, VoteKind::Prepare, context).map(|it| Message::Vote(it.into()))
            }
            Message::Vote(said) => self.echo(from, said, said.kind, context).map(|it| Message::Vote(it.into())),
            Message::NewView(new_view) => {
                let votes = new_view.proposals.iter();
                let echoed = votes.filter_map(|said| self.echo(from, said, VoteKind::Prepare, context));
                return echoed.map(|echo| Outgoing::new(from, Message::Vote(echo.into()))).collect();
            }
            Message::ViewChange(change) => self.leaves(from, change.view).then(|| {
                let seat = context.seat;
                Message::ViewChange(ViewChange::sign(change.view, seat.me, None, Vec::new(), seat.signer()))
            }),
            _ => None,
        };
        said.map(|said| Outgoing::new(from, said)).into_iter().collect()
    }
}
