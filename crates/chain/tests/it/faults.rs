//! What happens to transactions when nodes lose, refuse, delay or make up answers, on a real anvil behind a faulty node.

use std::{path::Path, time::Duration};

use alloy::{
    primitives::{Address, B256, U256},
    providers::Provider,
};
use dtn_chain::{
    Account, Chain, Network,
    connection::{AnvilInstance, AnvilOptions, ConnectError, start_anvil},
    gas_ledger::{ForgetError, GasLedger, TransactionStatus},
    sender::{Call, SendError},
};
use dtn_keys::dev_key;
use hyper::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::proxy::{self, Fault, Proxy};

const PAYEE: Address = Address::repeat_byte(0x71);

async fn anvil(chain_id: u64) -> AnvilInstance {
    let options = AnvilOptions { chain_id: Some(chain_id), ..AnvilOptions::default() };
    start_anvil(Path::new(env!("CARGO_MANIFEST_DIR")), options).await.expect("anvil")
}

/// A chain behind faulty nodes, and an account on it.
struct Bench {
    dir: TempDir,
    anvil: AnvilInstance,
    nodes: Vec<Proxy>,
    chain: Chain,
}

impl Bench {
    async fn with_nodes(count: usize) -> Self {
        let anvil = anvil(31337).await;
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(Proxy::before(anvil.endpoint()).await);
        }
        let urls: Vec<_> = nodes.iter().map(|node| node.url.as_str()).collect();
        let chain = Chain::connect(&network(&urls.join(","))).await.expect("answers");
        Self { dir: tempfile::tempdir().expect("a temporary directory"), anvil, nodes, chain }
    }

    fn account(&self) -> Account {
        let ledger = GasLedger::new(self.dir.path().join("gas.jsonl"));
        Account::new(self.chain.clone(), dev_key(0).expect("there"), ledger)
    }

    /// What the payee holds, as anvil itself says.
    async fn paid(&self) -> U256 {
        let honest = Chain::connect(&network(&self.anvil.endpoint())).await.expect("answers");
        honest.provider().get_balance(PAYEE).await.expect("a balance")
    }
}

fn network(urls: &str) -> Network {
    Network { poll_interval_ms: 20, receipt_timeout_ms: 3_000, ..Network::local(urls) }
}

fn payment() -> Call {
    Call::transfer("pay", PAYEE, U256::from(7))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_answer_is_lost_is_sent_again_and_paid_once() {
    let bench = Bench::with_nodes(1).await;
    let node = &bench.nodes[0];
    for method in ["eth_estimateGas", "eth_sendRawTransaction", "eth_getTransactionReceipt"] {
        node.next(method, Fault::AnswerLost).next(method, Fault::Lost);
    }
    let record = bench.account().send(&payment()).await.expect("paid");
    assert_eq!((node.left(), record.nonce), (0, 0));
    assert!(node.asked("eth_sendRawTransaction") >= 3);
    assert_eq!(bench.paid().await, U256::from(7));
    let records = bench.account().ledger().read().expect("readable").records;
    assert_eq!(records.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_node_is_asked_again() {
    let bench = Bench::with_nodes(1).await;
    let node = &bench.nodes[0];
    node.next("eth_getTransactionCount", Fault::Busy(StatusCode::TOO_MANY_REQUESTS));
    node.next("eth_sendRawTransaction", Fault::Refuse(-32005, "limit exceeded"));
    node.next("eth_feeHistory", Fault::Busy(StatusCode::SERVICE_UNAVAILABLE));
    node.next("eth_getTransactionReceipt", Fault::Garbage);
    bench.account().send(&payment()).await.expect("paid");
    assert_eq!((node.left(), bench.paid().await), (0, U256::from(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_does_not_answer_the_next_one_does() {
    let bench = Bench::with_nodes(2).await;
    let [first, second] = &bench.nodes[..] else { unreachable!() };
    bench.account().send(&payment()).await.expect("paid");
    assert_eq!(second.asked("eth_sendRawTransaction"), 0, "the first one is preferred while it answers");
    first.next("eth_sendRawTransaction", Fault::AnswerLost);
    let record = bench.account().send(&payment()).await.expect("paid");
    assert_eq!((record.nonce, second.asked("eth_sendRawTransaction")), (1, 1));
    let asked = first.asked("eth_estimateGas");
    bench.account().send(&payment()).await.expect("paid");
    assert_eq!(first.asked("eth_estimateGas"), asked, "the one that answered last is asked first");
    assert_eq!(bench.paid().await, U256::from(21));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_chain_is_asked_for_nothing_but_its_chain_id() {
    let (other, right) = (anvil(97).await, anvil(31337).await);
    let (foreign, own) = (Proxy::before(other.endpoint()).await, Proxy::before(right.endpoint()).await);
    let chain = Chain::connect(&network(&format!("{}, {}", foreign.url, own.url))).await.expect("one of them is right");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let account = Account::new(chain, dev_key(0).expect("there"), GasLedger::new(dir.path().join("gas.jsonl")));
    own.next("eth_sendRawTransaction", Fault::Lost);
    account.send(&payment()).await.expect("paid");
    assert_eq!((foreign.asked("eth_chainId"), foreign.asked("eth_sendRawTransaction")), (1, 0));
    assert_eq!(foreign.asked("eth_estimateGas") + foreign.asked("eth_getTransactionCount"), 0);

    let alone = Chain::connect(&network(&foreign.url)).await;
    assert!(matches!(alone, Err(ConnectError::WrongChain { actual: 97, expected: 31337, .. })), "{alone:?}");
    let error = Chain::connect(&network(&format!("{0},{0}", foreign.url))).await.expect_err("both are wrong");
    assert!(error.to_string().contains("another chain"), "{error}");
    // A node that changes its mind between two questions has lied once.
    own.next("eth_chainId", Fault::Lie(json!("0x61")));
    Chain::connect(&network(&own.url)).await.expect_err("it says 97");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_a_node_makes_up_neither_pays_twice_nor_blocks_the_account() {
    let bench = Bench::with_nodes(1).await;
    let (node, account) = (&bench.nodes[0], bench.account());
    account.send(&payment()).await.expect("paid");
    // Too low, for who knows better: it is not believed.
    node.next("eth_getTransactionCount", Fault::Lie(json!("0x0")));
    let sent = node.asked("eth_sendRawTransaction");
    account.send(&payment()).await.expect("paid");
    assert_eq!((node.left(), node.asked("eth_sendRawTransaction")), (0, sent + 1), "signed once");
    // Too low, for another process: it would sign with a nonce that is taken, and notices.
    node.next("eth_getTransactionCount", Fault::Lie(json!("0x0")));
    let record = bench.account().send(&payment()).await.expect("paid");
    assert_eq!(record.nonce, 2);
    // Too high: it waits behind nonces that nobody has used, until its time is up.
    node.next("eth_getTransactionCount", Fault::Lie(json!("0x5")));
    let waiting = bench.account();
    let error = waiting.send(&payment()).await.expect_err("no block takes it");
    assert!(matches!(error, SendError::NoReceipt { .. }), "{error}");
    assert_eq!(waiting.send(&payment()).await.expect("paid").nonce, 3, "the account goes on where it is");
    assert_eq!(waiting.send(&payment()).await.expect("paid").nonce, 4);
    // What waited can be mined now, or is replaced by what comes next: once either way.
    let record = waiting.send(&payment()).await.expect("paid");
    assert!((5..=6).contains(&record.nonce), "{record:?}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.paid().await, U256::from(7 * (record.nonce + 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_sent_is_written_down_before_it_is() {
    let bench = Bench::with_nodes(1).await;
    for _ in 0..5 {
        bench.nodes[0].next("eth_sendRawTransaction", Fault::Lost);
    }
    let error = bench.account().send(&payment()).await.expect_err("no answer");
    assert!(matches!(&error, SendError::PerhapsSent { record, .. } if record.nonce == 0), "{error}");
    let records = bench.account().ledger().read().expect("readable").records;
    assert_eq!(records.iter().map(|record| record.status).collect::<Vec<_>>(), [TransactionStatus::Pending]);
    bench.account().take_up().await.expect("sent now");
    assert_eq!(bench.paid().await, U256::from(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_done_once_enough_blocks_follow() {
    let bench = Bench::with_nodes(1).await;
    let node = &bench.nodes[0];
    let chain = Chain::connect(&Network { confirmations: 3, ..network(&node.url) }).await.expect("answers");
    let ledger = GasLedger::new(bench.dir.path().join("gas.jsonl"));
    let account = Account::new(chain.clone(), dev_key(0).expect("there"), ledger);
    let waiting = tokio::spawn(async move { account.send(&payment()).await });
    while node.asked("eth_getTransactionReceipt") < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(bench.paid().await == U256::from(7) && !waiting.is_finished(), "one block has it");
    let _: Value = proxy::anvil(&chain, "anvil_mine", json!([2])).await;
    let record = waiting.await.expect("no panic").expect("done");
    assert_eq!(record.status, TransactionStatus::Success);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_on_another_chain_is_not_taken_up() {
    let (bench, other) = (Bench::with_nodes(1).await, anvil(31_338).await);
    stopped(&bench).await;
    let under_way = stuck(&bench).await;
    let network = Network { chain_id: 31_338, ..network(&other.endpoint()) };
    let elsewhere = Chain::connect(&network).await.expect("answers");
    let ledger = GasLedger::new(bench.dir.path().join("gas.jsonl"));
    let account = Account::new(elsewhere, dev_key(0).expect("there"), ledger);
    assert!(account.open().await.expect("asked").is_empty());
    assert_eq!(account.send(&payment()).await.expect("paid").nonce, 0);
    assert!(bench.account().open().await.expect("asked").iter().any(|record| record.tx == under_way));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_of_another_transaction_is_none() {
    let bench = Bench::with_nodes(1).await;
    let (node, account) = (&bench.nodes[0], bench.account());
    let earlier = account.send(&payment()).await.expect("paid");
    let receipt: serde_json::Value =
        bench.chain.provider().raw_request("eth_getTransactionReceipt".into(), (earlier.tx,)).await.expect("there");
    let mining = |on: bool| bench.chain.provider().raw_request::<_, bool>("evm_setAutomine".into(), (on,));
    mining(false).await.ok();
    node.next("eth_getTransactionReceipt", Fault::Lie(receipt));
    let submitted = account.submit(&payment()).await.expect("taken");
    let tx = submitted.tx();
    let waiting = tokio::spawn(submitted.wait());
    while node.left() > 0 || node.asked("eth_getTransactionReceipt") < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!waiting.is_finished(), "nothing is mined yet");
    mining(true).await.ok();
    let _: Option<B256> = bench.chain.provider().raw_request("evm_mine".into(), ()).await.ok();
    let record = waiting.await.expect("no panic").expect("mined");
    assert_eq!(record.status, TransactionStatus::Success);
    assert!(record.tx == tx || record.nonce == 1);
    assert_eq!(bench.paid().await, U256::from(14));
}

/// No block is made until it is asked for.
async fn stopped(bench: &Bench) -> Chain {
    let honest = Chain::connect(&network(&bench.anvil.endpoint())).await.expect("answers");
    let _: Value = proxy::anvil(&honest, "evm_setAutomine", json!([false])).await;
    honest
}

/// A payment that this account has signed and no block holds.
async fn stuck(bench: &Bench) -> B256 {
    match bench.account().send(&payment()).await.expect_err("no block comes") {
        SendError::NoReceipt { tx, .. } => tx,
        error => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_got_no_receipt_is_taken_up_by_the_next_process_and_paid_once() {
    let bench = Bench::with_nodes(1).await;
    let honest = stopped(&bench).await;
    let tx = stuck(&bench).await;
    // Another process has the same ledger, and nothing in memory.
    let later = bench.account();
    let SendError::UnderWay(open) = later.take_up().await.expect_err("still no block") else { panic!() };
    assert_eq!((open.nonce, open.value), (0, U256::from(7)));
    // The node has forgotten all of it.
    for open in later.open().await.expect("asked") {
        let _: Value = proxy::anvil(&honest, "anvil_dropTransaction", json!([open.tx])).await;
    }
    let _: Value = proxy::anvil(&honest, "evm_setAutomine", json!([true])).await;
    bench.account().take_up().await.expect("sent again");
    assert_eq!(bench.paid().await, U256::from(7));
    let records = later.ledger().read().expect("readable").records;
    assert!(records.iter().any(|record| record.tx == tx), "{records:?}");
    let done: Vec<_> = records.iter().filter(|record| record.status == TransactionStatus::Success).collect();
    assert!(done.len() == 1 && records.iter().all(|record| record.nonce == 0 && record.raw.is_empty()), "{records:?}");
    assert_eq!(bench.account().send(&payment()).await.expect("paid").nonce, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_is_offered_for_what_is_stuck_or_its_place_is_taken() {
    for cancels in [false, true] {
        let bench = Bench::with_nodes(1).await;
        let honest = stopped(&bench).await;
        let tx = stuck(&bench).await;
        let (later, miner) = (bench.account(), honest.clone());
        let mined = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let _: Value = proxy::anvil(&miner, "anvil_mine", json!([1])).await;
        });
        let ended = if cancels { later.cancel(tx).await } else { later.raise(tx).await }.expect("a block came");
        mined.await.expect("no panic");
        assert!(ended.tx != tx && ended.nonce == 0, "{ended:?}");
        let known = later.ledger().read().expect("readable").records;
        assert!(known.len() > 1 && known.iter().all(|record| record.status != TransactionStatus::Pending), "{known:?}");
        assert_eq!(bench.paid().await, U256::from(if cancels { 0 } else { 7 }));
        assert!(later.open().await.expect("asked").is_empty());
        let unknown = later.raise(tx).await.expect_err("it is over");
        assert!(matches!(unknown, SendError::NotUnderWay { .. }), "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_next_takes_the_place_of_what_was_given_up() {
    let bench = Bench::with_nodes(1).await;
    stopped(&bench).await;
    let account = bench.account();
    account.send(&payment()).await.expect_err("no block comes");
    account.submit(&payment()).await.expect("taken");
    let known = account.ledger().read().expect("readable").records;
    assert!(known.len() > 1 && known.iter().all(|record| record.nonce == 0), "{known:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_that_the_account_cannot_pay() {
    let bench = Bench::with_nodes(1).await;
    let poor = dtn_primitives::SecretKey::from_bytes(&[5; 32]).expect("a scalar");
    let ledger = GasLedger::new(bench.dir.path().join("gas.jsonl"));
    bench.account().send(&Call::transfer("fund", poor.address(), U256::from(100_000u64))).await.expect("funded");
    let dry = Account::dry_run(bench.chain.clone(), poor, ledger);
    let error = dry.submit(&payment()).await.expect_err("only tried");
    assert!(matches!(error, SendError::InsufficientFunds { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_process_has_done_is_not_done_again_unasked() {
    let bench = Bench::with_nodes(1).await;
    // The process ends before it hears that its payment is in a block.
    let submitted = bench.account().submit(&payment()).await.expect("taken");
    let tx = submitted.tx();
    drop(submitted);
    let later = bench.account();
    later.take_up().await.expect("it is in a block");
    let error = later.send(&payment()).await.expect_err("it was paid");
    assert!(matches!(&error, SendError::DoneBefore(record) if record.tx == tx), "{error}");
    assert_eq!(bench.paid().await, U256::from(7));
    // Whoever means it says so by doing it again.
    later.send(&payment()).await.expect("paid once more");
    assert_eq!(bench.paid().await, U256::from(14));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_nonce_whose_receipt_nobody_shows_is_in_doubt_and_not_paid_again() {
    let bench = Bench::with_nodes(1).await;
    let node = &bench.nodes[0];
    let submitted = bench.account().submit(&payment()).await.expect("taken");
    let tx = submitted.tx();
    drop(submitted);
    for _ in 0..1_000 {
        node.next("eth_getTransactionReceipt", Fault::Lie(Value::Null));
        node.next("eth_getTransactionByHash", Fault::Lie(Value::Null));
    }
    let error = bench.account().take_up().await.expect_err("nobody knows");
    assert!(matches!(&error, SendError::InDoubt(record) if record.tx == tx), "{error}");
    // Whoever knows that it was never mined may say so, and the account goes on.
    let forgotten = bench.account().ledger().forget(tx, &bench.chain).await.expect("no node has it");
    assert_eq!((forgotten.tx, forgotten.status), (tx, TransactionStatus::Dropped));
    bench.account().take_up().await.expect("nothing is under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_has_cannot_be_forgotten() {
    let bench = Bench::with_nodes(1).await;
    stopped(&bench).await;
    let tx = stuck(&bench).await;
    let error = bench.account().ledger().forget(tx, &bench.chain).await.expect_err("it waits there");
    assert!(matches!(error, ForgetError::Known(known) if known == tx), "{error}");
    let error = bench.account().ledger().forget(B256::ZERO, &bench.chain).await.expect_err("it is none of ours");
    assert!(matches!(error, ForgetError::NotOpen(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_begun_anew_is_not_sent_what_was_for_the_old_one() {
    let old = Bench::with_nodes(1).await;
    for _ in 0..3 {
        old.account().send(&payment()).await.expect("paid");
    }
    stopped(&old).await;
    let tx = stuck(&old).await;
    // The same network, from its first block on.
    let anew = anvil(31337).await;
    let chain = Chain::connect(&network(&anew.endpoint())).await.expect("answers");
    let ledger = GasLedger::new(old.dir.path().join("gas.jsonl"));
    let account = Account::new(chain.clone(), dev_key(0).expect("there"), ledger);
    let error = account.take_up().await.expect_err("it waits for nonces that nobody has");
    assert!(matches!(&error, SendError::Gap { record, next: 0 } if record.nonce == 3), "{error}");
    assert_eq!(chain.provider().get_block_number().await.expect("answers"), 0, "nothing was sent");
    for open in account.open().await.expect("asked") {
        account.ledger().forget(open.tx, &chain).await.expect("the chain has none of it");
    }
    account.take_up().await.expect("nothing is under way");
    assert_eq!(account.send(&payment()).await.expect("paid").nonce, 0, "instead of {tx}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_while_another_folder_has_something_under_way() {
    let bench = Bench::with_nodes(1).await;
    let honest = stopped(&bench).await;
    bench.account().submit(&payment()).await.expect("taken");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let ledger = GasLedger::new(folder.path().join("gas.jsonl"));
    let elsewhere = Account::new(bench.chain.clone(), dev_key(0).expect("there"), ledger);
    let error = elsewhere.take_up().await.expect_err("it is not in a block");
    assert!(matches!(error, SendError::OthersUnderWay { nonce: 0, count: 1, .. }), "{error}");
    let _: Value = proxy::anvil(&honest, "anvil_mine", json!([1])).await;
    elsewhere.take_up().await.expect("now it is");
}
