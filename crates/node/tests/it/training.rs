//! Orders for trained models among real peers: what one of them holds, the others fetch and look at before they vote.

use std::{collections::BTreeSet, net::SocketAddr, ops::ControlFlow, sync::Arc};

use dtn_api::ApiClient;
use dtn_ledger::{Ledger, TrainingOrder};
use dtn_participant::{Behaviour, Draft, Folder, Hand, Mode, Options, Participant, Peer, Roles};
use dtn_primitives::*;
use dtn_train::{Family, Grid, Recipe, shipped};
use dtn_trainer::{Blob, Brief, Holdout, Library};
use dtn_training::{Beacon, Call, Deal, Ending, Material, Money, Phase, Proof, Table, Terms, Why, Windows};

use crate::common::*;

const ETHER: u128 = 1_000_000_000_000_000_000;
const VAULT: Address = Address::repeat_byte(0x77);
const PAYEE: Address = Address::repeat_byte(0x99);

/// A network, what its blocks lead to, and somebody who orders and somebody who trains.
struct Scene {
    cluster: Cluster,
    replica: Ledger,
    requester: SecretKey,
    worker: SecretKey,
    holdout: Holdout,
    deposits: u64,
}

impl Scene {
    async fn start() -> Self {
        let cluster = Cluster::start(4).await;
        let replica = Ledger::in_memory(cluster.genesis.clone()).unwrap();
        let (_, held_out) = shipped("digits").unwrap().split(300, B256::repeat_byte(3)).unwrap();
        let holdout = Holdout::new(held_out, B256::repeat_byte(9));
        Self { cluster, replica, requester: key(201), worker: key(202), holdout, deposits: 0 }
    }

    fn library(&self, peer: usize) -> Library {
        Library::new(self.cluster.store(peer).with_extension("library"))
    }

    /// Takes in the blocks that are final.
    async fn follow(&mut self) {
        while let Some(view) = self.cluster.client(0).block(self.replica.tip().height + 1).await.unwrap() {
            let height = view.block.header.height;
            let certified = self.cluster.client(0).certificate(height).await.unwrap().unwrap();
            self.replica.commit(Arc::new(view.block), &certified.certificate).unwrap();
        }
    }

    /// Hands in a transaction until it is final: a peer that has to look for something first says so.
    async fn execute(&mut self, peer: usize, transaction: Transaction) {
        let (hash, client) = (transaction.hash(&self.cluster.genesis.domain()), self.cluster.client(peer));
        let reply = until("a transaction to be final", || async {
            _ = client.submit(transaction.clone()).await;
            client.reply(hash, 100).await.unwrap()
        })
        .await;
        // Another peer may hear of it a moment later.
        while self.replica.tip().height < reply.height {
            self.follow().await;
        }
    }

    fn sign(&self, signer: &SecretKey, payload: Payload) -> Transaction {
        Transaction::sign(payload, signer, &self.cluster.genesis.domain())
    }

    fn training(&self, signer: &SecretKey, order: Option<B256>, body: Vec<u8>) -> Transaction {
        let nonce = self.replica.next_nonce(signer.address());
        self.sign(signer, Payload::Training(TrainingCall { nonce, order, body: body.into() }))
    }

    async fn call(&mut self, peer: usize, signer: &SecretKey, order: B256, call: &Call) {
        let call = self.training(signer, Some(order), call.encode());
        self.execute(peer, call).await;
    }

    async fn fund_account(&mut self, account: Address) {
        let deposit = Deposit { vault: VAULT, number: self.deposits, account, amount: 10 * ETHER };
        self.deposits += 1;
        for validator in self.cluster.keys.clone().iter().take(3) {
            let statement = self.sign(validator, Payload::Deposit(deposit));
            self.execute(0, statement).await;
        }
    }

    async fn fund(&mut self) {
        let others = [self.requester.address(), self.worker.address()];
        let accounts: Vec<_> = self.cluster.keys.iter().map(SecretKey::address).chain(others).collect();
        for account in accounts {
            self.fund_account(account).await;
        }
        assert_eq!(self.replica.balance(self.worker.address()).free, 10 * ETHER);
    }

    fn open(&self, order: B256) -> TrainingOrder {
        self.replica.training_order(order).unwrap().unwrap()
    }

    /// The validators that were drawn.
    fn members(&self, order: B256) -> Vec<SecretKey> {
        let open = self.open(order).order;
        let is_drawn = |key: &&SecretKey| open.committee().iter().any(|member| member.account == key.address());
        self.cluster.keys.iter().filter(is_drawn).cloned().collect()
    }

    async fn phase(&mut self, order: B256, what: &str, is_it: impl Fn(Phase) -> bool) {
        for _ in 0..3_600 {
            self.follow().await;
            if is_it(self.open(order).order.phase()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("waited too long for: {what}; it is {:?}", self.open(order).order.phase());
    }
}

fn terms(holdout: &Holdout) -> (Terms, Vec<(Blob, Vec<u8>)>) {
    let (rest, _) = shipped("digits").unwrap().split(300, B256::repeat_byte(3)).unwrap();
    let (data, fold) = rest.split(200, B256::repeat_byte(4)).unwrap();
    let fraction = |text: &str| vec![text.parse().unwrap()];
    let grid = Grid { learning_rate: fraction("0.1"), momentum: fraction("0.9"), ..Grid::default() };
    let recipe = Box::new(Recipe { family: Family::Linear, grid, epochs: 4, batch: 32, segment_steps: 40 });
    let table = |data: &dtn_train::Dataset| Table { root: data.root(), rows: data.outline().rows };
    let proof = Proof::Trace(Material { recipe, data: table(&data), features: 64, fold: table(&fold) });
    let [claim, draw, open, reveal, score, challenge, ruling, trace, audit] = [30_000; 9];
    let windows = Windows { claim, draw, open, reveal, score, challenge: challenge / 20, ruling, trace, audit };
    let deal = Deal {
        classes: 10,
        holdout: holdout.table(),
        draw: 150,
        baseline: "0.8".parse().unwrap(),
        money: Money { reward: ETHER, deposit: ETHER / 5, worker: ETHER / 4, member: ETHER / 4, bond: ETHER / 50 },
        windows,
        claims: 1,
        committee: 3,
        redundancy: 2,
        beacon: Beacon::Block,
    };
    let blobs = [&data, &fold].map(|data| (Blob::Data(data.root()), data.encode()));
    (Terms { proof, deal }, blobs.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_ordered_trained_scored_audited_and_paid_and_what_one_holds_the_others_fetch() {
    let mut scene = Scene::start().await;
    scene.fund().await;
    let (requester, worker) = (scene.requester.clone(), scene.worker.clone());
    let domain = scene.cluster.genesis.domain();

    // Only one peer has the data.
    let (terms, data) = terms(&scene.holdout);
    let order = scene.training(&requester, None, terms.encode());
    let id = order.hash(&domain);
    for (blob, bytes) in &data {
        scene.library(2).put(id, blob, bytes).unwrap();
    }
    scene.execute(2, order).await;
    let have = (0..4).filter(|peer| data.iter().all(|(blob, _)| scene.library(*peer).has(id, blob))).count();
    assert!(have >= 3, "a quorum has voted for it, and {have} have it");

    let TrainingOrder { block, .. } = scene.open(id);
    let brief = Brief { network: domain.network_id, block, id, terms: terms.clone() };
    let go_on = |_| ControlFlow::Continue(());
    let trained = brief.train(0, (worker.address(), 0), &scene.library(2), go_on).unwrap().unwrap();
    let reveal = trained.reveal(PAYEE);
    scene.call(0, &worker, id, &Call::Claim { commitment: reveal.commitment(id, worker.address()) }).await;
    scene.phase(id, "the draw", |phase| phase == Phase::Opening).await;

    let opening = scene.holdout.open(&scene.open(id).order.drawn_rows()).encode();
    let rows = keccak256(&opening);
    scene.library(1).put(id, &Blob::Rows(rows), &opening).unwrap();
    scene.call(1, &requester, id, &Call::Open { rows }).await;
    trained.keep(&scene.library(3)).unwrap();
    scene.call(3, &worker, id, &Call::Reveal { claim: 0, reveal }).await;
    assert_eq!(scene.open(id).order.phase(), Phase::Scoring);
    // What a member computes, from what it has fetched.
    let library = scene.library(3);
    for (blob, bytes) in data.iter().chain([&(Blob::Rows(rows), opening)]) {
        library.put(id, blob, bytes).unwrap();
    }
    for member in scene.members(id) {
        let scores = brief.scores(&scene.open(id).order, member.address(), &library).unwrap();
        scene.call(0, &member, id, &scores).await;
    }
    scene.phase(id, "challenges to be over", |phase| phase == Phase::Tracing).await;
    scene.call(3, &worker, id, &Call::Trace { claim: 0 }).await;
    for member in scene.members(id) {
        let audit = brief.audit(&scene.open(id).order, member.address(), &library).unwrap().unwrap();
        scene.call(0, &member, id, &audit).await;
    }
    scene.phase(id, "the end", |phase| matches!(phase, Phase::Ended(_))).await;
    assert_eq!(scene.open(id).order.phase(), Phase::Ended(Ending::Final { claim: 0 }));
    assert!(scene.replica.balance(PAYEE).earned > ETHER / 2);
    let money: u128 = scene.replica.balances().map(|(_, balance)| balance.free + balance.earned).sum();
    assert_eq!(money + scene.replica.pot(), 60 * ETHER);
    scene.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_data_that_nobody_has_and_rows_that_are_others_never_get_into_a_block() {
    let mut scene = Scene::start().await;
    scene.fund().await;
    let requester = scene.requester.clone();
    let (terms, _) = terms(&scene.holdout);
    let order = scene.training(&requester, None, terms.encode());
    let refused = scene.cluster.client(1).submit(order.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("not held here"), "{refused}");
    // Others go on, and the order is nowhere.
    let height = scene.replica.tip().height;
    for nonce in 0..3 {
        let data = scene.sign(&key(210), Payload::Data { nonce, items: vec![vec![7]].into() });
        scene.execute(1, data).await;
    }
    assert!(scene.replica.tip().height > height && scene.replica.training().len() == 0);
    scene.cluster.shutdown().await;
}

/// What runs beside the peers, until it is dropped.
struct Crowd(Vec<tokio::task::JoinHandle<std::convert::Infallible>>);

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Crowd {
    async fn add(&mut self, scene: &Scene, peer: usize, key: &SecretKey, roles: Roles, behaviour: Behaviour) {
        let api = scene.cluster.nodes[peer].as_ref().unwrap().api();
        let folder = Folder::new(scene.cluster.folder.path().join(format!("{:x}", key.address())));
        let options = Options { behaviour, ..Options::new(roles, key.address()) };
        let library = roles.validate.then(|| scene.library(peer));
        let participant = Participant::new(Peer::at(api).await.unwrap(), key.clone(), folder, library, options);
        self.0.push(tokio::spawn(participant.run()));
    }
}

/// An order as people draft it.
fn draft() -> Draft {
    let fraction = |text: &str| vec![text.parse().unwrap()];
    let grid = Grid { learning_rate: fraction("0.1"), momentum: fraction("0.9"), ..Grid::default() };
    Draft {
        data: shipped("digits").unwrap(),
        holdout: 300,
        fold: 200,
        draw: None,
        mode: Mode::Trace,
        recipe: Recipe { family: Family::Linear, grid, epochs: 4, batch: 32, segment_steps: 40 },
        baseline: "0.8".parse().unwrap(),
        reward: ETHER,
        stake: None,
        claims: 2,
        committee: Some(4),
        redundancy: Some(2),
        beacon: Beacon::Block,
        claim_ms: 30_000,
        window_ms: None,
        challenge_ms: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_and_a_lazy_validator_lose_their_stakes_to_those_who_play_by_the_rules() {
    let mut scene = Scene::start().await;
    scene.fund().await;
    let (requester, honest, thief) = (scene.requester.clone(), scene.worker.clone(), key(203));
    scene.fund_account(thief.address()).await;
    let (provider, validator) =
        (Roles { provide: true, ..Roles::default() }, Roles { validate: true, challenge: true, ..Roles::default() });
    let mut crowd = Crowd(Vec::new());
    crowd.add(&scene, 1, &honest, provider, Behaviour::Honest).await;
    crowd.add(&scene, 2, &thief, provider, Behaviour::Thief(honest.address())).await;
    crowd.add(&scene, 0, &requester, Roles::default(), Behaviour::Honest).await;
    for (peer, key) in scene.cluster.keys.clone().iter().enumerate() {
        let behaviour = if peer == 3 { Behaviour::Lazy } else { Behaviour::Honest };
        crowd.add(&scene, peer, key, validator, behaviour).await;
    }
    let drafted = draft().make(&scene.cluster.genesis, B256::repeat_byte(9)).unwrap();
    let folder = Folder::new(scene.cluster.folder.path().join(format!("{:x}", requester.address())));
    let peer = Peer::at(scene.cluster.nodes[0].as_ref().unwrap().api()).await.unwrap();
    let keep = |id| folder.keep_holdout(id, &drafted.holdout, drafted.secret);
    let id = Hand::new(peer, requester.clone()).order(&drafted.terms, &drafted.blobs, keep).await.unwrap();

    scene.phase(id, "the end", |phase| matches!(phase, Phase::Ended(_))).await;
    let open = scene.open(id).order;
    let winner = open.claims().iter().position(|claim| claim.worker == honest.address()).unwrap() as u8;
    assert_eq!(open.phase(), Phase::Ended(Ending::Final { claim: winner }), "{open:?}");
    let lazy = scene.cluster.keys[3].address();
    let out: Vec<_> =
        open.committee().iter().filter(|member| member.out.is_some()).map(|member| member.account).collect();
    assert_eq!(out, [lazy], "{open:?}");
    let stake = drafted.terms.deal.money.worker;
    let theft = open.claims().iter().find(|claim| claim.worker == thief.address()).unwrap();
    // Whether it was looked at depends on who has claimed first: the earlier of two that are as good leads.
    let leads = winner == 1;
    assert_eq!(theft.out.is_some(), leads, "{open:?}");
    assert_eq!(scene.replica.balance(thief.address()).free, 10 * ETHER - if leads { stake } else { 0 });
    assert!(scene.replica.balance(honest.address()).earned > ETHER * 7 / 10);
    // A lazy validator may be the first to challenge the thief, and is paid for that like anybody.
    let (staked, settlement) = (drafted.terms.deal.money.member, open.settlement());
    let lost = settlement.iter().filter(|paid| paid.why == Why::Slashed { from: lazy });
    assert_eq!(lost.map(|paid| paid.amount).sum::<u128>(), staked);
    let paid: u128 = settlement.iter().filter(|paid| paid.to == Some(lazy)).map(|paid| paid.amount).sum();
    assert_eq!(scene.replica.balance(lazy).free, 10 * ETHER - staked + paid);
    let money: u128 = scene.replica.balances().map(|(_, balance)| balance.free + balance.earned).sum();
    assert_eq!(money + scene.replica.pot(), 70 * ETHER);
    drop(crowd);
    scene.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_peer_goes_away_hands_in_to_the_next_one_of_the_same_network() {
    let mut scene = Scene::start().await;
    scene.fund().await;
    let other = Cluster::of((1..=4).map(|seed| key(150 + seed)).collect());
    std::fs::create_dir_all(other.store(0).parent().unwrap()).unwrap();
    dtn_ledger::mark_never_voted(other.store(0)).unwrap();
    let abroad = dtn_node::Node::start(other.config(0)).await.unwrap();
    let api = |peer: usize| scene.cluster.nodes[peer].as_ref().unwrap().api();
    let (nobody, first, last) = (SocketAddr::from(([127, 0, 0, 1], free_port())), api(3), api(0));
    let peer = Peer::of([nobody, first, abroad.api(), last]).await.unwrap();
    assert_eq!(peer.genesis(), &scene.cluster.genesis);
    let drafted = draft().make(&scene.cluster.genesis, B256::repeat_byte(9)).unwrap();
    let hand = Hand::new(peer.clone(), scene.requester.clone());
    let ordered = hand.order(&drafted.terms, &drafted.blobs, |_| Ok(())).await.unwrap();
    scene.cluster.stop(3).await;
    let again = hand.order(&drafted.terms, &drafted.blobs, |_| Ok(())).await.unwrap();
    assert_ne!(ordered, again);
    let open: BTreeSet<_> = peer.orders(false).await.unwrap().into_iter().map(|open| open.order).collect();
    assert_eq!(open, BTreeSet::from([ordered, again]));
    assert!(Peer::of([nobody, first]).await.is_err());
    abroad.shutdown().await;
    scene.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hands_in_orders_without_their_data_holds_nobody_up() {
    let mut scene = Scene::start().await;
    scene.fund().await;
    let (requester, worker) = (scene.requester.clone(), scene.worker.clone());
    let (terms, data) = terms(&scene.holdout);
    // More than a peer looks for at a time, all of one account and for the same place among its transactions.
    for draw in 1..=300 {
        let terms = Terms { deal: Deal { draw, ..terms.deal }, ..terms.clone() };
        let order = scene.training(&requester, None, terms.encode());
        for peer in [0, 1] {
            let refused = scene.cluster.client(peer).submit(order.clone()).await.unwrap_err().to_string();
            assert!(refused.contains("not held here"), "{refused}");
        }
    }
    let domain = scene.cluster.genesis.domain();
    let order = scene.training(&worker, None, terms.encode());
    let id = order.hash(&domain);
    for (blob, bytes) in &data {
        scene.library(2).put(id, blob, bytes).unwrap();
    }
    scene.execute(2, order).await;
    assert_eq!(scene.open(id).order.phase(), Phase::Claiming);
    for peer in 0..4 {
        assert!(scene.cluster.status(peer).await.faults.iter().all(|faults| *faults == 0), "nobody is charged");
    }
    // Asking for what an order does not name makes nobody want it.
    let (client, junk) = (scene.cluster.client(0), B256::repeat_byte(0x6a));
    assert!(client.blob(id, "rows".into(), junk, 0).await.unwrap().is_none());
    let put = client.put_blob(id, "rows".into(), junk, 1 << 20, 0, vec![7; 9].into()).await.unwrap_err();
    assert!(put.to_string().contains("nothing that was handed in"), "{put}");
    scene.cluster.shutdown().await;
}
