//! What the ledger states of earnings, for distributions to pay.

use std::sync::Arc;

use dtn_ledger::{Balance, Earned, KEPT_STATEMENTS, Ledger};
use dtn_primitives::*;

use crate::{
    common::{NOW, key},
    training::{ETHER, PAYEE, SECOND, Scene, certificate, genesis, sign},
};

/// How long the genesis has the ledger wait from one statement to the next.
const EPOCH: u64 = 60 * SECOND;

/// The statements of a block.
fn stated(scene: &Scene, block: &Block) -> Vec<Statement> {
    let results = scene.ledger.results_in(block.header.height).unwrap();
    results.iter().filter_map(Statement::of).collect()
}

/// Takes money of an account out of the ledger in a block that comes so much later.
fn withdraw(scene: &mut Scene, account: u8, amount: u128, later_ms: u64) -> Block {
    let nonce = scene.nonce(account);
    scene.ledger.admit(sign(account, Payload::Withdrawal(Withdrawal { nonce, amount }))).unwrap();
    scene.block(later_ms)
}

fn funded() -> Scene {
    let mut scene = Scene::new();
    for account in [30, 31, 32] {
        scene.deposit(key(account).address(), 100);
    }
    scene
}

fn of(account: u8, cumulative: u128) -> Earning {
    Earning { account: key(account).address(), token: Address::ZERO, cumulative: U256::from(cumulative) }
}

#[test]
fn what_was_earned_is_stated_once_an_epoch_in_totals_and_not_where_nothing_has_changed() {
    let mut scene = funded();
    assert!(!scene.ledger.is_due(NOW + 100 * EPOCH), "nobody has earned anything");
    let first = withdraw(&mut scene, 30, 7, 1);
    let earnings = Earnings::new([of(30, 7)]).unwrap();
    let statement = Statement { number: 1, token: Address::ZERO, total: 7, root: earnings.root() };
    assert_eq!(stated(&scene, &first), [statement]);
    assert_eq!(scene.ledger.earnings(1), Ok(Some((statement, vec![of(30, 7)]))));
    let begun = first.header.timestamp;
    assert!(!scene.ledger.is_due(begun + 100 * EPOCH), "nothing has changed since");
    assert_eq!(stated(&scene, &scene.ledger.block(first.header.height - 1).unwrap().unwrap()), []);

    // Within the epoch nothing is stated; at its end an empty block does.
    let between = withdraw(&mut scene, 31, 5, 1);
    let more = withdraw(&mut scene, 30, 3, 1);
    assert_eq!([stated(&scene, &between), stated(&scene, &more)], [vec![], vec![]]);
    assert!(!scene.ledger.is_due(begun + EPOCH - 1) && scene.ledger.is_due(begun + EPOCH));
    assert_eq!(scene.ledger.oldest_executable(), None);
    scene.ledger.tell_time(begun + EPOCH);
    assert_eq!(scene.ledger.oldest_executable(), Some(Statement::id(2, Address::ZERO)), "a decision is due");
    let second = scene.block(EPOCH);
    assert!(second.transactions.is_empty());
    let earnings = Earnings::new([of(30, 10), of(31, 5)]).unwrap();
    let statement = Statement { number: 2, token: Address::ZERO, total: 15, root: earnings.root() };
    assert_eq!(stated(&scene, &second), [statement]);
    assert_eq!(scene.ledger.earnings(2), Ok(Some((statement, earnings.as_slice().to_vec()))));
    assert!(!scene.ledger.is_due(second.header.timestamp + 100 * EPOCH));
    let timestamp_ms = second.header.timestamp;
    assert_eq!(scene.ledger.earned(), Earned { total: 15, stated: 15, number: 2, timestamp_ms });
}

#[test]
fn a_statement_is_a_result_that_is_proven_like_any_other() {
    let mut scene = funded();
    let block = withdraw(&mut scene, 30, 7, 1);
    let id = Statement::id(1, Address::ZERO);
    let proven = scene.ledger.finalized_result(id).unwrap().unwrap();
    assert_eq!(proven.header, block.header);
    assert_eq!(
        (proven.result.kind, proven.result.amount, proven.solution.clone()),
        (Kind::EARNINGS, U256::from(7), None)
    );
    dtn_ledger::verify_result(&proven, scene.ledger.domain(), scene.ledger.validators()).unwrap();
    let Statement { number, token, .. } = Statement::of(&proven.result).unwrap();
    assert_eq!((number, token), (1, Address::ZERO));
}

#[test]
fn prizes_and_what_is_taken_out_add_up_to_what_is_stated() {
    let mut scene = Scene::funded();
    scene.finished();
    let prize = scene.ledger.balance(PAYEE).earned;
    let block = withdraw(&mut scene, 21, ETHER, EPOCH);
    let [statement] = stated(&scene, &block)[..] else { panic!("one statement") };
    assert_eq!(statement.total, prize + ETHER);
    let (_, earnings) = scene.ledger.earnings(statement.number).unwrap().unwrap();
    let sum: U256 = earnings.iter().map(|earning| earning.cumulative).sum();
    assert_eq!(sum, U256::from(statement.total));
    assert_eq!(Earnings::new(earnings).unwrap().root(), statement.root);
}

#[test]
fn the_last_statements_are_kept_and_no_more() {
    let mut scene = funded();
    for _ in 0..KEPT_STATEMENTS + 2 {
        withdraw(&mut scene, 30, 1, EPOCH);
    }
    let kept = |number| scene.ledger.earnings(number).unwrap().is_some();
    assert_eq!((1..=KEPT_STATEMENTS + 2).filter(|number| kept(*number)).count(), KEPT_STATEMENTS as usize);
    assert!(!kept(2) && kept(3));
}

#[test]
fn a_peer_that_starts_again_or_takes_over_a_snapshot_states_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let mut scene = Scene::new();
    scene.ledger = Ledger::open(&path, genesis()).unwrap();
    scene.deposit(key(30).address(), 100);
    withdraw(&mut scene, 30, 7, 1);
    withdraw(&mut scene, 30, 7, 1);

    let root = scene.ledger.checkpoint().unwrap();
    let (domain, set, height) = (genesis().domain(), genesis().validator_set().unwrap(), scene.ledger.tip().height);
    let votes = (1..=3).map(|number| {
        let index = set.index_of(key(number).address()).unwrap();
        Vote::sign(VoteKind::Checkpoint, (0, 0, height), root, index, &key(number), &domain)
    });
    let checkpoint = CheckpointCertificate::from_votes(&votes.collect::<Vec<_>>()).unwrap();
    scene.ledger.stable(&checkpoint).unwrap();
    scene.ledger.store().finish_snapshot().unwrap();
    let manifest = scene.ledger.snapshot_manifest().unwrap().unwrap();
    let chunk = |index: usize| scene.ledger.snapshot_chunk(height, index as u32).unwrap().unwrap();
    let chunks: Vec<_> = (0..manifest.chunks.len()).map(chunk).collect();
    let mut behind = Ledger::in_memory(genesis()).unwrap();
    behind.install(&manifest, &chunks).unwrap();
    let earned = scene.ledger.earned();
    assert_eq!((behind.earned(), behind.balance(key(30).address())), (earned, Balance { free: 86, earned: 14 }));
    assert_eq!(behind.checkpoint(), Ok(root));

    scene.ledger = Ledger::in_memory(genesis()).unwrap();
    scene.ledger = Ledger::open(&path, genesis()).unwrap();
    assert_eq!((scene.ledger.earned(), scene.ledger.checkpoint()), (earned, Ok(root)));
    assert!(scene.ledger.earnings(1).unwrap().is_some());
    let block = scene.block(EPOCH);
    assert_eq!(stated(&scene, &block).len(), 1);
    behind.commit(Arc::new(block.clone()), &certificate(&block)).unwrap();
    assert_eq!((behind.earned(), behind.checkpoint()), (scene.ledger.earned(), scene.ledger.checkpoint()));
    assert_eq!(behind.earnings(2), scene.ledger.earnings(2));
}
