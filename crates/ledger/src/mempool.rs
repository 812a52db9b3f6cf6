//! Transactions that wait for a block.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
};

use dtn_primitives::{Address, B256, Claim, MAX_TRANSACTION_BYTES, Order, Payload, Transaction, codec};

use crate::{
    OrderStatus, Refusal,
    rules::{Rules, check_nonce},
    state::{Changes, State},
    verified::Verified,
};

/// How far ahead of its account's next nonce an order may wait.
pub const NONCE_WINDOW: u64 = 1_000;

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MempoolLimits {
    /// All transactions.
    pub transactions: usize,
    /// Their encoded size.
    pub bytes: usize,
    /// Transactions of one sender.
    pub per_sender: usize,
    /// Claims for orders that no block contains yet; they count among all transactions too.
    pub early_claims: usize,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self { transactions: 16_384, bytes: 32 * 1024 * 1024, per_sender: 2_048, early_claims: 1_024 }
    }
}

/// Why a transaction was not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// It waits already.
    #[error("transaction {0} is pending already")]
    Duplicate(B256),
    /// Too much is waiting.
    #[error("the mempool is full")]
    Full,
    /// Too much of this sender is waiting.
    #[error("{0} has too many pending transactions")]
    SenderFull(Address),
    /// Another order of this sender waits with the same nonce.
    #[error("order {0} with the same nonce is pending already")]
    NonceTaken(B256),
    /// Another claim for the same order waits.
    #[error("claim {0} for the same order is pending already")]
    ClaimPending(B256),
    /// Longer than any transaction may be.
    #[error("{actual} bytes exceed the limit of {MAX_TRANSACTION_BYTES}")]
    TooLong {
        /// Its encoded size.
        actual: usize,
    },
    /// It could not be executed.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl AdmissionError {
    /// Whether no correct peer would have passed it on, whatever that peer's state.
    pub fn is_malformed(&self) -> bool {
        matches!(
            self,
            Self::TooLong { .. }
                | Self::Refused(Refusal::Invalid(_) | Refusal::InvalidWork(_) | Refusal::NotRequester(_))
        )
    }
}

#[derive(Debug)]
struct Entry {
    transaction: Transaction,
    bytes: usize,
    /// Counts admissions: who came first.
    arrival: u64,
}

/// What waits. Everything in it has a valid signature.
#[derive(Debug, Default)]
pub(crate) struct Mempool {
    limits: MempoolLimits,
    entries: HashMap<B256, Entry>,
    /// Transaction hashes of orders and data by sender and nonce.
    orders: BTreeMap<(Address, u64), B256>,
    /// The transaction hash of the one claim for each open order.
    claims: HashMap<B256, B256>,
    /// Transaction hashes of claims by orders that no block contains yet: their senders are a block ahead of this peer.
    early: BTreeMap<B256, Vec<B256>>,
    senders: HashMap<Address, usize>,
    bytes: usize,
    arrivals: u64,
}

impl Mempool {
    pub(crate) fn new(limits: MempoolLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, hash: B256) -> Option<&Transaction> {
        self.entries.get(&hash).map(|entry| &entry.transaction)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (B256, &Transaction)> {
        self.entries.iter().map(|(hash, entry)| (*hash, &entry.transaction))
    }

    /// Takes a transaction that could be executed. The signature, which costs most, is checked last.
    pub(crate) fn admit(
        &mut self,
        transaction: Transaction,
        rules: &Rules,
        state: &State,
        verified: &mut Verified,
    ) -> Result<B256, AdmissionError> {
        let bytes = codec::encode(&transaction).len();
        if bytes > MAX_TRANSACTION_BYTES {
            return Err(AdmissionError::TooLong { actual: bytes });
        }
        let hash = transaction.hash(&rules.domain);
        if self.entries.contains_key(&hash) {
            return Err(AdmissionError::Duplicate(hash));
        }
        let sender = transaction.sender;
        let mut early = false;
        if let Some(nonce) = transaction.payload.nonce() {
            let next = state.next_nonce(sender);
            check_nonce(nonce, next..=next.saturating_add(NONCE_WINDOW))?;
            if let Some(taken) = self.orders.get(&(sender, nonce)) {
                return Err(AdmissionError::NonceTaken(*taken));
            }
        }
        match &transaction.payload {
            Payload::Order(order) => rules.allow_order(sender, order)?,
            Payload::Data { .. } => {}
            Payload::Claim(claim) => {
                if let Some(pending) = self.claims.get(&claim.order) {
                    return Err(AdmissionError::ClaimPending(*pending));
                }
                match rules.allow_claim(sender, claim, state.order(claim.order)) {
                    Err(Refusal::UnknownOrder(_)) => early = true,
                    result => _ = result?,
                }
            }
        }
        if self.senders.get(&sender).is_some_and(|count| *count >= self.limits.per_sender) {
            return Err(AdmissionError::SenderFull(sender));
        }
        verified.validate(&transaction, hash, &rules.domain).map_err(Refusal::Invalid)?;
        self.make_room(&transaction, bytes, early, state)?;
        self.insert(hash, transaction, bytes, early);
        Ok(hash)
    }

    /// Makes room for a transaction that can be executed at the cost of orders that cannot, and for an early claim at
    /// the cost of the oldest one.
    fn make_room(
        &mut self,
        transaction: &Transaction,
        bytes: usize,
        early: bool,
        state: &State,
    ) -> Result<(), AdmissionError> {
        if early && self.early.values().map(Vec::len).sum::<usize>() >= self.limits.early_claims {
            let arrival = |hash: &&B256| self.entries.get(*hash).map(|entry| entry.arrival);
            let oldest = self.early.values().flatten().min_by_key(arrival).copied();
            oldest.map(|hash| self.remove(hash)).ok_or(AdmissionError::Full)?;
        }
        if self.fits(bytes) {
            return Ok(());
        }
        let ready = match transaction.payload.nonce() {
            Some(nonce) => nonce == self.first_gap(transaction.sender, state),
            None => !early,
        };
        let mut waiting = if ready { self.behind_gaps(state) } else { Vec::new() };
        while !self.fits(bytes) {
            let hash = waiting.pop().ok_or(AdmissionError::Full)?;
            self.remove(hash);
        }
        Ok(())
    }

    fn fits(&self, bytes: usize) -> bool {
        self.entries.len() < self.limits.transactions && self.bytes + bytes <= self.limits.bytes
    }

    /// The first nonce from the account's next on that no pending order has.
    fn first_gap(&self, sender: Address, state: &State) -> u64 {
        let next = state.next_nonce(sender);
        let pending = self.orders.range((sender, next)..=(sender, u64::MAX));
        pending.fold(next, |gap, ((_, nonce), _)| if *nonce == gap { gap + 1 } else { gap })
    }

    /// The orders that cannot be executed because an earlier one of their sender is missing.
    fn behind_gaps(&self, state: &State) -> Vec<B256> {
        let mut behind = Vec::new();
        let mut current: Option<(Address, u64)> = None;
        for ((sender, nonce), hash) in &self.orders {
            let gap = match current {
                Some((address, gap)) if address == *sender => gap,
                _ => self.first_gap(*sender, state),
            };
            current = Some((*sender, gap));
            if *nonce > gap {
                behind.push(*hash);
            }
        }
        behind
    }

    fn insert(&mut self, hash: B256, transaction: Transaction, bytes: usize, early: bool) {
        match &transaction.payload {
            Payload::Order(Order { nonce, .. }) | Payload::Data { nonce, .. } => {
                self.orders.insert((transaction.sender, *nonce), hash);
            }
            Payload::Claim(claim) if early => self.early.entry(claim.order).or_default().push(hash),
            Payload::Claim(claim) => _ = self.claims.insert(claim.order, hash),
        }
        *self.senders.entry(transaction.sender).or_default() += 1;
        self.bytes += bytes;
        self.arrivals += 1;
        self.entries.insert(hash, Entry { transaction, bytes, arrival: self.arrivals });
    }

    /// Drops a transaction.
    pub(crate) fn remove(&mut self, hash: B256) {
        let Some(entry) = self.entries.remove(&hash) else { return };
        let sender = entry.transaction.sender;
        match &entry.transaction.payload {
            Payload::Order(Order { nonce, .. }) | Payload::Data { nonce, .. } => {
                self.orders.remove(&(sender, *nonce));
            }
            Payload::Claim(Claim { order, .. }) => {
                if self.claims.get(order) == Some(&hash) {
                    self.claims.remove(order);
                }
                if let Some(early) = self.early.get_mut(order) {
                    early.retain(|claim| *claim != hash);
                    if early.is_empty() {
                        self.early.remove(order);
                    }
                }
            }
        }
        if let Some(count) = self.senders.get_mut(&sender) {
            *count -= 1;
            if *count == 0 {
                self.senders.remove(&sender);
            }
        }
        self.bytes -= entry.bytes;
    }

    /// Transactions that execute in this order on top of the state: the longest waiting first, but a sender's orders by
    /// nonce, and one claim an order.
    pub(crate) fn select(&self, max_bytes: usize, max_count: usize, state: &State) -> Vec<(B256, &Transaction)> {
        let ready = |hash: B256| self.entries.get(&hash).map(|entry| Reverse((entry.arrival, hash)));
        let mut candidates: BinaryHeap<_> = self.claims.values().filter_map(|hash| ready(*hash)).collect();
        for sender in self.senders.keys() {
            let next = self.orders.get(&(*sender, state.next_nonce(*sender)));
            candidates.extend(next.and_then(|hash| ready(*hash)));
        }
        let (mut selected, mut bytes) = (Vec::new(), 0);
        while let Some(Reverse((_, hash))) = candidates.pop() {
            let Some(entry) = self.entries.get(&hash) else { continue };
            if selected.len() == max_count {
                break;
            }
            // What is too long now is left out with what depends on it; something shorter may still fit.
            if bytes + entry.bytes > max_bytes {
                continue;
            }
            bytes += entry.bytes;
            selected.push((hash, &entry.transaction));
            if let Some(nonce) = entry.transaction.payload.nonce() {
                let following = self.orders.get(&(entry.transaction.sender, nonce.saturating_add(1)));
                candidates.extend(following.and_then(|hash| ready(*hash)));
            }
        }
        selected
    }

    /// Drops what a block has executed or made impossible. `state` already includes the block's changes.
    pub(crate) fn prune(&mut self, changes: &Changes, rules: &Rules, state: &State) {
        for (sender, next) in &changes.nonces {
            let used: Vec<_> =
                self.orders.range((*sender, 0)..(*sender, *next)).map(|(_, transaction)| *transaction).collect();
            used.into_iter().for_each(|hash| self.remove(hash));
        }
        for (order, status) in &changes.orders {
            if !matches!(status, OrderStatus::Open { .. })
                && let Some(claim) = self.claims.get(order)
            {
                self.remove(*claim);
            }
            for hash in self.early.remove(order).unwrap_or_default() {
                self.settle_early(hash, *order, rules, state);
            }
        }
    }

    /// An early claim whose order is known now becomes the order's claim if it is the first to show the work.
    fn settle_early(&mut self, hash: B256, order: B256, rules: &Rules, state: &State) {
        let Some(entry) = self.entries.get(&hash) else { return };
        let Payload::Claim(claim) = &entry.transaction.payload else { return };
        let wins = rules.allow_claim(entry.transaction.sender, claim, state.order(order)).is_ok();
        if wins && !self.claims.contains_key(&order) {
            self.claims.insert(order, hash);
        } else {
            self.remove(hash);
        }
    }
}
