//! What a transaction may do, given what was done before it.

use std::collections::BTreeSet;

use dtn_pow::{PowError, Puzzle};
use dtn_primitives::{
    Address, B256, Claim, Domain, Genesis, Order, Payload, Transaction, TransactionError, WorkResult,
};

use crate::state::{Changes, OpenOrder, View};

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
    /// The order takes no claim: it has its winner, asks for no work, or is in no block.
    #[error("order {0} is not open: it has its winner, asks for no work, or is in no block")]
    NotOpen(B256),
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

    /// Whether the claim wins an order, which is given if it is open.
    pub(crate) fn allow_claim<'a>(
        &self,
        sender: Address,
        claim: &Claim,
        open: Option<&'a OpenOrder>,
    ) -> Result<&'a Order, Refusal> {
        let order = open.map(|open| &open.order).ok_or(Refusal::NotOpen(claim.order))?;
        let work = order.work.ok_or(Refusal::NotOpen(claim.order))?;
        let puzzle = Puzzle::new(self.domain.network_id, claim.order, sender, work.expected_hashes)?;
        puzzle.check(claim.nonce, claim.hash)?;
        Ok(order)
    }
}

/// The account nonce that a payload uses up, if it needs one.
pub(crate) fn nonce(payload: &Payload) -> Option<u64> {
    match payload {
        Payload::Order(order) => Some(order.nonce),
        Payload::Data { nonce, .. } => Some(*nonce),
        Payload::Claim(_) => None,
    }
}

/// A block being executed on top of what its parent leads to.
///
/// Signatures are not checked here, because the caller knows which of them were checked before.
pub(crate) struct Execution<'a> {
    rules: &'a Rules,
    parent: View<'a>,
    height: u64,
    pub(crate) changes: Changes,
    pub(crate) results: Vec<WorkResult>,
}

impl<'a> Execution<'a> {
    pub(crate) fn new(rules: &'a Rules, parent: View<'a>, height: u64) -> Self {
        Self { rules, parent, height, changes: Changes::default(), results: Vec::new() }
    }

    /// Executes a transaction, or changes nothing.
    pub(crate) fn apply(&mut self, transaction: &Transaction, hash: B256) -> Result<(), Refusal> {
        let sender = transaction.sender;
        let mut following = None;
        if let Some(nonce) = nonce(&transaction.payload) {
            let next = self.changes.nonces.get(&sender).copied().unwrap_or_else(|| self.parent.next_nonce(sender));
            check_nonce(nonce, next..=next)?;
            following = Some(next.saturating_add(1));
        }
        match &transaction.payload {
            Payload::Order(order) => self.apply_order(sender, order, hash)?,
            Payload::Data { .. } => {}
            Payload::Claim(claim) => self.apply_claim(sender, claim, hash)?,
        }
        if let Some(next) = following {
            self.changes.nonces.insert(sender, next);
        }
        Ok(())
    }

    fn apply_order(&mut self, sender: Address, order: &Order, hash: B256) -> Result<(), Refusal> {
        self.rules.allow_order(sender, order)?;
        if order.work.is_some() {
            // A nonce is used at most once and is part of the hash, so no other order has this one.
            let open = OpenOrder { order: order.clone(), height: self.height };
            self.changes.orders.insert(hash, Some(open));
        }
        Ok(())
    }

    fn apply_claim(&mut self, sender: Address, claim: &Claim, hash: B256) -> Result<(), Refusal> {
        let open = match self.changes.orders.get(&claim.order) {
            Some(changed) => changed.as_ref(),
            None => self.parent.order(claim.order),
        };
        let amount = self.rules.allow_claim(sender, claim, open)?.reward;
        self.results.push(WorkResult { id: claim.order, worker: sender, payee: claim.payee, amount, digest: hash });
        self.changes.orders.insert(claim.order, None);
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
