//! This peer's part in the rounds of sequential work: its own work, and the proofs of others, without which it does not
//! vote.
//!
//! A completion that comes along waits until its proof is here and holds. So does a proposal that contains one, and
//! every proposal after it, since those build on it. A proof is asked for where it should be: of the peer that made it,
//! then of the others, one question at a time for each.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::Instant,
};

use dtn_aow::Start;
use dtn_api::Verification;
use dtn_ledger::Refusal;
use dtn_primitives::{
    Address, B256, Block, Completion, MAX_PROOF_BYTES, Payload, Round, Transaction, ValidatorIndex, keccak256,
};
use tokio::sync::mpsc;

use super::{
    Core,
    engine::{Answer, Input},
    now_ms,
};
use crate::{
    NodeError,
    host::Host,
    metrics::Step,
    network::{Command, Exchange, Remote},
    prover::{Finished, Verdict, Verifier, Work},
};

/// How long after a deadline this peer says that a round is over: the primary's clock may be behind.
const GRACE_MS: u64 = 1_000;

/// Completions of one validator in one round that may turn out false before no more are looked at, unless proposed.
const MAX_REJECTED: usize = 1_024;

/// How far ahead of this peer's last round a proposal may be: it builds on blocks that are not final here.
const MAX_ROUNDS_AHEAD: u64 = 8;

/// Proposals that may wait for proofs; more are refused.
const MAX_DEFERRED: usize = 32;

/// What a completion states and who states it, which is what a proof must show.
type Stated = (Address, Completion);

/// The proofs that are missing, and this peer's own work.
pub(super) struct Rounds {
    /// Claims half of its work as all of it.
    half_work: bool,
    threads: NonZeroUsize,
    work: Option<Work>,
    finished: mpsc::UnboundedSender<Finished>,
    /// This peer's completion of the open round.
    own: Option<Transaction>,
    verifier: Verifier<B256>,
    /// By [`key`].
    wanted: BTreeMap<B256, Wanted>,
    /// Whom this peer has asked, and for what.
    asked: BTreeMap<Remote, B256>,
    /// The keys of completions whose proofs do not hold, by round and validator.
    rejected: BTreeMap<(u64, Address), BTreeSet<B256>>,
    /// Proposals that wait for proofs, or to be found fair, in the order in which they came.
    deferred: VecDeque<Proposal>,
}

/// A proof that this peer needs.
struct Wanted {
    stated: Stated,
    /// The completion, if it is to be admitted as soon as its proof holds.
    transaction: Option<Transaction>,
    since: Instant,
    proof: Proof,
    /// Who had nothing.
    tried: BTreeSet<Remote>,
    /// Who has proposed it and must have it.
    proposer: Option<ValidatorIndex>,
}

/// A proposal that is to be judged.
#[derive(Clone)]
struct Proposal {
    block: Arc<Block>,
    /// When it came, in milliseconds since the Unix epoch.
    arrived_ms: u64,
    /// Nobody may have prepared it before.
    fresh: bool,
    /// The log says already that it has to wait.
    told: bool,
}

enum Proof {
    Missing,
    Here(Vec<u8>),
    InCheck { bytes: usize, fetch_us: u64 },
}

impl Rounds {
    pub(super) fn new(
        half_work: bool,
        threads: NonZeroUsize,
        finished: mpsc::UnboundedSender<Finished>,
        verdicts: mpsc::UnboundedSender<Verdict<B256>>,
    ) -> Self {
        Self {
            half_work,
            threads,
            work: None,
            finished,
            own: None,
            verifier: Verifier::spawn(verdicts),
            wanted: BTreeMap::new(),
            asked: BTreeMap::new(),
            rejected: BTreeMap::new(),
            deferred: VecDeque::new(),
        }
    }

    /// Whether the proof of what is stated was found not to hold.
    fn is_rejected(&self, stated: &Stated) -> bool {
        let part = (stated.1.round, stated.0);
        self.rejected.get(&part).is_some_and(|keys| keys.contains(&key(stated)))
    }
}

impl Core {
    // This peer's own work.

    /// Begins the work of the open round unless it is done or under way, and ends that of another.
    pub(super) fn follow_rounds(&mut self) {
        let me = self.key.address();
        let open = self.ledger.rounds().open.as_ref().filter(|round| round.takes(me));
        let Some(round) = open else {
            (self.rounds.work, self.rounds.own) = (None, None);
            return;
        };
        let under_way = self.rounds.work.as_ref().map(Work::round);
        if under_way != Some(round.number) {
            tracing::info!(round = round.number, steps = round.steps, "a round begins");
            let start = Start::of(round, me, self.domain);
            self.rounds.own = None;
            self.rounds.work =
                Some(Work::begin(start, self.rounds.half_work, self.rounds.threads, self.rounds.finished.clone()));
        }
    }

    pub(super) fn work_finished(&mut self, work: Finished) -> Result<(), NodeError> {
        let Finished { round, result, proof, started_at_us, compute_us, prove_us } = work;
        if self.rounds.work.as_ref().map(Work::round) != Some(round) {
            return Ok(());
        }
        let (proof_digest, payee) = (keccak256(&proof), self.payee);
        let completion = Completion { round, result, proof_digest, payee, started_at_us, compute_us, prove_us };
        tracing::info!(round, %result, compute_us, prove_us, bytes = proof.len(), "the work of the round is done");
        self.ledger.add_proof(self.key.address(), &completion, &proof)?;
        // Others will know the completion by this proof, and after a crash it could not be made again byte by byte.
        self.ledger.store().sync()?;
        self.rounds.own = Some(Transaction::sign(Payload::Completion(completion), &self.key, &self.domain));
        self.hand_in();
        Ok(())
    }

    /// Hands in this peer's completion, unless it waits already.
    fn hand_in(&mut self) {
        let Some(own) = self.rounds.own.clone() else { return };
        if let Payload::Completion(completion) = &own.payload
            && !self.ledger.has_completion(completion.round, own.sender)
            && let Err(error) = self.submit(own)
        {
            tracing::debug!(%error, "the completion was not taken");
        }
    }

    /// Looks at the clock: hands in what got lost, says that a round is over, and asks again for what is missing.
    pub(super) fn look_after_rounds(&mut self) {
        self.hand_in();
        let over = |round: &&Round| now_ms() > round.deadline_ms.saturating_add(GRACE_MS);
        if let Some(round) = self.ledger.rounds().open.as_ref().filter(over).map(|round| round.number) {
            let close = Transaction::sign(Payload::CloseRound { round }, &self.key, &self.domain);
            // Refused only if somebody's waits already.
            self.submit(close).ok();
        }
        self.ask_for_proofs();
    }

    // The proofs of others.

    /// A completion that is acceptable but for its proof: that is fetched, and the completion admitted if it holds.
    pub(super) fn want_proof_of(&mut self, transaction: &Transaction) {
        let Payload::Completion(completion) = &transaction.payload else { return };
        let same_part = |wanted: &Wanted| {
            wanted.transaction.is_some()
                && (wanted.stated.0, wanted.stated.1.round) == (transaction.sender, completion.round)
        };
        let rejected = self.rounds.rejected.get(&(completion.round, transaction.sender)).map_or(0, BTreeSet::len);
        // One at a time of each validator: the rest comes again or is asked for by a proposal.
        if !self.rounds.wanted.values().any(same_part) && rejected < MAX_REJECTED {
            self.want((transaction.sender, completion.clone()), Some(transaction.clone()), None);
        }
    }

    fn want(&mut self, stated: Stated, transaction: Option<Transaction>, proposer: Option<ValidatorIndex>) {
        if self.rounds.is_rejected(&stated) {
            return;
        }
        let (key, since) = (key(&stated), Instant::now());
        let (proof, tried) = (Proof::Missing, BTreeSet::new());
        let new = Wanted { stated, transaction: None, since, proof, tried, proposer: None };
        let wanted = self.rounds.wanted.entry(key).or_insert(new);
        wanted.transaction = wanted.transaction.take().or(transaction);
        wanted.proposer = proposer.or(wanted.proposer);
        self.ask_for_proofs();
    }

    /// Asks for every proof that is missing and not asked for, wherever nobody has said yet that it is not there.
    fn ask_for_proofs(&mut self) {
        let Rounds { wanted, asked, .. } = &mut self.rounds;
        for (key, wanted) in wanted.iter_mut().filter(|(_, wanted)| matches!(wanted.proof, Proof::Missing)) {
            // A vote waits for what was proposed, so its maker alone cannot keep the others waiting.
            let at_once = if wanted.proposer.is_some() { 2 } else { 1 };
            let maker = self.validators.index_of(wanted.stated.0);
            let first: Vec<_> = wanted.proposer.into_iter().chain(maker).collect();
            let first = first.into_iter().filter(|peer| self.connected.contains(peer));
            let mut candidates = first.chain(self.connected.iter().copied()).map(Remote::Validator);
            while asked.values().filter(|asked| *asked == key).count() < at_once {
                let to = candidates.find(|peer| !wanted.tried.contains(peer) && !asked.contains_key(peer));
                let Some(to) = to else {
                    // The next look at the clock begins anew.
                    if asked.is_empty() {
                        wanted.tried.clear();
                    }
                    break;
                };
                asked.insert(to, *key);
                let request = wanted.stated.1.proof_digest.to_vec();
                self.outbox.commands.push(Command::Request { exchange: Exchange::Proof, to, request });
            }
        }
    }

    /// An answer to a question for a proof.
    pub(super) fn proof_arrived(&mut self, from: Remote, proof: Option<Vec<u8>>) {
        let Some(key) = self.rounds.asked.remove(&from) else { return };
        if let Some(wanted) = self.rounds.wanted.get_mut(&key) {
            match proof.filter(|proof| !proof.is_empty() && proof.len() <= MAX_PROOF_BYTES) {
                Some(proof) if keccak256(&proof) == wanted.stated.1.proof_digest => wanted.proof = Proof::Here(proof),
                _ => _ = wanted.tried.insert(from),
            }
        }
        self.check_proofs();
        self.ask_for_proofs();
    }

    pub(super) fn forget_asked(&mut self, peer: Remote) {
        self.rounds.asked.remove(&peer);
    }

    /// Has the proofs checked that are here, as far as their rounds are known.
    fn check_proofs(&mut self) {
        let keys: Vec<_> = self.rounds.wanted.keys().copied().collect();
        for key in keys {
            let Some(wanted) = self.rounds.wanted.get(&key).filter(|wanted| matches!(wanted.proof, Proof::Here(_)))
            else {
                continue;
            };
            let (node, Completion { round, result, .. }) = &wanted.stated;
            let Ok(Some(round)) = self.ledger.round(*round) else { continue };
            let (start, result) = (Start::of(&round, *node, self.domain), *result);
            let Some(wanted) = self.rounds.wanted.get_mut(&key) else { continue };
            let fetch_us = wanted.since.elapsed().as_micros() as u64;
            if let Proof::Here(proof) = std::mem::replace(&mut wanted.proof, Proof::Missing) {
                wanted.proof = Proof::InCheck { bytes: proof.len(), fetch_us };
                self.rounds.verifier.check(key, start, result, proof);
            }
        }
    }

    pub(super) fn proof_checked(&mut self, verdict: Verdict<B256>) -> Result<(), NodeError> {
        let Verdict { subject: key, proof, outcome, verify_us } = verdict;
        let Some(Wanted { stated: (node, completion), transaction, proof: state, .. }) =
            self.rounds.wanted.remove(&key)
        else {
            return Ok(());
        };
        let Proof::InCheck { bytes, fetch_us } = state else { return Ok(()) };
        let (round, valid) = (completion.round, outcome.is_ok());
        self.metrics.proof_verified(valid);
        let reason = outcome.err().map(|error| error.to_string());
        match &reason {
            None => self.ledger.add_proof(node, &completion, &proof)?,
            Some(error) => {
                tracing::warn!(round, %node, %error, "a completion whose proof does not hold");
                self.rounds.rejected.entry((round, node)).or_default().insert(key);
                if let Some(validator) = self.validators.index_of(node) {
                    self.count_fault(validator);
                }
            }
        }
        let validator = self.validators.index_of(node).map(|index| index.0);
        let bytes = bytes as u64;
        self.board.verified(Verification { round, node, validator, valid, reason, bytes, fetch_us, verify_us });
        if let Some(transaction) = transaction.filter(|_| valid)
            && let Err(error) = self.admit(transaction)
        {
            tracing::debug!(round, %node, %error, "a proven completion was not admitted");
        }
        self.validate_deferred()
    }

    // Proposals that wait for proofs.

    /// Checks a proposal, as soon as the proofs of its completions and the proposals before it are checked.
    pub(super) fn validate(&mut self, block: Arc<Block>, fresh: bool) {
        if self.rounds.deferred.iter().any(|deferred| deferred.block == block) {
            return;
        }
        let has_room = self.rounds.deferred.len() < MAX_DEFERRED;
        let waits = !self.rounds.deferred.is_empty() || self.missing_proofs(&block).next().is_some();
        let proposal = Proposal { block, arrived_ms: now_ms(), fresh, told: false };
        if waits && has_room && self.may_become_valid(&proposal.block) {
            self.want_proofs_for(&proposal.block);
            self.rounds.deferred.push_back(proposal);
        } else if !self.validate_now(&proposal) && has_room {
            self.rounds.deferred.push_back(Proposal { told: true, ..proposal });
        }
    }

    /// Whether proofs could make it valid, as far as that is cheap to tell: nobody is asked, and nothing waits, for what no
    /// validator has said or no round takes. At most one completion of each validator can be in a valid block.
    fn may_become_valid(&self, block: &Block) -> bool {
        let unproven = || block.transactions.iter().filter(|transaction| self.ledger.unproven(transaction).is_some());
        let rounds = self.ledger.rounds();
        let plausible = |transaction: &Transaction| {
            let Payload::Completion(Completion { round, .. }) = transaction.payload else { return false };
            let open = rounds.open.as_ref().filter(|open| open.number == round);
            let ahead = round > rounds.last && round <= rounds.last.saturating_add(MAX_ROUNDS_AHEAD);
            (ahead || open.is_some_and(|open| open.takes(transaction.sender)))
                && self.validators.index_of(transaction.sender).is_some()
                && transaction.validate(&self.domain).is_ok()
        };
        unproven().count() <= self.validators.len() && unproven().all(plausible)
    }

    fn want_proofs_for(&mut self, block: &Block) {
        let proposer = self.validators.index_of(block.header.proposer).filter(|proposer| *proposer != self.me);
        let missing: Vec<_> = self.missing_proofs(block).collect();
        missing.into_iter().for_each(|stated| self.want(stated, None, proposer));
    }

    /// Forgets the proposals that wait, because consensus has moved to another view and asks anew.
    pub(super) fn forget_deferred(&mut self) {
        self.rounds.deferred.clear();
    }

    /// Whether it is time for what a transaction says of a round. The ledger knows the time by blocks only, and what no
    /// block can contain yet, or any more, must not look as if the primary left it lying.
    pub(super) fn check_time(&self, transaction: &Transaction) -> Result<(), Refusal> {
        let Some(open) = &self.ledger.rounds().open else { return Ok(()) };
        let (round, deadline_ms, timestamp_ms) = (open.number, open.deadline_ms, now_ms());
        match &transaction.payload {
            Payload::CloseRound { round: number } if *number == round && timestamp_ms <= deadline_ms => {
                Err(Refusal::RoundNotOver { round, deadline_ms, timestamp_ms })
            }
            Payload::Completion(completion) if completion.round == round && timestamp_ms > deadline_ms => {
                Err(Refusal::RoundOver { round, deadline_ms, timestamp_ms })
            }
            _ => Ok(()),
        }
    }

    fn missing_proofs<'a>(&'a self, block: &'a Block) -> impl Iterator<Item = Stated> + 'a {
        block.transactions.iter().filter_map(|transaction| {
            let completion = self.ledger.unproven(transaction)?;
            Some((transaction.sender, completion.clone()))
        })
    }

    /// Goes on with the proposals that waited.
    pub(super) fn validate_deferred(&mut self) -> Result<(), NodeError> {
        let height = self.ledger.tip().height;
        while let Some(proposal) = self.rounds.deferred.front().cloned() {
            let block = &proposal.block;
            let missing: Vec<_> = self.missing_proofs(block).collect();
            let is_rejected = missing.iter().any(|stated| self.rounds.is_rejected(stated));
            let is_above = block.header.height > height;
            if !missing.is_empty() && !is_rejected && is_above {
                self.want_proofs_for(block);
                break;
            }
            if is_above && !self.validate_now(&proposal) {
                self.rounds.deferred.front_mut().into_iter().for_each(|proposal| proposal.told = true);
                break;
            }
            self.rounds.deferred.pop_front();
            self.pump()?;
        }
        Ok(())
    }

    /// Tells consensus whether a proposal is good, unless it is to be judged again later.
    fn validate_now(&mut self, Proposal { block, arrived_ms, fresh, told }: &Proposal) -> bool {
        let (height, block_hash) = (block.header.height, block.header.hash());
        let ledger = &mut self.ledger;
        ledger.tell_time(now_ms());
        let check = || ledger.check_proposal(block.clone(), *arrived_ms, *fresh);
        let checked = self.metrics.timed(Step::Validate, check);
        if let Err(error) = &checked {
            if !told || !error.is_for_now() {
                tracing::warn!(height, %block_hash, %error, "a block was proposed that this validator does not accept");
            }
            // Where blocks are mined, the chain that is followed asks again by itself.
            if error.is_for_now() && self.genesis.engine.mining().is_none() {
                return false;
            }
        }
        self.inputs.push_back(Input::Answer(Answer::Validated { block_hash, valid: checked.is_ok() }));
        true
    }

    /// After a block became final: what waited for its round goes on, and what is of old rounds is forgotten.
    pub(super) fn rounds_moved(&mut self) {
        self.follow_rounds();
        let open = self.ledger.rounds().open.as_ref().map(|round| round.number);
        let last = self.ledger.rounds().last;
        self.rounds.rejected.retain(|(round, _), _| *round >= last);
        // What is of a closed round is of use only to proposals, which ask for it again.
        let (rounds, deferred) = (&mut self.rounds.wanted, &self.rounds.deferred);
        rounds.retain(|_, wanted| {
            Some(wanted.stated.1.round) == open || wanted.stated.1.round > last || !deferred.is_empty()
        });
        self.check_proofs();
    }
}

/// Names what a completion states.
fn key((node, completion): &Stated) -> B256 {
    let Completion { round, result, proof_digest, .. } = completion;
    keccak256([node.as_slice(), &round.to_be_bytes(), result.as_slice(), proof_digest.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{ops::ControlFlow, time::Duration};

    use dtn_aow::{Delay, Trace};
    use dtn_ledger::Ledger;
    use dtn_primitives::{B128, Genesis, RoundOrder, SecretKey, U256};

    use dtn_ledger::AdmissionError;

    use super::{
        super::{Timer, testing},
        *,
    };
    use crate::prover::ROUND_SECURITY;

    const STEPS: u64 = 3_000;

    /// A backup, and a ledger that proposes to it.
    struct Pair {
        core: Core,
        _commands: mpsc::Receiver<Command>,
        primary: Ledger,
        keys: Vec<SecretKey>,
        requester: SecretKey,
    }

    impl Pair {
        /// Both with an open round.
        fn new() -> Self {
            let requester = SecretKey::from_bytes(&[9; 32]).unwrap();
            let genesis = Genesis { requesters: vec![requester.address()], ..testing::genesis() };
            let (core, commands) = testing::core(genesis.clone(), true);
            let primary = Ledger::in_memory(genesis.clone()).unwrap();
            let mut pair = Self { core, _commands: commands, primary, keys: testing::keys(), requester };
            pair.core.connected = [0, 2, 3].map(ValidatorIndex).into();
            let order = RoundOrder { nonce: 0, steps: STEPS, quorum: 4, duration_ms: 60_000, reward: U256::ZERO };
            let opening = pair.propose(Transaction::sign(Payload::Round(order), &pair.requester, &pair.core.domain));
            let certificate = testing::certificate(&opening, &genesis);
            pair.primary.commit(opening.clone(), &certificate).unwrap();
            pair.core.commit(opening, certificate).unwrap();
            pair
        }

        /// A block with this transaction on top of the last one.
        fn propose(&mut self, transaction: Transaction) -> Arc<Block> {
            let parent = self.primary.admit(transaction).map(|_| self.tip()).unwrap();
            self.primary.propose(parent, now_ms(), self.keys[0].address(), 100, false).unwrap()
        }

        fn tip(&self) -> B256 {
            self.primary.tip().hash
        }

        /// A completion by the last validator, which has done so many steps, and its proof.
        fn completion(&mut self, steps: u64) -> (Transaction, Vec<u8>) {
            let (key, open) = (self.keys[3].clone(), self.primary.rounds().open.clone().unwrap());
            let start = Start::of(&open, key.address(), self.core.domain);
            let trace = Trace::run(Delay::default(), start.element(), steps, |_| ControlFlow::Continue(())).unwrap();
            let result = B128::new(trace.result().to_bytes());
            let proof = trace.prove(start.context(), ROUND_SECURITY).unwrap();
            let completion = Completion {
                round: 1,
                result,
                proof_digest: keccak256(&proof),
                payee: Address::repeat_byte(4),
                started_at_us: 1,
                compute_us: 1,
                prove_us: 1,
            };
            // The primary believes what it likes.
            self.primary.add_proof(key.address(), &completion, &proof).unwrap();
            (Transaction::sign(Payload::Completion(completion), &key, &self.core.domain), proof)
        }

        /// Whom the core has asked for proofs since the last look.
        fn asked(&mut self) -> Vec<Remote> {
            let commands = std::mem::take(&mut self.core.outbox.commands);
            let asked = commands.into_iter().filter_map(|command| match command {
                Command::Request { exchange: Exchange::Proof, to, .. } => Some(to),
                _ => None,
            });
            asked.collect()
        }

        fn next_verdict(&mut self) {
            let started = Instant::now();
            let verdict = loop {
                match self.core.verdicts.try_recv() {
                    Ok(verdict) => break verdict,
                    Err(_) => assert!(started.elapsed() < Duration::from_secs(60), "nothing is being verified"),
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            self.core.proof_checked(verdict).unwrap();
        }
    }

    fn validator(index: u16) -> Remote {
        Remote::Validator(ValidatorIndex(index))
    }

    #[test]
    fn a_proposal_waits_for_its_proofs_and_those_that_follow_it_wait_too() {
        let mut pair = Pair::new();
        let (completion, proof) = pair.completion(STEPS);
        let first = pair.propose(completion);
        let items = vec!["opaque"].into();
        let data = Transaction::sign(Payload::Data { nonce: 1, items }, &pair.requester, &pair.core.domain);
        pair.primary.admit(data).unwrap();
        let second = pair.primary.propose(first.header.hash(), now_ms(), pair.keys[0].address(), 100, false).unwrap();

        pair.core.validate(first.clone(), true);
        pair.core.validate(second.clone(), true);
        assert_eq!((pair.core.rounds.deferred.len(), pair.core.inputs.len()), (2, 0), "no verdict on either");
        assert_eq!(pair.asked(), [validator(0), validator(3)], "who has proposed it, and who made it");
        pair.core.proof_arrived(validator(3), None);
        assert_eq!(pair.asked(), [validator(2)], "then the others");
        pair.core.proof_arrived(validator(0), Some(proof[1..].to_vec()));
        assert_eq!(pair.asked(), [], "another proof is none");
        pair.core.proof_arrived(validator(2), Some(proof));
        pair.next_verdict();
        assert!(pair.core.rounds.deferred.is_empty());
        for block in [first, second] {
            assert_eq!(pair.core.ledger.check_proposal(block, now_ms(), true), Ok(()), "found valid, in this order");
        }
        assert!(pair.core.board.verifications(1)[0].valid);
    }

    #[test]
    fn a_proposal_with_a_proof_of_half_the_work_is_invalid() {
        let mut pair = Pair::new();
        let (completion, proof) = pair.completion(STEPS / 2);
        // Half of it leads somewhere, and there is a proof of that; it is claimed as all of it.
        let proposal = pair.propose(completion.clone());
        pair.core.validate(proposal.clone(), true);
        pair.core.proof_arrived(validator(3), Some(proof));
        pair.next_verdict();
        assert!(pair.core.rounds.deferred.is_empty());
        assert!(pair.core.ledger.check_proposal(proposal, now_ms(), true).is_err());
        assert_eq!(pair.core.faults, [0, 0, 0, 1]);
        let verification = &pair.core.board.verifications(1)[0];
        assert!(!verification.valid && verification.reason.is_some());
        // Nor is it asked for again.
        pair.asked();
        pair.core.admit(completion).unwrap_err();
        assert_eq!(pair.asked(), []);
    }

    #[test]
    fn a_validator_that_keeps_lying_is_not_heard_any_more_unless_what_it_says_is_proposed() {
        let mut pair = Pair::new();
        let (completion, _) = pair.completion(STEPS);
        let Payload::Completion(stated) = completion.payload else { unreachable!() };
        let lie = |pair: &Pair, number: u64| {
            let proof = number.to_be_bytes().to_vec();
            let completion = Completion { proof_digest: keccak256(&proof), ..stated.clone() };
            (Transaction::sign(Payload::Completion(completion), &pair.keys[3], &pair.core.domain), proof)
        };
        for number in 0..MAX_REJECTED as u64 {
            let (lie, proof) = lie(&pair, number);
            pair.core.admit(lie).unwrap_err();
            assert_eq!(pair.asked(), [validator(3)], "{number}");
            pair.core.proof_arrived(validator(3), Some(proof));
            pair.next_verdict();
        }
        let (one_more, proof) = lie(&pair, MAX_REJECTED as u64);
        pair.core.admit(one_more.clone()).unwrap_err();
        assert_eq!(pair.asked(), []);
        let Payload::Completion(stated) = &one_more.payload else { unreachable!() };
        pair.primary.add_proof(pair.keys[3].address(), stated, &proof).unwrap();
        let proposal = pair.propose(one_more);
        pair.core.validate(proposal, true);
        assert_eq!(pair.asked(), [validator(0), validator(3)], "whoever votes has to know");
    }

    #[test]
    fn a_proposal_with_more_completions_than_validators_is_refused_without_asking_anybody() {
        let mut pair = Pair::new();
        let (completion, _) = pair.completion(STEPS);
        let proposal = pair.propose(completion.clone());
        let strange = |sender| Transaction { sender, ..completion.clone() };
        for transactions in [vec![completion.clone(); 5], vec![strange(Address::repeat_byte(7))]] {
            let block = Arc::new(Block { header: proposal.header.clone(), transactions });
            pair.core.validate(block, true);
            assert!(pair.core.rounds.deferred.is_empty() && pair.core.rounds.wanted.is_empty());
            assert!(matches!(pair.core.inputs.pop_back(), Some(Input::Answer(Answer::Validated { valid: false, .. }))));
        }
    }

    #[test]
    fn what_waits_for_a_proof_that_nobody_has_does_not_outlive_its_view() {
        let mut pair = Pair::new();
        let (completion, proof) = pair.completion(STEPS);
        let blocked = pair.propose(completion);
        pair.core.validate(blocked, true);
        assert_eq!(pair.core.rounds.deferred.len(), 1);
        pair.core.input(Input::Answer(Answer::Waiting(Some(B256::repeat_byte(1))))).unwrap();
        pair.core.input(Input::Timer(Timer::ViewChange)).unwrap();
        assert!(pair.core.engine.standing().view > 0 && pair.core.rounds.deferred.is_empty());
        // Nor does an answer that comes too late bring it back.
        pair.core.proof_arrived(validator(3), Some(proof));
        pair.next_verdict();
        assert!(pair.core.rounds.deferred.is_empty());
    }

    #[test]
    fn what_no_validator_said_or_no_round_takes_is_refused_at_once_and_blamed_on_nobody() {
        let mut pair = Pair::new();
        let (completion, _) = pair.completion(STEPS);
        let proposal = pair.propose(completion.clone());
        let Payload::Completion(stated) = &completion.payload else { unreachable!() };
        let signed = |round| {
            let payload = Payload::Completion(Completion { round, ..stated.clone() });
            Transaction::sign(payload, &pair.keys[3], &pair.core.domain)
        };
        let (old, far) = (signed(0), signed(999));
        let forged = Transaction { signature: old.signature, ..completion.clone() };
        for transaction in [old, far, forged] {
            pair.core
                .validate(Arc::new(Block { header: proposal.header.clone(), transactions: vec![transaction] }), true);
            assert!(matches!(pair.core.inputs.pop_back(), Some(Input::Answer(Answer::Validated { valid: false, .. }))));
            assert!(pair.core.rounds.deferred.is_empty() && pair.core.rounds.wanted.is_empty());
        }
        assert_eq!((pair.asked(), &pair.core.faults[..]), (vec![], &[0; 4][..]));
    }

    #[test]
    fn a_round_is_not_said_to_be_over_while_it_is_not() {
        let mut pair = Pair::new();
        let close = Transaction::sign(Payload::CloseRound { round: 1 }, &pair.keys[3], &pair.core.domain);
        let refused = pair.core.admit(close).unwrap_err();
        assert!(matches!(refused, AdmissionError::Refused(Refusal::RoundNotOver { round: 1, .. })), "{refused}");
        assert!(pair.core.ledger.oldest_executable().is_none(), "nothing that the primary could be blamed for");
    }

    #[test]
    fn who_asks_for_nothing_gets_nothing_checked_and_questions_are_bounded() {
        let mut pair = Pair::new();
        let (completion, proof) = pair.completion(STEPS);
        pair.core.proof_arrived(validator(3), Some(proof));
        assert!(pair.core.rounds.wanted.is_empty(), "nobody was asked");
        for payee in 1..20 {
            let Payload::Completion(completion) = &completion.payload else { unreachable!() };
            let other = Completion {
                payee: Address::repeat_byte(payee),
                proof_digest: B256::repeat_byte(payee),
                ..completion.clone()
            };
            let other = Transaction::sign(Payload::Completion(other), &pair.keys[3], &pair.core.domain);
            pair.core.admit(other).unwrap_err();
        }
        assert_eq!(pair.core.rounds.wanted.len(), 1, "one at a time of each validator");
    }
}
