//! Races: how long they take claims, who wins, and when nobody does.
//!
//! A race is decided in block time, so that no single primary decides it. The first claim opens a window, in which every
//! claim with a lower hash than all before it takes the lead. The first block after the window ends the race. A primary
//! that keeps claims out has to do so for the whole window, and those who vote refuse its blocks for that, see
//! `fairness.rs`.

use dtn_primitives::{Address, B256, Claim, Kind, Payload, Solution, U256, WorkResult, codec};
use serde::{Deserialize, Serialize};

use crate::{
    Refusal,
    work::open::{Ends, over},
};

/// How long after its first claim a race is searched on, in milliseconds. What is found later counts for nobody.
///
/// What a liar can gain as the primary is twice [`TOLERANCE_MS`]: it may keep out what others find in that time, and is
/// believed what it finds then itself. With the window fifteen times as long, a quarter of the hash rate wins no more than
/// 26.3 % of the races, however short they are; see `docs/protocols/pow.md`.
pub const CLAIM_WINDOW_MS: u64 = 1_500;

/// By how much two validators may differ about how long after a race's first claim another came, in milliseconds: their
/// distances from whoever found the two differ. A claim must count if it came in the window, and must not if it came more
/// than twice this after it; blocks of correct validators take what is in the middle of that.
pub const TOLERANCE_MS: u64 = 50;

/// Within which time a claim is taken to get to all validators, in milliseconds.
pub const DELIVERY_MS: u64 = 300;

/// How long after its first claim a race goes on: until every claim of the window has had the time to get around.
pub(crate) const CLAIM_LIMIT_MS: u64 = CLAIM_WINDOW_MS + DELIVERY_MS;

/// How long after its block an order takes a first claim, in milliseconds: thirty days.
pub const ORDER_LIFETIME_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// How long after its block a line takes a first claim, in milliseconds: an hour.
pub const LINE_LIFETIME_MS: u64 = 60 * 60 * 1_000;

/// An order or a line that takes claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenOrder {
    /// Who asks for the work.
    pub requester: Address,
    /// What was signed for it.
    pub payload: Payload,
    /// The height of its block.
    pub height: u64,
    /// The timestamp of its block.
    pub opened_at_ms: u64,
    /// The hash of its block, which is the id of the race: before the block is there, nobody can begin.
    pub race: B256,
    /// The claim with the lowest hash so far.
    pub lead: Option<Lead>,
}

/// The claim that wins unless another has a lower hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// The timestamp of the block with the race's first claim.
    pub first_ms: u64,
    /// Who signed the claim.
    pub worker: Address,
    /// The claim.
    pub claim: Claim,
    /// Its transaction hash.
    pub transaction: B256,
}

impl OpenOrder {
    /// The expected number of hashes that a claim must show.
    pub fn expected_hashes(&self) -> Option<u64> {
        self.payload.expected_hashes()
    }

    /// What the winner earns, in wei.
    pub fn reward(&self) -> U256 {
        match &self.payload {
            Payload::Order(order) => order.reward,
            _ => U256::ZERO,
        }
    }

    /// The last moment, by the blocks' timestamps, before the race ends: the first later block ends it.
    pub fn ends_ms(&self) -> u64 {
        match (&self.lead, &self.payload) {
            (Some(lead), _) => lead.first_ms.saturating_add(CLAIM_LIMIT_MS),
            (None, Payload::Line(_)) => self.opened_at_ms.saturating_add(LINE_LIFETIME_MS),
            (None, _) => self.opened_at_ms.saturating_add(ORDER_LIFETIME_MS),
        }
    }

    /// Whether a claim with this hash takes the lead in a block with this timestamp. The block that ends a race takes
    /// claims too, so that what waits while no block is made is not lost; but not one that would be the first.
    pub(crate) fn take(&self, order: B256, hash: B256, timestamp_ms: u64) -> Result<(), Refusal> {
        match &self.lead {
            Some(lead) if hash >= lead.claim.hash => Err(Refusal::Outdone { order, lowest: lead.claim.hash }),
            None if timestamp_ms > self.ends_ms() => Err(Refusal::NotOpen(order)),
            _ => Ok(()),
        }
    }

    /// What the race's end gives: nothing if nobody has claimed it.
    pub(crate) fn result(&self, order: B256) -> Option<(WorkResult, Solution)> {
        let Lead { worker, claim, transaction, .. } = self.lead.as_ref()?;
        let (payee, amount) = (claim.payee, self.reward());
        let result = WorkResult { kind: Kind::RACE, id: order, worker: *worker, payee, amount, digest: *transaction };
        let solution = Solution {
            requester: self.requester,
            order: codec::encode(&self.payload).into(),
            claim: codec::encode(&Payload::Claim(claim.clone())).into(),
        };
        Some((result, solution))
    }
}

/// The orders whose races a block with this timestamp ends, of those that are open before it, the longest overdue first.
pub fn races_over<'a>(open: impl IntoIterator<Item = (B256, &'a OpenOrder)>, timestamp_ms: u64) -> Vec<B256> {
    over(open, timestamp_ms)
}

impl Ends for OpenOrder {
    fn ends_ms(&self) -> u64 {
        Self::ends_ms(self)
    }

    fn requester(&self) -> Address {
        self.requester
    }
}
