//! Transactions that wait for a block.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
};

use dtn_primitives::{Address, B256, Claim, MAX_TRANSACTION_BYTES, Payload, Transaction, codec};

use crate::{
    CLAIM_WINDOW_MS, DELIVERY_MS, Location, Refusal, Store,
    fairness::PROOF_DELIVERY_MS,
    proofs::Proofs,
    race::CLAIM_LIMIT_MS,
    rules::{Rules, Standing, check_nonce},
    state::{Changes, Slot, State, View},
    verified::Verified,
};

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

/// Why a transaction was not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// It waits already.
    #[error("transaction {0} is pending already")]
    Duplicate(B256),
    /// A final block contains it.
    #[error("the transaction is final, in block {height}")]
    Final {
        /// The height of the block.
        height: u64,
    },
    /// Too much of its kind is waiting.
    #[error("the mempool is full")]
    Full,
    /// Too much of this sender is waiting.
    #[error("{0} has too many pending transactions")]
    SenderFull(Address),
    /// Another transaction of this sender waits with the same nonce.
    #[error("transaction {0} with the same nonce is pending already")]
    NonceTaken(B256),
    /// Another transaction waits for what only one of them can have: a worker's part in a race, with no higher hash, or in a
    /// round, or the round's end.
    #[error("transaction {0} claims the same and is pending already")]
    ClaimPending(B256),
    /// So many better claims for the order wait that this one cannot win.
    #[error("{MAX_RIVALS} claims with lower hashes wait for order {0}")]
    Outdone(B256),
    /// It was found after the window of its race.
    #[error("the claim for order {0} comes after the window of the race")]
    Late(B256),
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
    Late,
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
    /// Transaction hashes of claims that came after the windows of their races, by orders. They are here to be known only:
    /// others may have heard of them in time.
    late: BTreeMap<B256, Vec<B256>>,
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
    /// completions and ends of rounds, with their encoded sizes.
    pub(crate) fn answers_due(&self, arrived_ms: u64) -> impl Iterator<Item = (B256, &Transaction, usize)> {
        self.claims.iter().filter_map(move |(slot, hash)| {
            let entry = self.entries.get(hash)?;
            let (in_time, delivery_ms) = match slot {
                Slot::Claim(order, _) => {
                    (entry.heard_ms.saturating_sub(self.first_heard(*order)?) <= CLAIM_WINDOW_MS, DELIVERY_MS)
                }
                Slot::Completion(..) | Slot::Close(_) => (true, PROOF_DELIVERY_MS),
            };
            let is_due = in_time && entry.heard_ms.saturating_add(delivery_ms) <= arrived_ms;
            is_due.then_some((*hash, &entry.transaction, entry.bytes))
        })
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

    /// Takes a transaction that could be executed at the tip or later.
    pub(crate) fn admit(
        &mut self,
        transaction: Transaction,
        grounds: &Grounds<'_>,
        verified: &mut Verified,
    ) -> Result<B256, AdmissionError> {
        let bytes = codec::encoded_len(&transaction);
        if bytes > MAX_TRANSACTION_BYTES {
            return Err(AdmissionError::TooLong { actual: bytes });
        }
        let hash = transaction.hash(&grounds.rules.domain);
        let result = self.admit_hashed(transaction, hash, bytes, grounds, verified);
        match &result {
            // Who hands in again what was executed is told so, and not that somebody else was faster.
            Err(AdmissionError::Refused(refusal)) if refusal.may_be_executed() => match grounds.store.transaction(hash)
            {
                Ok(Some(Location { height, .. })) => Err(AdmissionError::Final { height }),
                _ => result,
            },
            _ => result,
        }
    }

    /// The signature, which costs most, is checked last of what the transaction itself shows.
    fn admit_hashed(
        &mut self,
        transaction: Transaction,
        hash: B256,
        bytes: usize,
        grounds: &Grounds<'_>,
        verified: &mut Verified,
    ) -> Result<B256, AdmissionError> {
        let Grounds { rules, state, view, .. } = *grounds;
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
        let late = match &transaction.payload {
            Payload::Claim(claim) if state.orders.contains_key(&claim.order) => self.is_late(claim.order)?,
            _ => false,
        };
        let slot = Slot::of(&transaction).filter(|_| !late);
        let pending = slot.and_then(|slot| self.claims.get(&slot)).copied();
        let (mut early, mut outdone) = (false, None);
        if let Some(pending) = pending {
            let hash_of = |transaction: &Transaction| match &transaction.payload {
                Payload::Claim(claim) => Some(claim.hash),
                _ => None,
            };
            let better = hash_of(&transaction).zip(self.get(pending).and_then(hash_of));
            if better.is_none_or(|(new, old)| new >= old) {
                return Err(AdmissionError::ClaimPending(pending));
            }
        }
        match &transaction.payload {
            Payload::Order(order) => {
                rules.allow_order(sender, order, hash)?;
                if order.work.is_some() {
                    rules.allow_another(sender, &transaction.payload, state.orders.of(sender))?;
                }
            }
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
                rules.allow_another(sender, &transaction.payload, state.orders.of(sender))?;
            }
            Payload::Claim(claim) => match rules.allow_claim(sender, claim, state.orders.get(&claim.order)) {
                Err(Refusal::NotOpen(order)) if !grounds.was_ordered(order) => early = true,
                result => {
                    result?.take(claim.order, claim.hash, self.now_ms)?;
                    let known_late = self.late.get(&claim.order).map_or(0, Vec::len);
                    outdone = self.outdone(hash, claim).filter(|_| !late);
                    if outdone == Some(hash) || late && known_late >= MAX_RIVALS {
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
        outdone.into_iter().chain(pending).for_each(|rival| self.remove(rival));
        let class = Class::of(&transaction, rules);
        self.make_room(&transaction, class, bytes, early, view)?;
        self.arrivals += 1;
        let (arrival, heard_ms) = (self.arrivals, self.now_ms);
        let kept = match (early, late) {
            (true, _) => Kept::Early,
            (_, true) => Kept::Late,
            _ => Kept::Waiting,
        };
        self.insert(hash, Entry { transaction, class, bytes, arrival, heard_ms }, kept, view);
        Ok(hash)
    }

    /// Whether a claim that is heard of now is late for this peer's blocks; an error if it is late for everybody's.
    fn is_late(&self, order: B256) -> Result<bool, AdmissionError> {
        let Some(first_ms) = self.first_heard(order) else { return Ok(false) };
        match self.now_ms.saturating_sub(first_ms) {
            after if after > CLAIM_LIMIT_MS => Err(AdmissionError::Late(order)),
            // In the middle of what others may take for in time and for late.
            after => Ok(after > CLAIM_WINDOW_MS + DELIVERY_MS / 2),
        }
    }

    /// Makes room for a transaction that can be executed at the cost of some of its class that cannot, and for an early
    /// claim at the cost of the oldest one.
    fn make_room(
        &mut self,
        transaction: &Transaction,
        class: Class,
        bytes: usize,
        early: bool,
        view: &View<'_>,
    ) -> Result<(), AdmissionError> {
        if early && self.early.values().map(Vec::len).sum::<usize>() >= self.limits.early_claims {
            let arrival = |hash: &&B256| self.entries.get(*hash).map(|entry| entry.arrival);
            let oldest = self.early.values().flatten().min_by_key(arrival).copied();
            oldest.map(|hash| self.remove(hash)).ok_or(AdmissionError::Full)?;
        }
        if self.fits(class, bytes) {
            return Ok(());
        }
        let sender = transaction.sender;
        let gap = self.free_nonce(sender, view);
        let ready = match transaction.payload.nonce() {
            Some(nonce) => nonce <= gap,
            None => !early,
        };
        let mut waiting = if ready { self.behind_gaps(class) } else { Vec::new() };
        while !self.fits(class, bytes) {
            let hash = waiting.pop().ok_or(AdmissionError::Full)?;
            self.remove(hash);
        }
        Ok(())
    }

    fn fits(&self, class: Class, bytes: usize) -> bool {
        let waiting = self.waiting.get(&class).copied().unwrap_or_default();
        waiting.transactions < self.limits.transactions && waiting.bytes + bytes <= self.limits.bytes
    }

    /// The transactions of a class that cannot be executed because an earlier one of their sender is missing.
    fn behind_gaps(&self, class: Class) -> Vec<B256> {
        let behind = |(sender, account): (&Address, &Account)| {
            self.by_nonce.range((*sender, account.gap)..=(*sender, u64::MAX)).map(|(_, hash)| *hash)
        };
        let of_class = |hash: &B256| self.entries.get(hash).is_some_and(|entry| entry.class == class);
        self.accounts.iter().flat_map(behind).filter(of_class).collect()
    }

    fn insert(&mut self, hash: B256, entry: Entry, kept: Kept, view: &View<'_>) {
        let sender = entry.transaction.sender;
        let account = self.accounts.entry(sender).or_insert_with(|| {
            let next = view.next_nonce(sender);
            Account { next, gap: next, pending: 0 }
        });
        account.pending += 1;
        self.waiting.entry(entry.class).or_default().add(&entry);
        let (nonce, slot) = (entry.transaction.payload.nonce(), Slot::of(&entry.transaction));
        self.entries.insert(hash, entry);
        if let Some(nonce) = nonce {
            self.by_nonce.insert((sender, nonce), hash);
            self.extend(sender);
        }
        match slot {
            Some(Slot::Claim(order, _)) if kept == Kept::Early => self.early.entry(order).or_default().push(hash),
            Some(Slot::Claim(order, _)) if kept == Kept::Late => self.late.entry(order).or_default().push(hash),
            Some(slot) => self.enter(slot, hash, view),
            None => {}
        }
    }

    /// Has a transaction wait for its slot.
    fn enter(&mut self, slot: Slot, hash: B256, view: &View<'_>) {
        self.claims.insert(slot, hash);
        if let (Slot::Claim(order, _), Some(heard_ms)) = (slot, self.heard(hash)) {
            self.first_claims.entry(order).or_insert(heard_ms);
        }
        self.offer(slot, hash, view);
    }

    /// Offers what could be executed on top of all blocks known, and nothing else.
    fn offer(&mut self, slot: Slot, hash: B256, view: &View<'_>) {
        let Some(entry) = self.entries.get(&hash) else { return };
        let leads = match &entry.transaction.payload {
            Payload::Claim(claim) => view.lead(claim.order).is_none_or(|lead| claim.hash < lead.claim.hash),
            _ => true,
        };
        if leads && view.takes(slot) {
            self.offer_claim(hash);
        } else {
            self.withdraw_claim(hash);
        }
    }

    /// Moves an account's gap up to the first nonce that no transaction has.
    fn extend(&mut self, sender: Address) {
        let Some(account) = self.accounts.get_mut(&sender) else { return };
        for ((_, nonce), hash) in self.by_nonce.range((sender, account.gap)..=(sender, u64::MAX)) {
            let Some(entry) = self.entries.get(hash).filter(|_| *nonce == account.gap) else { break };
            self.ready.add(entry);
            if *nonce == account.next {
                self.heads.insert(entry.place(*hash));
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
                self.heads.remove(&entry.place(*hash));
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
                    self.heads.remove(&entry.place(*hash));
                }
                match *nonce == next {
                    true => _ = self.heads.insert(entry.place(*hash)),
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
            && self.heads.insert(entry.place(hash))
        {
            self.ready.add(entry);
        }
    }

    fn withdraw_claim(&mut self, hash: B256) {
        if let Some(entry) = self.entries.get(&hash)
            && self.heads.remove(&entry.place(hash))
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
        if let Some(Slot::Claim(order, _)) = slot {
            for kept in [&mut self.early, &mut self.late] {
                let Some(claims) = kept.get_mut(&order) else { continue };
                claims.retain(|claim| *claim != hash);
                if claims.is_empty() {
                    kept.remove(&order);
                }
            }
        }
        if let Some(account) = self.accounts.get_mut(&sender) {
            account.pending -= 1;
            if account.pending == 0 {
                self.accounts.remove(&sender);
            }
        }
        if let Some(entry) = self.entries.remove(&hash)
            && let Some(waiting) = self.waiting.get_mut(&entry.class)
        {
            waiting.subtract(&entry);
        }
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

    /// Takes in that blocks were added or dropped, final or not, which changed this much: `view` is the state after all
    /// blocks that are known now.
    pub(crate) fn refresh(&mut self, changes: &Changes, view: &View<'_>) {
        let senders: Vec<_> = if view.floor() == self.floor {
            changes.nonces.keys().copied().collect()
        } else {
            self.accounts.keys().copied().collect()
        };
        self.floor = view.floor();
        for sender in senders {
            self.set_next(sender, view.next_nonce(sender));
        }
        for order in changes.orders.keys().filter(|order| view.lead(**order).is_some()) {
            self.first_claims.entry(*order).or_insert(self.now_ms);
        }
        let mut slots = self.of_rounds(changes);
        slots.extend(changes.orders.keys().flat_map(|order| self.claims_for(*order)).map(|(slot, _)| slot));
        for slot in slots {
            if let Some(claim) = self.claims.get(&slot).copied() {
                self.offer(slot, claim, view);
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
        let has_forgotten = changes.nonces.values().any(Option::is_none);
        let senders: Vec<_> = if has_forgotten {
            self.accounts.keys().copied().collect()
        } else {
            changes.nonces.keys().copied().collect()
        };
        for sender in senders {
            let used = self.by_nonce.range((sender, 0)..(sender, state.next_nonce(sender)));
            let used: Vec<_> = used.map(|(_, hash)| *hash).collect();
            used.into_iter().for_each(|hash| self.remove(hash));
        }
        let at_tip = View::new(state, std::iter::empty());
        let over = self.of_rounds(changes).into_iter().filter(|slot| !at_tip.takes(*slot));
        let mut over: Vec<_> = over.filter_map(|slot| self.claims.get(&slot).copied()).collect();
        for (order, open) in &changes.orders {
            let lead = open.as_ref().map(|open| open.lead.as_ref().map(|lead| lead.claim.hash));
            let beaten = |hash: &B256| match (lead, self.get(*hash).map(|transaction| &transaction.payload)) {
                (Some(None), _) => false,
                (Some(Some(lowest)), Some(Payload::Claim(claim))) => claim.hash >= lowest,
                _ => true,
            };
            over.extend(self.claims_for(*order).map(|(_, hash)| hash).filter(beaten));
            over.extend(self.late.get(order).into_iter().flatten().copied().filter(beaten));
        }
        over.into_iter().for_each(|hash| self.remove(hash));
        changes.closed().for_each(|order| _ = self.first_claims.remove(&order));
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
        self.enter(slot, hash, view);
    }
}
