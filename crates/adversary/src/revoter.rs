//! As the primary has a replica that lost its disk vote again. It proposes one block to the last of the others and another
//! one to the rest, and commits to that without telling the first; so whoever is in between decides alone. Once such a one
//! has lost its disk, the liar offers it the other block as if nothing had been. When the view ends, it gives up.

use std::{collections::BTreeMap, sync::Arc};

use dtn_consensus::{Greeting, Message};
use dtn_primitives::{B256, Block, ValidatorIndex, Vote, VoteKind};

use crate::{Adversary, Context, Outgoing, equivocator::Equivocator};

/// Proposals that it has not forgotten.
const REMEMBERED: usize = 8;

#[derive(Default)]
pub(crate) struct Revoter {
    blocks: Equivocator,
    /// What it proposed to most, by the hash of that: its vote, and the other block.
    proposed: BTreeMap<B256, (Arc<Vote>, Arc<Block>)>,
}

impl Revoter {
    /// What it says of the other block of a proposal, as often as anybody likes to hear it.
    fn offer(
        to: ValidatorIndex,
        (vote, other): &(Arc<Vote>, Arc<Block>),
        context: &Context<'_>,
    ) -> Vec<Outgoing<Message>> {
        let hash = other.header.hash();
        let sign = |kind| context.seat.vote(kind, (vote.view, vote.height), hash);
        let proposal = Message::PrePrepare { vote: sign(VoteKind::PrePrepare), block: other.clone() };
        [proposal, Message::Vote(sign(VoteKind::Commit))].map(|message| Outgoing::new(to, message)).into()
    }
}

impl Adversary<Message> for Revoter {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let mut others = context.seat.others();
        let (first, last) = (others.next(), others.last());
        let message = match message {
            Message::PrePrepare { vote, block } if vote.validator == context.seat.me => {
                let other = self.blocks.other(&block);
                self.proposed.insert(vote.block_hash, (vote.clone(), other));
                if self.proposed.len() > REMEMBERED {
                    let oldest = self.proposed.iter().min_by_key(|(_, (vote, _))| vote.height).map(|(hash, _)| *hash);
                    oldest.map(|hash| self.proposed.remove(&hash));
                }
                match self.proposed.get(&vote.block_hash) {
                    Some(proposed) if Some(to) == last => return Self::offer(to, proposed, context),
                    _ => Message::PrePrepare { vote, block },
                }
            }
            // Only who decides alone is to know that it commits.
            Message::Vote(vote)
                if self.proposed.contains_key(&vote.block_hash) && [first, last].contains(&Some(to)) =>
            {
                return Vec::new();
            }
            Message::Announce(vote) if vote.validator == context.seat.me => return Vec::new(),
            Message::Body(block) if self.proposed.contains_key(&block.header.hash()) => {
                Message::Body(self.blocks.other(&block))
            }
            // As if it had heard of nothing.
            Message::Greeting(greeting) => {
                Message::Greeting(Box::new(Greeting { decided: None, vote: None, view_change: None, ..*greeting }))
            }
            message => message,
        };
        vec![Outgoing::new(to, message)]
    }

    fn unasked(&mut self, _height: u64, _view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let context = &*context;
        let others = context.seat.others().skip(1);
        others
            .flat_map(|to| self.proposed.values().flat_map(move |proposed| Self::offer(to, proposed, context)))
            .collect()
    }
}
