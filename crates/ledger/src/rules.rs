//! What a transaction may do, given what was done before it.

use std::collections::{BTreeMap, BTreeSet};

use dtn_pow::{PowError, Puzzle};
use dtn_primitives::{
    Address, B256, Claim, Closing, Completed, Completion, Domain, Genesis, Line, Order, Payload, Round, RoundOrder,
    Solution, Transaction, TransactionError, ValidatorSet, WorkResult, codec,
};

use crate::{
    lines::Copies,
    state::{Changes, OpenOrder, Rounds, View},
};

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
    /// A worker has one claim in a race.
    #[error("{worker} has claimed order {order} before")]
    ClaimedBefore {
        /// The order.
        order: B256,
        /// Who claims it twice.
        worker: Address,
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

/// The part of the genesis that execution depends on.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) domain: Domain,
    requesters: BTreeSet<Address>,
    validators: ValidatorSet,
}

impl Rules {
    pub(crate) fn new(genesis: &Genesis, validators: ValidatorSet) -> Self {
        Self { domain: genesis.domain(), requesters: genesis.requesters.iter().copied().collect(), validators }
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
    /// The races that this block closes.
    finishes: BTreeMap<B256, Finish<'a>>,
    pub(crate) changes: Changes,
    pub(crate) results: Vec<WorkResult>,
    /// What shows the work of those that are of races, by their ids.
    pub(crate) solutions: BTreeMap<B256, Solution>,
}

/// A race that takes the claims of the block in which its first one is, and of no other.
struct Finish<'a> {
    open: &'a OpenOrder,
    /// Who has claimed.
    workers: BTreeSet<Address>,
    /// The lowest hash of a claim so far.
    lowest: B256,
    /// The place of the winner's result.
    result: usize,
}

impl<'a> Execution<'a> {
    /// The execution of a block with this height and this timestamp in milliseconds.
    pub(crate) fn new(rules: &'a Rules, parent: View<'a>, height: u64, timestamp_ms: u64) -> Self {
        let (finishes, changes) = (BTreeMap::new(), Changes::default());
        let (results, solutions) = (Vec::new(), BTreeMap::new());
        Self { rules, parent, height, timestamp_ms, finishes, changes, results, solutions }
    }

    /// Executes a transaction, or changes nothing.
    pub(crate) fn apply(&mut self, transaction: &Transaction, hash: B256) -> Result<(), Refusal> {
        let sender = transaction.sender;
        let mut following = None;
        if let Some(nonce) = transaction.payload.nonce() {
            let next = self.changes.nonces.get(&sender).copied().unwrap_or_else(|| self.parent.next_nonce(sender));
            check_nonce(nonce, next..=next)?;
            following = Some(next.saturating_add(1));
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
        if let Some(next) = following {
            self.changes.nonces.insert(sender, next);
        }
        Ok(())
    }

    fn apply_order(&mut self, sender: Address, order: &Order, hash: B256) -> Result<(), Refusal> {
        self.rules.allow_order(sender, order, hash)?;
        if order.work.is_some() {
            self.open(sender, Payload::Order(order.clone()), hash);
        }
        Ok(())
    }

    /// Opens a race.
    fn open(&mut self, requester: Address, payload: Payload, hash: B256) {
        // A nonce is used at most once and is part of the hash, so no other order has this one.
        // The race follows from the block, see `Changes::sealed`.
        let open = OpenOrder { requester, payload, height: self.height, race: B256::ZERO };
        self.changes.orders.insert(hash, Some(open));
    }

    fn apply_line(&mut self, sender: Address, line: &Line, hash: B256) -> Result<(), Refusal> {
        self.rules.allow_line(sender, hash)?;
        let (content, timestamp_ms) = (line.content(), self.timestamp_ms);
        // The first line of a block has those forgotten that are over.
        if self.changes.lines.is_empty() {
            self.changes.lines.extend(self.parent.lines_over(timestamp_ms).into_iter().map(|over| (over, None)));
        }
        let parent = &self.parent;
        let copies = self.changes.lines.entry(content).or_insert_with(|| parent.line(content).cloned());
        if copies.get_or_insert_with(|| Copies::new(timestamp_ms)).add(sender) {
            self.open(sender, Payload::Line(line.clone()), hash);
        }
        Ok(())
    }

    fn apply_claim(&mut self, sender: Address, claim: &Claim, hash: B256) -> Result<(), Refusal> {
        // An order of this block is not among them: its race begins above, because this block has no hash yet.
        let finish = self.finishes.get_mut(&claim.order);
        let open = finish.as_ref().map(|finish| finish.open).or_else(|| self.parent.order(claim.order));
        let open = self.rules.allow_claim(sender, claim, open)?;
        let (payee, amount) = (claim.payee, open.reward());
        let result = WorkResult { id: claim.order, worker: sender, payee, amount, digest: hash };
        match finish {
            Some(finish) => {
                if !finish.workers.insert(sender) {
                    return Err(Refusal::ClaimedBefore { order: claim.order, worker: sender });
                }
                if claim.hash >= finish.lowest {
                    return Ok(());
                }
                finish.lowest = claim.hash;
                self.results[finish.result] = result;
            }
            None => {
                let (workers, lowest) = (BTreeSet::from([sender]), claim.hash);
                self.finishes.insert(claim.order, Finish { open, workers, lowest, result: self.results.len() });
                self.results.push(result);
                self.changes.orders.insert(claim.order, None);
            }
        }
        let solution = Solution {
            requester: open.requester,
            order: codec::encode(&open.payload).into(),
            claim: codec::encode(&Payload::Claim(claim.clone())).into(),
        };
        self.solutions.insert(claim.order, solution);
        Ok(())
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
            mining: None,
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
