//! What the sender and the relayer do when a chain does not do what it should, on a real anvil.

#[path = "../../../../tests/desk/race.rs"]
mod race;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, U256},
    providers::Provider,
};
use dtn_bindings::RewardDistributor;
use dtn_chain::{
    Account, Chain, Network,
    connection::{AnvilInstance, AnvilOptions, start_anvil},
    gas_ledger::{GasLedger, TransactionStatus},
    sender::{Call, SendError},
};
use dtn_keys::dev_key;
use dtn_primitives::{
    Certificate, FinalizedResult, Genesis, Header, SecretKey, ValidatorSet, Vote, VoteKind, WorkResult, merkle,
};
use dtn_settlement::{
    deploy::{DeployPlan, deploy, top_up},
    relayer::{Relayer, RelayerOptions, RelayerStatus, ResultSource, SourceError},
};
use tempfile::TempDir;
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(60);
const ETHER: u64 = 1_000_000_000_000_000_000;

struct Bench {
    dir: TempDir,
    _anvil: AnvilInstance,
    chain: Chain,
}

impl Bench {
    async fn new(receipt_timeout_ms: u64) -> Self {
        let anvil = start_anvil(Path::new(env!("CARGO_MANIFEST_DIR")), AnvilOptions::default()).await.expect("anvil");
        let network = Network { receipt_timeout_ms, poll_interval_ms: 20, ..Network::local(anvil.endpoint()) };
        let chain = Chain::connect(&network).await.expect("anvil answers");
        Self { dir: tempfile::tempdir().expect("a temporary directory"), _anvil: anvil, chain }
    }

    fn account(&self) -> Account {
        let ledger = GasLedger::new(self.dir.path().join("gas.jsonl"));
        Account::new(self.chain.clone(), dev_key(0).expect("there"), ledger)
    }

    async fn mining(&self, on: bool) {
        let _: bool = self.chain.provider().raw_request("evm_setAutomine".into(), (on,)).await.unwrap_or_default();
        if on {
            let _: String = self.chain.provider().raw_request("evm_mine".into(), ()).await.expect("mined");
        }
    }

    async fn balance(&self, of: Address) -> U256 {
        self.chain.provider().get_balance(of).await.expect("a balance")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_block_takes_is_replaced_by_what_pays_more() {
    let bench = Bench::new(20_000).await;
    let account = bench.account();
    let payee = Address::repeat_byte(0x71);
    bench.mining(false).await;
    let submitted = account.submit(&Call::transfer("fund", payee, U256::from(7))).await.expect("taken");
    let first = submitted.tx();
    let waiting = tokio::spawn(submitted.wait());
    tokio::time::sleep(Duration::from_secs(6)).await;
    bench.mining(true).await;
    let record = waiting.await.expect("no panic").expect("mined");
    assert_ne!(record.tx, first);
    assert_eq!((record.nonce, record.status), (0, TransactionStatus::Success));
    assert_eq!(bench.balance(payee).await, U256::from(7), "only one of them");
    let records = account.ledger().read().expect("readable").records;
    let status = |tx| records.iter().find(|record| record.tx == tx).map(|record| record.status);
    assert_eq!(records.len(), 2);
    assert_eq!(status(first), Some(TransactionStatus::Dropped));
    assert_eq!(status(record.tx), Some(TransactionStatus::Success));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_transaction_takes_the_place_of_a_stuck_one() {
    let bench = Bench::new(1_000).await;
    let account = bench.account();
    let (given_up, payee) = (Address::repeat_byte(0x72), Address::repeat_byte(0x73));
    bench.mining(false).await;
    let stuck = account.send(&Call::transfer("fund", given_up, U256::from(1))).await;
    assert!(matches!(stuck, Err(SendError::NoReceipt { .. })), "{stuck:?}");
    let submitted = account.submit(&Call::transfer("fund", payee, U256::from(2))).await.expect("taken");
    bench.mining(true).await;
    let record = submitted.wait().await.expect("mined");
    assert_eq!(record.nonce, 0);
    assert_eq!((bench.balance(given_up).await, bench.balance(payee).await), (U256::ZERO, U256::from(2)));
    let next = account.send(&Call::transfer("fund", payee, U256::from(2))).await.expect("mined");
    assert_eq!(next.nonce, 1);
    assert_eq!(account.ledger().reconcile(&bench.chain).await.expect("looked up"), 0);
    let records = account.ledger().read().expect("readable").records;
    let succeeded = records.iter().filter(|record| record.status == TransactionStatus::Success).count();
    assert_eq!((records.len(), succeeded), (6, 2), "one and its three replacements, and two that were mined");
}

/// A ledger that gives few results at once and remembers from which heights it was read.
#[derive(Clone, Default)]
struct Ledger {
    results: Arc<Vec<FinalizedResult>>,
    reads: Arc<Mutex<Vec<u64>>>,
}

impl ResultSource for Ledger {
    async fn results(&self, from_height: u64) -> Result<Vec<FinalizedResult>, SourceError> {
        self.reads.lock().expect("not poisoned").push(from_height);
        Ok(self.results.iter().filter(|result| result.header.height >= from_height).take(4).cloned().collect())
    }
}

/// One result a block for each payee, signed by all validators.
fn finalized(genesis: &Genesis, keys: &[SecretKey], payees: &[Address]) -> Vec<FinalizedResult> {
    let (domain, set) = (genesis.domain(), ValidatorSet::new(0, genesis.validators.iter().copied()));
    let mut parent_hash = domain.network_id;
    let mut results = Vec::new();
    for (height, payee) in (1..).zip(payees) {
        let (result, solution) = race::won(height, (keys[0].address(), *payee), U256::from(height), &domain);
        let header = Header {
            network_id: domain.network_id,
            chain_id: domain.chain_id,
            epoch: 0,
            height,
            timestamp: 1_000 * height,
            proposer: keys[0].address(),
            parent_hash,
            transactions_root: B256::ZERO,
            results_root: WorkResult::root(std::slice::from_ref(&result)),
        };
        parent_hash = header.hash();
        let vote = |key: &SecretKey| {
            let index = set.index_of(key.address()).expect("a validator");
            Vote::sign(VoteKind::Commit, (0, 0, height), header.hash(), index, key, &domain)
        };
        let certificate = Certificate::from_votes(&keys.iter().map(vote).collect::<Vec<_>>()).expect("votes");
        let proof = merkle::proof(&[result.leaf()], 0).expect("in range");
        results.push(FinalizedResult { header, certificate, result, proof, solution: Some(solution) });
    }
    results
}

async fn reached(status: &mut watch::Receiver<RelayerStatus>, wanted: impl FnMut(&RelayerStatus) -> bool) {
    let reached = tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await.map(|reached| *reached.expect("alive"));
    if reached.is_err() {
        panic!("waited in vain at {:?}", *status.borrow());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_refused_keeps_nobody_waiting() {
    let bench = Bench::new(20_000).await;
    let account = bench.account();
    let keys: Vec<_> = (0..4).map(|index| dev_key(index).expect("there")).collect();
    let genesis = Genesis {
        version: dtn_primitives::VERSION,
        name: "test".into(),
        chain_id: 31337,
        timestamp: 1,
        max_block_bytes: 1 << 20,
        validators: keys.iter().map(SecretKey::public_key).collect(),
        requesters: Vec::new(),
        engine: dtn_primitives::Engine::Pbft,
        kinds: Vec::new(),
        training: None,
    };
    let plan = DeployPlan::new(&genesis, Some(vec![account.address()]), None).expect("valid");
    let addresses = deploy(&account, &plan, |_| ()).await.expect("deployed").addresses;
    top_up(&account, addresses.distributor, U256::from(ETHER)).await.expect("funded");

    // More refusals than are held in memory, before, between and after the others.
    let willing = Address::repeat_byte(0x75);
    let payees: Vec<_> = (1..=40u64).map(|height| if height % 4 == 1 { Address::ZERO } else { willing }).collect();
    let ledger = Ledger { results: Arc::new(finalized(&genesis, &keys, &payees)), ..Ledger::default() };
    let options = RelayerOptions {
        poll: Duration::from_millis(20),
        takeover: Duration::from_millis(100),
        concurrency: 4,
        claim_patience: Duration::MAX,
    };
    let relayer = Relayer::new(account.clone(), addresses, ledger.clone(), options).with_open_limit(4);
    let mut status = relayer.status();
    let task = tokio::spawn(async move {
        relayer.run().await;
    });
    reached(&mut status, |status| status.paid == 30 && status.open == 10).await;
    assert_eq!(status.borrow().cursor, 1, "the first one is not paid");
    for (result, payee) in ledger.results.iter().zip(&payees) {
        let call = RewardDistributor::isPaidCall { id: result.result.id };
        let paid: bool = bench.chain.read(addresses.distributor, &call).await.expect("answered");
        assert_eq!(paid, *payee == willing, "height {}", result.header.height);
    }
    // Only what is new is read.
    let so_far = ledger.reads.lock().expect("not poisoned").len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let reads = ledger.reads.lock().expect("not poisoned").clone();
    assert!(reads[so_far..].iter().all(|from| *from == 41), "{:?}", &reads[so_far..]);
    assert_eq!(reads.iter().filter(|from| **from == 1).count(), 1, "{reads:?}");
    task.abort();
    let _ = task.await;

    // One that starts now skips what is paid.
    let relayer = Relayer::new(account, addresses, ledger, options).with_open_limit(40);
    let mut status = relayer.status();
    let task = tokio::spawn(async move {
        relayer.run().await;
    });
    reached(&mut status, |status| status.paid == 30 && status.open == 10).await;
    task.abort();
}
