//! A folder in which the command line works on the chain side, and the chain that it talks to.
#![allow(dead_code, reason = "no suite uses all of it")]

pub(crate) mod race;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use alloy::{network::TransactionResponse, primitives::Address, providers::Provider};
use dtn_chain::{
    Chain, Network,
    connection::{AnvilInstance, AnvilOptions, start_anvil},
};
use dtn_keys::{Keystore, Password};
use dtn_primitives::{Genesis, SecretKey};
use serde_json::Value;
use tempfile::TempDir;

/// What opens every key of a bench.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_path_buf()
}

/// A folder with its chain.
pub(crate) struct Bench {
    dir: TempDir,
    pub(crate) anvil: AnvilInstance,
}

impl Bench {
    pub(crate) async fn new(options: AnvilOptions) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("password"), format!("{PASSWORD}\n")).expect("writable");
        Self { dir, anvil: start_anvil(&repository(), options).await.expect("anvil") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dtn-cli"));
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DTN_")) {
            command.env_remove(name);
        }
        command.env("DTN_PASSWORD_FILE", "password").env("DTN_RPC_URL", self.anvil.endpoint());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the command runs")
    }

    /// Runs a command that must succeed and print JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Runs a command that must fail with exit code 1, and gives what it says.
    pub(crate) fn failure(&self, arguments: &[&str]) -> String {
        failure(&mut self.command(arguments))
    }

    pub(crate) fn generate_keys(&self, count: usize) -> Vec<SecretKey> {
        let keys = self.json(&["keys", "generate", "--count", &count.to_string()]);
        assert_eq!(keys.as_array().map(Vec::len), Some(count));
        let keys = Keystore::new(self.path("keys")).list().expect("readable");
        keys.iter().map(|key| key.unlock(&Password::new(PASSWORD)).expect("the password")).collect()
    }

    pub(crate) fn write_genesis(&self, validators: &[SecretKey], chain_id: u64) {
        let text = serde_json::to_string(&genesis(validators, chain_id)).expect("JSON");
        fs::write(self.path("genesis.json"), text).expect("writable");
    }

    pub(crate) async fn chain(&self) -> Chain {
        let network = Network { chain_id: self.anvil.chain_id(), ..Network::local(self.anvil.endpoint()) };
        Chain::connect(&network).await.expect("anvil answers")
    }
}

pub(crate) fn failure(command: &mut Command) -> String {
    let output = command.output().expect("the command runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {text}");
    text
}

pub(crate) fn genesis(validators: &[SecretKey], chain_id: u64) -> Genesis {
    Genesis {
        version: dtn_primitives::VERSION,
        name: "test".into(),
        chain_id,
        timestamp: 1,
        max_block_bytes: 1 << 20,
        validators: validators.iter().map(SecretKey::public_key).collect(),
        requesters: Vec::new(),
        engine: dtn_primitives::Engine::Pbft,
        kinds: Vec::new(),
        training: None,
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// The gas of everything on the chain that these accounts sent.
pub(crate) async fn gas_on_chain(chain: &Chain, senders: &[Address]) -> u64 {
    let provider = chain.provider();
    let mut gas = 0;
    for number in 0..=provider.get_block_number().await.expect("a number") {
        let block = provider.get_block_by_number(number.into()).full().await.expect("a block").expect("a block");
        for transaction in block.transactions.txns().filter(|transaction| senders.contains(&transaction.from())) {
            let receipt = provider.get_transaction_receipt(transaction.tx_hash()).await.expect("answered");
            gas += receipt.expect("a receipt").gas_used;
        }
    }
    gas
}
