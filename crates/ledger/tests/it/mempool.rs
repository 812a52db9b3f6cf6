//! What waits, and what is refused.
#![allow(clippy::unwrap_used)]

use dtn_ledger::{AdmissionError, Ledger, MempoolLimits, NONCE_WINDOW, Refusal};
use dtn_primitives::*;

use crate::common::*;

fn limited(limits: MempoolLimits) -> Ledger {
    crate::common::ledger().with_mempool_limits(limits)
}

/// Another transaction of the same account with the same nonce as a note.
fn order_by(signer: u8, nonce: u64) -> Transaction {
    let order = Order { dataset: "CIFAR-10".into(), ..order_of(nonce, 0, None) };
    sign(Payload::Order(order), signer)
}

fn proposed(ledger: &mut Ledger, max: usize) -> Vec<B256> {
    let block = propose(ledger, max);
    block.map_or_else(Vec::new, |block| block.transactions.iter().map(hash).collect())
}

#[test]
fn a_pending_transaction_is_refused_as_a_duplicate_and_a_finalized_one_as_final() {
    let mut ledger = crate::common::ledger();
    let noted = note(5, 0);
    assert_eq!(ledger.admit(noted.clone()), Ok(hash(&noted)));
    assert_eq!(ledger.admit(noted.clone()), Err(AdmissionError::Duplicate(hash(&noted))));
    assert_eq!(ledger.pending(hash(&noted)), Some(&noted));
    commit_all(&mut ledger, []);
    assert_eq!(ledger.pending_count(), 0);
    assert_eq!(ledger.admit(noted), Err(AdmissionError::Final { height: 1 }));
    assert_eq!(ledger.admit(order_by(5, 0)), Err(Refusal::NonceTooLow { have: 0, next: 1 }.into()), "by another");
}

#[test]
fn orders_wait_for_the_missing_nonce_and_come_out_in_order() {
    let mut ledger = crate::common::ledger();
    let notes: Vec<_> = (0..3).map(|nonce| note(5, nonce)).collect();
    ledger.admit(notes[2].clone()).unwrap();
    ledger.admit(notes[1].clone()).unwrap();
    assert!(ledger.proposable(1).is_empty());
    assert_eq!(propose(&mut ledger, 10), None);
    ledger.admit(notes[0].clone()).unwrap();
    assert!(!ledger.proposable(1).is_empty());
    assert_eq!(proposed(&mut ledger, 10), notes.iter().map(hash).collect::<Vec<_>>());
    assert_eq!(proposed(&mut ledger, 2), notes[..2].iter().map(hash).collect::<Vec<_>>());
}

#[test]
fn a_nonce_is_admitted_up_to_the_end_of_the_window() {
    let mut ledger = crate::common::ledger();
    ledger.admit(note(5, NONCE_WINDOW)).unwrap();
    let beyond = Refusal::NonceTooHigh { have: NONCE_WINDOW + 1, next: 0 };
    assert_eq!(ledger.admit(note(5, NONCE_WINDOW + 1)), Err(beyond.into()));
}

#[test]
fn the_first_order_with_a_nonce_keeps_its_place() {
    let mut ledger = crate::common::ledger();
    let first = note(10, 0);
    ledger.admit(first.clone()).unwrap();
    assert_eq!(ledger.admit(order(0)), Err(AdmissionError::NonceTaken(hash(&first))));
}

#[test]
fn a_worker_has_one_claim_for_an_order_and_rivals_wait_beside_it() {
    let mut ledger = crate::common::ledger();
    let ordered = order(0);
    let order = hash(&ordered);
    commit_all(&mut ledger, [ordered]);
    let first = claim(order, 2);
    ledger.admit(first.clone()).unwrap();
    let again = sign(Payload::Claim(Claim { duration_us: 7, ..claim_of(order, 2) }), 2);
    assert_eq!(ledger.admit(again), Err(AdmissionError::ClaimPending(hash(&first))));
    ledger.admit(claim(order, 4)).unwrap();
    commit_all(&mut ledger, []);
    end_races(&mut ledger);
    assert_eq!(ledger.admit(first), Err(AdmissionError::Final { height: 2 }));
    assert_eq!(ledger.admit(claim(order, 3)), Err(Refusal::NotOpen(order).into()));
}

#[test]
fn another_peers_block_drops_what_it_executed_and_what_it_made_impossible() {
    let (mut mine, mut other) = (crate::common::ledger(), crate::common::ledger());
    let ordered = order(0);
    let order = hash(&ordered);
    let block = commit_all(&mut other, [ordered]);
    commit(&mut mine, &block);
    mine.admit(claim(order, 2)).unwrap();
    mine.admit(note(5, 0)).unwrap();
    mine.admit(note(5, 1)).unwrap();
    commit(&mut mine, &commit_all(&mut other, [claim(order, 3), order_by(5, 0)]));
    commit(&mut mine, &end_races(&mut other));
    assert_eq!(mine.pending_count(), 1, "the loser's claim and the order whose nonce was used are gone");
    assert_eq!(proposed(&mut mine, 10), [hash(&note(5, 1))]);
}

#[test]
fn a_claim_that_is_a_block_ahead_waits_for_its_order() {
    let (mut mine, mut other) = (crate::common::ledger(), crate::common::ledger());
    let ordered = order(0);
    let order = hash(&ordered);
    let block = commit_all(&mut other, [ordered]);
    let lazy = Claim { hash: B256::ZERO, ..claim_of(order, 4) };
    let lazy = sign(Payload::Claim(lazy), 4);
    mine.admit(lazy.clone()).unwrap();
    let [second, first] = rivals(order, [2, 3]);
    mine.admit(first.clone()).unwrap();
    mine.admit(second.clone()).unwrap();
    assert!(mine.proposable(1).is_empty(), "nothing can be executed yet");
    commit(&mut mine, &block);
    assert_eq!(proposed(&mut mine, 10), [hash(&first), hash(&second)], "those that show the work");
    assert_eq!(mine.pending_count(), 2);
}

#[test]
fn early_claims_push_out_the_oldest_of_them_and_nothing_else() {
    let mut ledger = limited(MempoolLimits { early_claims: 2, ..Default::default() });
    ledger.admit(note(5, 0)).unwrap();
    let early: Vec<_> = (1..=3).map(|order| claim(B256::repeat_byte(order), 2)).collect();
    for claim in &early {
        ledger.admit(claim.clone()).unwrap();
    }
    assert_eq!(ledger.pending_count(), 3);
    assert_eq!(ledger.pending(hash(&early[0])), None);
    assert!(ledger.pending(hash(&early[2])).is_some());
}

#[test]
fn a_full_pool_refuses_unless_it_can_drop_what_cannot_be_executed() {
    let mut ledger = limited(MempoolLimits { transactions: 2, ..Default::default() });
    ledger.admit(note(5, 1)).unwrap();
    ledger.admit(note(5, 3)).unwrap();
    assert_eq!(ledger.admit(note(6, 5)), Err(AdmissionError::Full), "it could not be executed either");
    ledger.admit(note(6, 0)).unwrap();
    ledger.admit(note(6, 1)).unwrap();
    assert_eq!(ledger.admit(note(7, 0)), Err(AdmissionError::Full));
    assert_eq!(proposed(&mut ledger, 10), [hash(&note(6, 0)), hash(&note(6, 1))]);
    commit_all(&mut ledger, []);
    ledger.admit(note(7, 0)).expect("there is room again");
}

#[test]
fn bytes_and_senders_are_bounded() {
    let bytes = codec::encode(&note(5, 0)).len();
    let mut ledger = limited(MempoolLimits { bytes: 2 * bytes, ..Default::default() });
    ledger.admit(note(5, 0)).unwrap();
    ledger.admit(note(6, 0)).unwrap();
    assert_eq!(ledger.admit(note(7, 0)), Err(AdmissionError::Full));
    commit_all(&mut ledger, []);
    ledger.admit(note(7, 0)).expect("there is room again");

    let mut ledger = limited(MempoolLimits { per_sender: 2, ..Default::default() });
    ledger.admit(note(5, 0)).unwrap();
    ledger.admit(note(5, 1)).unwrap();
    assert_eq!(ledger.admit(note(5, 2)), Err(AdmissionError::SenderFull(key(5).address())));
    ledger.admit(note(6, 0)).unwrap();
    commit_all(&mut ledger, []);
    ledger.admit(note(5, 2)).expect("its earlier ones are done");
}

#[test]
fn what_no_correct_peer_sends_is_told_from_what_is_merely_late() {
    let mut ledger = crate::common::ledger();
    let ordered = order(0);
    let order = hash(&ordered);
    commit_all(&mut ledger, [ordered.clone()]);
    let forged = Transaction { signature: note(6, 0).signature, ..note(5, 0) };
    let copied = sign(Payload::Claim(claim_of(order, 2)), 3);
    let generous = sign(Payload::Order(order_of(0, 1, Some(EASY))), 5);
    for malformed in [forged, copied, generous] {
        assert!(ledger.admit(malformed).expect_err("refused").is_malformed());
    }
    assert_eq!(ledger.pending_count(), 0);
    for late in [ordered, note(5, NONCE_WINDOW + 1)] {
        assert!(!ledger.admit(late).expect_err("refused").is_malformed());
    }
}

#[test]
fn a_transaction_beyond_the_wire_limit_is_refused() {
    let mut ledger = crate::common::ledger();
    let long = order_of(0, 0, None);
    let long = Order { metric: "x".repeat(MAX_TRANSACTION_BYTES), ..long };
    let error = ledger.admit(sign(Payload::Order(long), 5)).expect_err("refused");
    assert!(matches!(error, AdmissionError::TooLong { .. }) && error.is_malformed());
}

#[test]
fn a_proposal_stays_within_the_genesis_limit_and_is_valid() {
    let mut ledger = crate::common::ledger();
    let long = |nonce| {
        let order = Order { metric: "x".repeat(MAX_TEXT_BYTES), ..order_of(nonce, 0, None) };
        sign(Payload::Order(order), 5)
    };
    for nonce in 0..400 {
        ledger.admit(long(nonce)).unwrap();
    }
    let mut blocks = 0;
    while let Some(block) = propose(&mut ledger, 1_000) {
        assert!(codec::encode(&block).len() as u64 <= genesis().max_block_bytes);
        commit(&mut ledger, &block);
        blocks += 1;
    }
    assert_eq!(ledger.next_nonce(key(5).address()), 400);
    assert!((3..=5).contains(&blocks), "{blocks} blocks");
}

#[test]
fn who_waits_longest_goes_first() {
    let mut ledger = crate::common::ledger();
    let notes = [note(7, 0), note(5, 0), note(7, 1), note(6, 0)];
    for note in &notes {
        ledger.admit(note.clone()).unwrap();
    }
    assert_eq!(proposed(&mut ledger, 10), notes.iter().map(hash).collect::<Vec<_>>());
}

#[test]
fn what_strangers_send_keeps_out_neither_requesters_nor_validators_nor_answers() {
    let mut ledger = limited(MempoolLimits { transactions: 3, ..Default::default() });
    commit_all(&mut ledger, [order(0)]);
    let (answer, order_hash) = (claim(hash(&order(0)), 2), hash(&order(0)));
    for stranger in 20..23 {
        ledger.admit(note(stranger, 0)).unwrap();
    }
    assert_eq!(ledger.admit(note(23, 0)), Err(AdmissionError::Full));
    let line = Line { nonce: 0, data: Bytes::from_static(b"a"), expected_hashes: EASY };
    ledger.admit(sign(Payload::Line(line), 1)).expect("a validator's line");
    ledger.admit(order(1)).expect("a requester's order");
    ledger.admit(answer.clone()).expect("a claim");
    assert_eq!(proposed(&mut ledger, 1), [hash(&answer)], "answers come first");
    assert_eq!(ledger.open_order(order_hash).unwrap().lead, None);
}
