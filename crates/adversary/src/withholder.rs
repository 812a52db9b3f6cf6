//! Miners that keep their blocks to themselves for a while.
//!
//! In their place a correct replica mines on top of the chain with the most work that it knows, which is the secret one
//! while that is ahead: what is left to decide is when to release it.

use std::collections::{BTreeMap, BTreeSet};

use dtn_consensus::{
    Message as Pbft,
    nakamoto::{Message, Sealed},
};
use dtn_primitives::{B256, ValidatorIndex};

use crate::{Adversary, Context, Outgoing};

/// How far below the highest known block released blocks are remembered.
const REMEMBERED: u64 = 200;

/// When a secret chain is released.
#[derive(Debug, Clone, Copy)]
enum Policy {
    /// All of it once it is so long.
    Until(u64),
    /// As Eyal & Sirer's selfish miner does; all of it before the others' chain above the fork, once it has so many
    /// blocks, can become final.
    Selfish(u64),
}

/// A miner that keeps its blocks to itself for a while.
#[derive(Debug)]
pub(crate) struct Withholder {
    policy: Policy,
    /// The end of its chain that nobody else has, by height.
    secret: BTreeMap<u64, Sealed>,
    /// The height of the last block that its chain has in common with the others'.
    fork: u64,
    /// Its own blocks that everybody may have, by height.
    released: BTreeSet<(u64, B256)>,
    /// The highest block that everybody may have.
    public: u64,
    /// Its own last block and another one are equally high: whoever finds the next wins.
    racing: bool,
}

impl Withholder {
    /// Releases all once it has so many.
    pub(crate) fn until(length: u64) -> Self {
        Self::new(Policy::Until(length))
    }

    /// Among miners whose blocks are final with so many on top.
    pub(crate) fn selfish(confirmations: u64) -> Self {
        Self::new(Policy::Selfish(confirmations))
    }

    fn new(policy: Policy) -> Self {
        let (secret, released) = (BTreeMap::new(), BTreeSet::new());
        Self { policy, secret, fork: 0, released, public: 0, racing: false }
    }

    fn keeps(&self, hash: B256) -> bool {
        self.secret.values().any(|sealed| sealed.block.header.hash() == hash)
    }

    /// Takes a block of its own that it has just found.
    fn find(&mut self, sealed: &Sealed) {
        let header = &sealed.block.header;
        let follows =
            self.secret.last_key_value().is_none_or(|(_, last)| last.block.header.hash() == header.parent_hash);
        if !follows {
            self.secret.clear();
        }
        let parent_released = self.released.contains(&(header.height - 1, header.parent_hash));
        if self.secret.is_empty() && !(parent_released && self.public >= header.height) {
            self.fork = header.height - 1;
        }
        self.secret.insert(header.height, sealed.clone());
    }

    /// Releases its secret blocks up to a height.
    fn release(&mut self, up_to: u64, context: &Context<'_>) -> Vec<Outgoing<Message>> {
        let kept = self.secret.split_off(&(up_to.saturating_add(1)));
        let released = std::mem::replace(&mut self.secret, kept);
        for (height, sealed) in &released {
            self.released.insert((*height, sealed.block.header.hash()));
            self.public = self.public.max(*height);
        }
        let least = self.public.saturating_sub(REMEMBERED);
        self.released.retain(|(height, _)| *height >= least);
        released.into_values().flat_map(|sealed| Outgoing::to_all(&Message::Block(sealed), context)).collect()
    }

    /// What it does once it has found a block.
    fn after_find(&mut self, height: u64, context: &Context<'_>) -> Vec<Outgoing<Message>> {
        let now = match self.policy {
            Policy::Until(length) => self.secret.len() as u64 >= length,
            // The block decides a race, or begins one.
            Policy::Selfish(_) => self.racing || height <= self.public,
        };
        if !now {
            return Vec::new();
        }
        self.racing = height == self.public;
        self.release(height, context)
    }

    /// What it does once the others' chain is higher.
    fn after_public(&mut self, context: &Context<'_>) -> Vec<Outgoing<Message>> {
        let Policy::Selfish(before_final) = self.policy else { return Vec::new() };
        self.racing = false;
        let Some((last, _)) = self.secret.last_key_value() else { return Vec::new() };
        let (last, public) = (*last, self.public);
        if last < public {
            self.secret.clear();
            return Vec::new();
        }
        self.racing = last == public;
        let urgent = public.saturating_sub(self.fork) >= before_final;
        self.release(if last <= public + 1 || urgent { last } else { public }, context)
    }
}

impl Adversary<Message> for Withholder {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        match &message {
            Message::Block(sealed) => {
                let header = &sealed.block.header;
                let (height, hash) = (header.height, header.hash());
                if self.keeps(hash) {
                    return Vec::new();
                }
                let own = header.proposer == context.seat.key.address();
                if own && !self.released.contains(&(height, hash)) {
                    self.find(sealed);
                    return self.after_find(height, context);
                }
                vec![Outgoing::new(to, message)]
            }
            Message::Tip { hash, .. } if self.keeps(*hash) => Vec::new(),
            Message::Pbft(Pbft::PrePrepare { block, .. }) if self.keeps(block.header.hash()) => Vec::new(),
            _ => vec![Outgoing::new(to, message)],
        }
    }

    fn heard(&mut self, _from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let Message::Block(Sealed { block, .. }) = message else { return Vec::new() };
        let height = block.header.height;
        if height <= self.public {
            return Vec::new();
        }
        self.public = height;
        self.after_public(context)
    }

    fn catches_up(&self) -> bool {
        // What others make final would end its secret chain before it is released.
        matches!(self.policy, Policy::Selfish(_)) || self.secret.is_empty()
    }
}
