//! What relayers, reports of evidence and claims do on a real anvil.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    providers::Provider,
};
use dtn_bindings::{REGISTRY, ResultRegistry, RewardDistributor};
use dtn_chain::{
    Account, Call, Chain, Network,
    amount::parse_amount,
    connection::AnvilOptions,
    gas_ledger::{GasLedger, TransactionStatus, summarize},
    networks::Finality,
};
use dtn_keys::{Keystore, Password, dev_key};
use dtn_primitives::{
    Certificate, Evidence, FinalizedResult, Genesis, Header, SecretKey, ValidatorIndex, ValidatorSet, Vote, VoteKind,
    WorkResult, merkle,
};
use dtn_settlement::{
    aow::ClaimTerms,
    deploy::{DeployPlan, Deployment, deploy, fund, top_up},
    evidence,
    multisig::{Multisig, ProposalStatus, WalletTransaction},
    payouts::payouts,
    relayer::{Relayer, RelayerOptions, RelayerStatus, ResultSource, SourceError},
};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use crate::desk::{Bench, PASSWORD, gas_on_chain, genesis, race, text};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition by looking at it.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A ledger in memory that the test fills.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Vec<FinalizedResult>>>);

impl ResultSource for Ledger {
    async fn results(&self, from_height: u64) -> Result<Vec<FinalizedResult>, SourceError> {
        let results = self.0.lock().expect("not poisoned");
        Ok(results.iter().filter(|result| result.header.height >= from_height).cloned().collect())
    }
}

impl Ledger {
    /// Finalizes the next block with results for these payees, all validators signing.
    fn finalize(&self, validators: &[SecretKey], genesis: &Genesis, payees: &[Address]) {
        let (domain, set) = (genesis.domain(), ValidatorSet::new(0, genesis.validators.iter().copied()));
        let mut results = self.0.lock().expect("not poisoned");
        let last = results.last().map(|result| result.header.clone());
        let height = last.as_ref().map_or(1, |header| header.height + 1);
        let work: Vec<_> = payees
            .iter()
            .enumerate()
            .map(|(index, payee)| {
                let worker = validators[index % validators.len()].address();
                let amount = U256::from(1_000_000 * height + index as u64);
                race::won(index as u64, (worker, *payee), amount, &domain)
            })
            .collect();
        let (work, solutions): (Vec<_>, Vec<_>) = work.into_iter().unzip();
        let header = Header {
            network_id: domain.network_id,
            chain_id: domain.chain_id,
            epoch: 0,
            height,
            timestamp: 1_000 * height,
            proposer: validators[0].address(),
            parent_hash: last.map_or(domain.network_id, |header| header.hash()),
            transactions_root: B256::ZERO,
            results_root: WorkResult::root(&work),
        };
        let vote = |key: &SecretKey| {
            let index = set.index_of(key.address()).expect("a validator");
            Vote::sign(VoteKind::Commit, (0, 0, height), header.hash(), index, key, &domain)
        };
        let votes: Vec<_> = validators.iter().map(vote).collect();
        let certificate = Certificate::from_votes(&votes).expect("votes");
        certificate.verify(&domain, &set).expect("a certificate");
        let leaves: Vec<_> = work.iter().map(WorkResult::leaf).collect();
        for (index, (result, solution)) in work.into_iter().zip(solutions).enumerate() {
            let solution = Some(solution);
            let proof = merkle::proof(&leaves, index).expect("in range");
            let (header, certificate) = (header.clone(), certificate.clone());
            results.push(FinalizedResult { header, certificate, result, proof, solution });
        }
    }

    fn all(&self) -> Vec<FinalizedResult> {
        self.0.lock().expect("not poisoned").clone()
    }
}

struct Peer {
    task: JoinHandle<()>,
    status: watch::Receiver<RelayerStatus>,
}

/// Four owners with relayers over one ledger.
struct Council {
    bench: Bench,
    chain: Chain,
    keys: Vec<SecretKey>,
    genesis: Genesis,
    deployer: Account,
    deployment: Deployment,
    ledger: Ledger,
}

impl Council {
    async fn new(n: u8) -> Self {
        let bench = Bench::new(AnvilOptions::default()).await;
        let chain = bench.chain().await;
        let mut keys: Vec<_> = (1..=n).map(|i| SecretKey::from_bytes(&[i; 32]).expect("a valid scalar")).collect();
        keys.sort_by_key(SecretKey::address);
        let genesis = genesis(&keys, 31337);
        let deployer = Account::new(chain.clone(), dev_key(0).expect("there"), GasLedger::new(bench.path("gas.jsonl")));
        let plan = DeployPlan::new(&genesis, None, None).expect("valid");
        // Long enough for whoever types commands.
        let claims = ClaimTerms { window: 3600, ..plan.claims };
        let plan = plan.with_claims(claims).expect("valid");
        let deployment = deploy(&deployer, &plan, |_| ()).await.expect("deployed");
        let owners: Vec<_> = keys.iter().map(SecretKey::address).collect();
        fund(&deployer, &owners, parse_amount("1ether").expect("fine")).await.expect("funded");
        Self { bench, chain, keys, genesis, deployer, deployment, ledger: Ledger::default() }
    }

    async fn fund_distributor(&self) {
        let amount = parse_amount("1ether").expect("fine");
        top_up(&self.deployer, self.deployment.addresses.distributor, amount).await.expect("funded");
    }

    fn gas_ledger(&self, index: usize) -> GasLedger {
        GasLedger::new(self.bench.path(&format!("peer-{index}/gas.jsonl")))
    }

    fn start(&self, index: usize) -> Peer {
        let account = Account::new(self.chain.clone(), self.keys[index].clone(), self.gas_ledger(index));
        let options = RelayerOptions {
            poll: Duration::from_millis(50),
            takeover: Duration::from_secs(1),
            concurrency: 4,
            claim_patience: Duration::MAX,
        };
        let relayer = Relayer::new(account, self.deployment.addresses, self.ledger.clone(), options);
        let status = relayer.status();
        let task = tokio::spawn(async move {
            relayer.run().await;
        });
        Peer { task, status }
    }

    fn finalize(&self, payees: &[Address]) {
        self.ledger.finalize(&self.keys, &self.genesis, payees);
    }

    async fn is_paid(&self, id: B256) -> bool {
        let call = RewardDistributor::isPaidCall { id };
        self.chain.read(self.deployment.addresses.distributor, &call).await.expect("answered")
    }

    async fn paid_everything(&self) -> bool {
        for result in self.ledger.all() {
            if !self.is_paid(result.result.id).await {
                return false;
            }
        }
        true
    }

    /// Every result of the ledger was paid once, in full, to its payee, and nothing else was.
    async fn check_payouts(&self) {
        let distributor = self.deployment.addresses.distributor;
        let paid = payouts(&self.chain, distributor, self.deployment.from_block).await.expect("read back");
        let mut ids: Vec<_> = paid.iter().map(|payout| payout.id).collect();
        let mut expected: Vec<_> = self.ledger.all().iter().map(|result| result.result.id).collect();
        ids.sort();
        expected.sort();
        assert_eq!(ids, expected, "each once");
        for result in self.ledger.all() {
            let payout = paid.iter().find(|payout| payout.id == result.result.id).expect("paid");
            let WorkResult { payee, amount, .. } = result.result;
            assert_eq!((payout.payee, payout.amount, payout.height), (payee, amount, result.header.height));
            assert!(payout.has_arrived(), "{payout:?}");
            assert_eq!(
                payout.balance_delta(),
                alloy::primitives::I256::try_from(payout.rewards_in_block).expect("small")
            );
        }
    }

    /// What the peers' gas ledgers say is what the chain says. What was written down and is still open has never been
    /// sent: its peer was killed between the two.
    async fn check_gas(&self, peers: usize) {
        let mut recorded = 0;
        let mut all = Vec::new();
        for index in 0..peers {
            let ledger = self.gas_ledger(index);
            let still_open = ledger.reconcile(&self.chain).await.expect("looked up");
            let records = ledger.read().expect("readable").records;
            let open: Vec<_> = records.iter().filter(|record| record.status == TransactionStatus::Pending).collect();
            assert_eq!(open.len(), still_open);
            for record in open {
                let known = self.chain.provider().get_transaction_by_hash(record.tx).await.expect("answered");
                assert!(known.is_none(), "{record:?} is in {known:?}");
            }
            all.extend(records);
        }
        for sum in summarize(&all) {
            println!("{}: {} times, {} reverted, {} gas", sum.function, sum.count, sum.reverted, sum.mean);
            recorded += sum.total;
        }
        let senders: Vec<_> = self.keys.iter().map(SecretKey::address).collect();
        assert_eq!(recorded, gas_on_chain(&self.chain, &senders).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relayers_pay_each_result_once_although_one_is_killed() {
    let council = Council::new(4).await;
    council.fund_distributor().await;
    let mut peers: Vec<_> = (0..4).map(|index| council.start(index)).collect();
    // Payees that send transactions themselves, and one that does not.
    let payees = [council.keys[0].address(), council.keys[2].address(), Address::repeat_byte(0x99)];
    for height in 0..6 {
        council.finalize(&payees[..1 + height % 3]);
    }
    let first = council.ledger.all()[0].result.id;
    until("the first payout", || council.is_paid(first)).await;
    let killed = peers.remove(2);
    killed.task.abort();
    let _ = killed.task.await;
    for height in 0..6 {
        council.finalize(&payees[..1 + height % 3]);
    }
    until("all payouts without the killed peer", || council.paid_everything()).await;
    council.check_payouts().await;

    // The killed one starts again, and finds nothing to do.
    let restarted = council.start(2);
    let mut status = restarted.status.clone();
    let settled = status.wait_for(|status| status.cursor == 13);
    let settled = *tokio::time::timeout(PATIENCE, settled).await.expect("in time").expect("alive");
    assert_eq!((settled.open, settled.paid), (0, 24));
    council.check_payouts().await;
    for peer in peers.into_iter().chain([restarted]) {
        peer.task.abort();
        let _ = peer.task.await;
    }
    council.check_gas(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relayer_killed_after_every_step_pays_once() {
    let council = Council::new(4).await;
    council.fund_distributor().await;
    council.finalize(&[Address::repeat_byte(0x98)]);
    // Height 1: the second owner is on duty. It is killed again and again, at ever later moments.
    let id = council.ledger.all()[0].result.id;
    let others: Vec<_> = [0, 2].map(|index| council.start(index)).into();
    for delay in (0..).step_by(3) {
        let duty = council.start(1);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        duty.task.abort();
        let _ = duty.task.await;
        if council.is_paid(id).await {
            break;
        }
        assert!(delay < 3_000, "never paid");
    }
    council.check_payouts().await;
    for peer in others {
        peer.task.abort();
        let _ = peer.task.await;
    }
    council.check_gas(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_wait_for_money_and_for_enough_owners() {
    let council = Council::new(4).await;
    council.finalize(&[Address::repeat_byte(0x97)]);
    let result = council.ledger.all().remove(0);
    let mut peers = vec![council.start(0), council.start(1)];

    // Two of four owners, whichever is on duty, never reach the threshold of three.
    let multisig = Multisig::new(council.chain.clone(), council.deployment.addresses.multisig);
    let transaction =
        WalletTransaction::payout(council.deployment.addresses.distributor, std::slice::from_ref(&result))
            .expect("a result");
    let id = multisig.check_id(&transaction).await.expect("both compute the same id");
    let confirmed = async || multisig.status(id).await.expect("answered");
    until("two confirmations", || async { confirmed().await.1.len() == 2 }).await;
    // The third one would execute, which confirms; but there is no money.
    peers.push(council.start(3));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(confirmed().await.0, ProposalStatus::Pending);
    assert!(!council.paid_everything().await, "there is no money");
    council.fund_distributor().await;
    until("the payout", || council.paid_everything()).await;
    council.check_payouts().await;
    for peer in peers {
        peer.task.abort();
        let _ = peer.task.await;
    }
    council.check_gas(4).await;
}

/// Two votes of a validator for two blocks at one height.
fn contradiction(council: &Council, validator: usize, kind: VoteKind) -> Evidence {
    let (domain, key) = (council.genesis.domain(), &council.keys[validator]);
    let vote = |hash| Vote::sign(kind, (0, 0, 7), hash, ValidatorIndex(validator as u16), key, &domain);
    Evidence::new(&vote(keccak256("one")), &vote(keccak256("another")))
}

/// Tells the command line what was deployed.
fn write_home(council: &Council) -> PathBuf {
    let home = council.bench.path(".dtn");
    fs::create_dir_all(home.join("deployments")).expect("writable");
    let genesis = serde_json::to_string(&council.genesis).expect("JSON");
    fs::write(home.join("genesis.json"), genesis).expect("writable");
    let deployment = serde_json::to_string(&council.deployment).expect("JSON");
    fs::write(home.join("deployments/local.json"), deployment).expect("writable");
    home
}

/// Answers `dtn_evidence` as a peer does, and is the only peer of the network in the bench's home.
async fn showing_peer(council: &Council, shown: Vec<Evidence>) -> jsonrpsee::server::ServerHandle {
    let mut module = jsonrpsee::RpcModule::new(shown);
    module.register_method("dtn_evidence", |_, shown, _| shown.clone()).expect("a new name");
    let server = jsonrpsee::server::Server::builder().build("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().expect("bound");
    let home = write_home(council);
    let client = format!("keystore = \"none\"\npassword_file = \"none\"\npeers = [\"{address}\"]\n");
    fs::write(home.join("client.toml"), client).expect("writable");
    server.start(module)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_the_chain_loses_is_made_again_and_counts_once() {
    let mut council = Council::new(4).await;
    let network = Network {
        finality: Finality::Finalized,
        receipt_timeout_ms: 3_000,
        ..Network::local(council.bench.anvil.endpoint())
    };
    council.chain = Chain::connect(&network).await.expect("anvil answers");
    council.fund_distributor().await;
    council.finalize(&[0x51, 0x52].map(Address::repeat_byte));
    council.finalize(&[Address::repeat_byte(0x51)]);
    let before: U256 = council.chain.provider().raw_request("evm_snapshot".into(), ()).await.expect("taken");
    let mut peers: Vec<_> = (0..4).map(|index| council.start(index)).collect();
    for peer in &mut peers {
        let reached = tokio::time::timeout(PATIENCE, peer.status.wait_for(|status| status.paid == 3)).await;
        let status = *reached.expect("in time").expect("alive");
        assert_eq!(status.cursor, 1, "nothing is final that soon");
    }
    let lost: bool = council.chain.provider().raw_request("evm_revert".into(), (before,)).await.expect("reverted");
    assert!(lost);
    until("all payouts again", || council.paid_everything()).await;
    council.check_payouts().await;
    for peer in peers {
        peer.task.abort();
        let _ = peer.task.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_results_of_a_block_are_paid_by_one_transaction_or_each_alone_if_one_was_paid_before() {
    let council = Council::new(4).await;
    council.fund_distributor().await;
    let payees = [0x81, 0x82, 0x83].map(Address::repeat_byte);
    council.finalize(&payees);
    council.finalize(&payees);
    // The owners pay one of the second block by hand, before any relayer looks at it.
    let by_hand = council.ledger.all().remove(4);
    let multisig = Multisig::new(council.chain.clone(), council.deployment.addresses.multisig);
    let transaction =
        WalletTransaction::payout(council.deployment.addresses.distributor, std::slice::from_ref(&by_hand))
            .expect("a result");
    let owner = |index: usize| {
        let ledger = GasLedger::new(council.bench.path("by-hand.jsonl"));
        Account::new(council.chain.clone(), council.keys[index].clone(), ledger)
    };
    let call = ResultRegistry::finalizeCall {
        header: (&by_hand.header).into(),
        view_: 0,
        certificate: by_hand.certificate.signature_bytes().into(),
    };
    let registry = council.deployment.addresses.registry;
    council.deployer.send(&Call::new(REGISTRY, registry, &call)).await.expect("final");
    multisig.propose(&owner(0), &transaction).await.expect("proposed");
    multisig.confirm(&owner(1), multisig.id(&transaction)).await.expect("confirmed");
    multisig.execute(&owner(2), &transaction).await.expect("executed");

    let peers: Vec<_> = (0..4).map(|index| council.start(index)).collect();
    until("all payouts", || council.paid_everything()).await;
    council.check_payouts().await;
    for mut peer in peers {
        let settled = RelayerStatus { cursor: 3, paid: 6, forfeited: 0, open: 0 };
        let reached = tokio::time::timeout(PATIENCE, peer.status.wait_for(|status| *status == settled)).await;
        reached.expect("in time").expect("alive");
        peer.task.abort();
        let _ = peer.task.await;
    }
    let mut executed = 0;
    for index in 0..4 {
        let records = council.gas_ledger(index).read().expect("readable").records;
        let done = |record: &&dtn_chain::gas_ledger::GasRecord| {
            record.function == "executeTransaction" && record.status == TransactionStatus::Success
        };
        executed += records.iter().filter(done).count();
    }
    assert_eq!(executed, 3, "three results at once, and two alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn settle_status_shows_what_is_open_and_who_is_missing() {
    let council = Council::new(4).await;
    let mut module = jsonrpsee::RpcModule::new(council.ledger.clone());
    let results = |parameters: jsonrpsee::types::Params<'_>, ledger: &Ledger, _: &_| {
        let mut parameters = parameters.sequence();
        let from: u64 = parameters.next().unwrap_or(1);
        let skip: Option<usize> = parameters.optional_next().unwrap_or_default();
        let above = ledger.all().into_iter().filter(|result| result.header.height >= from);
        above.skip(skip.unwrap_or_default()).collect::<Vec<_>>()
    };
    module.register_method("dtn_results", results).expect("a new name");
    let server = jsonrpsee::server::Server::builder().build("127.0.0.1:0").await.expect("a free port");
    let home = write_home(&council);
    let address = server.local_addr().expect("bound");
    let client = format!("keystore = \"none\"\npassword_file = \"none\"\npeers = [\"{address}\"]\n");
    fs::write(home.join("client.toml"), client).expect("writable");
    let server = server.start(module);

    council.finalize(&[Address::repeat_byte(0x71), Address::repeat_byte(0x72)]);
    let status = council.bench.json(&["settle", "status"]);
    assert_eq!((&status["open"], &status["payments"][0]["stage"]), (&2.into(), &"to be posted".into()));
    assert_eq!(status["payments"][0]["held"]["why"], "funds", "there is no money: {status}");
    let one = council.start(1);
    let proposed = || async {
        council.bench.json(&["settle", "status"])["payments"][0]["confirmed"].as_array().map(Vec::len) == Some(1)
    };
    until("a proposal", proposed).await;
    let status = council.bench.json(&["settle", "status"]);
    let payment = &status["payments"][0];
    assert_eq!(payment["results"].as_array().map(Vec::len), Some(2), "{status}");
    assert_eq!(payment["stage"], "to be confirmed");
    let missing: Vec<Address> = serde_json::from_value(payment["missing"].clone()).expect("addresses");
    let owners = [0, 2, 3].map(|index: usize| council.keys[index].address());
    assert_eq!(missing, owners);

    council.fund_distributor().await;
    let others: Vec<_> = [0, 2].map(|index| council.start(index)).into();
    until("the payouts", || council.paid_everything()).await;
    // A light client believes the certificate that a peer shows, and nothing that was changed in it.
    let FinalizedResult { header, certificate, .. } = council.ledger.all().remove(0);
    let shown =
        serde_json::json!({ "header": header, "certificate": certificate, "transactions": 1, "latency_us": null });
    let verify = |shown: &Value| {
        fs::write(council.bench.path("block.json"), shown.to_string()).expect("writable");
        council.bench.run(&["verify-certificate", "block.json"]).status.code()
    };
    assert_eq!(verify(&shown), Some(0));
    for (path, value) in [
        ("/header/timestamp", 1_001.into()),
        ("/header/chain_id", 56.into()),
        ("/certificate/view", 1.into()),
        ("/certificate/height", 2.into()),
    ] {
        let mut changed = shown.clone();
        *changed.pointer_mut(path).expect("there") = value;
        assert_eq!(verify(&changed), Some(1), "{path}");
    }
    let mut below = shown.clone();
    below["certificate"]["signatures"].as_array_mut().expect("signatures").truncate(2);
    assert_eq!(verify(&below), Some(1), "two of four");

    let status = council.bench.json(&["settle", "status", "--all"]);
    assert_eq!((&status["open"], &status["paid"]), (&0.into(), &2.into()));
    assert_eq!(status["payments"][0]["stage"], "settled");
    for peer in others.into_iter().chain([one]) {
        peer.task.abort();
        let _ = peer.task.await;
    }
    server.stop().expect("running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_contradicted_itself_is_barred_and_not_paid() {
    let council = Council::new(4).await;
    council.fund_distributor().await;
    let mut lie = contradiction(&council, 2, VoteKind::Commit);
    lie.second.signature = lie.first.signature;
    let shown =
        [VoteKind::Prepare, VoteKind::Commit, VoteKind::Checkpoint].map(|kind| contradiction(&council, 1, kind));
    let peer = showing_peer(&council, [&shown[..], &[lie]].concat()).await;

    // The client believes signatures, not the peer.
    let barred = council.keys[1].address();
    let listed = council.bench.json(&["l1", "evidence"]);
    let listed = listed["evidence"].as_array().expect("a list");
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert!(listed.iter().all(|entry| text(&entry["address"]).parse() == Ok(barred)));
    assert_eq!(text(&listed[0]["id"]).parse(), Ok(shown[0].id()));
    let table = String::from_utf8(council.bench.run(&["l1", "evidence"]).stdout).expect("text");
    for part in ["prepare", "commit", "checkpoint", &barred.to_string(), &keccak256("one").to_string()] {
        assert!(table.contains(part), "{part} in {table}");
    }

    // One report is enough, and a second one finds nothing to do.
    let reported = council.bench.json(&["l1", "evidence", "--report"]);
    assert_eq!(reported["reports"].as_array().map(Vec::len), Some(1), "{reported}");
    assert!(reported["reports"][0]["transaction"]["tx"].is_string(), "{reported}");
    let again = council.bench.json(&["l1", "evidence", "--report"]);
    assert!(again["reports"][0]["transaction"].is_null(), "{again}");
    let is_barred = async |validator| {
        let call = ResultRegistry::isBarredCall { validator };
        council.chain.read(council.deployment.addresses.registry, &call).await.expect("answered")
    };
    assert!(is_barred(barred).await);
    assert!(!is_barred(council.keys[2].address()).await);

    // The worker counts, not the payee, and a relayer is done with what it forfeits.
    council.finalize(&[Address::repeat_byte(0x91), Address::repeat_byte(0x92), Address::repeat_byte(0x93)]);
    council.finalize(&[Address::repeat_byte(0x91)]);
    let mut peers: Vec<_> = (0..4).map(|index| council.start(index)).collect();
    let settled = RelayerStatus { cursor: 3, paid: 3, forfeited: 1, open: 0 };
    for peer in &mut peers {
        let reached = tokio::time::timeout(PATIENCE, peer.status.wait_for(|status| *status == settled)).await;
        reached.expect("in time").expect("alive");
    }
    let results = council.ledger.all();
    let forfeited = results.iter().find(|result| result.result.worker == barred).expect("its work");
    assert!(!council.is_paid(forfeited.result.id).await);
    assert_eq!(payouts(&council.chain, council.deployment.addresses.distributor, 0).await.expect("read").len(), 3);
    for peer in peers {
        peer.task.abort();
        let _ = peer.task.await;
    }

    // Not even when all owners agree to pay.
    let multisig = Multisig::new(council.chain.clone(), council.deployment.addresses.multisig);
    let transaction =
        WalletTransaction::payout(council.deployment.addresses.distributor, std::slice::from_ref(forfeited))
            .expect("a result");
    let id = multisig.check_id(&transaction).await.expect("both compute the same id");
    let owner =
        |index: usize| Account::new(council.chain.clone(), council.keys[index].clone(), council.gas_ledger(index));
    multisig.propose(&owner(0), &transaction).await.expect("proposed");
    for index in 1..4 {
        multisig.confirm(&owner(index), id).await.expect("confirmed");
    }
    let refused = multisig.execute(&owner(0), &transaction).await.expect_err("barred").to_string();
    assert!(refused.contains(&format!("WorkerBarred(id: {}, worker: {barred})", forfeited.result.id)), "{refused}");
    peer.stop().expect("running");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_refuses_what_proves_nothing_by_name() {
    let council = Council::new(4).await;
    let registry = council.deployment.addresses.registry;
    let good = contradiction(&council, 3, VoteKind::Prepare);
    let elsewhere = dtn_primitives::Domain::new(B256::ZERO, 31337);
    let foreign =
        |hash| Vote::sign(VoteKind::Prepare, (0, 0, 7), hash, ValidatorIndex(3), &council.keys[3], &elsewhere);
    let mut forged = good.clone();
    forged.second.signature = contradiction(&council, 2, VoteKind::Prepare).second.signature;
    let cases = [
        (Evidence::new(&good.first, &good.first), "NoContradiction"),
        (forged, "NotSignedBy"),
        (Evidence::new(&foreign(keccak256("one")), &foreign(keccak256("another"))), "NotSignedBy"),
    ];
    for (evidence, name) in cases {
        let error = evidence::report(&council.deployer, registry, &evidence.into()).await.expect_err("refused");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(evidence::report(&council.deployer, registry, &good.clone().into()).await.expect("taken").is_some());
    assert!(evidence::report(&council.deployer, registry, &good.clone().into()).await.expect("known").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_posted_checked_challenged_and_released_by_hand() {
    let council = Council::new(4).await;
    let bench = &council.bench;
    write_home(&council);
    let keystore = Keystore::new(bench.path("keys"));
    for (index, key) in council.keys.iter().enumerate().take(2) {
        keystore.store(&format!("validator-{index}"), key, &Password::new(PASSWORD)).expect("writable");
    }
    council.finalize(&[Address::repeat_byte(0x91)]);
    let block = council.ledger.all().remove(0);
    let signatures = block.certificate.signatures.iter().flat_map(|(_, signature)| signature.0).collect();
    let call = ResultRegistry::finalizeCall { header: (&block.header).into(), view_: 0, certificate: signatures };
    council.deployer.send(&Call::new(REGISTRY, council.deployment.addresses.registry, &call)).await.expect("final");

    let post = |from: &'static str, steps: &'static str| {
        ["aow", "post", "--from", from, "--round", "1", "--height", "1", "--steps", steps]
    };
    let said = bench.failure(&post("validator-0", "4099"));
    assert!(said.contains("4099 steps cannot be claimed"), "{said}");
    let said = bench.failure(&["aow", "post", "--round", "1", "--height", "9", "--steps", "8"]);
    assert!(said.contains("the registry holds no block 9"), "{said}");
    let said = bench.failure(&post("dev:5", "8"));
    assert!(said.contains("NotValidator(account: 0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc)"), "{said}");

    let posted = bench.json(&post("validator-0", "8192"));
    assert_eq!((text(&posted["status"]), text(&posted["bond_wei"])), ("posted", "0x2386f26fc10000"));
    let right = text(&posted["id"]).to_string();
    let said = bench.failure(&post("validator-0", "8192"));
    assert!(said.contains("AlreadyPosted(round: 1"), "{said}");
    let made_up = ["--result", "0x00000000000000000000000000000007"];
    let said = bench.failure(&[&post("validator-1", "8192")[..], &made_up].concat());
    assert!(said.contains("does not go back to the start") && said.contains("nothing was posted"), "{said}");
    let posted = bench.json(&[&post("validator-1", "8192")[..], &made_up, &["--anyway"]].concat());
    let wrong = text(&posted["id"]).to_string();

    let claims = bench.json(&["aow", "claims"]);
    let of = |id: &str| claims.as_array().and_then(|all| all.iter().find(|claim| claim["id"] == id)).expect("listed");
    assert_eq!((&of(&right)["holds"], &of(&right)["false_segment"]), (&true.into(), &Value::Null));
    assert_eq!((&of(&wrong)["holds"], &of(&wrong)["false_segment"]), (&false.into(), &0.into()));
    assert_eq!((of(&wrong)["round"].as_u64(), of(&wrong)["segments"].as_u64()), (Some(1), Some(2)));
    assert!(bench.json(&["aow", "claims", "--round", "2"]).as_array().is_some_and(Vec::is_empty));

    let said = bench.failure(&["aow", "challenge", &right]);
    assert!(said.contains("every segment of") && said.contains("would be refused"), "{said}");
    let said = bench.failure(&["aow", "challenge", &right, "--segment", "1"]);
    assert!(said.contains(&format!("SegmentHolds(id: {right}, segment: 1)")), "{said}");
    let said = bench.failure(&["aow", "challenge", &B256::ZERO.to_string()]);
    assert!(said.contains("nobody has posted the claim"), "{said}");
    let slashed = bench.json(&["aow", "challenge", &wrong, "--from", "dev:5"]);
    assert_eq!((text(&slashed["status"]), text(&slashed["transaction"]["function"])), ("slashed", "challenge"));
    let said = bench.failure(&["aow", "release", &right]);
    assert!(said.contains(&format!("NotFinal(id: {right})")), "{said}");
    assert_eq!(text(&bench.json(&["aow", "uphold", &right])["status"]), "upheld");
    assert_eq!(text(&bench.json(&["aow", "release", &right])["bond_wei"]), "0x0");

    let table = String::from_utf8(bench.run(&["aow", "claims"]).stdout).expect("text");
    for part in ["upheld", "slashed", "not segment 0, by 0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc", &right, &wrong] {
        assert!(table.contains(part), "{part} in {table}");
    }
    let gas = bench.json(&["gas"]);
    let rows: Vec<_> = gas["summary"].as_array().into_iter().flatten().collect();
    for call in ["post", "challenge", "verifyWhole", "release"] {
        let row = rows.iter().find(|row| row["contract"] == "AowChallenge" && row["function"] == call);
        assert!(row.is_some_and(|row| row["mean"].as_u64() > Some(0)), "{call} in {rows:?}");
    }
}
