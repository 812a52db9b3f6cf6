//! Which accounts a ledger remembers.
#![allow(clippy::unwrap_used)]

use dtn_primitives::{Certificate, Payload, SecretKey, Transaction, ValidatorIndex, Vote, VoteKind};

use super::*;
use crate::{Ready, Refusal, work::Execution};

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).unwrap()
}

fn genesis() -> Genesis {
    Genesis {
        version: dtn_primitives::VERSION,
        name: "accounts".into(),
        chain_id: 1,
        timestamp: 1_000,
        max_block_bytes: 1 << 20,
        validators: (1..=4).map(|number| key(number).public_key()).collect(),
        requesters: Vec::new(),
        engine: dtn_primitives::Engine::Pbft,
        kinds: Vec::new(),
        training: None,
    }
}

fn data(signer: u8, nonce: u64) -> Transaction {
    let payload = Payload::Data { nonce, items: vec![[signer]].into() };
    Transaction::sign(payload, &key(signer), &genesis().domain())
}

/// A ledger that remembers three accounts.
fn ledger() -> Ledger {
    let mut ledger = Ledger::in_memory(genesis()).unwrap();
    ledger.rules.max_accounts = 3;
    ledger
}

fn certificate(block: &Block) -> Certificate {
    let (domain, validators) = (genesis().domain(), genesis().validator_set().unwrap());
    let vote = |number| {
        let index: ValidatorIndex = validators.index_of(key(number).address()).unwrap();
        Vote::sign(VoteKind::Commit, (0, 0, block.header.height), block.header.hash(), index, &key(number), &domain)
    };
    Certificate::from_votes(&(1..=3).map(vote).collect::<Vec<_>>()).unwrap()
}

fn propose(ledger: &mut Ledger, parent: B256, transactions: impl IntoIterator<Item = Transaction>) -> Arc<Block> {
    transactions.into_iter().for_each(|transaction| _ = ledger.admit(transaction).unwrap());
    ledger.propose(parent, 0, key(1).address(), 100, false).unwrap()
}

#[test]
fn who_was_idle_longest_is_forgotten_and_nothing_that_it_signed_is_executed_again() {
    let (mut ledger, mut replica) = (ledger(), ledger());
    let bodies = [vec![data(11, 0), data(11, 1)], vec![data(1, 0)], vec![data(12, 0)], vec![data(13, 0), data(14, 0)]];
    // All four blocks are under way at once in one, and final one after the other in the other.
    let mut parent = ledger.tip().hash;
    let blocks = bodies.map(|body| {
        let block = propose(&mut ledger, parent, body);
        parent = block.header.hash();
        block
    });
    for block in &blocks {
        ledger.commit(block.clone(), &certificate(block)).unwrap();
        replica.commit(block.clone(), &certificate(block)).unwrap();
    }
    assert_eq!(ledger.checkpoint(), replica.checkpoint());
    let known: Vec<_> = ledger.state.nonces.keys().copied().collect();
    let mut kept = [1, 13, 14].map(|number| key(number).address());
    kept.sort();
    assert_eq!(known, kept, "the strangers 11 and 12 are forgotten, the validator is not");
    // Whoever is not remembered begins above all that anybody forgotten has used.
    assert_eq!([11, 12, 15].map(|number| ledger.next_nonce(key(number).address())), [2; 3]);
    let tip = ledger.tip();
    for replayed in [data(11, 0), data(11, 1), data(12, 0)] {
        let view = view(&ledger.state, &ledger.speculative, 0);
        let mut execution = Execution::new(&ledger.rules, view, tip, tip.timestamp + 1);
        let refused = execution.apply(&replayed, replayed.hash(&ledger.rules.domain));
        assert!(matches!(refused, Err(Refusal::NonceTooLow { next: 2, .. })), "{refused:?}");
    }
    // They go on, and a peer that is opened anew or takes over a snapshot knows the same.
    let block = propose(&mut ledger, tip.hash, [data(11, 2), data(15, 2)]);
    ledger.commit(block.clone(), &certificate(&block)).unwrap();
    assert_eq!(ledger.next_nonce(key(11).address()), 3);
    let mut state = State::from(ledger.state.rest());
    for number in ledger.state.buckets() {
        state.add_bucket(&ledger.state.bucket(number).unwrap()).unwrap();
    }
    assert_eq!((&state, state.next_nonce(key(16).address())), (&ledger.state, 2));
}

#[test]
fn what_waits_of_somebody_unknown_is_dropped_when_its_nonce_is_below_the_floor() {
    let mut ledger = ledger();
    let late = data(16, 0);
    let hash = late.hash(&ledger.rules.domain);
    let parent = ledger.tip.hash;
    let first = propose(&mut ledger, parent, [data(11, 0), data(12, 0), data(13, 0)]);
    ledger.commit(first.clone(), &certificate(&first)).unwrap();
    ledger.admit(late).unwrap();
    let mut other = self::ledger();
    other.commit(first.clone(), &certificate(&first)).unwrap();
    let block = propose(&mut other, first.header.hash(), [data(14, 0)]);
    ledger.commit(block.clone(), &certificate(&block)).unwrap();
    assert_eq!((ledger.pending(hash), ledger.oldest_executable(), ledger.ready()), (None, None, Ready::default()));
    ledger.admit(data(16, 1)).unwrap();
    assert_eq!(ledger.ready().transactions, 1);
}
