//! What a block must satisfy to follow another.

use std::{collections::BTreeMap, sync::Arc};

use dtn_primitives::{
    Address, B256, Block, Genesis, Header, MAX_TRANSACTION_BYTES, Solution, ValidatorSet, WorkResult,
};

use crate::{Refusal, Tip, Unfairness, state::Changes};

/// How far ahead of this peer's clock a fresh proposal's timestamp may be, in milliseconds: what clocks that are kept by
/// NTP differ by, many times over. One millisecond after its parent's is never too far.
pub const MAX_AHEAD_MS: u64 = 1_000;

/// How far behind this peer's clock a fresh proposal's timestamp may be, in milliseconds: it has to get here, and to wait
/// for those before it. Where blocks are mined, which takes as long as it takes, there is no such limit.
pub const MAX_BEHIND_MS: u64 = 10_000;

/// The most transactions in a block, so that executing one and checking its signatures takes a bounded time.
pub const MAX_BLOCK_TRANSACTIONS: usize = 10_000;

/// How many blocks on top of the tip are remembered before they are final; where blocks are mined, so many more than may
/// be mined before.
pub const MAX_SPECULATIVE: usize = 8;

/// Why a block may not follow the tip or a block on top of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// It is of another network.
    #[error("the block is of network {0}")]
    WrongNetwork(B256),
    /// It settles on another chain.
    #[error("the block settles on chain {have}, not {need}")]
    WrongChain {
        /// The block's chain id.
        have: u64,
        /// The network's.
        need: u64,
    },
    /// It is of another validator set.
    #[error("the block is of epoch {have}, not {need}")]
    WrongEpoch {
        /// The block's epoch.
        have: u64,
        /// The validator set's.
        need: u64,
    },
    /// It is not the next one.
    #[error("the block has height {have}; the next is {need}")]
    WrongHeight {
        /// The block's height.
        have: u64,
        /// One above its parent's.
        need: u64,
    },
    /// It follows neither the tip nor a block on top of the tip that was proposed here or found valid.
    #[error("the block follows {0}, which is neither the tip nor a known block on top of it")]
    UnknownParent(B256),
    /// It follows a block too far above the tip.
    #[error("the block is more than {limit} above the tip")]
    TooFarAhead {
        /// How far it may be.
        limit: usize,
    },
    /// Its time is not after its parent's.
    #[error("the block's timestamp {have} is not after its parent's {parent}")]
    NotAfterParent {
        /// The block's timestamp, in milliseconds.
        have: u64,
        /// Its parent's.
        parent: u64,
    },
    /// Its time is too far in the future.
    #[error("the block's timestamp is {ahead_ms} ms ahead of this peer's clock")]
    FromTheFuture {
        /// How far.
        ahead_ms: u64,
    },
    /// Its time is too far in the past.
    #[error("the block's timestamp is {behind_ms} ms behind this peer's clock")]
    FromThePast {
        /// How far.
        behind_ms: u64,
    },
    /// Its proposer is no validator.
    #[error("the proposer {0} is not a validator")]
    UnknownProposer(Address),
    /// It is longer than the genesis allows.
    #[error("{actual} bytes exceed the limit of {limit}")]
    TooLarge {
        /// Its encoded size.
        actual: usize,
        /// The genesis's limit.
        limit: u64,
    },
    /// It has too many transactions.
    #[error("{0} transactions, and a block has at most {MAX_BLOCK_TRANSACTIONS}")]
    TooManyTransactions(usize),
    /// One of its transactions is longer than any may be.
    #[error("transaction {index} of the block has {actual} bytes, more than {MAX_TRANSACTION_BYTES}")]
    TransactionTooLong {
        /// The transaction's place.
        index: usize,
        /// Its encoded size.
        actual: usize,
    },
    /// It is valid, and this peer does not vote for it for now.
    #[error("the block is not fair: {0}")]
    Unfair(#[from] Unfairness),
    /// Its header commits to other transactions.
    #[error("the transactions have root {have}, but the header names {named}")]
    TransactionsRoot {
        /// Of its transactions.
        have: B256,
        /// In its header.
        named: B256,
    },
    /// Its header commits to other results.
    #[error("the results have root {have}, but the header names {named}")]
    ResultsRoot {
        /// Of the results of its execution.
        have: B256,
        /// In its header.
        named: B256,
    },
    /// One of its completions has a proof that was not verified here, or something that an order for a trained model takes is not
    /// held here.
    #[error("transaction {index} of the block needs something that was not verified here")]
    Unproven {
        /// The transaction's place.
        index: usize,
    },
    /// One of its transactions cannot be executed.
    #[error("transaction {index} of the block: {refusal}")]
    Execution {
        /// The transaction's place.
        index: usize,
        /// Why.
        refusal: Refusal,
    },
}

/// A block that may follow its parent, with what its execution gives.
#[derive(Debug)]
pub(crate) struct CheckedBlock {
    pub(crate) block: Arc<Block>,
    pub(crate) hash: B256,
    pub(crate) encoded: Vec<u8>,
    pub(crate) transaction_hashes: Arc<[B256]>,
    pub(crate) results: Vec<WorkResult>,
    /// What shows the work of the results of races, by their ids.
    pub(crate) solutions: BTreeMap<B256, Solution>,
    /// The orders that it ends without a winner.
    pub(crate) expired: Vec<B256>,
    pub(crate) changes: Changes,
}

impl CheckedBlock {
    /// As the last block of the chain.
    pub(crate) fn tip(&self) -> Tip {
        Tip { height: self.block.header.height, hash: self.hash, timestamp: self.block.header.timestamp }
    }
}

/// Checks that a header is of this network.
pub(crate) fn check_network(
    header: &Header,
    genesis: &Genesis,
    validators: &ValidatorSet,
    network_id: B256,
) -> Result<(), BlockError> {
    if header.network_id != network_id {
        return Err(BlockError::WrongNetwork(header.network_id));
    }
    if header.chain_id != genesis.chain_id {
        return Err(BlockError::WrongChain { have: header.chain_id, need: genesis.chain_id });
    }
    if header.epoch != validators.epoch() {
        return Err(BlockError::WrongEpoch { have: header.epoch, need: validators.epoch() });
    }
    Ok(())
}

/// Compares the time of a fresh proposal with this peer's clock, when it came and now. What a quorum has finalized, or prepared before, is not
/// compared: the clocks said yes then.
///
/// The least time that a block may have, one millisecond after its parent's, is never too far ahead: if the clocks of all
/// were ahead once and are right now, nothing else can be proposed until the time has come.
pub(crate) fn check_time(
    header: &Header,
    parent: &Tip,
    (arrived_ms, now_ms): (u64, u64),
    mined: bool,
) -> Result<(), BlockError> {
    let ahead_ms = header.timestamp.saturating_sub(now_ms);
    if ahead_ms > MAX_AHEAD_MS && header.timestamp != parent.timestamp.saturating_add(1) {
        return Err(BlockError::FromTheFuture { ahead_ms });
    }
    let behind_ms = arrived_ms.saturating_sub(header.timestamp);
    if behind_ms > MAX_BEHIND_MS && !mined {
        return Err(BlockError::FromThePast { behind_ms });
    }
    Ok(())
}

impl BlockError {
    /// Whether the same block may be found good later: it is to be judged again, and nobody is to blame for good.
    pub fn is_for_now(&self) -> bool {
        matches!(self, Self::FromTheFuture { .. } | Self::FromThePast { .. } | Self::Unfair(_))
    }
}

/// Checks everything else in a header that does not depend on the transactions.
pub(crate) fn check_header(header: &Header, parent: &Tip, validators: &ValidatorSet) -> Result<(), BlockError> {
    if header.height != parent.height + 1 {
        return Err(BlockError::WrongHeight { have: header.height, need: parent.height + 1 });
    }
    if header.parent_hash != parent.hash {
        return Err(BlockError::UnknownParent(header.parent_hash));
    }
    if header.timestamp <= parent.timestamp {
        return Err(BlockError::NotAfterParent { have: header.timestamp, parent: parent.timestamp });
    }
    if validators.index_of(header.proposer).is_none() {
        return Err(BlockError::UnknownProposer(header.proposer));
    }
    Ok(())
}
