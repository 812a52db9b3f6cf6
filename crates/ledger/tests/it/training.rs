//! Orders for trained models in a ledger: their money, their randomness, their time, and what a peer has to hold.

use std::{collections::BTreeMap, sync::Arc};

use dtn_ledger::{AdmissionError, Balance, BlockError, Ledger, Refusal, TrainingOrder};
use dtn_primitives::*;
use dtn_train::{Family, Grid, Recipe};
use dtn_training::{Beacon, Call, Deal, Grade, Grades, Material, Money, Phase, Proof, Reveal, Table, Terms, Windows};

use crate::common::{NOW, key, proposer};

pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(crate) const SECOND: u64 = 1_000;
const REQUESTER: u8 = 20;
const WORKER: u8 = 21;
pub(crate) const PAYEE: Address = Address::repeat_byte(0x99);
pub(crate) const VAULT: Address = Address::repeat_byte(0x77);

pub(crate) fn genesis() -> Genesis {
    let training = TrainingTerms {
        price: 1,
        view_timeout_ms: 250,
        ruling_ms: 10,
        max_life_ms: 3_600 * SECOND,
        beacon_steps: 16,
        beacon_ms: 5 * SECOND,
        epoch_ms: 60 * SECOND,
        token: Address::ZERO,
    };
    Genesis { training: Some(training), ..crate::common::genesis() }
}

pub(crate) fn sign(signer: u8, payload: Payload) -> Transaction {
    Transaction::sign(payload, &key(signer), &genesis().domain())
}

fn hash(transaction: &Transaction) -> B256 {
    transaction.hash(&genesis().domain())
}

pub(crate) fn certificate(block: &Block) -> Certificate {
    let (domain, validators) = (genesis().domain(), genesis().validator_set().unwrap());
    let votes = (1..=3).map(|number| {
        let index = validators.index_of(key(number).address()).unwrap();
        Vote::sign(VoteKind::Commit, (0, 0, block.header.height), block.header.hash(), index, &key(number), &domain)
    });
    Certificate::from_votes(&votes.collect::<Vec<_>>()).unwrap()
}

/// A ledger, what everybody had at first, and what its peer looked at.
pub(crate) struct Scene {
    pub(crate) ledger: Ledger,
    deposited: u128,
    deposits: u64,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { ledger: Ledger::in_memory(genesis()).unwrap(), deposited: 0, deposits: 0 }
    }

    /// With money of all who take part.
    pub(crate) fn funded() -> Self {
        let mut scene = Self::new();
        for account in [1, 2, 3, 4, REQUESTER, WORKER] {
            scene.deposit(key(account).address(), 10 * ETHER);
        }
        scene
    }

    fn statement(&self, by: u8, number: u64, account: Address, amount: u128) -> Transaction {
        sign(by, Payload::Deposit(Deposit { vault: VAULT, number, account, amount }))
    }

    pub(crate) fn deposit(&mut self, account: Address, amount: u128) {
        let number = self.deposits;
        for validator in 1..=3 {
            let statement = self.statement(validator, number, account, amount);
            self.ledger.admit(statement).unwrap();
        }
        self.block(1);
        (self.deposits, self.deposited) = (number + 1, self.deposited + amount);
    }

    /// Commits what waits, so many milliseconds later, at this peer and at one that has only the block.
    pub(crate) fn block(&mut self, later_ms: u64) -> Block {
        let tip = self.ledger.tip();
        let now = tip.timestamp.max(NOW) + later_ms;
        self.ledger.tell_time(now);
        let block = self.ledger.propose(tip.hash, now, proposer(), 1_000, true).unwrap();
        self.ledger.commit(block.clone(), &certificate(&block)).unwrap();
        Arc::unwrap_or_clone(block)
    }

    pub(crate) fn nonce(&self, account: u8) -> u64 {
        self.ledger.free_nonce(key(account).address())
    }

    fn training(&self, signer: u8, order: Option<B256>, body: Vec<u8>) -> Transaction {
        sign(signer, Payload::Training(TrainingCall { nonce: self.nonce(signer), order, body: body.into() }))
    }

    /// Hands in a call whose sender looks before it does.
    fn admit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError> {
        let hash = hash(&transaction);
        if let Some(missing) = self.ledger.missing(&transaction, hash) {
            self.ledger.add_held(&missing).unwrap();
        }
        self.ledger.admit(transaction)
    }

    fn call(&mut self, signer: u8, order: B256, call: &Call) -> Result<B256, AdmissionError> {
        let call = self.training(signer, Some(order), call.encode());
        self.admit(call)
    }

    fn order(&mut self, terms: &Terms) -> B256 {
        let order = self.training(REQUESTER, None, terms.encode());
        let id = self.admit(order).unwrap();
        self.block(1);
        id
    }

    fn phase(&self, order: B256) -> Phase {
        self.ledger.training_order(order).unwrap().unwrap().order.phase()
    }

    pub(crate) fn balance(&self, account: u8) -> Balance {
        self.ledger.balance(key(account).address())
    }

    /// What everybody and the pot have, but not what is locked.
    fn money(&self) -> u128 {
        self.ledger.balances().map(|(_, balance)| balance.free + balance.earned).sum::<u128>() + self.ledger.pot()
    }

    /// A worker's claim, and blocks until the drawn rows are due.
    fn claimed(&mut self, order: B256) -> Reveal {
        let reveal = Reveal { model: B256::repeat_byte(0x31), trace: B256::ZERO, point: 0, attempt: 0, payee: PAYEE };
        let commitment = reveal.commitment(order, key(WORKER).address());
        self.call(WORKER, order, &Call::Claim { commitment }).unwrap();
        self.block(1);
        reveal
    }

    /// An order whose rows are opened and whose only claim is revealed.
    fn revealed(&mut self) -> B256 {
        let order = self.order(&terms(Beacon::Block));
        let reveal = self.claimed(order);
        for _ in 0..2 {
            assert!(matches!(self.phase(order), Phase::Drawing { .. }) && self.ledger.is_due(NOW));
            self.block(1);
        }
        assert_eq!(self.phase(order), Phase::Opening);
        self.call(REQUESTER, order, &Call::Open { rows: B256::repeat_byte(0x52) }).unwrap();
        self.block(1);
        self.call(WORKER, order, &Call::Reveal { claim: 0, reveal }).unwrap();
        self.block(1);
        assert_eq!(self.phase(order), Phase::Scoring);
        order
    }

    /// The same to its end.
    pub(crate) fn finished(&mut self) -> B256 {
        let order = self.revealed();
        let grades = Grades { hidden: Some(Grade { correct: 95, loss: 7 }), fold: None };
        for validator in 1..=4 {
            let scores = Call::Scores { grades: vec![grades], statements: vec![B256::repeat_byte(validator)] };
            // Those that were not drawn are told so.
            _ = self.call(validator, order, &scores);
        }
        self.block(1);
        assert_eq!(self.phase(order), Phase::Challenging);
        self.block(2 * SECOND);
        order
    }
}

fn terms(beacon: Beacon) -> Terms {
    let [claim, draw, open, reveal, score, challenge, ruling, trace, audit] = [SECOND; 9];
    let deal = Deal {
        classes: 10,
        holdout: Table { root: B256::repeat_byte(0x40), rows: 500 },
        draw: 100,
        baseline: "0.9".parse().unwrap(),
        money: Money { reward: ETHER, deposit: ETHER / 5, worker: ETHER / 4, member: ETHER / 4, bond: ETHER / 50 },
        windows: Windows { claim, draw: 10 * draw, open, reveal, score, challenge, ruling, trace, audit },
        claims: 1,
        committee: 3,
        redundancy: 1,
        beacon,
    };
    let fraction = |text: &str| vec![text.parse().unwrap()];
    let grid = Grid { learning_rate: fraction("0.1"), momentum: fraction("0.9"), ..Grid::default() };
    let recipe = Box::new(Recipe { family: Family::Linear, grid, epochs: 1, batch: 32, segment_steps: 20 });
    let table = |tag, rows| Table { root: B256::repeat_byte(tag), rows };
    let material = Material { recipe, data: table(0xda, 640), features: 64, fold: table(0xf0, 100) };
    Terms { proof: Proof::Score { material, row_macs: 650 }, deal }
}

#[test]
fn money_comes_in_once_when_a_quorum_has_stated_it_alike_and_in_its_order() {
    let mut scene = Scene::new();
    let (mine, other) = (key(30).address(), key(31).address());
    let state = |scene: &mut Scene, by, number, account, amount| {
        let statement = scene.statement(by, number, account, amount);
        scene.ledger.admit(statement)
    };
    // One lies about whose it is, and one about how much: three of four have to agree.
    state(&mut scene, 1, 0, mine, 5).unwrap();
    state(&mut scene, 2, 0, other, 5).unwrap();
    state(&mut scene, 3, 0, mine, 5).unwrap();
    scene.block(1);
    assert_eq!(scene.money(), 0);
    let again = state(&mut scene, 1, 0, mine, 5);
    assert_eq!(again, Err(AdmissionError::Final { height: 1 }));
    assert!(matches!(
        state(&mut scene, 1, 0, mine, 6),
        Err(AdmissionError::Refused(Refusal::DepositStated { number: 0 }))
    ));
    // A later one waits for the earlier one, and then both count.
    for by in 1..=3 {
        state(&mut scene, by, 1, other, 7).unwrap();
    }
    scene.block(1);
    assert_eq!((scene.money(), scene.ledger.next_deposit(VAULT)), (0, 0));
    state(&mut scene, 4, 0, mine, 5).unwrap();
    scene.block(1);
    let free = |account| scene.ledger.balance(account).free;
    assert_eq!((free(mine), free(other), scene.ledger.next_deposit(VAULT)), (5, 7, 2));
    // Nobody states what was credited, what is far ahead, or without being a validator.
    for (by, number, why) in [(4, 1, "before"), (4, 66, "too far ahead"), (30, 2, "not a validator")] {
        let refused = state(&mut scene, by, number, other, 7).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    assert!(state(&mut scene, 4, 2, other, 0).unwrap_err().to_string().contains("0 wei"));
}

#[test]
fn a_validator_cannot_fill_the_ledger_with_vaults_that_are_none() {
    let mut scene = Scene::funded();
    for vault in 1..=5u8 {
        let deposit = Deposit { vault: Address::repeat_byte(vault), number: 0, account: PAYEE, amount: 1 };
        let admitted = scene.ledger.admit(sign(4, Payload::Deposit(deposit)));
        assert!(admitted.is_ok());
    }
    let block = scene.block(1);
    assert_eq!(block.transactions.len(), 4, "the fifth is left out");
    // It has named one that brings money since, so it may name another.
    scene.deposit(key(30).address(), 1);
}

#[test]
fn an_order_is_claimed_drawn_scored_and_paid_and_no_wei_is_lost() {
    let mut scene = Scene::funded();
    assert_eq!(scene.money(), scene.deposited);
    let order = scene.finished();
    assert!(matches!(scene.phase(order), Phase::Ended(dtn_training::Ending::Final { claim: 0 })));
    assert_eq!(scene.money(), scene.deposited);
    let prize = scene.ledger.balance(PAYEE);
    assert!(prize.free == 0 && prize.earned > ETHER / 2, "{prize:?}");
    assert_eq!(scene.balance(WORKER), Balance { free: 10 * ETHER, earned: 0 });
    assert!(scene.balance(REQUESTER).free < 9 * ETHER + ETHER / 2);
    let members = (1..=4).filter(|member| scene.balance(*member).free > 10 * ETHER).count();
    assert_eq!(members, 3, "who was drawn and stated has earned");
    assert_eq!(scene.ledger.training().len(), 0);
}

#[test]
fn what_waits_for_nobody_ends_by_blocks_that_are_empty() {
    let mut scene = Scene::funded();
    let order = scene.order(&terms(Beacon::Block));
    let begun = scene.ledger.tip().timestamp;
    assert!(!scene.ledger.is_due(begun + SECOND) && scene.ledger.is_due(begun + SECOND + 1));
    scene.ledger.tell_time(begun + SECOND + 1);
    assert_eq!(scene.ledger.oldest_executable(), Some(order));
    scene.block(SECOND + 1);
    let void = dtn_training::Ending::Void(dtn_training::Void::NoClaim);
    assert_eq!(scene.phase(order), Phase::Ended(void));
    assert_eq!((scene.money(), scene.balance(REQUESTER).free), (scene.deposited, 10 * ETHER));
    // One whose rows are withheld costs its requester the deposit.
    let order = scene.order(&terms(Beacon::Block));
    scene.claimed(order);
    (0..2).for_each(|_| _ = scene.block(1));
    assert_eq!(scene.phase(order), Phase::Opening);
    scene.block(2 * SECOND);
    assert_eq!((scene.money(), scene.balance(REQUESTER).free), (scene.deposited, 10 * ETHER - ETHER / 5));
}

#[test]
fn a_round_opens_by_itself_and_draws_once_it_is_closed() {
    let mut scene = Scene::funded();
    let order = scene.order(&terms(Beacon::Round));
    scene.claimed(order);
    // Not the block with the claim, whose hash its primary has seen.
    assert!(scene.ledger.rounds().open.is_none() && scene.ledger.is_due(scene.ledger.tip().timestamp + 1));
    scene.block(1);
    let round = scene.ledger.rounds().open.clone().expect("the order needs one");
    assert_eq!((round.steps, round.quorum, round.reward), (16, 3, U256::ZERO));
    assert!(!scene.ledger.is_due(round.opened_at_ms + 1), "it waits for the work, not for blocks");
    scene.block(6 * SECOND);
    assert!(matches!(scene.phase(order), Phase::Drawing { .. }));
    let close = sign(1, Payload::CloseRound { round: round.number });
    scene.ledger.admit(close).unwrap();
    scene.block(1);
    assert_eq!(scene.phase(order), Phase::Opening);
}

#[test]
fn nobody_votes_for_what_it_does_not_hold() {
    let mut scene = Scene::funded();
    let order = scene.revealed();
    let TrainingOrder { height: opened, block, order: open, .. } = scene.ledger.training_order(order).unwrap().unwrap();
    assert_eq!(scene.ledger.header(opened).unwrap().unwrap().hash(), block, "runs are bound to its block");
    assert_eq!(open.rows(), Some(B256::repeat_byte(0x52)));
    // Another peer has all blocks, and not what was opened last.
    let mut behind = Ledger::in_memory(genesis()).unwrap();
    let height = scene.ledger.tip().height;
    for height in 1..height - 1 {
        let block = scene.ledger.block(height).unwrap().unwrap();
        behind.commit(Arc::new(block.clone()), &certificate(&block)).unwrap();
    }
    let block = scene.ledger.block(height - 1).unwrap().unwrap();
    let [opening] = &block.transactions[..] else { panic!("{block:?}") };
    let judged = behind.check_proposal(Arc::new(block.clone()), NOW, false);
    assert_eq!(judged, Err(BlockError::Unproven { index: 0 }));
    let Err(AdmissionError::Missing(missing)) = behind.admit(opening.clone()) else { panic!("it is not held") };
    assert_eq!(Some(&*missing), behind.missing(opening, hash(opening)).as_ref());
    behind.add_held(&missing).unwrap();
    assert_eq!(behind.missing(opening, hash(opening)), None);
    behind.check_proposal(Arc::new(block.clone()), NOW, false).unwrap();
    // What is final needs no look.
    behind.commit(Arc::new(block.clone()), &certificate(&block)).unwrap();
    let last = scene.ledger.block(height).unwrap().unwrap();
    behind.commit(Arc::new(last.clone()), &certificate(&last)).unwrap();
    assert_eq!(behind.checkpoint(), scene.ledger.checkpoint());
}

#[test]
fn a_peer_that_starts_again_or_takes_over_a_snapshot_has_the_same_orders_and_money() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let mut scene = Scene::funded();
    scene.ledger = Ledger::open(&path, genesis()).unwrap();
    (scene.deposited, scene.deposits) = (0, 0);
    for account in [1, 2, 3, 4, REQUESTER, WORKER] {
        scene.deposit(key(account).address(), 10 * ETHER);
    }
    let ended = scene.finished();
    let order = scene.revealed();
    let root = scene.ledger.checkpoint().unwrap();
    let balances: BTreeMap<_, _> = scene.ledger.balances().collect();
    scene.ledger = Ledger::in_memory(genesis()).unwrap();
    let mut again = Ledger::open(&path, genesis()).unwrap();
    assert_eq!(again.checkpoint(), Ok(root));
    assert_eq!(again.balances().collect::<BTreeMap<_, _>>(), balances);
    assert_eq!(again.training_order(order).unwrap().unwrap().order.phase(), Phase::Scoring);
    assert!(again.training_order(ended).unwrap().unwrap().order.is_over());
    let call = Call::Scores { grades: Vec::new(), statements: Vec::new() };
    let free = again.free_nonce(key(1).address());
    let call = TrainingCall { nonce: free, order: Some(ended), body: call.encode().into() };
    let late = again.admit(sign(1, Payload::Training(call)));
    assert_eq!(late, Err(AdmissionError::Refused(Refusal::NoTrainingOrder(ended))));
}

#[test]
fn what_is_taken_out_is_earned_and_cannot_be_spent_again() {
    let mut scene = Scene::funded();
    let withdraw = |scene: &Scene, amount| sign(30, Payload::Withdrawal(Withdrawal { nonce: scene.nonce(30), amount }));
    scene.deposit(key(30).address(), 100);
    let too_much = withdraw(&scene, 101);
    let refused = scene.ledger.admit(too_much);
    let (account, free, needed) = (key(30).address(), 100, 101);
    assert_eq!(refused, Err(AdmissionError::Refused(Refusal::Short { account, free, needed })));
    let most = withdraw(&scene, 100);
    scene.ledger.admit(most).unwrap();
    scene.block(1);
    assert_eq!(scene.balance(30), Balance { free: 0, earned: 100 });
    assert_eq!(scene.money(), scene.deposited);
}

#[test]
fn a_network_without_terms_takes_neither_orders_nor_money() {
    let mut ledger = Ledger::in_memory(crate::common::genesis()).unwrap();
    let domain = crate::common::genesis().domain();
    let order = TrainingCall { nonce: 0, order: None, body: terms(Beacon::Block).encode().into() };
    let deposit = Deposit { vault: VAULT, number: 0, account: PAYEE, amount: 1 };
    let payloads =
        [Payload::Training(order), Payload::Deposit(deposit), Payload::Withdrawal(Withdrawal { nonce: 0, amount: 1 })];
    for payload in payloads {
        let refused = ledger.admit(Transaction::sign(payload, &key(1), &domain));
        assert_eq!(refused, Err(AdmissionError::Refused(Refusal::NoTraining)));
    }
}

#[test]
fn orders_and_calls_that_are_none_are_refused_in_words() {
    let mut scene = Scene::funded();
    let refused = |scene: &mut Scene, transaction| match scene.admit(transaction) {
        Err(AdmissionError::Refused(refusal)) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    for (order, body) in [(None, vec![0xff; 40]), (Some(B256::ZERO), vec![0xff; 40]), (None, Vec::new())] {
        let transaction = scene.training(REQUESTER, order, body);
        let said = refused(&mut scene, transaction);
        assert!(said.starts_with("the call: "), "{said}");
    }
    let mut dear = terms(Beacon::Block);
    dear.deal.money.reward = 100 * ETHER;
    (dear.deal.money.deposit, dear.deal.money.worker) = (50 * ETHER, 50 * ETHER);
    (dear.deal.money.member, dear.deal.money.bond) = (50 * ETHER, 50 * ETHER);
    let transaction = scene.training(REQUESTER, None, dear.encode());
    assert!(refused(&mut scene, transaction).contains("free"));
    let mut short = terms(Beacon::Block);
    short.deal.windows.claim = 999;
    let transaction = scene.training(REQUESTER, None, short.encode());
    assert!(refused(&mut scene, transaction).contains("999 ms for the window claim"));
    assert_eq!(scene.money(), scene.deposited);
}
