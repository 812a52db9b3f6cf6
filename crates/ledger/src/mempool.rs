//! Transactions that wait for a block.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
};

use dtn_primitives::{Address, B256, Claim, MAX_TRANSACTION_BYTES, Payload, Transaction, codec};

use crate::{
    Refusal, Store,
    proofs::Proofs,
    rules::{Rules, check_nonce},
    state::{Changes, Slot, State, View},
    verified::Verified,
};

/// How far ahead of its account's next nonce a transaction may wait.
pub const NONCE_WINDOW: u64 = 1_000;

/// How many transactions that no longer fit a selection passes over in search of shorter ones.
const MAX_PASSED_OVER: usize = 64;

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
    /// Races that may be open before lines are refused.
    pub open_races: usize,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self {
            transactions: 16_384,
            bytes: 32 * 1024 * 1024,
            per_sender: 2_048,
            early_claims: 1_024,
            open_races: 16_384,
        }
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
    /// Another transaction of this sender waits with the same nonce.
    #[error("transaction {0} with the same nonce is pending already")]
    NonceTaken(B256),
    /// Another transaction waits for what only one of them can have: a worker's part in a race or in a round, or the
    /// round's end.
    #[error("transaction {0} claims the same and is pending already")]
    ClaimPending(B256),
    /// So many better claims for the order wait that this one cannot win.
    #[error("{MAX_RIVALS} claims with lower hashes wait for order {0}")]
    Outdone(B256),
    /// Too many races are open for a line to open another.
    #[error("{0} races are open, too many for another: the peers are busy with them")]
    RacesFull(usize),
    /// The proof of a completion has not been verified here.
    #[error("the proof of completion {0} has not been verified here")]
    Unproven(B256),
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
                | Self::Refused(
                    Refusal::Invalid(_)
                        | Refusal::InvalidWork(_)
                        | Refusal::NotRequester(_)
                        | Refusal::NotValidator(_)
                        | Refusal::RoundQuorum { .. }
                )
        )
    }
}

/// The most claims for one order that wait, those with the lowest hashes.
const MAX_RIVALS: usize = 16;

#[derive(Debug)]
struct Entry {
    transaction: Transaction,
    bytes: usize,
    /// Counts admissions: who came first.
    arrival: u64,
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
    /// What can be executed next, by arrival: each account's transaction with its next nonce, and the claims.
    heads: BTreeSet<(u64, B256)>,
    /// How much can be executed, one after the other.
    ready: Ready,
    bytes: usize,
    arrivals: u64,
}

/// How much can be executed on top of the blocks known.
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

/// What admission rests on beside the transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grounds<'a> {
    pub(crate) rules: &'a Rules,
    /// At the tip.
    pub(crate) state: &'a State,
    /// After all blocks known.
    pub(crate) view: &'a View<'a>,
    pub(crate) store: &'a Store,
    pub(crate) proofs: &'a Proofs,
}

impl Grounds<'_> {
    /// Whether an order is in a final block. If the store cannot be read, the claim waits as if its order were unknown, and
    /// the next block fails.
    fn was_ordered(&self, order: B256) -> bool {
        matches!(self.store.result_of(order), Ok(Some(_))) || matches!(self.store.transaction(order), Ok(Some(_)))
    }
}

impl Mempool {
    pub(crate) fn new(limits: MempoolLimits) -> Self {
        Self { limits, ..Self::default() }
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

    /// Whether a claim for this open order waits.
    pub(crate) fn has_claim(&self, order: B256) -> bool {
        self.claims_for(order).next().is_some()
    }

    /// The claims for an open order that wait.
    fn claims_for(&self, order: B256) -> impl Iterator<Item = (Slot, B256)> {
        let all = Slot::Claim(order, Address::ZERO)..=Slot::Claim(order, Address::repeat_byte(0xff));
        self.claims.range(all).map(|(slot, hash)| (*slot, *hash))
    }

    /// The claim that has to go if this one comes, which is that with the highest hash if so many wait already. It may
    /// be the one that comes.
    fn outdone(&self, hash: B256, claim: &Claim) -> Option<B256> {
        let rivals = self.claims_for(claim.order).filter_map(|(_, rival)| match &self.get(rival)?.payload {
            Payload::Claim(claim) => Some((claim.hash, rival)),
            _ => None,
        });
        let rivals: Vec<_> = rivals.collect();
        let full = rivals.len() >= MAX_RIVALS;
        rivals.into_iter().chain([(claim.hash, hash)]).max().filter(|_| full).map(|(_, last)| last)
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

    /// Takes a transaction that could be executed at the tip or later. The signature, which costs most, is checked last of
    /// what the transaction itself shows.
    pub(crate) fn admit(
        &mut self,
        transaction: Transaction,
        grounds: &Grounds<'_>,
        verified: &mut Verified,
    ) -> Result<B256, AdmissionError> {
        let Grounds { rules, state, view, .. } = *grounds;
        let bytes = codec::encode(&transaction).len();
        if bytes > MAX_TRANSACTION_BYTES {
            return Err(AdmissionError::TooLong { actual: bytes });
        }
        let hash = transaction.hash(&rules.domain);
        if self.entries.contains_key(&hash) {
            return Err(AdmissionError::Duplicate(hash));
        }
        let sender = transaction.sender;
        if let Some(nonce) = transaction.payload.nonce() {
            let next = state.next_nonce(sender);
            check_nonce(nonce, next..=next.saturating_add(NONCE_WINDOW))?;
            if let Some(taken) = self.by_nonce.get(&(sender, nonce)) {
                return Err(AdmissionError::NonceTaken(*taken));
            }
        }
        if let Some(pending) = Slot::of(&transaction).and_then(|slot| self.claims.get(&slot)) {
            return Err(AdmissionError::ClaimPending(*pending));
        }
        let (mut early, mut outdone) = (false, None);
        match &transaction.payload {
            Payload::Order(order) => rules.allow_order(sender, order, hash)?,
            Payload::Data { .. } => {}
            Payload::Round(round) => {
                rules.allow_round(sender, round)?;
                // It would wait for as long as the open round lasts, and the sender's nonces with it.
                if let Some(open) = &state.rounds.open {
                    return Err(Refusal::RoundUnderWay(open.number).into());
                }
            }
            Payload::Completion(completion) => {
                _ = rules.allow_completion(sender, completion.round, &state.rounds)?;
            }
            Payload::CloseRound { round } => _ = rules.allow_close(sender, *round, &state.rounds)?,
            Payload::Line(_) => {
                rules.allow_line(sender, hash)?;
                if state.orders.len() >= self.limits.open_races {
                    return Err(AdmissionError::RacesFull(state.orders.len()));
                }
            }
            Payload::Claim(claim) => match rules.allow_claim(sender, claim, state.orders.get(&claim.order)) {
                Err(Refusal::NotOpen(order)) if !grounds.was_ordered(order) => early = true,
                result => {
                    result?;
                    outdone = self.outdone(hash, claim);
                    if outdone == Some(hash) {
                        return Err(AdmissionError::Outdone(claim.order));
                    }
                }
            },
        }
        if self.accounts.get(&sender).is_some_and(|account| account.pending >= self.limits.per_sender) {
            return Err(AdmissionError::SenderFull(sender));
        }
        verified.validate(&transaction, hash).map_err(Refusal::Invalid)?;
        if let Payload::Completion(completion) = &transaction.payload
            && !grounds.proofs.holds(sender, completion)
        {
            return Err(AdmissionError::Unproven(hash));
        }
        outdone.into_iter().for_each(|rival| self.remove(rival));
        self.make_room(&transaction, bytes, early, view)?;
        self.insert(hash, transaction, bytes, early, view);
        Ok(hash)
    }

    /// Makes room for a transaction that can be executed at the cost of some that cannot, and for an early claim at
    /// the cost of the oldest one.
    fn make_room(
        &mut self,
        transaction: &Transaction,
        bytes: usize,
        early: bool,
        view: &View<'_>,
    ) -> Result<(), AdmissionError> {
        if early && self.early.values().map(Vec::len).sum::<usize>() >= self.limits.early_claims {
            let arrival = |hash: &&B256| self.entries.get(*hash).map(|entry| entry.arrival);
            let oldest = self.early.values().flatten().min_by_key(arrival).copied();
            oldest.map(|hash| self.remove(hash)).ok_or(AdmissionError::Full)?;
        }
        if self.fits(bytes) {
            return Ok(());
        }
        let sender = transaction.sender;
        let gap = self.free_nonce(sender, view);
        let ready = match transaction.payload.nonce() {
            Some(nonce) => nonce <= gap,
            None => !early,
        };
        let mut waiting = if ready { self.behind_gaps() } else { Vec::new() };
        while !self.fits(bytes) {
            let hash = waiting.pop().ok_or(AdmissionError::Full)?;
            self.remove(hash);
        }
        Ok(())
    }

    fn fits(&self, bytes: usize) -> bool {
        self.entries.len() < self.limits.transactions && self.bytes + bytes <= self.limits.bytes
    }

    /// The transactions that cannot be executed because an earlier one of their sender is missing.
    fn behind_gaps(&self) -> Vec<B256> {
        let behind = |(sender, account): (&Address, &Account)| {
            self.by_nonce.range((*sender, account.gap)..=(*sender, u64::MAX)).map(|(_, hash)| *hash)
        };
        self.accounts.iter().flat_map(behind).collect()
    }

    fn insert(&mut self, hash: B256, transaction: Transaction, bytes: usize, early: bool, view: &View<'_>) {
        let sender = transaction.sender;
        let account = self.accounts.entry(sender).or_insert_with(|| {
            let next = view.next_nonce(sender);
            Account { next, gap: next, pending: 0 }
        });
        account.pending += 1;
        self.bytes += bytes;
        self.arrivals += 1;
        let (nonce, slot) = (transaction.payload.nonce(), Slot::of(&transaction));
        self.entries.insert(hash, Entry { transaction, bytes, arrival: self.arrivals });
        if let Some(nonce) = nonce {
            self.by_nonce.insert((sender, nonce), hash);
            self.extend(sender);
        }
        match slot {
            Some(Slot::Claim(order, _)) if early => self.early.entry(order).or_default().push(hash),
            Some(slot) => {
                self.claims.insert(slot, hash);
                if view.takes(slot) {
                    self.offer_claim(hash);
                }
            }
            None => {}
        }
    }

    /// Moves an account's gap up to the first nonce that no transaction has.
    fn extend(&mut self, sender: Address) {
        let Some(account) = self.accounts.get_mut(&sender) else { return };
        for ((_, nonce), hash) in self.by_nonce.range((sender, account.gap)..=(sender, u64::MAX)) {
            let Some(entry) = self.entries.get(hash).filter(|_| *nonce == account.gap) else { break };
            self.ready.add(entry);
            if *nonce == account.next {
                self.heads.insert((entry.arrival, *hash));
            }
            account.gap += 1;
        }
    }

    /// Moves an account's gap down to a nonce.
    fn cut(&mut self, sender: Address, nonce: u64) {
        let Some(account) = self.accounts.get_mut(&sender).filter(|account| nonce < account.gap) else { return };
        let from = nonce.max(account.next);
        for ((_, nonce), hash) in self.by_nonce.range((sender, from)..(sender, account.gap)) {
            let Some(entry) = self.entries.get(hash) else { continue };
            self.ready.subtract(entry);
            if *nonce == account.next {
                self.heads.remove(&(entry.arrival, *hash));
            }
        }
        account.gap = from;
    }

    /// Tells an account's next nonce after all blocks known.
    fn set_next(&mut self, sender: Address, next: u64) {
        let Some(account) = self.accounts.get_mut(&sender).filter(|account| account.next != next) else { return };
        if account.next < next && next < account.gap {
            // The usual case costs as much as what a block has executed, not as much as what the sender has waiting.
            for ((_, nonce), hash) in self.by_nonce.range((sender, account.next)..=(sender, next)) {
                let Some(entry) = self.entries.get(hash) else { continue };
                if *nonce == account.next {
                    self.heads.remove(&(entry.arrival, *hash));
                }
                match *nonce == next {
                    true => _ = self.heads.insert((entry.arrival, *hash)),
                    false => self.ready.subtract(entry),
                }
            }
            account.next = next;
            return;
        }
        let before = account.next;
        self.cut(sender, before);
        if let Some(account) = self.accounts.get_mut(&sender) {
            (account.next, account.gap) = (next, next);
        }
        self.extend(sender);
    }

    fn offer_claim(&mut self, hash: B256) {
        if let Some(entry) = self.entries.get(&hash)
            && self.heads.insert((entry.arrival, hash))
        {
            self.ready.add(entry);
        }
    }

    fn withdraw_claim(&mut self, hash: B256) {
        if let Some(entry) = self.entries.get(&hash)
            && self.heads.remove(&(entry.arrival, hash))
        {
            self.ready.subtract(entry);
        }
    }

    /// Drops a transaction.
    pub(crate) fn remove(&mut self, hash: B256) {
        let Some(transaction) = self.get(hash) else { return };
        let (sender, nonce, slot) = (transaction.sender, transaction.payload.nonce(), Slot::of(transaction));
        if let Some(nonce) = nonce {
            if self.accounts.get(&sender).is_some_and(|account| nonce >= account.next) {
                self.cut(sender, nonce);
            }
            self.by_nonce.remove(&(sender, nonce));
        }
        if let Some(slot) = slot.filter(|slot| self.claims.get(slot) == Some(&hash)) {
            self.withdraw_claim(hash);
            self.claims.remove(&slot);
        }
        if let Some(Slot::Claim(order, _)) = slot
            && let Some(early) = self.early.get_mut(&order)
        {
            early.retain(|claim| *claim != hash);
            if early.is_empty() {
                self.early.remove(&order);
            }
        }
        if let Some(account) = self.accounts.get_mut(&sender) {
            account.pending -= 1;
            if account.pending == 0 {
                self.accounts.remove(&sender);
            }
        }
        self.bytes -= self.entries.remove(&hash).map_or(0, |entry| entry.bytes);
    }

    /// Transactions that execute in this order on top of all blocks known: the longest waiting first, but a sender's
    /// by nonce, and one claim a worker and order.
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
            let Some((_, hash)) = chosen else { break };
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
                following.push(Reverse((entry.arrival, *next)));
            }
        }
        selected
    }

    /// Takes in that blocks were added or dropped, final or not, which changed this much: `view` is the state after all
    /// blocks that are known now.
    pub(crate) fn refresh(&mut self, changes: &Changes, view: &View<'_>) {
        for sender in changes.nonces.keys() {
            self.set_next(*sender, view.next_nonce(*sender));
        }
        let mut slots = self.of_rounds(changes);
        slots.extend(changes.orders.keys().flat_map(|order| self.claims_for(*order)).map(|(slot, _)| slot));
        for slot in slots {
            match self.claims.get(&slot).copied() {
                Some(claim) if view.takes(slot) => self.offer_claim(claim),
                Some(claim) => self.withdraw_claim(claim),
                None => {}
            }
        }
    }

    /// What waits for a part in rounds, if those have changed.
    fn of_rounds(&self, changes: &Changes) -> Vec<Slot> {
        let of_rounds = self.claims.keys().rev().take_while(|slot| !matches!(slot, Slot::Claim(..)));
        if changes.rounds.is_some() { of_rounds.copied().collect() } else { Vec::new() }
    }

    /// Drops what a final block has executed or made impossible. `state` already includes the block's changes.
    pub(crate) fn prune(
        &mut self,
        changes: &Changes,
        transactions: &[B256],
        rules: &Rules,
        state: &State,
        view: &View<'_>,
    ) {
        for (sender, next) in &changes.nonces {
            let used: Vec<_> = self.by_nonce.range((*sender, 0)..(*sender, *next)).map(|(_, hash)| *hash).collect();
            used.into_iter().for_each(|hash| self.remove(hash));
        }
        let at_tip = View::new(state, std::iter::empty());
        let over = self.of_rounds(changes).into_iter().filter(|slot| !at_tip.takes(*slot));
        let mut over: Vec<_> = over.filter_map(|slot| self.claims.get(&slot).copied()).collect();
        over.extend(changes.closed().flat_map(|order| self.claims_for(order)).map(|(_, hash)| hash));
        over.into_iter().for_each(|hash| self.remove(hash));
        if changes.rounds.as_ref().is_some_and(|rounds| rounds.open.as_ref().is_some_and(|it| it.completed.is_empty()))
        {
            let is_round = |(hash, entry): (&B256, &Entry)| {
                matches!(entry.transaction.payload, Payload::Round(_)).then_some(*hash)
            };
            let rounds: Vec<_> = self.entries.iter().filter_map(is_round).collect();
            rounds.into_iter().for_each(|hash| self.remove(hash));
        }
        for order in transactions {
            for hash in self.early.remove(order).unwrap_or_default() {
                self.settle_early(hash, *order, rules, state, view);
            }
        }
    }

    /// An early claim whose order is known now competes for it if it shows the work.
    fn settle_early(&mut self, hash: B256, order: B256, rules: &Rules, state: &State, view: &View<'_>) {
        let Some(entry) = self.entries.get(&hash) else { return };
        let Payload::Claim(claim) = &entry.transaction.payload else { return };
        let sender = entry.transaction.sender;
        let wins = rules.allow_claim(sender, claim, state.orders.get(&order)).is_ok();
        let slot = Slot::Claim(order, sender);
        let outdone = self.outdone(hash, claim);
        if !wins || self.claims.contains_key(&slot) || outdone == Some(hash) {
            self.remove(hash);
            return;
        }
        outdone.into_iter().for_each(|rival| self.remove(rival));
        self.claims.insert(slot, hash);
        if view.takes(slot) {
            self.offer_claim(hash);
        }
    }
}
