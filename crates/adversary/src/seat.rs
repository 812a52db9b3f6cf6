//! In whose place an adversary is.

use std::{sync::Arc, time::Duration};

use dtn_primitives::{
    B256, Block, Domain, Header, SecretKey, Transaction, ValidatorIndex, ValidatorSet, Vote, VoteKind,
};

/// A validator's place in a network: what it can sign, and what it has to know to do so.
#[derive(Debug, Clone, Copy)]
pub struct Seat<'a> {
    /// Whose.
    pub me: ValidatorIndex,
    /// Its key.
    pub key: &'a SecretKey,
    /// The keys of those with whom it conspires, by index; none among real peers.
    pub keys: &'a [SecretKey],
    /// What signatures are bound to.
    pub domain: &'a Domain,
    /// Everybody.
    pub validators: &'a ValidatorSet,
    /// How long the first view lasts without a decision.
    pub view_timeout: Duration,
    /// What it puts into blocks that it makes up, and the root of that.
    pub filling: (&'a [Transaction], B256),
}

impl<'a> Seat<'a> {
    /// Every other validator.
    pub fn others(self) -> impl Iterator<Item = ValidatorIndex> + use<> {
        self.validators.others(self.me)
    }

    /// What messages of consensus are signed with.
    pub fn signer(self) -> (&'a SecretKey, &'a Domain, u64) {
        (self.key, self.domain, self.validators.epoch())
    }

    /// A vote of its own.
    pub fn vote(self, kind: VoteKind, (view, height): (u64, u64), block_hash: B256) -> Arc<Vote> {
        let place = (self.validators.epoch(), view, height);
        Arc::new(Vote::sign(kind, place, block_hash, self.me, self.key, self.domain))
    }

    /// A vote of somebody with whom it conspires.
    pub fn vote_of(
        self,
        by: ValidatorIndex,
        kind: VoteKind,
        (view, height): (u64, u64),
        block_hash: B256,
    ) -> Option<Arc<Vote>> {
        let place = (self.validators.epoch(), view, height);
        Some(Arc::new(Vote::sign(kind, place, block_hash, by, self.keys.get(by.as_usize())?, self.domain)))
    }

    /// A block of its own. Another salt makes another one.
    pub fn block(self, height: u64, parent_hash: B256, salt: u64) -> Arc<Block> {
        self.block_at(height, (height, parent_hash), salt)
    }

    /// A block of a time, in milliseconds, on top of another.
    pub fn block_at(self, timestamp: u64, place: (u64, B256), salt: u64) -> Arc<Block> {
        let (transactions, root) = self.filling;
        let header = self.header(timestamp, place, (root, B256::left_padding_from(&salt.to_be_bytes())));
        Arc::new(Block { header, transactions: transactions.into() })
    }

    /// What is above a block of its own, given its height and parent, and the roots of its transactions and results.
    pub fn header(
        self,
        timestamp: u64,
        (height, parent_hash): (u64, B256),
        (transactions_root, results_root): (B256, B256),
    ) -> Header {
        Header {
            network_id: self.domain.network_id,
            chain_id: self.domain.chain_id,
            epoch: self.validators.epoch(),
            height,
            timestamp,
            proposer: self.key.address(),
            parent_hash,
            transactions_root,
            results_root,
        }
    }
}
