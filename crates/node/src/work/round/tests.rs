//! Both parts at a backup, to which another ledger proposes.

#![allow(clippy::unwrap_used)]

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use dtn_aow::{Delay, Start, Trace};
use dtn_ledger::{AdmissionError, Ledger};
use dtn_primitives::{
    Address, B128, Block, Completion, Genesis, RoundOrder, SecretKey, U256, ValidatorIndex, keccak256,
};

use super::{proofs::MAX_REJECTED, prover::ROUND_SECURITY, *};
use crate::{
    core::{
        engine::{Answer, Input, Timer},
        testing,
    },
    network::{Command, Exchange, Remote},
};

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
    assert_eq!((pair.core.deferred.len(), pair.core.inputs.len()), (2, 0), "no verdict on either");
    assert_eq!(pair.asked(), [validator(0), validator(3)], "who has proposed it, and who made it");
    pair.core.proof_arrived(validator(3), None);
    assert_eq!(pair.asked(), [validator(2)], "then the others");
    pair.core.proof_arrived(validator(0), Some(proof[1..].to_vec()));
    assert_eq!(pair.asked(), [], "another proof is none");
    pair.core.proof_arrived(validator(2), Some(proof));
    pair.next_verdict();
    assert!(pair.core.deferred.is_empty());
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
    assert!(pair.core.deferred.is_empty());
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
        assert!(pair.core.deferred.is_empty() && pair.core.rounds.proofs.wanted.is_empty());
        assert!(matches!(pair.core.inputs.pop_back(), Some(Input::Answer(Answer::Validated { valid: false, .. }))));
    }
}

#[test]
fn what_waits_for_a_proof_that_nobody_has_does_not_outlive_its_view() {
    let mut pair = Pair::new();
    let (completion, proof) = pair.completion(STEPS);
    let blocked = pair.propose(completion);
    pair.core.validate(blocked, true);
    assert_eq!(pair.core.deferred.len(), 1);
    pair.core.input(Input::Answer(Answer::Waiting(Some(B256::repeat_byte(1))))).unwrap();
    pair.core.input(Input::Timer(Timer::ViewChange)).unwrap();
    assert!(pair.core.engine.standing().view > 0 && pair.core.deferred.is_empty());
    // Nor does an answer that comes too late bring it back.
    pair.core.proof_arrived(validator(3), Some(proof));
    pair.next_verdict();
    assert!(pair.core.deferred.is_empty());
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
        pair.core.validate(Arc::new(Block { header: proposal.header.clone(), transactions: vec![transaction] }), true);
        assert!(matches!(pair.core.inputs.pop_back(), Some(Input::Answer(Answer::Validated { valid: false, .. }))));
        assert!(pair.core.deferred.is_empty() && pair.core.rounds.proofs.wanted.is_empty());
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
    assert!(pair.core.rounds.proofs.wanted.is_empty(), "nobody was asked");
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
    assert_eq!(pair.core.rounds.proofs.wanted.len(), 1, "one at a time of each validator");
}
