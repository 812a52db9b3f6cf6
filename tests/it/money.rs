//! Money on real peers and a real chain: into the ledger, out of it, and back.

use alloy::{
    primitives::{Address, U256},
    providers::Provider,
};
use dtn_api::ApiClient;
use dtn_chain::{Chain, Network, amount::parse_amount};
use jsonrpsee::http_client::HttpClientBuilder;
use serde_json::Value;

use crate::{
    common::{Scene, succeed, wait_until},
    reports::Anvil,
};

/// Four peers that settle on a chain of their own.
struct Bank {
    scene: Scene,
    _anvil: Anvil,
    rpc: String,
    runtime: tokio::runtime::Runtime,
    /// Whose money it is: the network's client, which sends nothing on chain.
    account: Address,
}

fn ether(amount: &str) -> U256 {
    parse_amount(&format!("{amount}ether")).unwrap()
}

impl Bank {
    fn open() -> Self {
        let scene = Scene::new();
        scene.init_with(4, &["--earnings-epoch", "5s"]);
        let (anvil, rpc) = Anvil::start();
        let account = scene.client().parse().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let bank = Self { scene, _anvil: anvil, rpc, runtime, account };
        // So little leaves at once that the first statement is paid in two parts.
        bank.on_chain(&["deploy", "--reward-delay", "2s", "--reward-cap", "2ether", "--reward-period", "4s"]);
        let keys = bank.scene.home().join("keys");
        bank.on_chain(&["fund", "--to", keys.to_str().unwrap(), "--amount", "1ether"]);
        bank.scene.ok(&["l1", "up"]);
        bank
    }

    fn on_chain(&self, arguments: &[&str]) -> Value {
        let mut command = self.scene.command(&[arguments, &["--json"]].concat());
        command.env("DTN_RPC_URL", &self.rpc).env("DTN_KEYS", self.scene.home().join("keys"));
        command.env("DTN_PASSWORD_FILE", self.scene.home().join("password"));
        serde_json::from_str(&succeed(&mut command)).unwrap()
    }

    fn balance_on_chain(&self) -> U256 {
        self.runtime.block_on(async {
            let chain = Chain::connect(&Network::local(self.rpc.as_str())).await.unwrap();
            chain.provider().get_balance(self.account).await.unwrap()
        })
    }

    /// What a peer says that the account has free.
    fn free_at(&self, peer: usize) -> U256 {
        let client = HttpClientBuilder::default().build(format!("http://{}", self.scene.api(peer))).unwrap();
        self.runtime.block_on(async { client.balance(self.account).await.unwrap().free })
    }

    fn shown(&self, what: &str) -> U256 {
        let shown = self.on_chain(&["money", "show", &self.account.to_string()]);
        shown["accounts"][0][what].as_str().unwrap().parse().unwrap()
    }
}

#[test]
fn what_is_taken_out_of_the_ledger_is_on_the_chain_without_anybody_doing_anything() {
    let bank = Bank::open();
    let deposit = |amount, from| {
        let account = bank.account.to_string();
        bank.on_chain(&["money", "deposit", amount, "--account", &account, "--from", from]);
    };
    deposit("7ether", "dev:1");
    deposit("3ether", "dev:2");
    for peer in 0..4 {
        wait_until("every peer has the deposits", || bank.free_at(peer) == ether("10"));
    }
    let before = bank.balance_on_chain();
    let withdraw = |amount| bank.on_chain(&["money", "withdraw", amount, "--from", "client"]);
    withdraw("3ether");
    wait_until("the first statement is paid", || bank.shown("claimed") == ether("3"));
    assert_eq!(bank.balance_on_chain(), before + ether("3"));
    assert_eq!((bank.shown("free"), bank.shown("claimable")), (ether("7"), U256::ZERO));

    // Another epoch, with a peer less, and a peer that comes back states nothing twice.
    bank.scene.kill(1);
    withdraw("2ether");
    deposit("1ether", "dev:1");
    wait_until("the second statement is paid", || bank.shown("claimed") == ether("5"));
    assert_eq!(bank.balance_on_chain(), before + ether("5"));
    wait_until("the deposit is there", || bank.shown("free") == ether("6"));
    bank.scene.ok(&["l1", "up"]);
    wait_until("the peer that was killed knows", || bank.free_at(1) == ether("6"));
    let status = bank.on_chain(&["settle", "status"]);
    let earnings = &status["earnings"];
    assert!(earnings["last"].as_u64() >= Some(2) && earnings["last"] == earnings["in_effect"], "{status}");
    assert_eq!(earnings["left"], "0x0", "{status}");
    assert_eq!(bank.balance_on_chain(), before + ether("5"), "nothing is paid twice");
    bank.scene.assert_agreement(&[]);
}
