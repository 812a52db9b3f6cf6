//! Transactions that wait for a block.

mod admission;
mod executable;
mod upkeep;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
};

use dtn_primitives::{Address, B256, Claim, Payload, Transaction};

use crate::{
    CLAIM_WINDOW_MS, DELIVERY_MS,
    fairness::PROOF_DELIVERY_MS,
    rules::{Rules, Standing},
    state::{Slot, State, View},
};
pub use admission::AdmissionError;
pub(crate) use admission::Grounds;

/// How far ahead of its account's next nonce a transaction may wait.
pub const NONCE_WINDOW: u64 = 1_000;

/// How many transactions that no longer fit a selection passes over in search of shorter ones.
const MAX_PASSED_OVER: usize = 64;

/// How much may wait. Each [`Class`] has room of its own, so that none can fill that of another: what anybody may send
/// keeps out neither what requesters and validators do nor the answers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MempoolLimits {
    /// Transactions of a class.
    pub transactions: usize,
    /// Their encoded size.
    pub bytes: usize,
    /// Transactions of one sender.
    pub per_sender: usize,
    /// Claims for orders that no block contains yet; they count among the answers too.
    pub early_claims: usize,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self { transactions: 16_384, bytes: 16 * 1024 * 1024, per_sender: 2_048, early_claims: 1_024 }
    }
}

/// What shares room in a mempool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Claims, completions and the ends of rounds, which come first in a block too: races and rounds do not wait.
    Answer,
    /// What requesters ask for.
    Requester,
    /// What else validators send, lines above all.
    Validator,
    /// Everything else.
    Stranger,
}

impl Class {
    fn of(transaction: &Transaction, rules: &Rules) -> Self {
        match (Slot::of(transaction), rules.standing(transaction.sender)) {
            (Some(_), _) => Self::Answer,
            (None, Standing::Requester) => Self::Requester,
            (None, Standing::Validator) => Self::Validator,
            (None, Standing::Stranger) => Self::Stranger,
        }
    }
}

#[derive(Debug)]
struct Entry {
    transaction: Transaction,
    class: Class,
    bytes: usize,
    /// Counts admissions: who came first.
    arrival: u64,
    /// When it came, by this peer's clock.
    heard_ms: u64,
}

/// Where a claim is kept; everything else is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Waiting,
    Early,
    Known,
}

/// Answers first, then who came first.
type Place = (bool, u64, B256);

impl Entry {
    fn place(&self, hash: B256) -> Place {
        (self.class != Class::Answer, self.arrival, hash)
    }
}

/// What waits of one sender with a nonce. The transactions from `next` up to `gap` can be executed one after the other.
#[derive(Debug)]
struct Account {
    /// The account's next nonce after all blocks known, the ones that are not final included.
    next: u64,
    /// The first nonce from `next` on that no pending transaction has.
    gap: u64,
    /// How many transactions of the sender wait, claims included.
    pending: usize,
}

/// What waits. Everything in it has a valid signature.
///
/// It knows at any time what can be executed on top of the blocks known, those that are not final included: choosing
/// what to propose costs as much as what is chosen. What is in a block that is not final waits on, because the block
/// may be dropped, but is not chosen.
#[derive(Debug, Default)]
pub(crate) struct Mempool {
    limits: MempoolLimits,
    entries: HashMap<B256, Entry>,
    accounts: BTreeMap<Address, Account>,
    /// Hashes of the transactions with nonces, by sender and nonce.
    by_nonce: BTreeMap<(Address, u64), B256>,
    /// The transaction hash of the one that waits for each slot that is open at the tip.
    claims: BTreeMap<Slot, B256>,
    /// Transaction hashes of claims by orders that no final block contains: their senders are ahead of this peer.
    early: BTreeMap<B256, Vec<B256>>,
    /// Transaction hashes of claims that are not proposed, by orders, but are here to be known: those that came after the
    /// windows of their races, because others may have heard of them in time, and those of the windows whose workers have
    /// bettered them after, because a block may leave the better ones out.
    known: BTreeMap<B256, Vec<B256>>,
    /// What can be executed next: each account's transaction with its next nonce, and the claims.
    heads: BTreeSet<Place>,
    /// How much can be executed, one after the other.
    ready: Ready,
    /// How much waits of each class.
    waiting: BTreeMap<Class, Ready>,
    arrivals: u64,
    /// As it was last told.
    now_ms: u64,
    /// The first nonce of accounts that are not remembered, after all blocks known.
    floor: u64,
    /// When the first claim of a race was heard of, by this peer's clock.
    first_claims: BTreeMap<B256, u64>,
}

/// How much of what waits, above all of what can be executed on top of the blocks known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// Transactions.
    pub transactions: usize,
    /// Their encoded size.
    pub bytes: usize,
}

impl Ready {
    fn add(&mut self, entry: &Entry) {
        self.transactions += 1;
        self.bytes += entry.bytes;
    }

    fn subtract(&mut self, entry: &Entry) {
        self.transactions -= 1;
        self.bytes -= entry.bytes;
    }
}

impl Mempool {
    pub(crate) fn new(limits: MempoolLimits, now_ms: u64) -> Self {
        Self { limits, now_ms, ..Self::default() }
    }

    pub(crate) fn tell_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// When the first claim of a race was heard of.
    pub(crate) fn first_heard(&self, order: B256) -> Option<u64> {
        self.first_claims.get(&order).copied()
    }

    /// When a transaction that waits was heard of.
    pub(crate) fn heard(&self, hash: B256) -> Option<u64> {
        self.entries.get(&hash).map(|entry| entry.heard_ms)
    }

    /// What whoever proposed a block that arrived at this time must have had: claims within the windows of their races,
    /// completions and ends of rounds, with their encoded sizes. Of the races that the block has `ended` it is every claim
    /// of the window, however early the block was sent: they end no sooner than these have got around. What was heard of
    /// less than `lenient_ms` too early for that is not missed.
    pub(crate) fn answers_due(
        &self,
        arrived_ms: u64,
        lenient_ms: u64,
        ended: &BTreeSet<B256>,
    ) -> impl Iterator<Item = (B256, &Transaction, usize)> {
        let waiting = self.claims.values().chain(self.known.values().flatten());
        waiting.filter_map(move |hash| {
            let entry = self.entries.get(hash)?;
            let late_ms = entry.heard_ms.saturating_add(lenient_ms);
            let had_by = |delivery_ms| late_ms.saturating_add(delivery_ms) <= arrived_ms;
            let is_due = match &entry.transaction.payload {
                Payload::Claim(Claim { order, .. }) => {
                    self.is_in_window(*order, late_ms) && (ended.contains(order) || had_by(DELIVERY_MS))
                }
                _ => had_by(PROOF_DELIVERY_MS),
            };
            is_due.then_some((*hash, &entry.transaction, entry.bytes))
        })
    }

    /// Whether a claim that was heard of at this time must count.
    fn is_in_window(&self, order: B256, heard_ms: u64) -> bool {
        self.first_heard(order).is_none_or(|first_ms| heard_ms.saturating_sub(first_ms) <= CLAIM_WINDOW_MS)
    }

    pub(crate) fn limits(&self) -> MempoolLimits {
        self.limits
    }

    /// The first nonce of an account, after all blocks known, that nothing that waits has.
    pub(crate) fn free_nonce(&self, sender: Address, view: &View<'_>) -> u64 {
        self.accounts.get(&sender).map_or_else(|| view.next_nonce(sender), |account| account.gap)
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

    /// Everything, the longest waiting first.
    pub(crate) fn into_transactions(self) -> Vec<Transaction> {
        let mut entries: Vec<_> = self.entries.into_values().collect();
        entries.sort_unstable_by_key(|entry| entry.arrival);
        entries.into_iter().map(|entry| entry.transaction).collect()
    }

    /// The claims for an open order that wait.
    fn claims_for(&self, order: B256) -> impl Iterator<Item = (Slot, B256)> {
        let all = Slot::Claim(order, Address::ZERO)..=Slot::Claim(order, Address::repeat_byte(0xff));
        self.claims.range(all).map(|(slot, hash)| (*slot, *hash))
    }

    /// Whether a completion of this round by this validator waits.
    pub(crate) fn has_completion(&self, round: u64, node: Address) -> bool {
        self.claims.contains_key(&Slot::Completion(round, node))
    }

    pub(crate) fn ready(&self) -> Ready {
        self.ready
    }

    /// What may be next at the tip, whatever blocks that are not final contain, the longest waiting first: each account's
    /// transaction with its next nonce, and what has none.
    pub(crate) fn next_at_tip(&self, state: &State) -> Vec<(B256, &Transaction)> {
        let at_tip = |sender: &Address| self.by_nonce.get(&(*sender, state.next_nonce(*sender)));
        let next = self.accounts.keys().filter_map(at_tip).chain(self.claims.values());
        let mut next: Vec<_> = next.filter_map(|hash| Some((*hash, self.entries.get(hash)?))).collect();
        next.sort_unstable_by_key(|(_, entry)| entry.arrival);
        next.into_iter().map(|(hash, entry)| (hash, &entry.transaction)).collect()
    }

    /// Transactions that execute in this order on top of all blocks known: answers first, then the longest waiting, but a
    /// sender's by nonce.
    pub(crate) fn select(&self, max_bytes: usize, max_count: usize) -> Vec<(B256, &Transaction)> {
        let mut heads = self.heads.iter().copied().peekable();
        let mut following = BinaryHeap::new();
        let (mut selected, mut bytes, mut passed_over) = (Vec::new(), 0, 0);
        while selected.len() < max_count && passed_over < MAX_PASSED_OVER {
            let from_heads = match (heads.peek(), following.peek()) {
                (Some(head), Some(Reverse(next))) => head < next,
                (head, _) => head.is_some(),
            };
            let chosen = if from_heads { heads.next() } else { following.pop().map(|Reverse(next)| next) };
            let Some((.., hash)) = chosen else { break };
            let Some(entry) = self.entries.get(&hash) else { continue };
            // What is too long now is left out with what depends on it; something shorter may still fit.
            if bytes + entry.bytes > max_bytes {
                passed_over += 1;
                continue;
            }
            bytes += entry.bytes;
            selected.push((hash, &entry.transaction));
            if let Some(nonce) = entry.transaction.payload.nonce()
                && let Some(next) = self.by_nonce.get(&(entry.transaction.sender, nonce.saturating_add(1)))
                && let Some(entry) = self.entries.get(next)
            {
                following.push(Reverse(entry.place(*next)));
            }
        }
        selected
    }
}
