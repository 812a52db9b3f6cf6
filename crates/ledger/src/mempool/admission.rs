//! Which transactions may wait.

use dtn_primitives::{Address, B256, Claim, MAX_TRANSACTION_BYTES, Payload, Transaction, codec};

use super::{Account, Class, Entry, Kept, Mempool, NONCE_WINDOW};
use crate::{
    CLAIM_WINDOW_MS, Location, Missing, Refusal, Store, TOLERANCE_MS, Tip,
    held::Held,
    proofs::Proofs,
    rules::{Rules, check_nonce},
    state::{Slot, State, View},
    verified::Verified,
    work::Execution,
};

/// The most claims for one order that wait, those with the lowest hashes.
const MAX_RIVALS: usize = 16;

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
    /// What an order for a trained model, or a call about one, takes is not held here.
    #[error("transaction {hash} takes something that is not held here", hash = .0.order)]
    Missing(Box<Missing>),
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
                        | Refusal::UnknownKind(_)
                        | Refusal::NoTraining
                        | Refusal::Encoding(_)
                )
        )
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
    /// The last of those.
    pub(crate) below: Tip,
    pub(crate) store: &'a Store,
    pub(crate) proofs: &'a Proofs,
    pub(crate) held: &'a Held,
}

impl Grounds<'_> {
    /// Executes what comes next of its sender: only the rules can tell whether they take it, and whoever sends it wants to know.
    fn try_out(&self, transaction: &Transaction, hash: B256, now_ms: u64) -> Result<(), AdmissionError> {
        let mut execution = Execution::new(self.rules, self.view.clone(), self.below, now_ms);
        let missing = execution.missing(transaction, hash).filter(|missing| !self.held.contains(missing));
        if transaction.payload.nonce() == Some(self.view.next_nonce(transaction.sender)) {
            execution.apply(transaction, hash)?;
        }
        // Nothing is looked for that could not be executed.
        missing.map_or(Ok(()), |missing| Err(AdmissionError::Missing(Box::new(missing))))
    }

    /// Whether an order is in a final block. If the store cannot be read, the claim waits as if its order were unknown, and
    /// the next block fails.
    fn was_ordered(&self, order: B256) -> bool {
        matches!(self.store.result_of(order), Ok(Some(_))) || matches!(self.store.transaction(order), Ok(Some(_)))
    }
}

impl Mempool {
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
                rules.allow_order(sender, order)?;
                if order.work.is_some() {
                    rules.allow_another(sender, &transaction.payload, state.orders.of(sender))?;
                }
            }
            Payload::Data { .. } | Payload::Custom(_) | Payload::Training(_) | Payload::Withdrawal(_) => {}
            Payload::Deposit(deposit) => rules.allow_deposit(sender, deposit, view.vault(deposit.vault))?,
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
                rules.allow_line(sender)?;
                rules.allow_another(sender, &transaction.payload, state.orders.of(sender))?;
            }
            Payload::Claim(claim) => match rules.allow_claim(sender, claim, state.orders.get(&claim.order)) {
                Err(Refusal::NotOpen(order)) if !grounds.was_ordered(order) => early = true,
                result => {
                    result?.take(claim.order, claim.hash, self.now_ms)?;
                    let known = self.known.get(&claim.order).map_or(0, Vec::len);
                    outdone = self.outdone(hash, claim).filter(|_| !late);
                    if outdone == Some(hash) || late && known >= MAX_RIVALS {
                        return Err(AdmissionError::Outdone(claim.order));
                    }
                }
            },
        }
        if self.accounts.get(&sender).is_some_and(|account| account.pending >= self.limits.per_sender) {
            return Err(AdmissionError::SenderFull(sender));
        }
        verified.validate(&transaction, hash, rules)?;
        if matches!(transaction.payload, Payload::Custom(_) | Payload::Training(_) | Payload::Withdrawal(_)) {
            grounds.try_out(&transaction, hash, self.now_ms)?;
        }
        if let Payload::Completion(completion) = &transaction.payload
            && !grounds.proofs.holds(sender, completion)
        {
            return Err(AdmissionError::Unproven(hash));
        }
        outdone.into_iter().for_each(|rival| self.remove(rival));
        pending.into_iter().for_each(|bettered| self.replace(bettered));
        let class = Class::of(&transaction, rules);
        self.make_room(&transaction, class, bytes, early, view)?;
        self.arrivals += 1;
        let (arrival, heard_ms) = (self.arrivals, self.now_ms);
        let kept = match (early, late) {
            (true, _) => Kept::Early,
            (_, true) => Kept::Known,
            _ => Kept::Waiting,
        };
        self.insert(hash, Entry { transaction, class, bytes, arrival, heard_ms }, kept, view);
        Ok(hash)
    }

    /// Whether a claim that is heard of now is late for this peer's blocks; an error if it is late for everybody's.
    fn is_late(&self, order: B256) -> Result<bool, AdmissionError> {
        let Some(first_ms) = self.first_heard(order) else { return Ok(false) };
        match self.now_ms.saturating_sub(first_ms) {
            after if after > CLAIM_WINDOW_MS + 2 * TOLERANCE_MS => Err(AdmissionError::Late(order)),
            // In the middle of what others may take for in time and for late.
            after => Ok(after > CLAIM_WINDOW_MS + TOLERANCE_MS),
        }
    }

    /// Makes way for a better claim of the same worker that comes now.
    fn replace(&mut self, bettered: B256) {
        let Some(Entry { heard_ms, transaction, .. }) = self.entries.get(&bettered) else { return };
        let (heard_ms, slot) = (*heard_ms, Slot::of(transaction));
        match slot {
            Some(Slot::Claim(order, _))
                if self.is_in_window(order, heard_ms) && !self.is_in_window(order, self.now_ms) =>
            {
                self.withdraw_claim(bettered);
                slot.into_iter().for_each(|slot| _ = self.claims.remove(&slot));
                self.known.entry(order).or_default().push(bettered);
            }
            _ => self.remove(bettered),
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

    /// The claim that has to go if this one comes, which is that with the highest hash if so many wait already. It may
    /// be the one that comes.
    pub(super) fn outdone(&self, hash: B256, claim: &Claim) -> Option<B256> {
        let rivals = self.claims_for(claim.order).filter_map(|(_, rival)| match &self.get(rival)?.payload {
            Payload::Claim(claim) => Some((claim.hash, rival)),
            _ => None,
        });
        let rivals: Vec<_> = rivals.collect();
        let full = rivals.len() >= MAX_RIVALS;
        rivals.into_iter().chain([(claim.hash, hash)]).max().filter(|_| full).map(|(_, last)| last)
    }
}
