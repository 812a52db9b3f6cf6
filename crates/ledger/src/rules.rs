//! What a transaction may do, given what was done before it.

use std::collections::{BTreeMap, BTreeSet};

use dtn_pow::{PowError, Puzzle};
use dtn_primitives::{
    Address, B256, Claim, Closing, Completed, Completion, Domain, Genesis, Line, Order, Payload, Round, RoundOrder,
    Rounds, Solution, Transaction, TransactionError, ValidatorSet, WorkResult,
};

use crate::{
    Lead, OpenOrder,
    accounts::{Account, MAX_ACCOUNTS},
    lines::Copies,
    state::{Changes, View},
};

/// The most races for lines that are open, all validators' together: what they hold stays below 150 MB. Each validator has
/// an equal share, so that none fills that of others.
const MAX_OPEN_LINES: usize = 16_384;

/// The most races for orders that are open, shared by the requesters in the same way.
const MAX_OPEN_ORDERS: usize = 16_384;

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
    #[error("order {0} is not open: it has its winner, asks for no work, or is in no block before this one")]
    NotOpen(B256),
    /// The claim does not take the lead.
    #[error("a claim for order {order} has the hash {lowest}, which is lower")]
    Outdone {
        /// The order.
        order: B256,
        /// The lowest hash so far.
        lowest: B256,
    },
    /// The account has as many open races as it may have.
    #[error("{requester} has {open} open races, as many as it may have")]
    TooManyOpen {
        /// The account.
        requester: Address,
        /// How many races it has.
        open: usize,
    },
    /// The claim is for another race than that of the order's block.
    #[error("the claim is for race {have}, and the order's is {need}")]
    WrongRace {
        /// The claim's.
        have: B256,
        /// The hash of the block that holds the order.
        need: B256,
    },
    /// The hash looks like the id of a round's completion, which is paid otherwise.
    #[error("the hash {0} begins with four zero bytes, as ids of rounds do: change a field of the order")]
    ReservedId(B256),
    /// Only validators take part in rounds and take in lines.
    #[error("{0} is not a validator, so it has no part in rounds and takes in no lines")]
    NotValidator(Address),
    /// There is one round at a time.
    #[error("round {0} is still open")]
    RoundUnderWay(u64),
    /// More completions than validators would be needed.
    #[error("a round that closes at {quorum} completions cannot close: there are {validators} validators")]
    RoundQuorum {
        /// What was asked for.
        quorum: u16,
        /// How many there are.
        validators: usize,
    },
    /// The round takes nothing: it is closed, in no block, or begins with this one.
    #[error("round {0} is not open: it is closed, in no block, or begins with this one")]
    RoundNotOpen(u64),
    /// The validator has completed the round before.
    #[error("{node} has completed round {round} before")]
    CompletedBefore {
        /// The round.
        round: u64,
        /// The validator.
        node: Address,
    },
    /// The completion comes after the deadline.
    #[error(
        "round {round} was to be completed until {deadline_ms}, and it is {timestamp_ms} (ms since the Unix epoch)"
    )]
    RoundOver {
        /// The round.
        round: u64,
        /// Its deadline.
        deadline_ms: u64,
        /// The block's timestamp.
        timestamp_ms: u64,
    },
    /// The round has time left.
    #[error("round {round} is open until {deadline_ms}, and it is {timestamp_ms} (ms since the Unix epoch)")]
    RoundNotOver {
        /// The round.
        round: u64,
        /// Its deadline.
        deadline_ms: u64,
        /// The block's timestamp.
        timestamp_ms: u64,
    },
    /// The claim does not show the work that the order asks for.
    #[error("the work: {0}")]
    InvalidWork(#[from] PowError),
}

impl Refusal {
    /// Whether a transaction that was executed is refused like this.
    pub(crate) fn may_be_executed(&self) -> bool {
        matches!(
            self,
            Self::NonceTooLow { .. }
                | Self::NotOpen(_)
                | Self::Outdone { .. }
                | Self::RoundNotOpen(_)
                | Self::CompletedBefore { .. }
        )
    }
}

/// What an account is by the genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may ask for work.
    Requester,
    /// It votes.
    Validator,
    /// Nothing.
    Stranger,
}

/// The part of the genesis that execution depends on.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) domain: Domain,
    requesters: BTreeSet<Address>,
    validators: ValidatorSet,
    pub(crate) max_accounts: usize,
}

impl Rules {
    pub(crate) fn new(genesis: &Genesis, validators: ValidatorSet) -> Self {
        let requesters = genesis.requesters.iter().copied().collect();
        Self { domain: genesis.domain(), requesters, validators, max_accounts: MAX_ACCOUNTS }
    }

    /// What an account is.
    pub(crate) fn standing(&self, account: Address) -> Standing {
        match self.validators.index_of(account) {
            _ if self.requesters.contains(&account) => Standing::Requester,
            Some(_) => Standing::Validator,
            None => Standing::Stranger,
        }
    }

    /// Whether the sender may place such an order, which has this hash.
    pub(crate) fn allow_order(&self, sender: Address, order: &Order, hash: B256) -> Result<(), Refusal> {
        order.validate()?;
        if order.work.is_some() && Round::of_id(hash).is_some() {
            return Err(Refusal::ReservedId(hash));
        }
        if order.work.is_none() || self.requesters.contains(&sender) {
            Ok(())
        } else {
            Err(Refusal::NotRequester(sender))
        }
    }

    /// Whether an account that has so many open races may open another by what it asks for.
    pub(crate) fn allow_another(&self, requester: Address, payload: &Payload, open: usize) -> Result<(), Refusal> {
        let quota = match payload {
            Payload::Line(_) => MAX_OPEN_LINES / self.validators.len(),
            _ => MAX_OPEN_ORDERS / self.requesters.len().max(1),
        };
        if open < quota { Ok(()) } else { Err(Refusal::TooManyOpen { requester, open }) }
    }

    /// Whether the sender may take in a line, which has this transaction hash.
    pub(crate) fn allow_line(&self, sender: Address, hash: B256) -> Result<(), Refusal> {
        if self.validators.index_of(sender).is_none() {
            return Err(Refusal::NotValidator(sender));
        }
        if Round::of_id(hash).is_some() { Err(Refusal::ReservedId(hash)) } else { Ok(()) }
    }

    /// Whether the claim shows the work for an order, which is given if it is open.
    pub(crate) fn allow_claim<'a>(
        &self,
        sender: Address,
        claim: &Claim,
        open: Option<&'a OpenOrder>,
    ) -> Result<&'a OpenOrder, Refusal> {
        let open = open.ok_or(Refusal::NotOpen(claim.order))?;
        let expected_hashes = open.expected_hashes().ok_or(Refusal::NotOpen(claim.order))?;
        if claim.race != open.race {
            return Err(Refusal::WrongRace { have: claim.race, need: open.race });
        }
        let puzzle = Puzzle::new(self.domain.network_id, open.race, claim.order, sender, expected_hashes)?;
        puzzle.check(claim.nonce, claim.hash)?;
        Ok(open)
    }

    /// Whether the sender may ask for such a round, if there is none under way.
    pub(crate) fn allow_round(&self, sender: Address, round: &RoundOrder) -> Result<(), Refusal> {
        if !self.requesters.contains(&sender) {
            return Err(Refusal::NotRequester(sender));
        }
        let (quorum, validators) = (round.quorum, self.validators.len());
        if usize::from(quorum) > validators { Err(Refusal::RoundQuorum { quorum, validators }) } else { Ok(()) }
    }

    /// Whether the open round takes a validator's completion, as far as that does not depend on the time. That its proof
    /// holds, every peer has verified before the completion gets here.
    pub(crate) fn allow_completion<'a>(
        &self,
        node: Address,
        round: u64,
        rounds: &'a Rounds,
    ) -> Result<&'a Round, Refusal> {
        let open = self.allow_close(node, round, rounds)?;
        if open.takes(node) { Ok(open) } else { Err(Refusal::CompletedBefore { round, node }) }
    }

    /// Whether a validator may say that the open round is over, as far as that does not depend on the time.
    pub(crate) fn allow_close<'a>(&self, node: Address, round: u64, rounds: &'a Rounds) -> Result<&'a Round, Refusal> {
        if self.validators.index_of(node).is_none() {
            return Err(Refusal::NotValidator(node));
        }
        rounds.open(round).ok_or(Refusal::RoundNotOpen(round))
    }
}

/// A block being executed on top of what its parent leads to.
///
/// Signatures are not checked here, because the caller knows which of them were checked before.
pub(crate) struct Execution<'a> {
    rules: &'a Rules,
    parent: View<'a>,
    height: u64,
    timestamp_ms: u64,
    /// How many races are open of who has asked for one in this block.
    open: BTreeMap<Address, usize>,
    pub(crate) changes: Changes,
    pub(crate) results: Vec<WorkResult>,
    /// What shows the work of those that are of races, by their ids.
    pub(crate) solutions: BTreeMap<B256, Solution>,
    /// The orders, not lines, that it ends without a winner.
    pub(crate) expired: Vec<B256>,
}

impl<'a> Execution<'a> {
    /// The execution of a block with this height and this timestamp in milliseconds.
    pub(crate) fn new(rules: &'a Rules, parent: View<'a>, height: u64, timestamp_ms: u64) -> Self {
        let open = BTreeMap::new();
        let changes = Changes { floor: parent.floor(), accounts: parent.accounts(), ..Changes::default() };
        let (results, solutions, expired) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { rules, parent, height, timestamp_ms, open, changes, results, solutions, expired }
    }

    /// Executes a transaction, or changes nothing.
    pub(crate) fn apply(&mut self, transaction: &Transaction, hash: B256) -> Result<(), Refusal> {
        let sender = transaction.sender;
        let mut following = None;
        if let Some(nonce) = transaction.payload.nonce() {
            let account = self.changes.nonces.get(&sender).copied().unwrap_or_else(|| self.parent.account(sender));
            let next = account.map_or(self.changes.floor, |account| account.next);
            check_nonce(nonce, next..=next)?;
            following = Some((next.saturating_add(1), account.is_none()));
        }
        match &transaction.payload {
            Payload::Order(order) => self.apply_order(sender, order, hash)?,
            Payload::Data { .. } => {}
            Payload::Claim(claim) => self.apply_claim(sender, claim, hash)?,
            Payload::Round(round) => self.open_round(sender, round)?,
            Payload::Completion(completion) => self.complete_round(sender, completion)?,
            Payload::CloseRound { round } => self.end_round(sender, *round)?,
            Payload::Line(line) => self.apply_line(sender, line, hash)?,
        }
        if let Some((next, is_new)) = following {
            self.changes.nonces.insert(sender, Some(Account { next, used: self.height }));
            self.changes.accounts += usize::from(is_new);
        }
        Ok(())
    }

    fn apply_order(&mut self, sender: Address, order: &Order, hash: B256) -> Result<(), Refusal> {
        self.rules.allow_order(sender, order, hash)?;
        if order.work.is_some() {
            self.open(sender, Payload::Order(order.clone()), hash)?;
        }
        Ok(())
    }

    /// Opens a race.
    fn open(&mut self, requester: Address, payload: Payload, hash: B256) -> Result<(), Refusal> {
        let parent = &self.parent;
        let open = self.open.entry(requester).or_insert_with(|| parent.open_of(requester));
        self.rules.allow_another(requester, &payload, *open)?;
        *open += 1;
        // A nonce is used at most once and is part of the hash, so no other order has this one.
        // The race follows from the block, see `Changes::sealed`.
        let (race, lead) = (B256::ZERO, None);
        let open = OpenOrder { requester, payload, height: self.height, opened_at_ms: self.timestamp_ms, race, lead };
        self.changes.orders.insert(hash, Some(open));
        Ok(())
    }

    fn apply_line(&mut self, sender: Address, line: &Line, hash: B256) -> Result<(), Refusal> {
        self.rules.allow_line(sender, hash)?;
        let (content, timestamp_ms) = (line.content(), self.timestamp_ms);
        let of_parent = || self.parent.line(content).filter(|copies| !copies.is_over(timestamp_ms)).cloned();
        let known = self.changes.lines.get(&content).cloned().unwrap_or_else(of_parent);
        let mut copies = known.unwrap_or_else(|| Copies::new(timestamp_ms));
        if copies.add(sender) {
            self.open(sender, Payload::Line(line.clone()), hash)?;
        }
        // The first line of a block has those forgotten that are over.
        if self.changes.lines.is_empty() {
            self.changes.lines.extend(self.parent.lines_over(timestamp_ms).into_iter().map(|over| (over, None)));
        }
        self.changes.lines.insert(content, Some(copies));
        Ok(())
    }

    /// An order as of now, if it is open and its race has begun: that of an order in this block begins above, because this
    /// block has no hash yet.
    fn open_order(&self, order: B256) -> Option<&OpenOrder> {
        match self.changes.orders.get(&order) {
            Some(changed) => changed.as_ref().filter(|open| open.height < self.height),
            None => self.parent.order(order),
        }
    }

    fn apply_claim(&mut self, sender: Address, claim: &Claim, hash: B256) -> Result<(), Refusal> {
        let open = self.rules.allow_claim(sender, claim, self.open_order(claim.order))?;
        open.take(claim.order, claim.hash, self.timestamp_ms)?;
        let mut open = open.clone();
        let first_ms = open.lead.as_ref().map_or(self.timestamp_ms, |lead| lead.first_ms);
        open.lead = Some(Lead { first_ms, worker: sender, claim: claim.clone(), transaction: hash });
        self.changes.orders.insert(claim.order, Some(open));
        Ok(())
    }

    /// Whether the first claim for an order is in this block.
    pub(crate) fn begins_window(&self, order: B256) -> bool {
        self.parent.order(order).is_some_and(|open| open.lead.is_none())
    }

    /// The orders that have their winners when this block ends the races that are over.
    pub(crate) fn wins(&self) -> impl Iterator<Item = B256> {
        let over = self.parent.races_over(self.timestamp_ms).into_iter();
        over.filter(|order| self.parent.lead(*order).is_some())
    }

    /// Does what is due when all transactions are executed.
    pub(crate) fn finish(&mut self) {
        self.end_races();
        self.forget_accounts();
    }

    /// Forgets the strangers that were idle longest, if there are too many accounts.
    fn forget_accounts(&mut self) {
        let Changes { nonces, floor, accounts, .. } = &mut self.changes;
        let is_stranger = |address: &Address| self.rules.standing(*address) == Standing::Stranger;
        let idle = self.parent.least_used().filter(|address| is_stranger(address));
        let excess = accounts.saturating_sub(self.rules.max_accounts);
        let idle: Vec<_> = if excess == 0 {
            Vec::new()
        } else {
            idle.filter(|address| !nonces.contains_key(address)).take(excess).collect()
        };
        for address in idle {
            *floor = self.parent.next_nonce(address).max(*floor);
            *accounts -= 1;
            nonces.insert(address, None);
        }
    }

    /// Ends the races that are over: those with a lead have their winners now, and the rest have expired.
    fn end_races(&mut self) {
        for order in self.parent.races_over(self.timestamp_ms) {
            match self.open_order(order).and_then(|open| open.result(order)) {
                Some((result, solution)) => {
                    self.results.push(result);
                    self.solutions.insert(order, solution);
                }
                None if self.parent.order(order).is_some_and(|open| matches!(open.payload, Payload::Order(_))) => {
                    self.expired.push(order);
                }
                None => {}
            }
            self.changes.orders.insert(order, None);
        }
    }
}

/// Rounds.
impl Execution<'_> {
    fn rounds(&self) -> &Rounds {
        self.changes.rounds.as_ref().unwrap_or_else(|| self.parent.rounds())
    }

    fn open_round(&mut self, sender: Address, order: &RoundOrder) -> Result<(), Refusal> {
        self.rules.allow_round(sender, order)?;
        let rounds = self.rounds();
        if let Some(open) = &rounds.open {
            return Err(Refusal::RoundUnderWay(open.number));
        }
        let number = rounds.last.saturating_add(1);
        let round = Round {
            number,
            height: self.height,
            // Follows from the block, see `Changes::sealed`.
            block_hash: B256::ZERO,
            steps: order.steps,
            quorum: order.quorum,
            reward: order.reward,
            opened_at_ms: self.timestamp_ms,
            deadline_ms: self.timestamp_ms.saturating_add(order.duration_ms),
            completed: Vec::new(),
            closing: None,
        };
        self.changes.rounds = Some(Rounds { last: number, beacon: rounds.beacon, open: Some(round) });
        Ok(())
    }

    fn complete_round(&mut self, node: Address, completion: &Completion) -> Result<(), Refusal> {
        let (number, timestamp_ms) = (completion.round, self.timestamp_ms);
        let open = self.rules.allow_completion(node, number, self.rounds())?;
        if open.height == self.height {
            return Err(Refusal::RoundNotOpen(number));
        }
        if timestamp_ms > open.deadline_ms {
            return Err(Refusal::RoundOver { round: number, deadline_ms: open.deadline_ms, timestamp_ms });
        }
        let mut round = open.clone();
        self.results.push(WorkResult {
            id: Round::id(number, node),
            worker: node,
            payee: completion.payee,
            amount: round.reward,
            digest: round.outcome(node, completion.result),
        });
        round.completed.push(Completed { node, height: self.height, timestamp_ms, completion: completion.clone() });
        if round.completed.len() >= usize::from(round.quorum) {
            self.close(round);
        } else {
            let rounds = self.rounds();
            self.changes.rounds = Some(Rounds { open: Some(round), ..*rounds });
        }
        Ok(())
    }

    fn end_round(&mut self, sender: Address, number: u64) -> Result<(), Refusal> {
        let timestamp_ms = self.timestamp_ms;
        let open = self.rules.allow_close(sender, number, self.rounds())?;
        if timestamp_ms <= open.deadline_ms {
            return Err(Refusal::RoundNotOver { round: number, deadline_ms: open.deadline_ms, timestamp_ms });
        }
        let round = open.clone();
        self.close(round);
        Ok(())
    }

    fn close(&mut self, mut round: Round) {
        let rounds = self.rounds();
        let (last, beacon) = (rounds.last, round.beacon(rounds.beacon));
        let validators = self.rules.validators.iter().map(|(_, validator)| validator.address);
        let missing = validators.filter(|node| round.takes(*node)).collect();
        round.closing = Some(Closing { height: self.height, timestamp_ms: self.timestamp_ms, missing, beacon });
        self.changes.rounds = Some(Rounds { last, beacon, open: None });
        self.changes.closed_rounds.push(round);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::{SecretKey, U256, Work};

    use super::*;

    #[test]
    fn an_order_whose_hash_looks_like_the_id_of_a_round_is_refused_if_it_asks_for_work() {
        let keys: Vec<_> = (1..=4).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
        let requester = Address::repeat_byte(7);
        let genesis = Genesis {
            version: dtn_primitives::VERSION,
            name: "rules".into(),
            chain_id: 1,
            timestamp: 0,
            max_block_bytes: 1 << 20,
            validators: keys.iter().map(SecretKey::public_key).collect(),
            requesters: vec![requester],
            engine: dtn_primitives::Engine::Pbft,
        };
        let rules = Rules::new(&genesis, genesis.validator_set().unwrap());
        let (dataset, model, metric) = ("a".into(), "b".into(), "c".into());
        let order =
            Order { nonce: 0, dataset, model, metric, reward: U256::ZERO, work: Some(Work { expected_hashes: 1 }) };
        let reserved = Round::id(3, requester);
        let refused = Err(Refusal::ReservedId(reserved));
        assert_eq!(rules.allow_order(requester, &order, reserved), refused);
        assert_eq!(rules.allow_order(requester, &order, B256::repeat_byte(1)), Ok(()));
        assert_eq!(rules.allow_order(requester, &Order { work: None, ..order }, reserved), Ok(()));
    }
}
