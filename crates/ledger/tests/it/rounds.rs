//! Rounds of sequential work: who takes part, when they end, and what is left of them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dtn_ledger::{AdmissionError, BlockError, Ledger, LedgerError, Refusal};
use dtn_primitives::*;

use crate::common::*;

const DURATION: u64 = 60_000;

fn round_of(nonce: u64, quorum: u16, reward: u64) -> RoundOrder {
    RoundOrder { nonce, steps: 4096, quorum, duration_ms: DURATION, reward: U256::from(reward) }
}

fn round(nonce: u64, quorum: u16) -> Transaction {
    sign(Payload::Round(round_of(nonce, quorum, 7)), 10)
}

fn completion_of(round: u64, node: u8) -> Completion {
    Completion {
        round,
        result: B128::repeat_byte(node),
        proof_digest: keccak256([round as u8, node]),
        payee: Address::repeat_byte(0xa0 + node),
        started_at_us: 1,
        compute_us: 2,
        prove_us: 3,
    }
}

fn completion(round: u64, node: u8) -> Transaction {
    sign(Payload::Completion(completion_of(round, node)), node)
}

fn close(round: u64, node: u8) -> Transaction {
    sign(Payload::CloseRound { round }, node)
}

/// As if the ledger's owner had verified the proof.
fn prove(ledger: &mut Ledger, round: u64, node: u8) {
    ledger.add_proof(key(node).address(), &completion_of(round, node), &[node; 9]).unwrap();
}

fn complete(ledger: &mut Ledger, round: u64, nodes: impl IntoIterator<Item = u8>) -> Block {
    let completions: Vec<_> = nodes
        .into_iter()
        .map(|node| {
            prove(ledger, round, node);
            completion(round, node)
        })
        .collect();
    commit_all(ledger, completions)
}

/// A block of these transactions at this time, as it would be refused.
fn refusal(ledger: &mut Ledger, transactions: Vec<Transaction>, timestamp: u64) -> Refusal {
    let mut block = forged(ledger, transactions, &[]);
    block.header.timestamp = timestamp;
    match ledger.check_proposal(Arc::new(block), timestamp, true) {
        Err(BlockError::Execution { refusal, .. }) => refusal,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

#[test]
fn a_round_closes_at_its_quorum_and_tells_who_is_missing() {
    let mut ledger = crate::common::ledger();
    let opening = commit_all(&mut ledger, [round(0, 3)]);
    let open = ledger.rounds().open.clone().expect("open");
    let known = (open.number, open.height, open.block_hash, open.steps);
    assert_eq!(known, (1, 1, opening.header.hash(), 4096), "the work starts from the opening block's hash");
    assert_eq!(open.deadline_ms, opening.header.timestamp + DURATION);

    complete(&mut ledger, 1, [2]);
    assert_eq!(ledger.round(1).unwrap().unwrap().completed.len(), 1);
    assert_eq!(ledger.rounds().beacon, B256::ZERO);
    let block = complete(&mut ledger, 1, [4, 1]);

    assert_eq!(ledger.rounds().open, None);
    let closed = ledger.round(1).unwrap().expect("kept");
    let completed: Vec<_> = closed.completed.iter().map(|it| (it.node, it.height)).collect();
    let [first, second, third] = [2, 4, 1].map(|node| key(node).address());
    assert_eq!(completed, [(first, 2), (second, 3), (third, 3)]);
    let closing = closed.closing.clone().expect("closed");
    assert_eq!((closing.height, closing.missing), (3, vec![key(3).address()]));
    let before = Round { closing: None, ..closed.clone() };
    assert_eq!((closing.beacon, ledger.rounds().beacon), (before.beacon(B256::ZERO), closing.beacon));

    let results = ledger.results_in(3).unwrap();
    assert_eq!(results.len(), 2);
    let expected = WorkResult {
        kind: Kind::ROUND,
        id: Round::id(1, second),
        worker: second,
        payee: Address::repeat_byte(0xa4),
        amount: U256::from(7),
        digest: closed.outcome(second, B128::repeat_byte(4)),
    };
    assert_eq!(results[0], expected);
    assert_eq!(block.header.results_root, WorkResult::root(&results));
    assert_eq!(ledger.finalized_result(Round::id(1, third)).unwrap().expect("proven").result.id, results[1].id);
}

#[test]
fn a_round_that_is_not_completed_in_time_is_closed_by_any_validator() {
    let mut ledger = crate::common::ledger();
    commit_all(&mut ledger, [round(0, 4)]);
    complete(&mut ledger, 1, [2]);
    let deadline = ledger.rounds().open.as_ref().unwrap().deadline_ms;
    let not_over = Refusal::RoundNotOver { round: 1, deadline_ms: deadline, timestamp_ms: deadline };
    assert_eq!(refusal(&mut ledger, vec![close(1, 3)], deadline), not_over);
    prove(&mut ledger, 1, 3);
    let over = Refusal::RoundOver { round: 1, deadline_ms: deadline, timestamp_ms: deadline + 1 };
    assert_eq!(refusal(&mut ledger, vec![completion(1, 3)], deadline + 1), over);

    // What waits for a round that is over goes with it.
    ledger.admit(completion(1, 3)).unwrap();
    ledger.admit(close(1, 4)).unwrap();
    assert!(matches!(ledger.admit(close(1, 1)), Err(AdmissionError::ClaimPending(_))));
    let block = forged(&ledger, vec![close(1, 1)], &[]);
    let block = Block { header: Header { timestamp: deadline + 1, ..block.header }, ..block };
    ledger.check_proposal(Arc::new(block.clone()), deadline + 1, true).unwrap();
    ledger.commit(Arc::new(block.clone()), &certificate(&block)).unwrap();
    let missing: Vec<_> = ledger.round(1).unwrap().unwrap().closing.unwrap().missing;
    let [one, three, four] = [1, 3, 4].map(|node| key(node).address());
    let mut expected = vec![one, three, four];
    expected.sort();
    assert_eq!(missing, expected, "in the order of the validators, which is that of their addresses");
    assert_eq!((ledger.pending_count(), ledger.oldest_executable()), (0, None));
    assert_eq!(ledger.admit(completion(1, 4)), Err(Refusal::RoundNotOpen(1).into()));
}

#[test]
fn nobody_votes_for_a_completion_whose_proof_it_has_not_verified() {
    let mut ledger = crate::common::ledger();
    commit_all(&mut ledger, [round(0, 3)]);
    let completed = completion(1, 2);
    assert_eq!(ledger.admit(completed.clone()), Err(AdmissionError::Unproven(hash(&completed))));
    assert_eq!(ledger.unproven(&completed), Some(&completion_of(1, 2)));
    let open = ledger.rounds().open.clone().unwrap();
    let node = key(2).address();
    let result = WorkResult {
        kind: Kind::ROUND,
        id: Round::id(1, node),
        worker: node,
        payee: Address::repeat_byte(0xa2),
        amount: U256::from(7),
        digest: open.outcome(node, B128::repeat_byte(2)),
    };
    let block = forged(&ledger, vec![completed.clone()], &[result]);
    let proposal = Arc::new(block.clone());
    assert_eq!(ledger.check_proposal(proposal.clone(), NOW, true), Err(BlockError::Unproven { index: 0 }));

    // A proof of another result, or of another node with the same bytes, is not that proof.
    let lie = Completion { result: B128::repeat_byte(9), ..completion_of(1, 2) };
    ledger.add_proof(node, &lie, &[9]).unwrap();
    ledger.add_proof(key(3).address(), &completion_of(1, 2), &[9]).unwrap();
    assert_eq!(ledger.check_proposal(proposal.clone(), NOW, true), Err(BlockError::Unproven { index: 0 }));

    prove(&mut ledger, 1, 2);
    assert_eq!(ledger.unproven(&completed), None);
    ledger.check_proposal(proposal, NOW, true).unwrap();

    // What a quorum has certified needs no proof here: a quorum has verified it.
    let mut behind = crate::common::ledger();
    commit_all(&mut behind, [round(0, 3)]);
    behind.commit(Arc::new(block.clone()), &certificate(&block)).unwrap();
    assert_eq!(behind.rounds().open.as_ref().unwrap().completed.len(), 1);
}

#[test]
fn rounds_are_asked_for_by_requesters_one_at_a_time_and_served_by_validators_once() {
    let mut ledger = crate::common::ledger();
    let refused = |ledger: &mut Ledger, transaction| match ledger.admit(transaction) {
        Err(AdmissionError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, not {other:?}"),
    };
    let stranger = sign(Payload::Round(round_of(0, 3, 7)), 5);
    assert_eq!(refused(&mut ledger, stranger), Refusal::NotRequester(key(5).address()));
    assert_eq!(refused(&mut ledger, round(0, 5)), Refusal::RoundQuorum { quorum: 5, validators: 4 });
    for (order, error) in [
        (RoundOrder { steps: 0, ..round_of(0, 3, 7) }, TransactionError::RoundSteps(0)),
        (RoundOrder { steps: MAX_ROUND_STEPS + 1, ..round_of(0, 3, 7) }, TransactionError::RoundSteps((1 << 24) + 1)),
        (RoundOrder { steps: 5000, ..round_of(0, 3, 7) }, TransactionError::UnevenSteps(5000)),
        (RoundOrder { duration_ms: 0, ..round_of(0, 3, 7) }, TransactionError::RoundDuration(0)),
        (RoundOrder { quorum: 0, ..round_of(0, 3, 7) }, TransactionError::NoRoundQuorum),
    ] {
        assert_eq!(refused(&mut ledger, sign(Payload::Round(order), 10)), Refusal::Invalid(error));
    }
    assert_eq!(refused(&mut ledger, completion(1, 2)), Refusal::RoundNotOpen(1));
    assert_eq!(refused(&mut ledger, close(1, 2)), Refusal::RoundNotOpen(1));

    commit_all(&mut ledger, [round(0, 3)]);
    assert_eq!(refusal(&mut ledger, vec![round(1, 3)], NOW + 10), Refusal::RoundUnderWay(1));
    assert_eq!(refused(&mut ledger, round(1, 3)), Refusal::RoundUnderWay(1), "it would wait as long as the round");
    assert_eq!(refused(&mut ledger, completion(2, 2)), Refusal::RoundNotOpen(2));
    prove(&mut ledger, 1, 5);
    assert_eq!(refused(&mut ledger, completion(1, 5)), Refusal::NotValidator(key(5).address()));
    assert_eq!(refused(&mut ledger, close(1, 5)), Refusal::NotValidator(key(5).address()));
    complete(&mut ledger, 1, [2]);
    let twice = Refusal::CompletedBefore { round: 1, node: key(2).address() };
    assert_eq!(ledger.admit(completion(1, 2)), Err(AdmissionError::Final { height: 2 }));
    assert_eq!(refusal(&mut ledger, vec![completion(1, 2)], NOW + 10), twice);

    // Nor can a block complete the round that it opens: the start follows from its hash.
    complete(&mut ledger, 1, [3, 4]);
    prove(&mut ledger, 2, 2);
    assert_eq!(refusal(&mut ledger, vec![round(1, 3), completion(2, 2)], NOW + 10), Refusal::RoundNotOpen(2));
    commit_all(&mut ledger, [round(1, 1)]);
    assert_eq!(ledger.rounds().open.as_ref().map(|round| round.number), Some(2));
}

#[test]
fn what_would_open_a_round_does_not_wait_for_the_end_of_another() {
    let (mut ledger, mut other) = (crate::common::ledger(), crate::common::ledger());
    for order in [round(0, 3), round(1, 3)] {
        ledger.admit(order).unwrap();
    }
    let opening = commit_all(&mut other, [round(0, 3)]);
    commit(&mut ledger, &opening);
    assert_eq!((ledger.pending_count(), ledger.oldest_executable()), (0, None));
}

#[test]
fn the_block_that_began_a_round_can_be_proven_when_it_is_pruned() {
    let mut ledger = crate::common::ledger().with_retention(1);
    let opening = commit_all(&mut ledger, [round(0, 4)]);
    for nonce in 0..6 {
        commit_all(&mut ledger, [note(5, nonce)]);
    }
    stabilize(&mut ledger);
    for nonce in 6..12 {
        commit_all(&mut ledger, [note(5, nonce)]);
    }
    assert!(ledger.lowest_block().unwrap() > 3 && ledger.header(3).unwrap().is_none());
    assert_eq!(ledger.block(1).unwrap(), None);
    assert_eq!(ledger.header(1).unwrap(), Some(opening.header));
    assert!(ledger.certificate(1).unwrap().is_some());
}

#[test]
fn rounds_and_proofs_survive_a_restart_and_old_proofs_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let (mut ledger, digest) = (open(&path), |round: u64| keccak256([round as u8, 2]));
    for number in 1..=4 {
        commit_all(&mut ledger, [round(number - 1, 1)]);
        complete(&mut ledger, number, [2]);
    }
    commit_all(&mut ledger, [round(4, 2)]);
    complete(&mut ledger, 5, [2]);
    let before = ledger.rounds().clone();
    ledger.store().sync().unwrap();
    drop(ledger);

    let mut ledger = open(&path);
    assert_eq!(ledger.rounds(), &before);
    assert_eq!(before.open.as_ref().map(|round| (round.number, round.completed.len())), Some((5, 1)));
    assert_eq!(ledger.round(3).unwrap().unwrap().closing.unwrap().missing.len(), 3);
    assert_eq!((ledger.round(5).unwrap().is_some(), ledger.round(6)), (true, Ok(None)));
    let kept: Vec<_> = (1..=5).filter(|round| ledger.store().proof(digest(*round)).unwrap().is_some()).collect();
    assert_eq!(kept, [2, 3, 4, 5]);
    assert_eq!(ledger.store().proof(digest(5)), Ok(Some(vec![2; 9])));
    prove(&mut ledger, 5, 3);
    commit_all(&mut ledger, [completion(5, 3)]);
    assert_eq!(ledger.rounds().open, None);
}

#[test]
fn the_same_bytes_count_for_each_statement_by_itself() {
    let mut ledger = crate::common::ledger();
    commit_all(&mut ledger, [round(0, 4)]);
    let same = |node| Completion { proof_digest: keccak256([7]), ..completion_of(1, node) };
    let stated = |node| sign(Payload::Completion(same(node)), node);
    ledger.add_proof(key(2).address(), &same(2), &[7]).unwrap();
    assert!(ledger.unproven(&stated(2)).is_none() && ledger.unproven(&stated(3)).is_some());
    ledger.add_proof(key(3).address(), &same(3), &[7]).unwrap();
    assert!(ledger.unproven(&stated(2)).is_none() && ledger.unproven(&stated(3)).is_none());
    assert_eq!(ledger.store().proof(keccak256([7])), Ok(Some(vec![7])));
}

#[test]
fn a_peer_that_takes_over_a_snapshot_goes_on_with_the_open_round() {
    let mut ledger = crate::common::ledger();
    commit_all(&mut ledger, [round(0, 1)]);
    complete(&mut ledger, 1, [2]);
    commit_all(&mut ledger, [round(1, 3)]);
    complete(&mut ledger, 2, [3]);
    stabilize(&mut ledger);
    let manifest = ledger.snapshot_manifest().unwrap().unwrap();
    let chunk = ledger.snapshot_chunk(manifest.header.height, 0).unwrap().unwrap();
    let mut behind = crate::common::ledger();
    behind.install(&manifest, &[chunk]).unwrap();
    assert_eq!(behind.rounds(), ledger.rounds());
    assert_eq!(behind.round(1), Ok(None), "it has skipped that one");
    complete(&mut behind, 2, [4, 1]);
    assert_eq!(behind.rounds().open, None);
}

#[test]
fn a_block_with_more_than_the_round_takes_is_invalid_for_those_who_commit_too() {
    let mut ledger = crate::common::ledger();
    commit_all(&mut ledger, [round(0, 1)]);
    prove(&mut ledger, 1, 2);
    prove(&mut ledger, 1, 3);
    let block = forged(&ledger, vec![completion(1, 2), completion(1, 3)], &[]);
    let refused = BlockError::Execution { index: 1, refusal: Refusal::RoundNotOpen(1) };
    let commit = ledger.commit(Arc::new(block.clone()), &certificate(&block));
    assert_eq!(commit.unwrap_err(), LedgerError::Block(refused));
}
