//! How long races take claims, who wins, and what a primary can do about it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dtn_ledger::{
    AdmissionError, BlockError, CLAIM_WINDOW_MS, DELIVERY_MS, LINE_LIFETIME_MS, Ledger, ORDER_LIFETIME_MS, PATIENCE_MS,
    Refusal, TOLERANCE_MS, Unfairness,
};
use dtn_pow::Puzzle;
use dtn_primitives::*;

use crate::common::*;

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
    let mut ledger = crate::common::ledger();
    commit_all(&mut ledger, [order(0)]);
    (ledger, hash(&order(0)))
}

/// The first claims of a worker, each with a lower hash than the one before.
fn improving<const N: usize>(order: B256, worker: u8) -> [Transaction; N] {
    let puzzle = Puzzle::new(genesis().network_id(), race(order), order, key(worker).address(), EASY).unwrap();
    let (mut nonces, mut lowest) = (0.., B256::repeat_byte(0xff));
    std::array::from_fn(|_| {
        let mut next = nonces.by_ref().map(|nonce| (nonce, puzzle.hash(nonce)));
        let (nonce, hash) = next.find(|(_, hash)| *hash < lowest && puzzle.target().is_met_by(*hash)).unwrap();
        lowest = hash;
        sign(Payload::Claim(Claim { nonce, hash, ..claim_of(order, worker) }), worker)
    })
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
    let lower = |claim: &Transaction| matches!(claim.payload, Payload::Claim(Claim { hash, .. }) if hash < lowest);
    let mut own = improving::<9>(order, 4).into_iter().filter(lower);
    let [one, two] = [own.next().unwrap(), own.next().unwrap()];
    ledger.admit(one.clone()).unwrap();
    ledger.admit(two.clone()).unwrap();
    assert_eq!(ledger.admit(one), Err(AdmissionError::ClaimPending(hash(&two))));
    commit_all(&mut ledger, []);
    assert_eq!(ledger.open_order(order).unwrap().lead.as_ref().unwrap().transaction, hash(&two));
}

#[test]
fn orders_and_lines_that_nobody_claims_expire_and_an_order_is_known_to_have() {
    let mut ledger = crate::common::ledger();
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
fn what_the_blocks_of_more_primaries_than_may_lie_leave_out_is_forgiven_and_what_those_of_one_leave_out_is_not() {
    let (mut ledger, order) = with_order();
    ledger.tell_time(NOW);
    ledger.admit(claim(order, 2)).unwrap();
    let arrived_ms = NOW + 1_000;
    ledger.tell_time(arrived_ms);
    let mut judge = |number: u8| {
        let mut block = forged(&ledger, vec![note(5, 0)], &[]);
        block.header.proposer = key(number).address();
        ledger.check_proposal(Arc::new(block), arrived_ms, true).is_ok()
    };
    assert!((0..10).all(|_| !judge(1)), "a primary that leaves it out again and again gains nothing");
    // A quarter of the validators may lie; of two primaries one does not, so claims do take that long here.
    assert!((0..2).all(|_| !judge(1) && !judge(2)));
    assert!(judge(1) && judge(2));
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
    let mut early = crate::common::ledger();
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
    ledger.tell_time(NOW + CLAIM_WINDOW_MS + 2 * TOLERANCE_MS);
    ledger.admit(better.clone()).expect("others may have heard of it in time");
    assert_eq!(ledger.oldest_executable(), None);
    let block = ledger.propose(ledger.tip().hash, NOW + LIMIT + 2, proposer(), 9, true).unwrap();
    assert!(block.transactions.is_empty());
    ledger.tell_time(NOW + LIMIT + 1);
    assert_eq!(ledger.admit(claim(order, 4)).err().map(|error| error.is_malformed()), Some(false), "late, or worse");
}

#[test]
fn a_better_claim_of_a_worker_that_may_be_left_out_does_not_hide_the_one_before_that_may_not() {
    let ((mut ledger, order), begun_ms) = (with_order(), NOW + 10);
    let [first, better, best] = improving(order, 4);
    ledger.tell_time(begun_ms);
    ledger.admit(first.clone()).unwrap();
    commit_at(&mut ledger, begun_ms);
    ledger.tell_time(begun_ms + 1_000);
    ledger.admit(better.clone()).unwrap();
    ledger.tell_time(begun_ms + CLAIM_WINDOW_MS + 1);
    ledger.admit(best.clone()).unwrap();
    assert_eq!(ledger.ready().transactions, 1, "only the best is proposed");
    let (mut other, arrived_ms) = (crate::common::ledger(), begun_ms + LIMIT + 1);
    for height in 1..=2 {
        commit(&mut other, &ledger.block(height).unwrap().unwrap());
    }
    ledger.tell_time(arrived_ms);
    let mut judge = |claim: Option<&Transaction>| {
        claim.into_iter().for_each(|claim| _ = other.admit(claim.clone()).unwrap());
        let block = other.propose(other.tip().hash, begun_ms + LIMIT + 1, proposer(), 9, true).unwrap();
        ledger.check_proposal(block, arrived_ms, true)
    };
    assert_eq!(judge(None), Err(Unfairness::LeftOut(hash(&better)).into()));
    assert_eq!(judge(Some(&better)), Ok(()), "the best may have been late for the primary");
    assert_eq!(judge(Some(&best)), Ok(()));
}

#[test]
fn a_block_that_ends_a_race_has_every_claim_of_the_window_also_if_it_was_sent_long_before() {
    let ((mut ledger, order), begun_ms) = (with_order(), NOW + 10);
    let [better, first] = rivals(order, [2, 3]);
    ledger.tell_time(begun_ms);
    ledger.admit(first).unwrap();
    commit_at(&mut ledger, begun_ms);
    ledger.tell_time(begun_ms + CLAIM_WINDOW_MS);
    ledger.admit(better.clone()).unwrap();
    let (mut other, arrived_ms) = (crate::common::ledger(), begun_ms + CLAIM_WINDOW_MS + 1);
    for height in 1..=2 {
        commit(&mut other, &ledger.block(height).unwrap().unwrap());
    }
    let ending = other.propose(other.tip().hash, begun_ms + LIMIT + 1, proposer(), 9, true).unwrap();
    let refused = ledger.check_proposal(ending.clone(), arrived_ms, true).unwrap_err();
    assert!(matches!(refused, BlockError::Unfair(Unfairness::EndsEarly { .. })), "{refused}");
    ledger.tell_time(begun_ms + LIMIT + 1);
    let refused = ledger.check_proposal(ending, arrived_ms, true).unwrap_err();
    assert_eq!(refused, BlockError::Unfair(Unfairness::LeftOut(hash(&better))));
}

/// What a miner who is the primary makes of its position.
#[derive(Clone, Copy, PartialEq)]
enum Primary {
    Honest,
    /// It keeps others' claims out and searches on for as long as the voters let it.
    Greedy,
}

/// How long a claim is on its way to others, in milliseconds. A greedy miner's is there at once.
const LATENCY_MS: u64 = 20;

/// A claim that a miner has found.
struct Found {
    at_ms: u64,
    miner: usize,
    claim: Transaction,
}

/// Four equal miners, one nonce a millisecond each, of which the first is the primary. One of the voters stands for all:
/// what it refuses, no quorum accepts.
struct Miners {
    voter: Ledger,
    primary: Ledger,
    kind: Primary,
}

impl Miners {
    fn new(kind: Primary) -> Self {
        Self { voter: crate::common::ledger(), primary: crate::common::ledger(), kind }
    }

    fn commit(&mut self, block: &Arc<Block>) {
        for ledger in [&mut self.voter, &mut self.primary] {
            ledger.commit(block.clone(), &certificate(block)).unwrap();
        }
    }

    fn propose(&mut self, timestamp: u64) -> Arc<Block> {
        self.primary.propose(self.primary.tip().hash, timestamp, proposer(), 1_000, true).unwrap()
    }

    /// When the voter hears of a claim.
    fn heard_ms(&self, found: &Found) -> u64 {
        let at_once = found.miner == 0 && self.kind == Primary::Greedy;
        found.at_ms + if at_once { 0 } else { LATENCY_MS }
    }

    /// The block that ends a race at this time, as honest validators make it.
    fn end_honestly(&mut self, ended_ms: u64) -> Arc<Block> {
        self.primary.tell_time(ended_ms);
        self.voter.tell_time(ended_ms + LATENCY_MS);
        let block = self.propose(ended_ms);
        assert_eq!(self.voter.check_proposal(block.clone(), ended_ms + LATENCY_MS, true), Ok(()), "it is fair");
        block
    }

    /// The block that ends a race with as many of the primary's claims, and as few of others, as the voter takes.
    fn end_greedily(&mut self, ended_ms: u64, sent_ms: u64, found: &[Found]) -> Arc<Block> {
        self.voter.tell_time(ended_ms);
        let (mut best, mut own) = (None, found.iter().filter(|found| found.miner == 0));
        let mut arrived_ms = sent_ms;
        loop {
            let block = self.propose(ended_ms);
            match self.voter.check_proposal(block.clone(), arrived_ms, true) {
                Ok(()) => best = Some(block),
                Err(BlockError::Unfair(Unfairness::LeftOut(claim))) => {
                    let left_out = found.iter().find(|found| hash(&found.claim) == claim).unwrap();
                    self.primary.admit(left_out.claim.clone()).unwrap();
                    continue;
                }
                Err(BlockError::Unfair(Unfairness::LateClaim { .. })) => break,
                Err(error) => panic!("{error}"),
            }
            let Some(next) = own.next() else { break };
            _ = self.primary.admit(next.claim.clone());
            arrived_ms = sent_ms.max(next.at_ms);
        }
        best.expect("the first has none of its late claims")
    }

    /// The index of the miner who wins a race.
    fn race(&mut self, ordered: &Transaction, expected_hashes: u64) -> usize {
        let order = hash(ordered);
        self.primary.admit(ordered.clone()).unwrap();
        let block = self.propose(NOW);
        self.commit(&block);
        let mut found = search((order, block.header.hash()), expected_hashes);
        found.sort_by_key(|found| self.heard_ms(found));
        let begun_ms = self.heard_ms(&found[0]);
        let mut ended_ms = begun_ms;
        for next in &found {
            let heard_ms = self.heard_ms(next);
            self.voter.tell_time(heard_ms);
            _ = self.voter.admit(next.claim.clone());
            if self.kind == Primary::Honest {
                self.primary.tell_time(if next.miner == 0 { next.at_ms } else { heard_ms });
                _ = self.primary.admit(next.claim.clone());
            }
            if self.primary.open_order(order).unwrap().lead.is_none() {
                _ = self.primary.admit(next.claim.clone());
                let first = self.propose(begun_ms);
                assert_eq!(self.voter.check_proposal(first.clone(), heard_ms, true), Ok(()));
                self.commit(&first);
                ended_ms = first.header.timestamp + LIMIT + 1;
            }
        }
        let last = match self.kind {
            Primary::Honest => self.end_honestly(ended_ms),
            // The sooner it is sent, the less it must have heard of.
            Primary::Greedy => self.end_greedily(ended_ms, begun_ms + CLAIM_WINDOW_MS + 2 * TOLERANCE_MS, &found),
        };
        self.commit(&last);
        let winner = winner(&self.voter, order).expect("the race is over");
        (1..=4).position(|miner| key(miner).address() == winner).unwrap()
    }
}

/// What all find until long after nobody takes it any more.
fn search((order, race): (B256, B256), expected_hashes: u64) -> Vec<Found> {
    let puzzles: Vec<_> = (1..=4)
        .map(|miner| Puzzle::new(genesis().network_id(), race, order, key(miner).address(), expected_hashes).unwrap())
        .collect();
    let first = (0..).find(|nonce| puzzles.iter().any(|it| it.target().is_met_by(it.hash(*nonce)))).unwrap();
    let mut found = Vec::new();
    for (miner, puzzle) in puzzles.iter().enumerate() {
        let (worker, mut lowest) = (key(miner as u8 + 1), B256::repeat_byte(0xff));
        for nonce in first..=first + CLAIM_WINDOW_MS + 300 {
            let hash = puzzle.hash(nonce);
            if hash < lowest && puzzle.target().is_met_by(hash) {
                lowest = hash;
                let (payee, started_at_us, ended_at_us, duration_us) = (worker.address(), 1, 2, 1);
                let claim = Claim { order, race, payee, nonce, hash, started_at_us, ended_at_us, duration_us };
                let claim = Transaction::sign(Payload::Claim(claim), &worker, &genesis().domain());
                found.push(Found { at_ms: NOW + nonce, miner, claim });
            }
        }
    }
    found
}

/// A quarter of the hash rate wins a quarter of the races, whoever is the primary. The shortest races are those in which a
/// primary can gain most.
#[test]
fn of_four_equal_miners_each_wins_a_quarter_of_a_thousand_races_also_a_primary_that_keeps_claims_out() {
    let from_env = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (seed, races) = (from_env("SEED").unwrap_or(15), from_env("RACES").unwrap_or(1_000));
    // A tenth of a second until somebody finds something.
    let expected_hashes = from_env("HASHES").unwrap_or(400);
    // Both ledgers check the same signatures.
    let _remembering = memo::remember(1_024);
    let mut wins = [[0; 4]; 2];
    for race in 0..races {
        let dataset = format!("seed {seed}, race {race}");
        let order = Order { dataset, ..order_of(0, 0, Some(expected_hashes)) };
        let order = sign(Payload::Order(order), 10);
        // The same race, but for what the primary does: chance has little part in the difference.
        for (wins, kind) in wins.iter_mut().zip([Primary::Honest, Primary::Greedy]) {
            wins[Miners::new(kind).race(&order, expected_hashes)] += 1;
        }
    }
    let [honest, greedy] = wins.map(|wins| wins.map(|wins| 100.0 * f64::from(wins) / races as f64));
    println!(
        "SEED={seed} RACES={races} HASHES={expected_hashes}: an honest primary {honest:?} %, a greedy {greedy:?} %"
    );
    // A share of a thousand races is off by 1.4 % on average, by chance. What greed gains is the difference, in which chance
    // has little part.
    honest.iter().for_each(|share| assert!((22.0..=28.0).contains(share), "{share} %"));
    assert!((-0.5..=2.0).contains(&(greedy[0] - honest[0])), "{} % more", greedy[0] - honest[0]);
}
