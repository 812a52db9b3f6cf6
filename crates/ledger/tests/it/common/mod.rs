//! A network of four with what its validators and users do.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{cell::RefCell, collections::BTreeMap, path::Path, sync::Arc};

use dtn_ledger::{CLAIM_WINDOW_MS, Committed, DELIVERY_MS, Ledger};
use dtn_pow::{Cancel, Puzzle, mine};
use dtn_primitives::*;

pub const EASY: u64 = 50;
pub const NOW: u64 = 1_800_000_000_000;

/// Validators have the keys 1 to 4, the requester 10, others anything else.
pub fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).expect("a scalar")
}

pub fn genesis() -> Genesis {
    Genesis {
        version: dtn_primitives::VERSION,
        name: "test".into(),
        chain_id: 31337,
        timestamp: NOW - 1_000,
        max_block_bytes: 64 * 1024,
        validators: (1..=4).map(|number| key(number).public_key()).collect(),
        requesters: vec![key(10).address()],
        engine: dtn_primitives::Engine::Pbft,
        kinds: Vec::new(),
        training: None,
    }
}

/// Whose stores the ledgers of these tests have.
pub fn peer() -> Address {
    key(1).address()
}

pub fn ledger() -> Ledger {
    Ledger::in_memory(genesis()).expect("a new ledger")
}

pub fn open(path: &Path) -> Ledger {
    Ledger::open(path, genesis()).expect("opens")
}

pub fn proposer() -> Address {
    key(1).address()
}

pub fn order_of(nonce: u64, reward: u64, expected_hashes: Option<u64>) -> Order {
    Order {
        nonce,
        dataset: "MNIST".into(),
        model: "LeNet-5".into(),
        metric: "accuracy >= 0.99".into(),
        reward: U256::from(reward),
        work: expected_hashes.map(|expected_hashes| Work { expected_hashes }),
    }
}

pub fn sign(payload: Payload, signer: u8) -> Transaction {
    Transaction::sign(payload, &key(signer), &genesis().domain())
}

/// An order of easy work by the requester.
pub fn order(nonce: u64) -> Transaction {
    sign(Payload::Order(order_of(nonce, 7, Some(EASY))), 10)
}

/// An order of no work by anyone.
pub fn note(signer: u8, nonce: u64) -> Transaction {
    sign(Payload::Order(order_of(nonce, 0, None)), signer)
}

pub fn hash(transaction: &Transaction) -> B256 {
    transaction.hash(&genesis().domain())
}

thread_local! {
    /// The block that an order was last seen in, which is its race.
    static RACES: RefCell<BTreeMap<B256, B256>> = RefCell::default();
}

fn note_races(block: &Block) {
    let hashes = block.transactions.iter().map(hash);
    RACES.with_borrow_mut(|races| races.extend(hashes.map(|order| (order, block.header.hash()))));
}

/// Tells the race for an order whose block was made elsewhere.
pub fn set_race(order: B256, race: B256) {
    RACES.with_borrow_mut(|races| _ = races.insert(order, race));
}

/// The race for an order; for an order that is in no block yet, some race.
pub fn race(order: B256) -> B256 {
    RACES.with_borrow(|races| races.get(&order).copied().unwrap_or_default())
}

pub fn solve(order: B256, miner: Address, expected_hashes: u64) -> (u64, B256) {
    let puzzle = Puzzle::new(genesis().network_id(), race(order), order, miner, expected_hashes).expect("work");
    let one = std::num::NonZeroUsize::MIN;
    let solution = mine(&puzzle, 0..=u64::MAX, one, &Cancel::new()).solution.expect("found");
    (solution.nonce, solution.hash)
}

pub fn claim_of(order: B256, miner: u8) -> Claim {
    let miner = key(miner).address();
    let (nonce, hash) = solve(order, miner, EASY);
    Claim { order, race: race(order), payee: miner, nonce, hash, started_at_us: 1, ended_at_us: 2, duration_us: 1 }
}

/// A claim with the work that the order asks for.
pub fn claim(order: B256, miner: u8) -> Transaction {
    sign(Payload::Claim(claim_of(order, miner)), miner)
}

/// The claims of two workers for an order, that with the lower hash first.
pub fn rivals(order: B256, workers: [u8; 2]) -> [Transaction; 2] {
    let mut claims = workers.map(|worker| (claim_of(order, worker), worker));
    claims.sort_unstable_by_key(|(claim, _)| claim.hash);
    claims.map(|(claim, worker)| sign(Payload::Claim(claim), worker))
}

pub fn certificate(block: &Block) -> Certificate {
    let (domain, validators) = (genesis().domain(), genesis().validator_set().expect("valid"));
    let slot = (0, 0, block.header.height);
    let votes: Vec<_> = (1..=3)
        .map(|number| {
            let index = validators.index_of(key(number).address()).expect("a validator");
            Vote::sign(VoteKind::Commit, slot, block.header.hash(), index, &key(number), &domain)
        })
        .collect();
    Certificate::from_votes(&votes).expect("votes")
}

pub fn check(ledger: &mut Ledger, block: &Block) {
    note_races(block);
    ledger.check_proposal(Arc::new(block.clone()), NOW, false).expect("valid");
}

pub fn commit(ledger: &mut Ledger, block: &Block) -> Committed {
    check(ledger, block);
    ledger.commit(Arc::new(block.clone()), &certificate(block)).expect("commits")
}

/// Proposes on top of the tip.
pub fn propose(ledger: &mut Ledger, max_transactions: usize) -> Option<Block> {
    let parent = ledger.tip().hash;
    let block = ledger.propose(parent, NOW, proposer(), max_transactions, false).map(Arc::unwrap_or_clone);
    block.inspect(note_races)
}

/// What a quorum says about the state at the ledger's tip.
pub fn checkpoint_of(height: u64, state_root: B256) -> CheckpointCertificate {
    let (domain, validators) = (genesis().domain(), genesis().validator_set().expect("valid"));
    let votes: Vec<_> = (1..=3)
        .map(|number| {
            let index = validators.index_of(key(number).address()).expect("a validator");
            Vote::sign(VoteKind::Checkpoint, (0, 0, height), state_root, index, &key(number), &domain)
        })
        .collect();
    CheckpointCertificate::from_votes(&votes).expect("votes")
}

/// Makes the state at the tip a stable checkpoint.
pub fn stabilize(ledger: &mut Ledger) -> CheckpointCertificate {
    let root = ledger.checkpoint().expect("stores");
    let checkpoint = checkpoint_of(ledger.tip().height, root);
    ledger.stable(&checkpoint).expect("stable");
    checkpoint
}

/// Admits the transactions and commits one block of what waits.
pub fn commit_all(ledger: &mut Ledger, transactions: impl IntoIterator<Item = Transaction>) -> Block {
    for transaction in transactions {
        ledger.admit(transaction).expect("admitted");
    }
    let block = propose(ledger, 1_000).expect("something waits");
    commit(ledger, &block);
    block
}

/// Commits claims, and after their window the block that ends their races, which is given.
pub fn win(ledger: &mut Ledger, claims: impl IntoIterator<Item = Transaction>) -> Block {
    commit_all(ledger, claims);
    end_races(ledger)
}

/// Commits a block of what waits that ends the races whose first claims are in blocks so far.
pub fn end_races(ledger: &mut Ledger) -> Block {
    let (parent, now) = (ledger.tip().hash, ledger.tip().timestamp + CLAIM_WINDOW_MS + DELIVERY_MS + 1);
    let block = ledger.propose(parent, now, proposer(), 1_000, true).expect("it may be empty");
    ledger.commit(block.clone(), &certificate(&block)).expect("commits");
    Arc::unwrap_or_clone(block)
}

/// A block on the ledger's tip with these transactions and honest roots, whatever the rules say about them.
pub fn forged(ledger: &Ledger, transactions: Vec<Transaction>, results: &[WorkResult]) -> Block {
    let tip = ledger.tip();
    let header = Header {
        network_id: genesis().network_id(),
        chain_id: 31337,
        epoch: 0,
        height: tip.height + 1,
        timestamp: NOW.max(tip.timestamp + 1),
        proposer: proposer(),
        parent_hash: tip.hash,
        transactions_root: Block::transactions_root(&transactions, &genesis().domain()),
        results_root: WorkResult::root(results),
    };
    Block { header, transactions }
}
