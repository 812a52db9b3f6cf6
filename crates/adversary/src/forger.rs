//! Changes what others say, and signs in their names.

use std::sync::Arc;

use dtn_consensus::Message;
use dtn_primitives::{Signature, ValidatorIndex, Vote, VoteKind, codec};
use rand::Rng;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Adversary, Context, Outgoing};

/// Messages that it answers with forgeries between two looks at itself, lest two forgers forge each other's for ever.
const FORGED_AT_ONCE: usize = 32;

/// A message with one bit changed, if that is a message.
pub(crate) fn spoiled<M: Serialize + DeserializeOwned>(message: &M, context: &mut Context<'_>) -> Option<M> {
    let mut bytes = codec::encode(message);
    let position = context.rng.random_range(0..bytes.len());
    bytes[position] ^= 1 << context.rng.random_range(0..8);
    codec::decode(&bytes, bytes.len()).ok()
}

/// What another replica "said", by chance which one: a vote of the liar's with its signature under it, and with none. Nothing if
/// chance falls on the liar.
pub(crate) fn in_anothers_name(
    context: &mut Context<'_>,
    vote: impl FnOnce(&mut Context<'_>) -> Arc<Vote>,
) -> Vec<Arc<Vote>> {
    let victim = ValidatorIndex(context.rng.random_range(0..context.seat.validators.len() as u16 + 1));
    let mut forged = vote(context);
    Arc::make_mut(&mut forged).validator = victim;
    let mut garbage = [0; 65];
    context.rng.fill(&mut garbage[..]);
    let unsigned = Vote { signature: Signature(garbage), ..Vote::clone(&forged) };
    if victim == context.seat.me { Vec::new() } else { vec![forged, unsigned.into()] }
}

#[derive(Default)]
pub(crate) struct Forger {
    forged: usize,
}

impl Adversary<Message> for Forger {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        vec![Outgoing::new(to, message)]
    }

    fn heard(&mut self, _from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        if self.forged == FORGED_AT_ONCE {
            return Vec::new();
        }
        self.forged += 1;
        let changed = spoiled(message, context);
        let mut lies: Vec<_> = changed.iter().flat_map(|changed| Outgoing::to_all(changed, context)).collect();
        if let Message::Vote(heard) = message {
            let forged = in_anothers_name(context, |context| {
                let kind = if context.rng.random() { VoteKind::Commit } else { VoteKind::Prepare };
                context.seat.vote(kind, (heard.view, heard.height), heard.block_hash)
            });
            lies.extend(forged.into_iter().flat_map(|lie| Outgoing::to_all(&Message::Vote(lie), context)));
        }
        lies
    }

    fn unasked(&mut self, _height: u64, _view: u64, _context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        self.forged = 0;
        Vec::new()
    }
}
