//! Reading what contracts have logged, from nodes that allow little.

use std::path::Path;

use alloy::{
    primitives::{Address, Bytes, U256, hex},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol_types::SolEvent,
};
use dtn_chain::{
    Chain, Network,
    connection::{AnvilInstance, AnvilOptions, start_anvil},
    networks::Finality,
    preflight::Preflight,
};
use dtn_keys::dev_key;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::proxy::{self, Habit, Proxy};

alloy::sol! { event Happened(uint256 indexed number); }

const CONTRACT: Address = Address::repeat_byte(0x42);

/// A chain whose contract logs what it is called with.
struct World {
    anvil: AnvilInstance,
    honest: Chain,
}

impl World {
    /// One that has logged 1 and 2, a thousand blocks apart.
    async fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let anvil = start_anvil(root, AnvilOptions::default()).await.expect("anvil");
        let honest = Chain::connect(&Network::local(anvil.endpoint())).await.expect("answers");
        // LOG2 of the word that it is called with.
        let code = [hex!("6000357f").as_slice(), Happened::SIGNATURE_HASH.as_slice(), &hex!("60006000a200")].concat();
        let _: Value = proxy::anvil(&honest, "anvil_setCode", json!([CONTRACT, Bytes::from(code)])).await;
        let world = Self { anvil, honest };
        for number in 1..=2 {
            world.log(number).await;
            world.mine(1_000).await;
        }
        world
    }

    async fn log(&self, number: u64) {
        let from = dev_key(0).expect("there").address();
        let word = Bytes::copy_from_slice(&U256::from(number).to_be_bytes::<32>());
        let call = TransactionRequest::default().from(from).to(CONTRACT).input(word.into());
        let sent = self.honest.provider().send_transaction(call).await.expect("sent");
        sent.get_receipt().await.expect("mined");
    }

    async fn mine(&self, blocks: u64) {
        let _: Value = proxy::anvil(&self.honest, "anvil_mine", json!([blocks])).await;
    }

    async fn node(&self) -> Proxy {
        Proxy::before(self.anvil.endpoint()).await
    }
}

async fn connect(nodes: &[&Proxy]) -> Chain {
    let urls: Vec<_> = nodes.iter().map(|node| node.url.as_str()).collect();
    Chain::connect(&Network::local(urls.join(","))).await.expect("answers")
}

async fn logged(chain: &Chain) -> Vec<u64> {
    let head = chain.provider().get_block_number().await.expect("a head");
    let read = |event: Happened, _, _| Some(event.number.to());
    chain.events(CONTRACT, 0..=head, None, read).await.expect("read")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_a_node_refuses_is_halved_until_it_does_not() {
    let world = World::new().await;
    let node = world.node().await;
    node.never(Habit::LooksThrough(300));
    assert_eq!(logged(&connect(&[&node]).await).await, [1, 2]);
    let asked = node.asked("eth_getLogs");
    assert!(asked <= 14, "{asked} questions for 2,000 blocks in parts of 250");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_block_is_read_twice_or_left_out_where_a_node_looks_through_few() {
    let world = World::new().await;
    for number in 3..=30 {
        world.log(number).await;
    }
    let node = world.node().await;
    node.never(Habit::LooksThrough(4));
    let (chain, head) = (connect(&[&node]).await, world.honest.provider().get_block_number().await.expect("a head"));
    let read = |event: Happened, _, _| Some(event.number.to::<u64>());
    let found = chain.events(CONTRACT, head - 27..=head, None, read).await.expect("read");
    assert_eq!(found, (3..=30).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_logs_is_passed_over_and_asked_for_all_else() {
    let world = World::new().await;
    let (without, whole) = (world.node().await, world.node().await);
    for code in [-32601, -32005, -32000] {
        without.never(Habit::Refuses("eth_getLogs", code));
        assert_eq!(logged(&connect(&[&without, &whole]).await).await, [1, 2], "{code}");
    }
    // Where no node has them, the refusal is told, and not after looking block by block.
    let chain = connect(&[&without]).await;
    let read = |event: Happened, _, _| Some(event.number);
    let refused = chain.events(CONTRACT, 0..=2_000, None, read).await.expect_err("no node has logs");
    assert!(refused.to_string().contains("not here"), "{refused}");
    assert!(without.asked("eth_getLogs") < 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_not_asked_for_again_unless_the_chain_is_another() {
    let (world, folder) = (World::new().await, TempDir::new().expect("a temporary directory"));
    let node = world.node().await;
    node.never(Habit::LooksThrough(300));
    let fresh = async || connect(&[&node]).await.remembering(folder.path().join("logs"));
    assert_eq!(logged(&fresh().await).await, [1, 2]);
    let before = (proxy::anvil::<Value>(&world.honest, "evm_snapshot", json!([])).await, node.asked("eth_getLogs"));
    world.log(3).await;
    assert_eq!(logged(&fresh().await).await, [1, 2, 3]);
    assert_eq!(node.asked("eth_getLogs"), before.1 + 1, "one block is new");
    assert!(proxy::anvil::<bool>(&world.honest, "evm_revert", json!([before.0])).await);
    world.log(4).await;
    world.mine(1).await;
    assert_eq!(logged(&fresh().await).await, [1, 2, 4], "the last block that was read is another one now");
    for entry in folder.path().join("logs").read_dir().expect("there") {
        std::fs::write(entry.expect("there").path(), "{ torn").expect("writable");
    }
    assert_eq!(logged(&fresh().await).await, [1, 2, 4], "a memory that is none is made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_network_finds_what_commands_would_miss() {
    let world = World::new().await;
    let node = world.node().await;
    let fatal = async || {
        let chain = connect(&[&node]).await;
        let found = Preflight::run(&chain, None).await.expect("it answers").findings(Finality::Latest);
        found.into_iter().filter(|finding| finding.fatal).map(|finding| finding.what).collect::<Vec<_>>()
    };
    assert_eq!(fatal().await, [""; 0]);
    for method in ["eth_feeHistory", "eth_estimateGas", "eth_getLogs", "eth_getTransactionReceipt"] {
        node.never(Habit::Refuses(method, -32601));
        let found = fatal().await;
        assert!(found.len() == 1 && found[0].starts_with(method), "{found:?}");
    }
    node.never(Habit::LooksThrough(300));
    let narrow = Preflight::run(&connect(&[&node]).await, None).await.expect("it answers");
    assert_eq!(narrow.log_range, Some(251), "2,002 blocks, halved until they were not refused");
}
