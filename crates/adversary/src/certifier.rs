//! Says that a quorum prepared a block of its own choice, in the latest view that it can name, when it leaves a view; and
//! begins its own views with that.

use std::sync::Arc;

use dtn_consensus::{Message, NewView, PreparedCertificate, ViewChange, required};
use dtn_primitives::{ValidatorIndex, VoteKind};
use rand::Rng;

use crate::{Adversary, Context, Outgoing};

pub(crate) struct FalseCertifier;

impl FalseCertifier {
    /// A certificate on top of what the liar has decided, short of one signature, one vote or one voter.
    fn certificate(honest: &ViewChange, context: &mut Context<'_>) -> PreparedCertificate {
        let seat = context.seat;
        let (view, height) = (honest.view.saturating_sub(1), honest.height() + 1);
        let parent = honest.decided.as_ref().map_or(seat.domain.network_id, |decided| decided.block_hash);
        let block = seat.block(height, parent, u64::MAX - view);
        let hash = block.header.hash();
        let in_the_name_of = |kind, by| {
            let mut vote = seat.vote(kind, (view, height), hash);
            Arc::make_mut(&mut vote).validator = by;
            vote
        };
        let primary = seat.validators.primary(view, height);
        let others: Vec<_> = seat.validators.others(primary).take(seat.validators.quorum() - 1).collect();
        let prepares = match context.rng.random_range(0..3) {
            0 => others.into_iter().map(|by| in_the_name_of(VoteKind::Prepare, by)).collect(),
            1 => vec![in_the_name_of(VoteKind::Prepare, seat.me); others.len()],
            _ => Vec::new(),
        };
        let pre_prepare = in_the_name_of(VoteKind::PrePrepare, primary);
        PreparedCertificate { header: block.header.clone(), pre_prepare, prepares }
    }

    fn change(honest: &ViewChange, context: &mut Context<'_>) -> ViewChange {
        let certificate = Self::certificate(honest, context);
        let seat = context.seat;
        let signer = seat.signer();
        ViewChange::sign(honest.view, context.seat.me, honest.decided.clone(), vec![certificate], signer)
    }

    /// A new view whose quorum has the liar's lie in it, and that proposes what follows from it.
    fn new_view(honest: NewView, context: &mut Context<'_>) -> NewView {
        let seat = context.seat;
        let mut changes = honest.view_changes.clone();
        let Some(mine) = changes.iter_mut().find(|change| change.validator == seat.me) else { return honest };
        *mine = Self::change(mine, context);
        let (base, blocks) = required(&changes, seat.domain);
        let propose = |(height, hash)| seat.vote(VoteKind::PrePrepare, (honest.view, height), hash);
        let proposals = (base + 1..).zip(blocks).map(propose).collect();
        let signer = seat.signer();
        NewView::sign(honest.view, changes, proposals, signer)
    }
}

impl Adversary<Message> for FalseCertifier {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let message = match message {
            Message::ViewChange(change) if change.validator == context.seat.me => {
                Message::ViewChange(Self::change(&change, context))
            }
            Message::NewView(honest) => Message::NewView(Self::new_view(honest, context)),
            message => message,
        };
        vec![Outgoing::new(to, message)]
    }

    fn unasked(&mut self, _height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        // It would have all leave the view, for only then its lie is asked for.
        let seat = context.seat;
        let signer = seat.signer();
        let honest = ViewChange::sign(view + 1, seat.me, None, vec![], signer);
        Outgoing::to_all(&Message::ViewChange(Self::change(&honest, context)), context)
    }
}
