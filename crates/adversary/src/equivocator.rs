//! Says different things to different replicas.

use std::{collections::HashMap, sync::Arc};

use dtn_consensus::Message;
use dtn_primitives::{B256, Block, ValidatorIndex, Vote, VoteKind};

use crate::{Adversary, Context, Outgoing};

/// Remembers the second block beside each that it proposed or heard of.
#[derive(Default)]
pub(crate) struct Equivocator {
    others: HashMap<B256, B256>,
}

impl Equivocator {
    /// The second block in the place of one: on top of the second block in the place of its parent, if there is one.
    pub(crate) fn other(&mut self, block: &Block) -> Arc<Block> {
        let mut other = block.clone();
        let header = &mut other.header;
        header.parent_hash = self.others.get(&header.parent_hash).copied().unwrap_or(header.parent_hash);
        header.timestamp += 1;
        if self.others.len() > 1_000 {
            self.others.clear();
        }
        self.others.insert(block.header.hash(), other.header.hash());
        Arc::new(other)
    }

    fn vote(vote: &Vote, kind: VoteKind, block_hash: B256, context: &Context<'_>) -> Arc<Vote> {
        context.seat.vote(kind, (vote.view, vote.height), block_hash)
    }
}

impl Adversary<Message> for Equivocator {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let honest = Outgoing::new(to, message.clone());
        match message {
            Message::PrePrepare { vote, block } if vote.validator == context.seat.me => {
                let other = self.other(&block);
                let hash = if to.0.is_multiple_of(2) { vote.block_hash } else { other.header.hash() };
                let block = if to.0.is_multiple_of(2) { block } else { other };
                let pre_prepare = Self::vote(&vote, VoteKind::PrePrepare, hash, context);
                let commit = Self::vote(&vote, VoteKind::Commit, hash, context);
                [Message::PrePrepare { vote: pre_prepare, block }, Message::Vote(commit)]
                    .map(|message| Outgoing::new(to, message))
                    .into()
            }
            Message::PrePrepare { block, .. } => {
                self.other(&block);
                vec![honest]
            }
            Message::Vote(vote) => {
                let other = self.others.get(&vote.block_hash).map(|hash| Self::vote(&vote, vote.kind, *hash, context));
                let lie = other.map(|vote| Outgoing::new(to, Message::Vote(vote)));
                // The order decides which of the two counts.
                let mut both: Vec<_> = [Some(honest), lie].into_iter().flatten().collect();
                if !to.0.is_multiple_of(2) {
                    both.reverse();
                }
                both
            }
            Message::Checkpoint(vote) => {
                let lie = Self::vote(&vote, VoteKind::Checkpoint, B256::repeat_byte(to.0 as u8), context);
                vec![Outgoing::new(to, Message::Checkpoint(lie)), honest]
            }
            // Who has to ask for its block gets what it was told of, or nothing.
            Message::Body(block) => {
                let other = self.other(&block);
                let both = if to.0.is_multiple_of(2) { vec![block] } else { vec![other, block] };
                both.into_iter().map(|block| Outgoing::new(to, Message::Body(block))).collect()
            }
            Message::Announce(_)
            | Message::Want(_)
            | Message::NewView(_)
            | Message::ViewChange(_)
            | Message::Stable(_)
            | Message::Recall { .. }
            | Message::Greeting(_) => vec![honest],
        }
    }

    fn heard(
        &mut self,
        _from: ValidatorIndex,
        message: &Message,
        _context: &mut Context<'_>,
    ) -> Vec<Outgoing<Message>> {
        if let Message::PrePrepare { block, .. } = message {
            self.other(block);
        }
        Vec::new()
    }
}
