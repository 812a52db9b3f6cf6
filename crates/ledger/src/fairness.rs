//! What a validator demands of a fresh block beside its validity, so that no primary decides alone who wins.
//!
//! Validity is the same for everybody and for ever. Fairness rests on when this validator heard of what, so two validators
//! may judge differently, and a refusal is for a while only: after [`PATIENCE_MS`] the block is taken as it is, since a
//! network that is slower than [`DELIVERY_MS`] must go on, too. A primary that loses its view by then has gained nothing.
//! Where the blocks of many primaries look unfair, it is the network that is slow, and `leniency.rs` makes allowance for it.

use std::collections::BTreeSet;

use dtn_primitives::{B256, Block, Payload};

use crate::{
    BlockError, CLAIM_WINDOW_MS, DELIVERY_MS, TOLERANCE_MS,
    mempool::Mempool,
    work::{Execution, race::CLAIM_LIMIT_MS},
};

/// After which time since its arrival a block is voted for although it is not fair, in milliseconds: more than twice the
/// view timeout that peers have unless they are told otherwise.
pub const PATIENCE_MS: u64 = 5_000;

/// Within which time a completion is taken to be everywhere with its proof, fetched and verified, in milliseconds.
pub(crate) const PROOF_DELIVERY_MS: u64 = 2_000;

/// Why a block is not fair, as far as this validator can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfairness {
    /// It leaves out a claim, a completion or the end of a round that its proposer must have had and that it had room for.
    #[error("it leaves out {0}, which was here long before it")]
    LeftOut(B256),
    /// It has a claim that was found after the race's window.
    #[error("its transaction {index} is a claim that came after the window of the race for {order}")]
    LateClaim {
        /// The transaction's place.
        index: usize,
        /// What is raced for.
        order: B256,
    },
    /// It has the first claim of a race, and a time before anybody here had heard of one: the window would be shorter.
    #[error("its time would shorten the window of the race for {0}")]
    Backdated(B256),
    /// It ends a race before the window is over by this validator's clock.
    #[error("it ends the race for {order} by {early_ms} ms too early")]
    EndsEarly {
        /// What is raced for.
        order: B256,
        /// By how much.
        early_ms: u64,
    },
}

/// When a block is judged, in milliseconds by this validator's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judgement {
    /// When the block came.
    pub(crate) arrived_ms: u64,
    /// Now.
    pub(crate) now_ms: u64,
    /// By how much later than it should anything may have come, in milliseconds; see `leniency.rs`.
    pub(crate) lenient_ms: u64,
    /// What more the block could hold: transactions, and their encoded size.
    pub(crate) room: (usize, usize),
}

/// Checks whether a block is fair, all of whose transactions were executed and whose races were not ended yet.
pub(crate) fn check(
    block: &Block,
    execution: &mut Execution<'_>,
    mempool: &Mempool,
    hashes: &[B256],
    Judgement { arrived_ms, now_ms, lenient_ms, room: (count, bytes) }: Judgement,
) -> Result<(), BlockError> {
    if now_ms >= arrived_ms.saturating_add(PATIENCE_MS) {
        return Ok(());
    }
    let timestamp = block.header.timestamp;
    let claims_ms = CLAIM_WINDOW_MS + 2 * TOLERANCE_MS + 2 * lenient_ms;
    for (index, (transaction, hash)) in block.transactions.iter().zip(hashes).enumerate() {
        let Payload::Claim(claim) = &transaction.payload else { continue };
        let Some(first_ms) = mempool.first_heard(claim.order) else { continue };
        let order = claim.order;
        if mempool.heard(*hash).unwrap_or(arrived_ms) > first_ms.saturating_add(claims_ms) {
            return Err(Unfairness::LateClaim { index, order }.into());
        }
        if execution.begins_window(order) && timestamp.saturating_add(DELIVERY_MS + lenient_ms) < first_ms {
            return Err(Unfairness::Backdated(order).into());
        }
    }
    let early = |order| {
        let over_ms = mempool.first_heard(order)?.saturating_add(CLAIM_LIMIT_MS);
        over_ms.checked_sub(now_ms).filter(|early_ms| *early_ms > TOLERANCE_MS + lenient_ms)
    };
    let ended: BTreeSet<_> = execution.wins().collect();
    if let Some((order, early_ms)) = ended.iter().find_map(|order| Some((*order, early(*order)?))) {
        return Err(Unfairness::EndsEarly { order, early_ms }.into());
    }
    for (hash, transaction, size) in mempool.answers_due(arrived_ms, lenient_ms, &ended) {
        if count > 0 && size <= bytes && execution.apply(transaction, hash).is_ok() {
            return Err(Unfairness::LeftOut(hash).into());
        }
    }
    Ok(())
}
