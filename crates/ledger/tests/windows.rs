//! How long races take claims, who wins, and what a primary can do about it.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::*;
use dtn_ledger::{
    AdmissionError, BlockError, CLAIM_WINDOW_MS, DELIVERY_MS, LINE_LIFETIME_MS, Ledger, ORDER_LIFETIME_MS, PATIENCE_MS,
    Refusal, Unfairness,
};
use dtn_pow::Puzzle;
use dtn_primitives::*;

const LIMIT: u64 = CLAIM_WINDOW_MS + DELIVERY_MS;

/// Commits a block of what waits, empty or not, with this timestamp.
fn commit_at(ledger: &mut Ledger, timestamp: u64) -> Block {
    let block = ledger.propose(ledger.tip().hash, timestamp, proposer(), 1_000, true).expect("it may be empty");
    assert_eq!(block.header.timestamp, timestamp);
    ledger.commit(block.clone(), &certificate(&block)).unwrap();
    Arc::unwrap_or_clone(block)
}

/// A ledger with an open order.
fn with_order() -> (Ledger, B256) {
    let mut ledger = common::ledger();
    commit_all(&mut ledger, [order(0)]);
    (ledger, hash(&order(0)))
}

fn winner(ledger: &Ledger, order: B256) -> Option<Address> {
    ledger.finalized_result(order).unwrap().map(|proven| proven.result.worker)
}

#[test]
fn the_lowest_hash_of_the_window_wins_in_whichever_block_it_is() {
    let (mut ledger, order) = with_order();
    let [better, first] = rivals(order, [2, 3]);
    ledger.admit(first.clone()).unwrap();
    commit_at(&mut ledger, NOW + 10);
    ledger.admit(better.clone()).unwrap();
    commit_at(&mut ledger, NOW + 10 + CLAIM_WINDOW_MS);
    commit_at(&mut ledger, NOW + 10 + LIMIT);
    assert!(ledger.open_order(order).is_some() && !ledger.is_due(NOW + 10 + LIMIT), "the window is not over");
    assert!(ledger.is_due(NOW + 11 + LIMIT));
    let last = commit_at(&mut ledger, NOW + 11 + LIMIT);
    assert!(last.transactions.is_empty() && last.header.results_root != B256::ZERO);
    assert_eq!((winner(&ledger, order), ledger.open_order(order)), (Some(better.sender), None));
}

#[test]
fn the_block_that_ends_a_race_takes_claims_too_so_that_a_pause_loses_none() {
    let (mut ledger, order) = with_order();
    let [better, first] = rivals(order, [2, 3]);
    ledger.admit(first).unwrap();
    commit_at(&mut ledger, NOW + 10);
    ledger.admit(better.clone()).unwrap();
    commit_at(&mut ledger, NOW + 60_000);
    assert_eq!(winner(&ledger, order), Some(better.sender));
}

#[test]
fn a_claim_counts_only_if_its_hash_is_lower_than_all_before_it_be_it_the_same_workers() {
    let (mut ledger, order) = with_order();
    let [better, first] = rivals(order, [2, 3]);
    let block = forged(&ledger, vec![better.clone(), first.clone()], &[]);
    let Payload::Claim(Claim { hash: lowest, .. }) = better.payload else { unreachable!() };
    let refused = BlockError::Execution { index: 1, refusal: Refusal::Outdone { order, lowest } };
    assert_eq!(ledger.check_proposal(Arc::new(block), NOW, false), Err(refused));
    commit_all(&mut ledger, [better]);
    assert_eq!(ledger.admit(first), Err(Refusal::Outdone { order, lowest }.into()));
    // A worker betters its own claim, also while that waits.
    let puzzle = Puzzle::new(genesis().network_id(), race(order), order, key(4).address(), EASY).unwrap();
    let mut lowest = lowest;
    let mut found = (0..).map(|nonce| (nonce, puzzle.hash(nonce))).filter(|(_, hash)| {
        let lower = *hash < lowest;
        lowest = lowest.min(*hash);
        lower
    });
    let [one, two] = [found.next().unwrap(), found.next().unwrap()].map(|(nonce, hash)| {
        let claim = Claim { nonce, hash, ..claim_of(order, 4) };
        sign(Payload::Claim(claim), 4)
    });
    ledger.admit(one.clone()).unwrap();
    ledger.admit(two.clone()).unwrap();
    assert_eq!(ledger.admit(one), Err(AdmissionError::ClaimPending(hash(&two))));
    commit_all(&mut ledger, []);
    assert_eq!(ledger.open_order(order).unwrap().lead.as_ref().unwrap().transaction, hash(&two));
}

#[test]
fn orders_and_lines_that_nobody_claims_expire_and_an_order_is_known_to_have() {
    let mut ledger = common::ledger();
    let line = Line { nonce: 0, data: Bytes::from_static(b"a"), expected_hashes: EASY };
    let line = sign(Payload::Line(line), 1);
    commit_all(&mut ledger, [order(0), line.clone()]);
    let opened_ms = ledger.tip().timestamp;
    assert_eq!(ledger.oldest_executable(), None);
    commit_at(&mut ledger, opened_ms + LINE_LIFETIME_MS);
    assert_eq!(ledger.open_orders().len(), 2);
    ledger.tell_time(opened_ms + LINE_LIFETIME_MS + 1);
    assert_eq!(ledger.oldest_executable(), Some(hash(&line)), "a block is due");
    commit_at(&mut ledger, opened_ms + LINE_LIFETIME_MS + 1);
    assert_eq!((ledger.open_orders().len(), ledger.expired(hash(&line))), (1, Ok(None)), "gone without a trace");
    commit_at(&mut ledger, opened_ms + ORDER_LIFETIME_MS);
    let late = claim(hash(&order(0)), 2);
    ledger.admit(late.clone()).unwrap();
    let ended = commit_at(&mut ledger, opened_ms + ORDER_LIFETIME_MS + 1);
    assert_eq!((ended.transactions.len(), ledger.open_orders().len(), ledger.pending_count()), (0, 0, 0));
    assert_eq!(ledger.expired(hash(&order(0))), Ok(Some(ended.header.height)));
    assert_eq!(ledger.finalized_result(hash(&order(0))), Ok(None));
    assert_eq!(ledger.admit(late), Err(Refusal::NotOpen(hash(&order(0))).into()));
}

// What those who vote demand.

/// A voter that has heard of a claim long before the block that leaves it out.
#[test]
fn a_block_that_leaves_out_a_claim_that_was_here_in_time_is_refused_for_a_while_and_not_for_good() {
    let (mut ledger, order) = with_order();
    let waits = claim(order, 2);
    ledger.tell_time(NOW);
    ledger.admit(waits.clone()).unwrap();
    let block = Arc::new(Block { ..forged(&ledger, vec![note(5, 0)], &[]) });
    assert_eq!(ledger.check_proposal(block.clone(), NOW + DELIVERY_MS - 1, true), Ok(()), "it may not have had it");
    let other = Arc::new(forged(&ledger, vec![note(6, 0)], &[]));
    let arrived_ms = NOW + DELIVERY_MS;
    let refused = ledger.check_proposal(other.clone(), arrived_ms, true).unwrap_err();
    assert_eq!(refused, BlockError::Unfair(Unfairness::LeftOut(hash(&waits))));
    assert!(refused.is_for_now());
    ledger.tell_time(arrived_ms + PATIENCE_MS - 1);
    assert!(ledger.check_proposal(other.clone(), arrived_ms, true).is_err());
    ledger.tell_time(arrived_ms + PATIENCE_MS);
    assert_eq!(ledger.check_proposal(other.clone(), arrived_ms, true), Ok(()), "a slow network goes on");
    let mut required = forged(&ledger, vec![note(7, 0)], &[]);
    required.header.timestamp += 1;
    assert_eq!(ledger.check_proposal(Arc::new(required), arrived_ms, false), Ok(()), "a new view requires it");
}

#[test]
fn a_block_that_includes_a_better_claim_or_is_full_may_leave_a_claim_out() {
    let (mut ledger, order) = with_order();
    let [better, worse] = rivals(order, [2, 3]);
    ledger.tell_time(NOW);
    ledger.admit(worse.clone()).unwrap();
    let block = forged(&ledger, vec![better], &[]);
    assert_eq!(ledger.check_proposal(Arc::new(block), NOW + DELIVERY_MS, true), Ok(()));
    let long = |nonce| {
        let order = Order { metric: "x".repeat(MAX_TEXT_BYTES), ..order_of(nonce, 0, None) };
        sign(Payload::Order(order), 5)
    };
    let mut full: Vec<_> = (0..200).map(long).collect();
    while codec::encode(&forged(&ledger, full.clone(), &[])).len() as u64 > genesis().max_block_bytes {
        full.pop();
    }
    let block = forged(&ledger, full, &[]);
    assert_eq!(ledger.check_proposal(Arc::new(block), NOW + DELIVERY_MS, true), Ok(()), "there is no room");
}

#[test]
fn a_race_is_neither_ended_early_nor_won_by_a_claim_that_came_after_its_window_nor_cut_short_by_an_early_time() {
    let (mut ledger, order) = with_order();
    let [better, first] = rivals(order, [2, 3]);
    let heard_ms = NOW + 1_000;
    ledger.tell_time(heard_ms);
    ledger.admit(first.clone()).unwrap();
    // The time of the block with the first claim.
    let mut backdated = forged(&ledger, vec![first.clone()], &[]);
    backdated.header.timestamp = heard_ms - DELIVERY_MS - 1;
    let refused = ledger.check_proposal(Arc::new(backdated), heard_ms, true);
    assert_eq!(refused, Err(Unfairness::Backdated(order).into()));
    commit_at(&mut ledger, heard_ms);
    // A block with a time in the future that ends the race before its window is over.
    let mut early = common::ledger();
    for height in 1..=2 {
        commit(&mut early, &ledger.block(height).unwrap().unwrap());
    }
    let block = early.propose(early.tip().hash, heard_ms + LIMIT + 1, proposer(), 9, true).unwrap();
    let now_ms = heard_ms + LIMIT - 500;
    ledger.tell_time(now_ms);
    let refused = ledger.check_proposal(block.clone(), now_ms, true).unwrap_err();
    assert_eq!(refused, BlockError::Unfair(Unfairness::EndsEarly { order, early_ms: 500 }));
    ledger.tell_time(now_ms + 500);
    assert_eq!(ledger.check_proposal(block, now_ms, true), Ok(()), "judged again when it is time");
    // A claim that nobody here had heard of in time.
    early.admit(better).unwrap();
    let block = early.propose(early.tip().hash, heard_ms + LIMIT + 2, proposer(), 9, true).unwrap();
    let refused = ledger.check_proposal(block, heard_ms + LIMIT + 2, true);
    assert_eq!(refused, Err(Unfairness::LateClaim { index: 0, order }.into()));
}

#[test]
fn a_claim_after_the_window_is_neither_proposed_nor_missed() {
    let (mut ledger, order) = with_order();
    let [better, first] = rivals(order, [2, 3]);
    ledger.tell_time(NOW);
    ledger.admit(first).unwrap();
    commit_all(&mut ledger, []);
    ledger.tell_time(NOW + LIMIT);
    ledger.admit(better.clone()).expect("others may have heard of it in time");
    assert_eq!(ledger.oldest_executable(), None);
    let block = ledger.propose(ledger.tip().hash, NOW + LIMIT + 2, proposer(), 9, true).unwrap();
    assert!(block.transactions.is_empty());
    ledger.tell_time(NOW + LIMIT + 1);
    assert_eq!(ledger.admit(claim(order, 4)).err().map(|error| error.is_malformed()), Some(false), "late, or worse");
}

/// What a miner who is the primary makes of its position.
#[derive(Clone, Copy)]
enum Primary {
    Honest,
    /// It keeps others' claims out for as long as the voters let it, and goes on searching for as long as they take what
    /// it finds.
    Greedy,
}

/// How many of so many races each of four miners wins, one nonce a millisecond each, when the first is the primary.
/// One of the voters stands for all: what it refuses, no quorum accepts.
fn wins(races: u64, expected_hashes: u64, primary: Primary, seed: u64) -> [u64; 4] {
    const LATENCY_MS: u64 = 20;
    let (mut voter, mut proposer_ledger) = (common::ledger(), common::ledger());
    let mut wins = [0; 4];
    let mut now = NOW;
    let both = |voter: &mut Ledger, other: &mut Ledger, block: &Arc<Block>| {
        for ledger in [voter, other] {
            ledger.commit(block.clone(), &certificate(block)).unwrap();
        }
    };
    for nonce in 0..races {
        let ordered = Order { dataset: format!("seed {seed}"), ..order_of(nonce, 0, Some(expected_hashes)) };
        let ordered = sign(Payload::Order(ordered), 10);
        let order = hash(&ordered);
        voter.tell_time(now);
        proposer_ledger.admit(ordered).unwrap();
        let block = proposer_ledger.propose(proposer_ledger.tip().hash, now, proposer(), 9, false).unwrap();
        both(&mut voter, &mut proposer_ledger, &block);
        let (race, opened) = (block.header.hash(), now);
        let puzzles: Vec<_> = (1..=4)
            .map(|miner| {
                Puzzle::new(genesis().network_id(), race, order, key(miner).address(), expected_hashes).unwrap()
            })
            .collect();
        // The first claim of anybody, and what each finds from the beginning to the end of its search.
        let first = (0..).find(|nonce| puzzles.iter().any(|it| it.target().is_met_by(it.hash(*nonce)))).unwrap();
        let begun = first + LATENCY_MS;
        let until = |miner: usize| match primary {
            Primary::Greedy if miner == 0 => begun + LIMIT - LATENCY_MS,
            _ => begun + CLAIM_WINDOW_MS - LATENCY_MS,
        };
        let mut found = Vec::new();
        for (miner, puzzle) in puzzles.iter().enumerate() {
            let mut lowest = B256::repeat_byte(0xff);
            for nonce in 0..=until(miner) {
                let hash = puzzle.hash(nonce);
                if hash < lowest && puzzle.target().is_met_by(hash) {
                    lowest = hash;
                    let worker = key(miner as u8 + 1);
                    let (payee, started_at_us, ended_at_us, duration_us) = (worker.address(), 1, 2, 1);
                    let claim = Claim { order, race, payee, nonce, hash, started_at_us, ended_at_us, duration_us };
                    found.push((nonce, miner, Transaction::sign(Payload::Claim(claim), &worker, &genesis().domain())));
                }
            }
        }
        found.sort_by_key(|(nonce, ..)| *nonce);
        // A block with the first claim, and then that which ends the race, as soon as the voter lets it.
        let mut heard = found.iter().peekable();
        for timestamp in [opened + begun, opened + begun + LIMIT + 1] {
            // The voter hears of everything; the primary takes in what it likes.
            while let Some((at, miner, claim)) = heard.next_if(|(at, ..)| opened + at + LATENCY_MS <= timestamp) {
                voter.tell_time(opened + at + LATENCY_MS);
                _ = voter.admit(claim.clone());
                if *at == first || *miner == 0 || matches!(primary, Primary::Honest) {
                    _ = proposer_ledger.admit(claim.clone());
                }
            }
            voter.tell_time(timestamp);
            loop {
                let parent = proposer_ledger.tip().hash;
                let block = proposer_ledger.propose(parent, timestamp, proposer(), 1_000, true).unwrap();
                match voter.check_proposal(block.clone(), timestamp, true) {
                    Ok(()) => break both(&mut voter, &mut proposer_ledger, &block),
                    Err(BlockError::Unfair(Unfairness::LeftOut(claim))) => {
                        let (.., claim) = found.iter().find(|(.., it)| hash(it) == claim).unwrap();
                        proposer_ledger.admit(claim.clone()).unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let winner = winner(&voter, order).expect("the race is over");
        wins[(1..=4).position(|miner| key(miner).address() == winner).unwrap()] += 1;
        now = opened + begun + LIMIT + 100;
    }
    wins
}

/// A quarter of the hash rate wins a quarter of the races, whoever is the primary.
#[test]
#[ignore = "a measurement: of a thousand races of this network the primary won 28.7 %"]
fn of_four_equal_miners_each_wins_a_quarter_of_a_thousand_races_also_a_primary_that_keeps_claims_out() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(15);
    let races = std::env::var("RACES").ok().and_then(|races| races.parse().ok()).unwrap_or(1_000);
    for (name, primary) in [("honest", Primary::Honest), ("greedy", Primary::Greedy)] {
        // The first of the four finds something after a second on average.
        let wins = wins(races, 4_000, primary, seed);
        println!("SEED={seed}: with a primary that is {name}, four miners win {wins:?} of {races} races");
        let share = 100.0 * wins[0] as f64 / races as f64;
        assert!((22.0..=28.0).contains(&share), "the primary wins {share} %");
    }
}
