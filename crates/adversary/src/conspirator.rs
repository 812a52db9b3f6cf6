//! One of so many liars that they are a quorum. One replica hears of nothing that is decided, until it asks for it, and is given
//! another block, with a certificate for which they all sign, in a view in which nobody ever is. No two votes of one of them
//! contradict each other, so nobody can be convicted.

use dtn_consensus::Decision;
use dtn_primitives::{Certificate, ValidatorIndex, VoteKind};

use crate::{Adversary, Context, Outgoing};

/// Who is deceived.
const VICTIM: ValidatorIndex = ValidatorIndex(1);

/// How far above the view of what was decided that of the false certificate is.
const FAR: u64 = 1_000;

pub(crate) struct Conspirator;

impl<M: Clone> Adversary<M> for Conspirator {
    fn instead(&mut self, to: ValidatorIndex, message: M, _: &mut Context<'_>) -> Vec<Outgoing<M>> {
        if to == VICTIM { Vec::new() } else { vec![Outgoing::new(to, message)] }
    }

    fn height(&mut self, own: u64, _: ValidatorIndex) -> Option<u64> {
        Some(own)
    }

    fn blocks(&mut self, decided: &[Decision], context: &mut Context<'_>) -> Option<Vec<Decision>> {
        let first = decided.first().map(|decision| &decision.certificate).filter(|first| first.height == 1)?;
        let (seat, view) = (context.seat, first.view + FAR);
        let block = seat.block(1, seat.domain.network_id, view);
        let n = seat.validators.len();
        let vote = |by: usize| {
            let by = ValidatorIndex(by as u16);
            seat.vote_of(by, VoteKind::Commit, (view, 1), block.header.hash())
        };
        let votes: Option<Vec<_>> = (n - seat.validators.quorum()..n).map(vote).collect();
        let votes = votes?;
        let certificate = Certificate::from_votes(votes.iter().map(AsRef::as_ref))?;
        Some(vec![Decision { block, certificate }])
    }
}
