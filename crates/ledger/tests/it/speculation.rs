//! Blocks on top of the tip that are not final.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dtn_ledger::{BlockError, Ledger, MAX_SPECULATIVE, Ready, Refusal};
use dtn_primitives::*;

use crate::common::*;

fn propose_on(ledger: &mut Ledger, parent: B256, max: usize) -> Option<Block> {
    ledger.propose(parent, NOW, proposer(), max, false).map(Arc::unwrap_or_clone)
}

fn hashes(block: &Block) -> Vec<B256> {
    block.transactions.iter().map(hash).collect()
}

/// A ledger with three transactions of one sender and one of another, in two blocks on top of the tip.
fn two_deep() -> (Ledger, Block, Block) {
    let mut ledger = crate::common::ledger();
    for transaction in [note(5, 0), note(5, 1), note(6, 0), note(5, 2)] {
        ledger.admit(transaction).unwrap();
    }
    let first = propose(&mut ledger, 2).unwrap();
    let second = propose_on(&mut ledger, first.header.hash(), 2).unwrap();
    (ledger, first, second)
}

#[test]
fn a_proposal_on_top_of_another_takes_what_that_one_left_and_both_are_committed_in_order() {
    let (mut ledger, first, second) = two_deep();
    assert_eq!(hashes(&first), [hash(&note(5, 0)), hash(&note(5, 1))]);
    assert_eq!(hashes(&second), [hash(&note(6, 0)), hash(&note(5, 2))]);
    assert_eq!((second.header.height, second.header.parent_hash), (2, first.header.hash()));
    assert_eq!(propose_on(&mut ledger, second.header.hash(), 9), None, "nothing is left");
    assert!(ledger.proposable(1).is_empty(), "in either block");
    assert_eq!(ledger.oldest_executable(), Some(hash(&note(5, 0))), "but a decision is due");
    assert_eq!((ledger.pending_count(), ledger.ready()), (4, Ready::default()));

    let mut replica = crate::common::ledger();
    check(&mut replica, &first);
    check(&mut replica, &second);
    check(&mut replica, &first);
    for ledger in [&mut ledger, &mut replica] {
        assert_eq!(ledger.tip().height, 0);
        let committed = ledger.commit(Arc::new(first.clone()), &certificate(&first)).unwrap();
        assert_eq!(committed.transaction_hashes.to_vec(), hashes(&first));
        ledger.commit(Arc::new(second.clone()), &certificate(&second)).unwrap();
        assert_eq!((ledger.tip().hash, ledger.pending_count()), (second.header.hash(), 0));
        assert_eq!(ledger.oldest_executable(), None);
    }
}

/// A view change may drop a block that held everything that waits, and consensus wants another in its place.
#[test]
fn what_a_dropped_block_held_is_ready_again_on_top_of_its_parent() {
    let (mut ledger, first, second) = two_deep();
    ledger.commit(Arc::new(first.clone()), &certificate(&first)).unwrap();
    assert_eq!(ledger.ready(), Ready::default(), "nothing, on top of the second");
    assert_eq!(ledger.build_on(first.header.hash()).transactions, 2, "which is forgotten");
    let again = propose_on(&mut ledger, first.header.hash(), 9).unwrap();
    assert_eq!(hashes(&again), hashes(&second));
    assert_eq!(ledger.build_on(again.header.hash()), Ready::default());
    assert_eq!(ledger.build_on(B256::repeat_byte(1)), Ready::default(), "nobody knows it");
    commit(&mut ledger, &again);
    assert_eq!(ledger.pending_count(), 0);
}

#[test]
fn the_longest_waiting_transaction_is_the_one_that_could_be_next_at_the_tip() {
    let mut ledger = crate::common::ledger();
    ledger.admit(note(5, 1)).unwrap();
    assert_eq!(ledger.oldest_executable(), None, "an earlier one is missing");
    ledger.admit(note(6, 0)).unwrap();
    assert_eq!(ledger.oldest_executable(), Some(hash(&note(6, 0))));
    ledger.admit(note(5, 0)).unwrap();
    assert_eq!(ledger.oldest_executable(), Some(hash(&note(6, 0))), "it has waited longer");
    let block = forged(&ledger, vec![note(6, 0)], &[]);
    check(&mut ledger, &block);
    assert_eq!(ledger.oldest_executable(), Some(hash(&note(6, 0))), "no final block contains it");
    commit(&mut ledger, &block);
    assert_eq!(ledger.oldest_executable(), Some(hash(&note(5, 0))));
}

#[test]
fn a_block_whose_parent_is_neither_the_tip_nor_known_is_refused() {
    let (_, first, second) = two_deep();
    let mut replica = crate::common::ledger();
    let unknown = BlockError::UnknownParent(first.header.hash());
    assert_eq!(replica.check_proposal(Arc::new(second.clone()), NOW, true), Err(unknown));
    assert_eq!(propose_on(&mut replica, first.header.hash(), 1), None);
    check(&mut replica, &first);
    check(&mut replica, &second);
    let mut skipping = second;
    skipping.header.height = 3;
    let wrong = BlockError::WrongHeight { have: 3, need: 2 };
    assert_eq!(replica.check_proposal(Arc::new(skipping), NOW, true), Err(wrong));
}

#[test]
fn another_block_at_the_same_height_replaces_it_and_what_is_above() {
    let (mut ledger, first, second) = two_deep();
    let rival = forged(&ledger, vec![note(7, 0)], &[]);
    check(&mut ledger, &rival);
    let unknown = BlockError::UnknownParent(first.header.hash());
    assert_eq!(ledger.check_proposal(Arc::new(second), NOW, true), Err(unknown));
    assert_eq!(ledger.ready().transactions, 4, "everything may be proposed again");
    let next = propose_on(&mut ledger, rival.header.hash(), 9).unwrap();
    assert_eq!(next.transactions.len(), 4);
    commit(&mut ledger, &rival);
    commit(&mut ledger, &next);
    assert_eq!(ledger.pending_count(), 0);
}

#[test]
fn a_decision_for_another_block_drops_all_that_is_not_final() {
    let (mut ledger, first, second) = two_deep();
    let decided = forged(&ledger, vec![note(5, 0)], &[]);
    ledger.commit(Arc::new(decided.clone()), &certificate(&decided)).unwrap();
    for stale in [first, second] {
        assert!(ledger.check_proposal(Arc::new(stale), NOW, true).is_err());
    }
    let next = propose(&mut ledger, 9).unwrap();
    assert_eq!(hashes(&next), [note(5, 1), note(6, 0), note(5, 2)].map(|note| hash(&note)));
    commit(&mut ledger, &next);
}

#[test]
fn an_order_is_claimed_once_across_blocks_that_are_not_final() {
    let mut ledger = crate::common::ledger();
    let ordered = order(0);
    let order = hash(&ordered);
    commit_all(&mut ledger, [ordered]);
    ledger.admit(claim(order, 2)).unwrap();
    ledger.admit(note(5, 0)).unwrap();
    ledger.admit(note(5, 1)).unwrap();
    let first = propose(&mut ledger, 2).unwrap();
    let second = propose_on(&mut ledger, first.header.hash(), 9).unwrap();
    assert_eq!(hashes(&second), [hash(&note(5, 1))], "the claim is not proposed again");

    let mut twice = second.clone();
    twice.transactions = vec![claim(order, 2)];
    twice.header.transactions_root = Block::transactions_root(&twice.transactions, &genesis().domain());
    let refusal = Refusal::Outdone { order, lowest: claim_of(order, 2).hash };
    let refused = BlockError::Execution { index: 0, refusal };
    assert_eq!(ledger.check_proposal(Arc::new(twice), NOW, false), Err(refused));
    // Dropped, the block gives the claim back.
    let rival = forged(&ledger, vec![note(5, 0)], &[]);
    check(&mut ledger, &rival);
    let next = propose_on(&mut ledger, rival.header.hash(), 9).unwrap();
    assert_eq!(hashes(&next), [hash(&claim(order, 2)), hash(&note(5, 1))]);
    commit(&mut ledger, &rival);
    commit(&mut ledger, &next);
    assert_eq!(ledger.open_order(order).unwrap().lead.as_ref().unwrap().transaction, hash(&claim(order, 2)));
}

#[test]
fn an_order_of_a_block_that_is_not_final_can_be_claimed_in_the_next() {
    let mut ledger = crate::common::ledger();
    let ordered = order(0);
    let order = hash(&ordered);
    ledger.admit(ordered).unwrap();
    let first = propose(&mut ledger, 9).unwrap();
    let claimed = claim(order, 2);
    let mut second = forged(&ledger, vec![claimed], &[]);
    (second.header.height, second.header.parent_hash) = (2, first.header.hash());
    second.header.timestamp += 1;
    check(&mut ledger, &second);
    assert_eq!(commit(&mut ledger, &first).opened, [order]);
    commit(&mut ledger, &second);
    end_races(&mut ledger);
    assert_eq!((ledger.open_orders().len(), ledger.results_in(3).unwrap().len()), (0, 1));
}

#[test]
fn what_arrives_after_the_block_that_contains_it_waits_but_is_not_proposed() {
    let mut source = crate::common::ledger();
    source.admit(note(5, 0)).unwrap();
    let block = propose(&mut source, 1).unwrap();
    let mut late = crate::common::ledger();
    check(&mut late, &block);
    for transaction in [note(5, 0), note(5, 1)] {
        late.admit(transaction).unwrap();
    }
    assert_eq!(late.ready().transactions, 1);
    let next = propose_on(&mut late, block.header.hash(), 9).unwrap();
    assert_eq!(hashes(&next), [hash(&note(5, 1))]);
    commit(&mut late, &block);
    assert_eq!(late.pending_count(), 1);
}

#[test]
fn blocks_that_are_not_final_are_bounded() {
    let mut ledger = crate::common::ledger();
    let mut parent = ledger.tip().hash;
    for nonce in 0..MAX_SPECULATIVE as u64 {
        ledger.admit(note(5, nonce)).unwrap();
        parent = propose_on(&mut ledger, parent, 1).unwrap().header.hash();
    }
    ledger.admit(note(6, 0)).unwrap();
    assert_eq!(propose_on(&mut ledger, parent, 1), None);
    let mut above = forged(&ledger, vec![note(6, 0)], &[]);
    above.header.parent_hash = parent;
    assert_eq!(
        ledger.check_proposal(Arc::new(above), NOW, true),
        Err(BlockError::TooFarAhead { limit: MAX_SPECULATIVE })
    );
}

/// What can be executed is kept up to date piece by piece; here it is compared with what a new mempool makes of it.
#[test]
fn what_is_ready_is_the_same_however_it_came_about() {
    let seed: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    println!("SEED={seed}");
    let mut random = seed;
    let mut below = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let mut ledger = crate::common::ledger();
    let mut chain: Vec<Block> = Vec::new();
    for step in 0..600 {
        match below(8) {
            0..=3 => {
                let sender = 5 + below(3) as u8;
                let nonce = ledger.next_nonce(key(sender).address()) + below(9);
                _ = ledger.admit(note(sender, nonce));
            }
            4 | 5 => {
                chain.truncate(below(chain.len() as u64 + 1) as usize);
                let parent = chain.last().map_or(ledger.tip().hash, |block| block.header.hash());
                if chain.len() < MAX_SPECULATIVE {
                    chain.extend(propose_on(&mut ledger, parent, 1 + below(4) as usize));
                }
            }
            6 if !chain.is_empty() => {
                let block = chain.remove(0);
                ledger.commit(Arc::new(block.clone()), &certificate(&block)).unwrap();
            }
            _ => {
                let sender = 5 + below(3) as u8;
                let nonce = ledger.next_nonce(key(sender).address());
                if below(6) == 0 {
                    let block = forged(&ledger, vec![note(sender, nonce)], &[]);
                    ledger.commit(Arc::new(block.clone()), &certificate(&block)).unwrap();
                    chain.clear();
                }
            }
        }
        if step % 15 != 0 {
            continue;
        }
        let mut fresh = crate::common::ledger();
        for height in 1..=ledger.tip().height {
            commit(&mut fresh, &ledger.block(height).unwrap().unwrap());
        }
        for block in &chain {
            check(&mut fresh, block);
        }
        for (_, transaction) in ledger.pending_transactions() {
            fresh.admit(transaction.clone()).unwrap();
        }
        let proposable = |ledger: &Ledger| {
            let mut hashes: Vec<_> = ledger.proposable(usize::MAX).iter().map(hash).collect();
            hashes.sort();
            hashes
        };
        let encoded = ledger.proposable(usize::MAX);
        let bytes = encoded.iter().map(|transaction| codec::encode(transaction).len()).sum();
        assert_eq!(proposable(&ledger), proposable(&fresh));
        assert_eq!(ledger.ready(), Ready { transactions: encoded.len(), bytes });
        let is_due = |ledger: &Ledger| ledger.oldest_executable().is_some();
        assert_eq!((is_due(&ledger), ledger.ready()), (is_due(&fresh), fresh.ready()));
    }
}
