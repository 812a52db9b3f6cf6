//! Gives the same block to some in another order of its transactions: its own, those of others, and those that are decided.

use std::sync::Arc;

use dtn_consensus::{Decision, Message};
use dtn_primitives::{Block, ValidatorIndex};

use crate::{Adversary, Context, Outgoing};

pub(crate) struct Permuter;

/// The block with its first two transactions in each other's place.
pub(crate) fn permuted(block: &Block) -> Arc<Block> {
    let mut block = block.clone();
    if block.transactions.len() > 1 {
        block.transactions.swap(0, 1);
    }
    Arc::new(block)
}

impl Adversary<Message> for Permuter {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let permutes = !to.0.is_multiple_of(2);
        let message = match message {
            Message::PrePrepare { vote, block } if permutes => Message::PrePrepare { vote, block: permuted(&block) },
            Message::Body(block) if permutes => Message::Body(permuted(&block)),
            message => message,
        };
        vec![Outgoing::new(to, message)]
    }

    fn blocks(&mut self, decided: &[Decision], _context: &mut Context<'_>) -> Option<Vec<Decision>> {
        let permute = |Decision { block, certificate }: &Decision| Decision {
            block: permuted(block),
            certificate: certificate.clone(),
        };
        Some(decided.iter().map(permute).collect())
    }
}
