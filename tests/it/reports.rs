//! What peers report by themselves of validators that contradicted themselves, on a real anvil.

use std::{
    collections::BTreeMap,
    io::BufRead as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use dtn_bindings::{REGISTRY, ResultRegistry};
use dtn_chain::{
    Account, Chain,
    amount::parse_amount,
    connection::AnvilOptions,
    gas_ledger::{GasLedger, TransactionStatus},
    sender::Call,
};
use dtn_keys::{bls::bls_key, dev_key};
use dtn_ledger::Ledger;
use dtn_primitives::{
    Allotment, BlsCertificate, Certificate, Evidence, Genesis, Header, SecretKey, SettlementMessage, ValidatorIndex,
    Vote, VoteKind,
};
use dtn_settlement::{
    bls_keys::BlsKeys,
    deploy::{DeployPlan, Deployment, deploy, fund},
    guard::{Registry, Stake},
    multisig::{Multisig, WalletTransaction},
    relayer::SourceError,
    reporter::{EvidenceSource, Reporter, ReporterOptions},
};
use tokio::task::JoinHandle;

use crate::{
    common::{ROOT, Scene, free_port_range, succeed, wait_until},
    desk::{Bench, genesis, text},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a peer's node has, in memory.
#[derive(Clone, Default)]
struct Node {
    evidence: Vec<Evidence>,
    certificates: BTreeMap<u64, Certificate>,
}

impl EvidenceSource for Node {
    async fn evidence(&self) -> Result<Vec<Evidence>, SourceError> {
        Ok(self.evidence.clone())
    }

    async fn certificate(&self, height: u64) -> Result<Option<Certificate>, SourceError> {
        Ok(self.certificates.get(&height).cloned())
    }
}

/// Four validators, each with an ether at stake.
struct World {
    bench: Bench,
    chain: Chain,
    keys: Vec<SecretKey>,
    genesis: Genesis,
    deployer: Account,
    deployment: Deployment,
}

impl World {
    async fn new() -> Self {
        let bench = Bench::new(AnvilOptions::default()).await;
        let chain = bench.chain().await;
        let mut keys: Vec<_> = (1..=4).map(|i| SecretKey::from_bytes(&[i; 32]).expect("a valid scalar")).collect();
        keys.sort_by_key(SecretKey::address);
        let genesis = genesis(&keys, 31337);
        let deployer = Account::new(chain.clone(), dev_key(0).expect("there"), GasLedger::new(bench.path("gas.jsonl")));
        let ether = parse_amount("1ether").expect("fine");
        let stakes = Allotment { token: Address::ZERO, amount: ether.to() };
        let plan = DeployPlan::new(&genesis, None, None).expect("valid").with_stakes(stakes);
        let deployment = deploy(&deployer, &plan, |_| ()).await.expect("deployed");
        let owners: Vec<_> = keys.iter().map(SecretKey::address).collect();
        fund(&deployer, &owners, ether * U256::from(2)).await.expect("funded");
        let world = Self { bench, chain, keys, genesis, deployer, deployment };
        for index in 0..4 {
            let account = world.account(index);
            for call in world.registry().stake_calls(account.address(), ether.to()).await.expect("answered") {
                account.send(&call).await.expect("staked");
            }
        }
        let open = Call::new(REGISTRY, world.deployment.addresses.registry, &ResultRegistry::openCall {});
        world.deployer.send(&open).await.expect("open");
        world
    }

    fn registry(&self) -> Registry {
        Registry::new(self.chain.clone(), self.deployment.addresses.registry)
    }

    fn gas_ledger(&self, index: usize) -> GasLedger {
        GasLedger::new(self.bench.path(&format!("peer-{index}/gas.jsonl")))
    }

    fn account(&self, index: usize) -> Account {
        Account::new(self.chain.clone(), self.keys[index].clone(), self.gas_ledger(index))
    }

    fn start(&self, index: usize, node: &Node) -> JoinHandle<()> {
        let options = ReporterOptions { poll: Duration::from_millis(50), takeover: Duration::from_secs(1) };
        let registry = self.deployment.addresses.registry;
        let reporter = Reporter::new(self.account(index), registry, node.clone(), options);
        tokio::spawn(async move {
            reporter.run().await;
        })
    }

    fn vote(&self, kind: VoteKind, index: usize, (view, height): (u64, u64), hash: B256) -> Vote {
        let place = ValidatorIndex(index as u16);
        Vote::sign(kind, (0, view, height), hash, place, &self.keys[index], &self.genesis.domain())
    }

    fn header(&self, root: u8) -> Header {
        Header {
            network_id: self.genesis.network_id(),
            chain_id: self.genesis.chain_id,
            epoch: 0,
            height: 1,
            timestamp: 1_000,
            proposer: self.keys[0].address(),
            parent_hash: self.genesis.network_id(),
            transactions_root: B256::repeat_byte(root),
            results_root: B256::ZERO,
        }
    }

    fn certificate(&self, header: &Header, signers: [usize; 3], view: u64) -> Certificate {
        let vote = |index| self.vote(VoteKind::Commit, index, (view, 1), header.hash());
        Certificate::from_votes(&signers.map(vote)).expect("votes")
    }

    async fn post(&self, header: &Header, view: u64, certificate: Bytes) {
        self.deployer.send(&self.posting(header, view, certificate)).await.expect("final");
    }

    fn posting(&self, header: &Header, view: u64, certificate: Bytes) -> Call {
        let call = ResultRegistry::finalizeCall { header: header.into(), view_: view, certificate };
        Call::new(REGISTRY, self.deployment.addresses.registry, &call)
    }

    /// Posts a block by a call of the wallet.
    async fn post_by_wallet(&self, header: &Header, view: u64, certificate: Bytes) {
        let Call { to, value, data, .. } = self.posting(header, view, certificate);
        let transaction = WalletTransaction { to, value, data, expiry: 0, salt: B256::ZERO };
        let wallet = Multisig::new(self.chain.clone(), self.deployment.addresses.multisig);
        wallet.propose(&self.account(1), &transaction).await.expect("proposed");
        for index in [2, 3] {
            wallet.confirm(&self.account(index), wallet.id(&transaction)).await.expect("confirmed");
        }
        wallet.execute(&self.account(1), &transaction).await.expect("final");
    }

    async fn stake(&self, index: usize) -> Stake {
        self.registry().stake(self.keys[index].address()).await.expect("answered")
    }

    async fn until_barred(&self, accused: &[usize]) {
        let started = Instant::now();
        for index in accused {
            while !self.stake(*index).await.barred {
                assert!(started.elapsed() < PATIENCE, "validator {index} is never barred");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// How many transactions of these functions each peer has sent, with success.
    fn sent(&self, functions: &[&str]) -> Vec<usize> {
        let of = |index| {
            let records = self.gas_ledger(index).read().expect("readable").records;
            let done = records.iter().filter(|record| record.status == TransactionStatus::Success);
            done.filter(|record| functions.contains(&record.function.as_str())).count()
        };
        (0..4).map(of).collect()
    }

    async fn credits(&self) -> Vec<U256> {
        let mut credits = Vec::new();
        for index in 0..4 {
            credits.push(self.stake(index).await.credit);
        }
        credits
    }
}

async fn stop(peers: Vec<JoinHandle<()>>) {
    for peer in peers {
        peer.abort();
        let _ = peer.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_reports_two_votes_after_a_commitment_and_has_the_share() {
    let (one, another) = (keccak256("one"), keccak256("another"));
    for votes in [
        [(VoteKind::Prepare, 7, one), (VoteKind::Prepare, 7, another)],
        [(VoteKind::Notarize, 0, one), (VoteKind::Notarize, 0, another)],
        [(VoteKind::Commit, 7, one), (VoteKind::Nullify, 0, B256::ZERO)],
    ] {
        let world = World::new().await;
        let [first, second] = votes.map(|(kind, height, hash)| world.vote(kind, 2, (3, height), hash));
        let node = Node { evidence: vec![Evidence::new(&first, &second)], ..Node::default() };
        // The accused one has the evidence as well, and one of the others is down.
        let peers: Vec<_> = [0, 2, 3].map(|index| world.start(index, &node)).into();
        world.until_barred(&[2]).await;
        // Those who come later find nothing to do.
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop(peers).await;
        let quarter = parse_amount("0.25ether").expect("fine");
        let credits = world.credits().await;
        assert_eq!(credits.iter().filter(|credit| **credit == quarter).count(), 1, "{votes:?}: {credits:?}");
        let (reports, commits) = (world.sent(&["reportEvidence"]), world.sent(&["commit"]));
        assert_eq!((reports.iter().sum::<usize>(), commits.iter().sum::<usize>(), reports[2]), (1, 1, 0));
        assert!(world.stake(2).await.amount.is_zero());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_report_who_has_signed_another_block_than_theirs_also_by_an_aggregate_and_inside_another_call() {
    for (by_bls, by_wallet) in [(false, false), (true, false), (false, true)] {
        let world = World::new().await;
        let (own, made_up) = (world.header(1), world.header(2));
        let node = Node { certificates: [(1, world.certificate(&own, [0, 1, 2], 0))].into(), ..Node::default() };
        let certificate = match by_bls {
            false => world.certificate(&made_up, [1, 2, 3], 0).signature_bytes().into(),
            true => {
                aggregate(
                    &world,
                    SettlementMessage::Commit { epoch: 0, view: 0, height: 1, block_hash: made_up.hash() },
                )
                .await
            }
        };
        match by_wallet {
            true => world.post_by_wallet(&made_up, 0, certificate).await,
            false => world.post(&made_up, 0, certificate).await,
        }
        let peers: Vec<_> = [0, 3].map(|index| world.start(index, &node)).into();
        world.until_barred(&[1, 2]).await;
        stop(peers).await;
        assert!(!world.stake(0).await.barred && !world.stake(3).await.barred);
        let credits: U256 = world.credits().await.into_iter().sum();
        assert_eq!(credits, parse_amount("0.5ether").expect("fine"), "a quarter of two stakes");
    }
}

/// The aggregate of the last three, whose keys it has published.
async fn aggregate(world: &World, message: SettlementMessage) -> Bytes {
    let registry = world.deployment.addresses.registry;
    let keys = BlsKeys::new(world.chain.clone(), registry, 0);
    let domain = world.genesis.domain();
    for index in 1..4 {
        let account = world.account(index);
        let call = keys.register(&bls_key(&world.keys[index]), account.address(), &domain);
        account.send(&call).await.expect("registered");
    }
    let (publish, _) = keys.publish().await.expect("answered").expect("there are some");
    world.deployer.send(&publish).await.expect("published");
    let digest = message.digest(&domain);
    let signature = |index: usize| (ValidatorIndex(index as u16), bls_key(&world.keys[index]).sign(digest));
    let signatures: BTreeMap<_, _> = (1..4).map(signature).collect();
    BlsCertificate::aggregate(&signatures).expect("signatures").to_bytes().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_block_of_another_view_is_no_evidence() {
    let world = World::new().await;
    let (own, made_up) = (world.header(1), world.header(2));
    let certificates = [(1, world.certificate(&own, [0, 1, 2], 0))].into();
    world.post(&made_up, 1, world.certificate(&made_up, [1, 2, 3], 1).signature_bytes().into()).await;
    // It goes on to look at evidence of votes, by which the test sees that it has looked at the block.
    let vote = |text: &str| world.vote(VoteKind::Checkpoint, 1, (0, 7), keccak256(text));
    let node = Node { certificates, evidence: vec![Evidence::new(&vote("one"), &vote("another"))] };
    let peer = world.start(0, &node);
    world.until_barred(&[1]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop(vec![peer]).await;
    assert!(!world.stake(2).await.barred, "a correct validator may commit in both views");
    assert_eq!(world.sent(&["reportCertificates"]), [0; 4]);
}

/// A development chain as a process, which ends with this.
pub(crate) struct Anvil(std::process::Child);

impl Anvil {
    /// One on a port that is free, and its endpoint.
    pub(crate) fn start() -> (Self, String) {
        let port = free_port_range(1).to_string();
        let anvil = Command::new(env!("CARGO_BIN_EXE_dtn-cli"))
            .current_dir(ROOT)
            .args(["anvil", "--port", &port])
            .stdout(Stdio::piped())
            .spawn();
        let mut anvil = Self(anvil.unwrap());
        std::io::BufReader::new(anvil.0.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        (anvil, format!("http://127.0.0.1:{port}"))
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        Command::new("kill").arg(self.0.id().to_string()).status().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_network_of_peers_takes_the_stake_of_a_validator_that_contradicted_itself() {
    let scene = Scene::new();
    scene.init(4);
    let (_anvil, rpc) = Anvil::start();
    let keys = scene.home().join("keys");
    let on_chain = |arguments: &[&str]| {
        let mut command = scene.command(&[arguments, &["--json"]].concat());
        command.env("DTN_RPC_URL", &rpc).env("DTN_KEYS", &keys);
        command.env("DTN_PASSWORD_FILE", scene.home().join("password"));
        serde_json::from_str::<serde_json::Value>(&succeed(&mut command)).unwrap()
    };
    on_chain(&["deploy", "--stake", "0.5ether"]);
    on_chain(&["fund", "--to", keys.to_str().unwrap(), "--amount", "1ether"]);
    for validator in 0..4 {
        on_chain(&["stake", "add", "0.5ether", "--from", &format!("validator-{validator}")]);
    }
    on_chain(&["registry", "open"]);
    scene.ok(&["l1", "up"]);
    scene.submit(1);

    // What another peer has heard of the owner of the last key. Peers are counted by their addresses, keys are not.
    let (genesis, key) = (scene.genesis(), dtn_keys::KeyInfo::at(&keys.join("validator-3.json")).unwrap());
    let password = dtn_keys::Password::from_file(&scene.home().join("password")).unwrap();
    let key = key.unlock(&password).unwrap();
    let place = genesis.validator_set().unwrap().index_of(key.address()).unwrap();
    let vote = |text: &str| Vote::sign(VoteKind::Commit, (0, 9, 900), keccak256(text), place, &key, &genesis.domain());
    let witness = usize::from(place.as_usize() == 0);
    scene.stop(witness);
    {
        let ledger = Ledger::open(scene.peer(witness).join("ledger.redb"), genesis.clone()).unwrap();
        ledger.store().add_evidence(&Evidence::new(&vote("one"), &vote("another"))).unwrap();
    }
    // Not by `l1 up`, which would wait for the accused one: it ends once it hears of it.
    let mut peer = scene.start(witness, &[], &[]);

    let accused = key.address();
    let stake_of = |account: &str| on_chain(&["stake", "show", account])["stakes"][0].clone();
    wait_until("the validator is barred", || stake_of(&accused.to_string())["barred"] == true);
    assert_eq!(text(&stake_of(&accused.to_string())["amount"]), "0x0");
    let others = (0..3).map(|index| stake_of(&format!("validator-{index}")));
    let shares: U256 = others.map(|stake| text(&stake["credit"]).parse::<U256>().unwrap()).sum();
    assert_eq!(shares, parse_amount("0.125ether").unwrap(), "one of the peers has the reporter's share");
    // The chain knows before the peer that has sent the report hears of it.
    wait_until("a peer says what it has reported", || {
        (0..4).any(|peer| scene.log(peer).contains("reported validators that contradicted themselves"))
    });
    scene.stop(witness);
    peer.wait().unwrap();
}
