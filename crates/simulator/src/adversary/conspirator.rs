//! One of so many liars that they are a quorum. One replica hears of nothing that is decided, until it asks for it, and is given
//! another block, with a certificate for which they all sign, in a view in which nobody ever is. No two votes of one of them
//! contradict each other, so nobody can be convicted.

use dtn_consensus::Decision;
use dtn_primitives::{Certificate, ValidatorIndex, VoteKind};

use super::{Adversary, Context, Outgoing};

/// Who is deceived.
const VICTIM: ValidatorIndex = ValidatorIndex(1);

/// How far above the view of what was decided that of the false certificate is.
const FAR: u64 = 1_000;

pub(super) struct Conspirator;

impl<M: Clone> Adversary<M> for Conspirator {
    fn instead(&mut self, to: ValidatorIndex, message: M, _: &mut Context<'_>) -> Vec<Outgoing<M>> {
        if to == VICTIM { Vec::new() } else { vec![Outgoing::new(to, message)] }
    }

    fn height(&mut self, own: u64, _: ValidatorIndex) -> Option<u64> {
        Some(own)
    }

    fn blocks(&mut self, decided: &[Decision], context: &mut Context<'_>) -> Option<Vec<Decision>> {
        let first = decided.first().map(|decision| &decision.certificate).filter(|first| first.height == 1)?;
        let (members, view) = (context.members, first.view + FAR);
        let block = members.block(1, members.domain().network_id, context.me, view);
        let conspirators = members.len() - members.validators().quorum()..members.len();
        let vote =
            |by: usize| members.vote(VoteKind::Commit, (view, 1), block.header.hash(), ValidatorIndex(by as u16));
        let votes: Vec<_> = conspirators.map(vote).collect();
        let certificate = Certificate::from_votes(votes.iter().map(AsRef::as_ref))?;
        Some(vec![Decision { block, certificate }])
    }
}
