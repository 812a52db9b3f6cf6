//! Lines that come in by several validators' ports, and the races that they open.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use dtn_ledger::{AdmissionError, BlockError, LINE_WINDOW_MS, Ledger, LedgerError, Refusal};
use dtn_pow::{PowError, Puzzle};
use dtn_primitives::*;
use proptest::prelude::*;

use crate::common::*;

fn line_of(sender: u8, nonce: u64, data: &str) -> Transaction {
    let data = Bytes::copy_from_slice(data.as_bytes());
    sign(Payload::Line(Line { nonce, data, expected_hashes: EASY }), sender)
}

/// Commits one block of these transactions with this timestamp, and gives how many races it opens.
fn opened(ledger: &mut Ledger, timestamp: u64, transactions: impl IntoIterator<Item = Transaction>) -> usize {
    for transaction in transactions {
        ledger.admit(transaction).unwrap();
    }
    let block = ledger.propose(ledger.tip().hash, timestamp, proposer(), 1_000, false).expect("something waits");
    assert_eq!(ledger.pending_count(), block.transactions.len(), "all that waits fits");
    let certificate = certificate(&block);
    ledger.commit(block, &certificate).unwrap().opened.len()
}

fn state_bytes(ledger: &mut Ledger) -> usize {
    let manifest = {
        stabilize(ledger);
        ledger.snapshot_manifest().unwrap().expect("a snapshot")
    };
    let chunk = |index| ledger.snapshot_chunk(ledger.tip().height, index).unwrap().expect("a chunk").len();
    (0..manifest.chunks.len() as u32).map(chunk).sum()
}

#[test]
fn a_line_through_three_ports_is_one_race_and_twice_through_one_port_is_two() {
    let mut ledger = crate::common::ledger();
    let everywhere = [1, 2, 3].map(|sender| line_of(sender, 0, "a"));
    assert_eq!(opened(&mut ledger, NOW, everywhere.clone()), 1);
    let (order, open) = ledger.open_orders().next().unwrap();
    assert_eq!((order, open.requester), (hash(&everywhere[0]), key(1).address()), "the first copy opens it");
    assert_eq!((open.expected_hashes(), open.reward(), open.race), (Some(EASY), U256::ZERO, ledger.tip().hash));
    assert_eq!(opened(&mut ledger, NOW, [line_of(1, 1, "a"), line_of(1, 2, "a")]), 2);
    assert_eq!(opened(&mut ledger, NOW, [line_of(2, 1, "a"), line_of(2, 2, "a")]), 0, "the same two, by another port");
    assert_eq!(opened(&mut ledger, NOW, [line_of(3, 1, "b")]), 1, "another line");
    let harder = Line { nonce: 3, data: Bytes::from_static(b"a"), expected_hashes: EASY + 1 };
    assert_eq!(opened(&mut ledger, NOW, [sign(Payload::Line(harder), 1)]), 1, "the same data for more work");
}

#[test]
fn a_lines_race_is_won_like_any_other_and_pays_nothing() {
    let mut ledger = crate::common::ledger();
    let (line, copy) = (line_of(1, 0, "a"), line_of(2, 0, "a"));
    note_opened(&mut ledger, [line.clone(), copy.clone()]);
    win(&mut ledger, [claim(hash(&line), 3)]);
    let proven = ledger.finalized_result(hash(&line)).unwrap().expect("closed");
    assert_eq!((proven.result.worker, proven.result.amount), (key(3).address(), U256::ZERO));
    // A copy is nothing to claim, before and after.
    let block = forged(&ledger, vec![claim(hash(&copy), 3)], &[]);
    let refused = BlockError::Execution { index: 0, refusal: Refusal::NotOpen(hash(&copy)) };
    assert_eq!(ledger.check_proposal(Arc::new(block), NOW, false), Err(refused));
    // Whoever is late with its copy opens nothing, though the race is over.
    assert_eq!(opened(&mut ledger, NOW, [line_of(3, 0, "a")]), 0);
}

/// Which of two copies opens the race depends on their order.
#[test]
fn a_body_whose_transactions_changed_places_is_refused_however_it_arrives() {
    let mut source = crate::common::ledger();
    let block = commit_all(&mut source, [line_of(1, 0, "a"), line_of(2, 0, "a"), line_of(3, 0, "b")]);
    let body = |places: &[usize]| {
        let transactions = places.iter().map(|place| block.transactions[*place].clone()).collect();
        Arc::new(Block { transactions, ..block.clone() })
    };
    let certificate = certificate(&block);
    for places in [&[1, 0, 2][..], &[2, 1, 0], &[0, 1], &[0, 1, 2, 2]] {
        let spoiled = body(places);
        assert_eq!(spoiled.header.hash(), certificate.block_hash, "the certificate names it");
        let mut replica = crate::common::ledger();
        let refused = replica.check_proposal(spoiled.clone(), NOW, true).unwrap_err();
        assert!(matches!(refused, BlockError::TransactionsRoot { .. }), "proposed: {refused}");
        let refused = replica.commit(spoiled.clone(), &certificate).unwrap_err();
        assert!(matches!(refused, LedgerError::Block(BlockError::TransactionsRoot { .. })), "fetched: {refused}");
        // What was checked before is what becomes final, whichever body is handed in then.
        check(&mut replica, &block);
        assert!(replica.check_proposal(spoiled.clone(), NOW, true).is_err());
        assert_eq!(*replica.commit(spoiled, &certificate).unwrap().block, block);
        assert_eq!(replica.checkpoint(), source.checkpoint());
    }
}

fn note_opened(ledger: &mut Ledger, lines: impl IntoIterator<Item = Transaction>) {
    assert_eq!(commit_all(ledger, lines).header.height, 1);
}

#[test]
fn a_copy_after_the_window_is_another_line_and_the_state_forgets_the_first() {
    let mut ledger = crate::common::ledger();
    assert_eq!(opened(&mut ledger, NOW, [line_of(1, 0, "a")]), 1);
    assert_eq!(opened(&mut ledger, NOW + LINE_WINDOW_MS, [line_of(2, 0, "a")]), 0, "in the last moment of the window");
    assert_eq!(opened(&mut ledger, NOW + LINE_WINDOW_MS + 1, [line_of(3, 0, "a")]), 1);
    assert_eq!(opened(&mut ledger, NOW + LINE_WINDOW_MS + 2, [line_of(1, 1, "a")]), 0, "a copy of the second");
}

#[test]
fn the_state_does_not_grow_with_lines_whose_time_is_over() {
    let mut ledger = crate::common::ledger().with_retention(3);
    let mut timestamp = NOW;
    let mut sizes = Vec::new();
    for round in 0..6u64 {
        let lines: Vec<_> = (0..20).map(|it| line_of(1, round * 20 + it, &format!("{round} {it:02}"))).collect();
        assert_eq!(opened(&mut ledger, timestamp, lines.clone()), 20);
        let races: Vec<_> = ledger.open_orders().map(|(order, open)| (order, open.race)).collect();
        for (order, race) in races {
            set_race(order, race);
            ledger.admit(claim(order, 2)).unwrap();
        }
        let block = ledger.propose(ledger.tip().hash, timestamp, proposer(), 1_000, false).unwrap();
        let certificate = certificate(&block);
        ledger.commit(block, &certificate).unwrap();
        end_races(&mut ledger);
        assert_eq!(ledger.open_orders().len(), 0);
        sizes.push(state_bytes(&mut ledger));
        timestamp += LINE_WINDOW_MS + 1_000;
    }
    let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    assert!(most - least <= 8, "{sizes:?}");
}

#[test]
fn only_validators_take_in_lines() {
    let mut ledger = crate::common::ledger();
    for stranger in [5, 10] {
        let line = line_of(stranger, 0, "a");
        let refusal = Refusal::NotValidator(key(stranger).address());
        assert_eq!(ledger.admit(line.clone()), Err(AdmissionError::Refused(refusal.clone())));
        assert!(AdmissionError::Refused(refusal.clone()).is_malformed());
        let block = forged(&ledger, vec![line], &[]);
        let refused = Err(BlockError::Execution { index: 0, refusal });
        assert_eq!(ledger.check_proposal(Arc::new(block), NOW, true), refused);
    }
    let empty = ledger.admit(line_of(1, 0, "")).unwrap_err();
    assert_eq!(empty, AdmissionError::Refused(Refusal::Invalid(TransactionError::LineLength(0))));
}

#[test]
fn no_validator_has_more_than_its_share_of_open_races_for_lines() {
    // A quarter of all that may be open, since there are four validators.
    let (mut ledger, mut nonce, quota) = (crate::common::ledger(), 0, 4_096);
    while ledger.open_orders().len() < quota {
        let lines = (0..256).map(|index| line_of(1, nonce + index, &(nonce + index).to_string()));
        assert_eq!(opened(&mut ledger, NOW, lines), 256);
        nonce += 256;
    }
    let refusal = Refusal::TooManyOpen { requester: key(1).address(), open: quota };
    let another = line_of(1, nonce, "one more");
    assert_eq!(ledger.admit(another.clone()), Err(AdmissionError::Refused(refusal.clone())));
    assert!(!AdmissionError::Refused(refusal.clone()).is_malformed());
    // It is the blocks' rule and not only the mempool's, so that no primary passes it; others have shares of their own.
    let block = forged(&ledger, vec![another.clone()], &[]);
    let refused = BlockError::Execution { index: 0, refusal };
    assert_eq!(ledger.check_proposal(Arc::new(block), NOW, false), Err(refused));
    assert_eq!(opened(&mut ledger, NOW, [line_of(2, 0, "another's")]), 1);
    let (order, race) = ledger.open_orders().map(|(order, open)| (order, open.race)).next().unwrap();
    set_race(order, race);
    win(&mut ledger, [claim(order, 3)]);
    ledger.admit(another).unwrap();
}

#[test]
fn the_next_free_nonce_follows_what_waits_in_blocks_and_out_of_them() {
    let mut ledger = crate::common::ledger();
    let me = key(1).address();
    assert_eq!(ledger.free_nonce(me), 0);
    ledger.admit(line_of(1, 0, "a")).unwrap();
    ledger.admit(line_of(1, 1, "b")).unwrap();
    ledger.admit(line_of(1, 3, "d")).unwrap();
    assert_eq!(ledger.free_nonce(me), 2, "the gap is next");
    let block = propose(&mut ledger, 10).unwrap();
    assert_eq!((block.transactions.len(), ledger.free_nonce(me)), (2, 2));
    ledger.admit(line_of(1, 2, "c")).unwrap();
    assert_eq!(ledger.free_nonce(me), 4);
}

#[test]
fn a_peer_that_restarts_or_takes_over_a_snapshot_knows_the_copies_of_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut ahead = crate::common::open(&path);
    opened(&mut ahead, NOW, [line_of(1, 0, "a"), line_of(1, 1, "b"), line_of(2, 0, "a")]);
    let root = ahead.checkpoint().unwrap();
    drop(ahead);
    let mut ahead = crate::common::open(&path);
    assert_eq!(ahead.checkpoint(), Ok(root));
    stabilize(&mut ahead);
    let manifest = ahead.snapshot_manifest().unwrap().unwrap();
    let chunks: Vec<_> = (0..manifest.chunks.len() as u32)
        .map(|index| ahead.snapshot_chunk(manifest.header.height, index).unwrap().unwrap())
        .collect();
    let mut behind = crate::common::ledger();
    behind.install(&manifest, &chunks).unwrap();
    let copies = || [line_of(2, 1, "b"), line_of(3, 0, "a"), line_of(3, 1, "a")];
    assert_eq!(opened(&mut ahead, NOW, copies()), 1);
    assert_eq!(opened(&mut behind, NOW, copies()), 1);
    assert_eq!(ahead.checkpoint(), behind.checkpoint());
    drop(behind);

    // The copies are part of the state that a quorum signs.
    let mut other = crate::common::ledger();
    opened(&mut other, NOW, [line_of(1, 0, "a"), line_of(1, 1, "b"), line_of(2, 0, "b")]);
    assert_ne!(other.checkpoint(), Ok(root));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn however_copies_through_several_ports_interleave_a_line_has_as_many_races_as_one_port_has_copies(
        ports in 1u8..=4,
        copies in 1usize..=5,
        order in prop::collection::vec((any::<u16>(), 0usize..4), 40),
        per_block in 1usize..6,
    ) {
        // Each of two lines comes `copies` times through each port; `order` shuffles all of them.
        let mut arrivals: Vec<_> = (0..2 * copies * usize::from(ports))
            .map(|it| (order[it].0, 1 + (it % usize::from(ports)) as u8, (it / usize::from(ports)) % 2))
            .collect();
        arrivals.sort_unstable();
        let (mut ledger, mut replica) = (crate::common::ledger(), crate::common::ledger());
        let mut nonces: BTreeMap<u8, u64> = BTreeMap::new();
        let mut races = [0; 2];
        for block in arrivals.chunks(per_block) {
            for (_, sender, which) in block {
                let nonce = nonces.entry(*sender).or_default();
                ledger.admit(line_of(*sender, *nonce, ["a", "b"][*which])).unwrap();
                *nonce += 1;
            }
            let block = propose(&mut ledger, 100).expect("something waits");
            for opened in commit(&mut ledger, &block).opened {
                let Payload::Line(line) = &ledger.open_order(opened).unwrap().payload else { unreachable!() };
                races[usize::from(&line.data[..] == b"b")] += 1;
            }
            commit(&mut replica, &block);
        }
        prop_assert_eq!(races, [copies; 2]);
        prop_assert_eq!(ledger.checkpoint(), replica.checkpoint());
    }
}

#[test]
fn who_is_late_lies_or_copies_does_not_win_the_race_for_a_line() {
    let mut ledger = crate::common::ledger();
    let line = line_of(1, 0, "a");
    let order = hash(&line);
    commit_all(&mut ledger, [line]);
    let won = claim_of(order, 2);
    let refused = |ledger: &mut Ledger, claim: &Claim, worker: u8| {
        let error = ledger.admit(sign(Payload::Claim(claim.clone()), worker)).unwrap_err();
        let AdmissionError::Refused(refusal) = error else { panic!("{error}") };
        refusal
    };
    assert!(matches!(refused(&mut ledger, &won, 3), Refusal::InvalidWork(PowError::WrongHash { .. })), "copied");
    let lie = Claim { hash: B256::ZERO, ..won.clone() };
    assert!(matches!(refused(&mut ledger, &lie, 2), Refusal::InvalidWork(PowError::WrongHash { .. })), "made up");
    let puzzle = Puzzle::new(genesis().network_id(), race(order), order, key(2).address(), EASY).unwrap();
    let loser = (0..).find(|nonce| !puzzle.target().is_met_by(puzzle.hash(*nonce))).unwrap();
    let little = Claim { nonce: loser, hash: puzzle.hash(loser), ..won.clone() };
    assert!(matches!(refused(&mut ledger, &little, 2), Refusal::InvalidWork(PowError::AboveTarget { .. })), "no work");
    let reversed = Claim { started_at_us: won.ended_at_us + 1, ..won.clone() };
    assert_eq!(refused(&mut ledger, &reversed, 2), Refusal::Invalid(TransactionError::EndsBeforeStart));
    let elsewhere = Claim { race: B256::repeat_byte(1), ..won.clone() };
    assert!(matches!(refused(&mut ledger, &elsewhere, 2), Refusal::WrongRace { .. }));
    win(&mut ledger, [sign(Payload::Claim(won), 2)]);
    assert_eq!(refused(&mut ledger, &claim_of(order, 3), 3), Refusal::NotOpen(order), "late");
    let proven = ledger.finalized_result(order).unwrap().expect("closed");
    assert_eq!(proven.result.worker, key(2).address());
    // What nobody ordered waits for its order, and is in no block before that.
    let unknown = B256::repeat_byte(7);
    ledger.admit(claim(unknown, 2)).unwrap();
    assert_eq!(propose(&mut ledger, 10), None);
    let block = forged(&ledger, vec![claim(unknown, 2)], &[]);
    let refusal = Err(BlockError::Execution { index: 0, refusal: Refusal::NotOpen(unknown) });
    assert_eq!(ledger.check_proposal(Arc::new(block), NOW, false), refusal);
}
