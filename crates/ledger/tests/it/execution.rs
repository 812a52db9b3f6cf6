//! What blocks may do.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dtn_ledger::{
    AdmissionError, BlockError, CLAIM_WINDOW_MS, DELIVERY_MS, Ledger, LedgerError, Location, MAX_AHEAD_MS,
    MAX_BEHIND_MS, MAX_BLOCK_TRANSACTIONS, Refusal,
};
use dtn_pow::PowError;
use dtn_primitives::*;
use proptest::prelude::*;

use crate::common::*;

fn refusal(ledger: &mut Ledger, transactions: Vec<Transaction>) -> (usize, Refusal) {
    let block = forged(ledger, transactions, &[]);
    match ledger.check_proposal(Arc::new(block), NOW, false) {
        Err(BlockError::Execution { index, refusal }) => (index, refusal),
        other => panic!("expected a refusal, not {other:?}"),
    }
}

fn error(ledger: &mut Ledger, block: Block) -> BlockError {
    ledger.check_proposal(Arc::new(block), NOW, true).expect_err("invalid")
}

#[test]
fn a_claim_of_an_open_order_gives_the_result_that_is_paid() {
    let mut ledger = crate::common::ledger();
    let ordered = order(0);
    commit_all(&mut ledger, [ordered.clone()]);
    assert_eq!(ledger.open_orders().map(|(hash, _)| hash).collect::<Vec<_>>(), [hash(&ordered)]);
    assert_eq!(ledger.finalized_result(hash(&ordered)), Ok(None));

    // The account that is paid need not be the one that did the work.
    let (worker, payee) = (key(2).address(), key(3).address());
    let claimed = sign(Payload::Claim(Claim { payee, ..claim_of(hash(&ordered), 2) }), 2);
    commit_all(&mut ledger, [claimed.clone()]);
    assert_eq!(ledger.finalized_result(hash(&ordered)), Ok(None), "others may have lower hashes");
    let block = end_races(&mut ledger);
    assert!(block.transactions.is_empty());
    let proven = ledger.finalized_result(hash(&ordered)).unwrap().expect("closed");
    let result = WorkResult {
        kind: Kind::RACE,
        id: hash(&ordered),
        worker,
        payee,
        amount: U256::from(7),
        digest: hash(&claimed),
    };
    assert_eq!(proven.result, result);
    assert_eq!(proven.header, block.header);
    assert!(merkle::verify(proven.header.results_root, result.leaf(), &proven.proof));
    assert_eq!(proven.certificate.verify(ledger.domain(), ledger.validators()), Ok(()));
    assert_eq!(ledger.open_orders().count(), 0);
    assert_eq!(ledger.transaction(hash(&claimed)), Ok(Some(Location { height: 2, index: 0 })));
}

#[test]
fn nobody_can_begin_before_the_block_that_opens_the_race() {
    let mut ledger = crate::common::ledger();
    let ordered = order(0);
    let order = hash(&ordered);
    let begun_early = claim(order, 2);
    let together = refusal(&mut ledger, vec![ordered.clone(), begun_early.clone()]);
    assert_eq!(together, (1, Refusal::NotOpen(order)));
    commit_all(&mut ledger, [ordered]);
    let need = ledger.tip().hash;
    assert_eq!(refusal(&mut ledger, vec![begun_early]), (0, Refusal::WrongRace { have: B256::ZERO, need }));
    commit_all(&mut ledger, [claim(order, 2)]);
}

#[test]
fn a_closed_order_takes_no_claim_in_a_later_block() {
    let mut ledger = crate::common::ledger();
    let ordered = order(0);
    let order = hash(&ordered);
    commit_all(&mut ledger, [ordered]);
    let (first, second) = (claim(order, 2), claim(order, 3));
    let closed = Refusal::NotOpen(order);
    win(&mut ledger, [first.clone()]);
    assert_eq!(refusal(&mut ledger, vec![second]), (0, closed.clone()));
    assert_eq!(refusal(&mut ledger, vec![first]), (0, closed));
}

#[test]
fn a_claim_needs_the_work_of_its_own_sender() {
    let mut ledger = crate::common::ledger();
    let ordered = order(0);
    let order = hash(&ordered);
    commit_all(&mut ledger, [ordered]);

    let copied = sign(Payload::Claim(claim_of(order, 2)), 3);
    assert!(matches!(refusal(&mut ledger, vec![copied]), (0, Refusal::InvalidWork(PowError::WrongHash { .. }))));

    let mut lying = claim_of(order, 2);
    lying.hash = B256::ZERO;
    let lying = sign(Payload::Claim(lying), 2);
    assert!(matches!(refusal(&mut ledger, vec![lying]), (0, Refusal::InvalidWork(PowError::WrongHash { .. }))));

    let mut lazy = claim_of(order, 2);
    let puzzle = dtn_pow::Puzzle::new(genesis().network_id(), race(order), order, key(2).address(), EASY).unwrap();
    lazy.nonce = (0..).find(|nonce| !puzzle.target().is_met_by(puzzle.hash(*nonce))).unwrap();
    lazy.hash = puzzle.hash(lazy.nonce);
    let lazy = sign(Payload::Claim(lazy), 2);
    assert!(matches!(refusal(&mut ledger, vec![lazy]), (0, Refusal::InvalidWork(PowError::AboveTarget { .. }))));
}

#[test]
fn a_claim_needs_an_order_that_asks_for_work() {
    let mut ledger = crate::common::ledger();
    let unknown = B256::repeat_byte(1);
    assert_eq!(refusal(&mut ledger, vec![claim(unknown, 2)]), (0, Refusal::NotOpen(unknown)));
    let noted = note(5, 0);
    let order = hash(&noted);
    commit_all(&mut ledger, [noted]);
    assert_eq!(ledger.open_order(order), None);
    assert_eq!(refusal(&mut ledger, vec![claim(order, 2)]), (0, Refusal::NotOpen(order)));
}

#[test]
fn an_order_is_executed_once_and_in_the_order_of_nonces() {
    let mut ledger = crate::common::ledger();
    let first = note(5, 0);
    assert_eq!(refusal(&mut ledger, vec![note(5, 1)]), (0, Refusal::NonceTooHigh { have: 1, next: 0 }));
    let twice = vec![first.clone(), first.clone()];
    assert_eq!(refusal(&mut ledger, twice), (1, Refusal::NonceTooLow { have: 0, next: 1 }));
    commit_all(&mut ledger, [first.clone()]);
    assert_eq!(ledger.next_nonce(key(5).address()), 1);
    assert_eq!(refusal(&mut ledger, vec![first]), (0, Refusal::NonceTooLow { have: 0, next: 1 }));
    assert_eq!(ledger.next_nonce(key(6).address()), 0);
}

#[test]
fn only_requesters_ask_for_work() {
    let mut ledger = crate::common::ledger();
    let generous = sign(Payload::Order(order_of(0, 1, Some(EASY))), 5);
    assert_eq!(refusal(&mut ledger, vec![generous]), (0, Refusal::NotRequester(key(5).address())));
    let idle = sign(Payload::Order(order_of(0, 0, Some(EASY))), 5);
    assert_eq!(refusal(&mut ledger, vec![idle]), (0, Refusal::NotRequester(key(5).address())));
    commit_all(&mut ledger, [note(5, 0)]);
}

#[test]
fn a_transaction_without_its_senders_signature_makes_a_block_invalid_even_if_the_same_content_was_seen_signed() {
    let mut ledger = crate::common::ledger();
    let signed = note(5, 0);
    ledger.admit(signed.clone()).expect("admitted, and its signature remembered");
    for signature in [note(6, 0).signature, Signature([0; 65])] {
        let stolen = Transaction { signature, ..signed.clone() };
        assert!(matches!(refusal(&mut ledger, vec![stolen]), (0, Refusal::Invalid(TransactionError::Signature(_)))));
    }
}

#[test]
fn an_order_or_claim_with_unacceptable_fields_makes_a_block_invalid() {
    let mut ledger = crate::common::ledger();
    let mut empty = order_of(0, 0, None);
    empty.dataset.clear();
    let empty = sign(Payload::Order(empty), 5);
    assert_eq!(refusal(&mut ledger, vec![empty]).1, Refusal::Invalid(TransactionError::EmptyText("dataset")));
    let nothing = sign(Payload::Order(order_of(0, 0, Some(0))), 5);
    assert_eq!(refusal(&mut ledger, vec![nothing]).1, Refusal::Invalid(TransactionError::NoWork));
    let ordered = order(0);
    let order = hash(&ordered);
    commit_all(&mut ledger, [ordered]);
    let unpaid = sign(Payload::Claim(Claim { payee: Address::ZERO, ..claim_of(order, 2) }), 2);
    assert_eq!(refusal(&mut ledger, vec![unpaid]), (0, Refusal::Invalid(TransactionError::NoPayee)));
}

#[test]
fn the_last_nonce_there_is_cannot_be_used() {
    let mut ledger = crate::common::ledger();
    let last = note(5, u64::MAX);
    assert!(matches!(refusal(&mut ledger, vec![last.clone()]).1, Refusal::NonceTooHigh { .. }));
    assert!(ledger.admit(last).is_err());
}

#[test]
fn a_block_with_any_field_of_its_header_changed_is_refused() {
    let mut ledger = crate::common::ledger();
    commit_all(&mut ledger, [note(5, 0)]);
    let good = forged(&ledger, vec![note(5, 1)], &[]);
    let changed = |change: fn(&mut Header)| {
        let mut block = good.clone();
        change(&mut block.header);
        block
    };
    let mut refused = |change| error(&mut ledger, changed(change));
    assert!(matches!(refused(|h| h.network_id = B256::ZERO), BlockError::WrongNetwork(_)));
    assert!(matches!(refused(|h| h.chain_id = 1), BlockError::WrongChain { have: 1, .. }));
    assert!(matches!(refused(|h| h.epoch = 1), BlockError::WrongEpoch { have: 1, .. }));
    assert!(matches!(refused(|h| h.height = 1), BlockError::WrongHeight { have: 1, need: 2 }));
    assert!(matches!(refused(|h| h.height = 3), BlockError::WrongHeight { have: 3, need: 2 }));
    assert!(matches!(refused(|h| h.parent_hash = B256::ZERO), BlockError::UnknownParent(_)));
    assert!(matches!(refused(|h| h.timestamp = 0), BlockError::NotAfterParent { .. }));
    assert!(matches!(refused(|h| h.proposer = key(9).address()), BlockError::UnknownProposer(_)));
    assert!(matches!(refused(|h| h.transactions_root = B256::ZERO), BlockError::TransactionsRoot { .. }));
    assert!(matches!(refused(|h| h.results_root = B256::repeat_byte(1)), BlockError::ResultsRoot { .. }));
    commit(&mut ledger, &good);
}

#[test]
fn a_block_is_later_than_its_parent_and_within_a_window_of_a_voters_clock() {
    let mut ledger = crate::common::ledger();
    commit_all(&mut ledger, [note(5, 0)]);
    let parent = ledger.tip().timestamp;
    let mut block = forged(&ledger, vec![note(5, 1)], &[]);
    block.header.timestamp = parent;
    assert_eq!(error(&mut ledger, block.clone()), BlockError::NotAfterParent { have: parent, parent });
    block.header.timestamp = NOW + MAX_AHEAD_MS + 1;
    assert_eq!(error(&mut ledger, block.clone()), BlockError::FromTheFuture { ahead_ms: MAX_AHEAD_MS + 1 });
    let mut prepared = chain_of(&ledger);
    let required = prepared.check_proposal(Arc::new(block.clone()), NOW, false);
    required.expect("what others prepared before is not compared with this clock");
    let mut behind = crate::common::ledger();
    commit(&mut behind, &ledger.block(1).unwrap().unwrap());
    let decided = behind.commit(Arc::new(block.clone()), &certificate(&block));
    decided.expect("a quorum's decision is not compared with this clock");
    block.header.timestamp = NOW + MAX_AHEAD_MS;
    ledger.check_proposal(Arc::new(block.clone()), NOW, true).expect("not too far ahead");
    let late = block.header.timestamp + MAX_BEHIND_MS;
    let mut behind = chain_of(&ledger);
    behind.check_proposal(Arc::new(block.clone()), late, true).expect("not too far behind");
    let refused = chain_of(&ledger).check_proposal(Arc::new(block.clone()), late + 1, true);
    assert_eq!(refused, Err(BlockError::FromThePast { behind_ms: MAX_BEHIND_MS + 1 }), "time does not stand still");
    chain_of(&ledger).check_proposal(Arc::new(block), late + 1, false).expect("it is required");
}

/// Another ledger with the same final blocks.
fn chain_of(ledger: &Ledger) -> Ledger {
    let mut other = crate::common::ledger();
    for height in 1..=ledger.tip().height {
        let block = ledger.block(height).unwrap().unwrap();
        other.commit(Arc::new(block.clone()), &certificate(&block)).unwrap();
    }
    other
}

#[test]
fn clocks_that_were_an_hour_ahead_once_stop_nobody() {
    let mut ledger = crate::common::ledger();
    let ahead = NOW + 3_600_000;
    ledger.admit(note(5, 0)).unwrap();
    let block = ledger.propose(ledger.tip().hash, ahead, proposer(), 1, false).unwrap();
    ledger.commit(block.clone(), &certificate(&block)).unwrap();
    ledger.admit(note(5, 1)).unwrap();
    let mut replica = chain_of(&ledger);
    let next = propose(&mut ledger, 1).expect("with the right time");
    assert_eq!(next.header.timestamp, ahead + 1);
    replica.check_proposal(Arc::new(next.clone()), NOW, true).expect("the least that there can be");
    let mut later = next;
    later.header.timestamp += 1;
    let refused = BlockError::FromTheFuture { ahead_ms: ahead + 2 - NOW };
    assert_eq!(replica.check_proposal(Arc::new(later), NOW, true), Err(refused));
}

#[test]
fn a_block_may_be_empty_and_is_proposed_so_only_on_request() {
    let (mut ledger, mut replica) = (crate::common::ledger(), crate::common::ledger());
    assert_eq!(propose(&mut ledger, 10), None);
    let (parent, proposer) = (ledger.tip().hash, proposer());
    let empty = ledger.propose(parent, NOW, proposer, 10, true).expect("an empty block");
    assert!(empty.transactions.is_empty());
    for ledger in [&mut ledger, &mut replica] {
        commit(ledger, &empty);
    }
    assert_eq!(ledger.checkpoint(), replica.checkpoint());
}

#[test]
fn a_block_beyond_the_limit_is_refused() {
    let mut ledger = crate::common::ledger();
    let many = (0..500).map(|nonce| note(5, nonce)).collect();
    let large = forged(&ledger, many, &[]);
    assert!(matches!(error(&mut ledger, large), BlockError::TooLarge { limit: 65536, .. }));
}

#[test]
fn a_block_of_too_many_or_too_long_transactions_is_refused_before_a_signature_is_checked() {
    let mut ledger = crate::common::ledger();
    let unsigned = Transaction { signature: Signature([0; 65]), ..note(5, 0) };
    let many = forged(&ledger, vec![unsigned; MAX_BLOCK_TRANSACTIONS + 1], &[]);
    assert_eq!(error(&mut ledger, many), BlockError::TooManyTransactions(MAX_BLOCK_TRANSACTIONS + 1));
    let long = Order { metric: "x".repeat(MAX_TRANSACTION_BYTES), ..order_of(1, 0, None) };
    let long = Transaction { payload: Payload::Order(long), signature: Signature([0; 65]), ..note(5, 1) };
    let actual = codec::encode(&long).len();
    let long = forged(&ledger, vec![note(5, 0), long], &[]);
    assert_eq!(error(&mut ledger, long), BlockError::TransactionTooLong { index: 1, actual });
}

#[test]
fn left_out_exchanged_or_invented_results_are_refused() {
    let mut ledger = crate::common::ledger();
    let ordered = order(0);
    let order = hash(&ordered);
    commit_all(&mut ledger, [ordered]);
    let claimed = claim(order, 2);
    let (worker, payee) = (key(2).address(), key(2).address());
    let right =
        WorkResult { kind: Kind::RACE, id: order, worker, payee, amount: U256::from(7), digest: hash(&claimed) };
    let wrong = [
        vec![],
        vec![right.clone(), right.clone()],
        vec![WorkResult { worker: key(3).address(), ..right.clone() }],
        vec![WorkResult { payee: key(3).address(), ..right.clone() }],
        vec![WorkResult { amount: U256::from(8), ..right.clone() }],
        vec![WorkResult { digest: B256::ZERO, ..right.clone() }],
        vec![WorkResult { id: B256::ZERO, ..right.clone() }],
        vec![WorkResult { kind: Kind::BATCH, ..right.clone() }],
    ];
    let early = forged(&ledger, vec![claimed.clone()], std::slice::from_ref(&right));
    assert!(matches!(error(&mut ledger, early), BlockError::ResultsRoot { .. }), "the race goes on");
    commit_all(&mut ledger, [claimed]);
    let ending = |ledger: &Ledger, results: &[WorkResult]| {
        let mut block = forged(ledger, Vec::new(), results);
        block.header.timestamp = ledger.tip().timestamp + CLAIM_WINDOW_MS + DELIVERY_MS + 1;
        block
    };
    for results in wrong {
        let block = Arc::new(ending(&ledger, &results));
        let refused = ledger.check_proposal(block, NOW, false);
        assert!(matches!(refused, Err(BlockError::ResultsRoot { .. })), "{refused:?}");
    }
    let block = ending(&ledger, &[right]);
    commit(&mut ledger, &block);
}

#[test]
fn nothing_is_committed_without_a_quorums_certificate_for_exactly_this_block() {
    let mut ledger = crate::common::ledger();
    let block = forged(&ledger, vec![note(5, 0)], &[]);
    let other = forged(&ledger, vec![note(6, 0)], &[]);
    let good = Arc::new(block.clone());
    check(&mut ledger, &block);

    let mismatch = ledger.commit(good.clone(), &certificate(&other));
    assert!(matches!(mismatch, Err(LedgerError::CertificateMismatch { .. })));

    let mut short = certificate(&block);
    short.signatures.pop();
    assert!(matches!(
        ledger.commit(good.clone(), &short),
        Err(LedgerError::Certificate(CertificateError::BelowQuorum { have: 2, need: 3 }))
    ));

    let mut relabelled = certificate(&other);
    relabelled.block_hash = block.header.hash();
    assert!(matches!(
        ledger.commit(good.clone(), &relabelled),
        Err(LedgerError::Certificate(CertificateError::Signature { .. }))
    ));
    assert_eq!((ledger.tip().height, ledger.block(1)), (0, Ok(None)));
    ledger.commit(good, &certificate(&block)).expect("commits");
}

#[test]
fn a_check_is_void_once_another_block_was_committed() {
    let mut ledger = crate::common::ledger();
    let (first, second) = (forged(&ledger, vec![note(5, 0)], &[]), forged(&ledger, vec![note(6, 0)], &[]));
    let above = {
        let mut other = crate::common::ledger();
        commit(&mut other, &second);
        forged(&other, vec![note(6, 1)], &[])
    };
    check(&mut ledger, &second);
    check(&mut ledger, &above);
    ledger.commit(Arc::new(first.clone()), &certificate(&first)).expect("commits");
    let result = ledger.commit(Arc::new(second.clone()), &certificate(&second));
    assert!(matches!(result, Err(LedgerError::Block(BlockError::WrongHeight { .. }))));
    assert_eq!(error(&mut ledger, above), BlockError::UnknownParent(second.header.hash()));
    assert_eq!(ledger.next_nonce(key(6).address()), 0);
}

#[test]
fn results_of_several_blocks_are_listed_with_proofs_block_by_block() {
    let mut ledger = crate::common::ledger();
    let orders: Vec<_> = (0..7).map(order).collect();
    commit_all(&mut ledger, orders.clone());
    win(&mut ledger, orders[..4].iter().map(|order| claim(hash(order), 2)));
    commit_all(&mut ledger, [note(5, 0)]);
    win(&mut ledger, orders[4..].iter().map(|order| claim(hash(order), 3)));
    let all = ledger.finalized_results(0, 100).unwrap();
    assert_eq!(all.len(), 7);
    for proven in &all {
        assert!(merkle::verify(proven.header.results_root, proven.result.leaf(), &proven.proof));
        assert_eq!(ledger.finalized_result(proven.result.id).as_ref(), Ok(&Some(proven.clone())));
    }
    let reading = ledger.store().reading().unwrap();
    let mut pages = Vec::new();
    for bytes in [1, codec::encode(&all[0]).len() + 1, usize::MAX] {
        let (mut found, mut calls) = (Vec::<FinalizedResult>::new(), 0);
        loop {
            let from = found.last().map_or(0, |last| last.header.height);
            let skip = found.iter().filter(|result| result.header.height == from).count();
            let page = reading.results(from, skip, 5, bytes).unwrap();
            calls += 1;
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, all, "in pages of {bytes} bytes");
        pages.push(calls);
    }
    assert_eq!(pages, [8, 5, 3], "one, two and five results a page, and then no more");
    assert_eq!(ledger.finalized_results(4, 100).unwrap().len(), 3);
    assert_eq!(ledger.finalized_results(7, 100), Ok(vec![]));
}

/// What a random user does next.
#[derive(Debug, Clone)]
enum Step {
    Order(u8),
    Claim(prop::sample::Index, u8),
    Replay(prop::sample::Index),
    Block,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (10u8..12).prop_map(Step::Order),
        4 => (any::<prop::sample::Index>(), 1u8..5).prop_map(|(order, miner)| Step::Claim(order, miner)),
        1 => any::<prop::sample::Index>().prop_map(Step::Replay),
        3 => Just(Step::Block),
        1 => Just(Step::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_submitted_every_proposal_is_valid_every_replica_agrees_and_no_order_has_two_winners(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let (mut ledger, mut replica) = (crate::common::ledger(), crate::common::ledger());
        let mut nonces = [0u64; 256];
        let mut orders = Vec::new();
        let mut seen = Vec::new();
        for step in steps.into_iter().chain([Step::Block, Step::End]) {
            let transaction = match step {
                Step::Order(sender) => {
                    let nonce = nonces[usize::from(sender)];
                    nonces[usize::from(sender)] += 1;
                    let reward = u64::from(sender == 10);
                    let order = sign(Payload::Order(order_of(nonce, reward, Some(EASY))), sender);
                    orders.push(hash(&order));
                    order
                }
                Step::Claim(_, _) if orders.is_empty() => continue,
                Step::Claim(order, miner) => claim(orders[order.index(orders.len())], miner),
                Step::Replay(_) if seen.is_empty() => continue,
                Step::Replay(index) => {
                    let replayed: &Transaction = &seen[index.index(seen.len())];
                    replayed.clone()
                }
                Step::Block => {
                    if let Some(block) = propose(&mut ledger, 5) {
                        commit(&mut ledger, &block);
                        commit(&mut replica, &block);
                    }
                    continue;
                }
                Step::End => {
                    let block = end_races(&mut ledger);
                    commit(&mut replica, &block);
                    continue;
                }
            };
            seen.push(transaction.clone());
            _ = ledger.admit(transaction);
        }
        prop_assert_eq!(ledger.tip(), replica.tip());
        let results = ledger.finalized_results(0, usize::MAX).unwrap();
        prop_assert_eq!(&results, &replica.finalized_results(0, usize::MAX).unwrap());
        let mut ids: Vec<_> = results.iter().map(|proven| proven.result.id).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), results.len());
        let closed = orders.iter().filter(|order| matches!(ledger.finalized_result(**order), Ok(Some(_))));
        prop_assert_eq!(closed.count(), results.len());
    }
}

#[test]
fn data_uses_up_its_accounts_nonce_and_nothing_else() {
    let mut ledger = ledger();
    let data = |nonce| sign(Payload::Data { nonce, items: vec![[0xff; 512]; 3].into() }, 5);
    let block = commit_all(&mut ledger, [note(5, 0), data(1), note(5, 2), data(3)]);
    assert_eq!(block.transactions.len(), 4);
    assert_eq!(ledger.next_nonce(key(5).address()), 4);
    assert_eq!(ledger.open_order(hash(&data(1))), None);
    assert_eq!(ledger.results_in(1), Ok(Vec::new()));
    assert_eq!(ledger.transaction(hash(&data(1))).expect("reads").map(|location| location.index), Some(1));
    assert_eq!(ledger.admit(data(3)).expect_err("used"), AdmissionError::Final { height: 1 });
    let error = ledger.admit(note(5, 3)).expect_err("used by another");
    assert_eq!(error, AdmissionError::Refused(Refusal::NonceTooLow { have: 3, next: 4 }));
    let first = ledger.admit(data(4)).expect("the next");
    let rival = note(5, 4);
    assert_eq!(ledger.admit(rival).expect_err("one a nonce"), AdmissionError::NonceTaken(first));
    let nothing = sign(Payload::Data { nonce: 5, items: Items::default() }, 5);
    assert!(ledger.admit(nothing).expect_err("refused").is_malformed());
}
