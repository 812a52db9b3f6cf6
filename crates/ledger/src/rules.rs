//! What a transaction may do, given what was done before it.

use std::collections::BTreeSet;

use dtn_pow::{PowError, Puzzle};
use dtn_primitives::{
    Address, B256, Claim, Domain, Genesis, Order, Payload, Transaction, TransactionError, WorkResult,
};

use crate::state::{Changes, OrderStatus, State};

/// Why a transaction may not be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not acceptable whatever the state: a field or the signature is wrong.
    #[error(transparent)]
    Invalid(#[from] TransactionError),
    /// The nonce was used before.
    #[error("nonce {have} was used before; the account's next is {next}")]
    NonceTooLow {
        /// The order's nonce.
        have: u64,
        /// The account's next one.
        next: u64,
    },
    /// The nonce leaves a gap, or a gap that is too long to wait for.
    #[error("nonce {have} is too high; the account's next is {next}")]
    NonceTooHigh {
        /// The order's nonce.
        have: u64,
        /// The account's next one.
        next: u64,
    },
    /// Only the genesis's requesters may ask for work.
    #[error("{0} is not among the requesters of the genesis, so its orders may ask for no work")]
    NotRequester(Address),
    /// No block contains the order that is claimed.
    #[error("no order {0} is known")]
    UnknownOrder(B256),
    /// The order has its winner.
    #[error("the order is closed: {winner} won it with claim {claim}")]
    OrderClosed {
        /// The winning claim's transaction hash.
        claim: B256,
        /// Who signed it.
        winner: Address,
    },
    /// The order asks for no work, so it cannot be claimed.
    #[error("order {0} asks for no work")]
    NothingToClaim(B256),
    /// The claim does not show the work that the order asks for.
    #[error("the work: {0}")]
    InvalidWork(#[from] PowError),
}

/// The part of the genesis that execution depends on.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) domain: Domain,
    requesters: BTreeSet<Address>,
}

impl Rules {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        Self { domain: genesis.domain(), requesters: genesis.requesters.iter().copied().collect() }
    }

    /// Whether the sender may place such an order.
    pub(crate) fn allow_order(&self, sender: Address, order: &Order) -> Result<(), Refusal> {
        order.validate()?;
        if order.work.is_none() || self.requesters.contains(&sender) {
            Ok(())
        } else {
            Err(Refusal::NotRequester(sender))
        }
    }

    /// Whether the claim wins an order of this status; gives the order.
    pub(crate) fn allow_claim<'a>(
        &self,
        sender: Address,
        claim: &Claim,
        status: Option<&'a OrderStatus>,
    ) -> Result<&'a Order, Refusal> {
        let (order, work) = match status {
            None => return Err(Refusal::UnknownOrder(claim.order)),
            Some(OrderStatus::Closed { claim, winner, .. }) => {
                return Err(Refusal::OrderClosed { claim: *claim, winner: *winner });
            }
            Some(OrderStatus::Open { order: order @ Order { work: Some(work), .. }, .. }) => (order, work),
            Some(_) => return Err(Refusal::NothingToClaim(claim.order)),
        };
        let puzzle = Puzzle::new(self.domain.network_id, claim.order, sender, work.expected_hashes)?;
        puzzle.check(claim.nonce, claim.hash)?;
        Ok(order)
    }
}

/// A block being executed on top of a state.
///
/// Signatures are not checked here, because the caller knows which of them were checked before.
pub(crate) struct Execution<'a> {
    rules: &'a Rules,
    state: &'a State,
    height: u64,
    pub(crate) changes: Changes,
    pub(crate) results: Vec<WorkResult>,
}

impl<'a> Execution<'a> {
    pub(crate) fn new(rules: &'a Rules, state: &'a State, height: u64) -> Self {
        Self { rules, state, height, changes: Changes::default(), results: Vec::new() }
    }

    /// Executes a transaction, or changes nothing.
    pub(crate) fn apply(&mut self, transaction: &Transaction, hash: B256) -> Result<(), Refusal> {
        match &transaction.payload {
            Payload::Order(order) => self.apply_order(transaction.sender, order, hash),
            Payload::Claim(claim) => self.apply_claim(transaction.sender, claim, hash),
            Payload::Data { nonce, .. } => self.use_nonce(transaction.sender, *nonce),
        }
    }

    fn use_nonce(&mut self, sender: Address, nonce: u64) -> Result<(), Refusal> {
        let next = self.changes.nonces.get(&sender).copied().unwrap_or_else(|| self.state.next_nonce(sender));
        check_nonce(nonce, next..=next)?;
        self.changes.nonces.insert(sender, next.saturating_add(1));
        Ok(())
    }

    fn apply_order(&mut self, sender: Address, order: &Order, hash: B256) -> Result<(), Refusal> {
        self.rules.allow_order(sender, order)?;
        self.use_nonce(sender, order.nonce)?;
        let height = self.height;
        let status = match order.work {
            Some(_) => OrderStatus::Open { order: order.clone(), height },
            None => OrderStatus::Recorded { height },
        };
        // A nonce is used at most once and is part of the hash, so no other order has this one.
        self.changes.orders.insert(hash, status);
        Ok(())
    }

    fn apply_claim(&mut self, sender: Address, claim: &Claim, hash: B256) -> Result<(), Refusal> {
        let status = self.changes.orders.get(&claim.order).or_else(|| self.state.order(claim.order));
        let amount = self.rules.allow_claim(sender, claim, status)?.reward;
        let index = self.results.len() as u32;
        let closed = OrderStatus::Closed { claim: hash, winner: sender, height: self.height, index };
        self.results.push(WorkResult { id: claim.order, payee: claim.payee, amount, digest: hash });
        self.changes.orders.insert(claim.order, closed);
        Ok(())
    }
}

/// Whether a nonce is among those allowed, the first of which is the account's next. The last nonce there is would
/// leave the account without a next one, so it is never allowed.
pub(crate) fn check_nonce(have: u64, allowed: std::ops::RangeInclusive<u64>) -> Result<(), Refusal> {
    let next = *allowed.start();
    if have < next {
        Err(Refusal::NonceTooLow { have, next })
    } else if have > *allowed.end() || have == u64::MAX {
        Err(Refusal::NonceTooHigh { have, next })
    } else {
        Ok(())
    }
}
