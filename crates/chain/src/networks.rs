//! The settlement chains that are known by name, from built-in defaults, a file and the environment.

use std::{collections::BTreeMap, io, ops::RangeInclusive, path::Path, time::Duration};

use dtn_config::{Layers, Mistake, OutOfRange};
use serde::{Deserialize, Serialize};

use crate::{amount::deserialize_wei, endpoints::Endpoints, shown};

/// The file that is read from the current directory when no other is named.
pub const CONFIG_FILE: &str = "dtn.toml";

/// What every variable begins with that overrides a key of the file: `DTN_NETWORKS__TESTNET__RPC`.
const VARIABLES: &str = "DTN_";

/// The chain id of a development chain.
pub const LOCAL_CHAIN_ID: u64 = 31337;

const GWEI: u64 = 1_000_000_000;

/// From when on a block counts as irrevocable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finality {
    /// As soon as it exists: right for a development chain.
    Latest,
    /// When the chain itself calls it finalized.
    Finalized,
}

/// One settlement chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its name in the configuration.
    #[serde(skip)]
    pub name: String,
    /// Checked against the node's before anything is signed.
    pub chain_id: u64,
    /// The nodes' HTTP endpoints: one, or several of which the next one is asked when one does not answer.
    pub rpc: Endpoints,
    /// The least tip that the chain accepts, in wei (or as text with a unit).
    #[serde(default, deserialize_with = "deserialize_wei")]
    pub min_priority_fee: u64,
    /// The most that is paid for a unit of gas, in wei; 0 for any price. While the chain asks for more, what has no
    /// deadline waits.
    #[serde(default, deserialize_with = "deserialize_wei")]
    pub max_fee_per_gas: u64,
    /// What one gas ledger may spend on fees in 24 hours, in wei; 0 for any amount. What has no deadline waits for the
    /// next day.
    #[serde(default, deserialize_with = "deserialize_wei")]
    pub daily_budget: u64,
    /// Blocks that must hold a transaction, its own included, before it counts as done.
    #[serde(default = "one")]
    pub confirmations: u64,
    /// When a payout is irrevocable.
    #[serde(default = "finalized")]
    pub finality: Finality,
    /// Where people look at transactions.
    #[serde(default)]
    pub explorer: Option<String>,
    /// How often the node is asked about something awaited.
    #[serde(default = "second")]
    pub poll_interval_ms: u64,
    /// How long a transaction's receipt is waited for.
    #[serde(default = "minutes")]
    pub receipt_timeout_ms: u64,
}

fn one() -> u64 {
    1
}

fn finalized() -> Finality {
    Finality::Finalized
}

fn second() -> u64 {
    1_000
}

fn minutes() -> u64 {
    120_000
}

impl Network {
    /// A development chain, where blocks are final as they come and only this machine listens.
    pub fn local(rpc: impl Into<Endpoints>) -> Self {
        Self {
            name: "local".into(),
            chain_id: LOCAL_CHAIN_ID,
            rpc: rpc.into(),
            min_priority_fee: 0,
            max_fee_per_gas: 0,
            daily_budget: 0,
            confirmations: 1,
            finality: Finality::Latest,
            explorer: None,
            poll_interval_ms: 100,
            receipt_timeout_ms: 30_000,
        }
    }

    fn bsc(name: &str, chain_id: u64, rpc: &str, explorer: &str) -> Self {
        Self {
            name: name.into(),
            chain_id,
            rpc: rpc.into(),
            min_priority_fee: GWEI / 10, // the usual estimate can be 1 wei there, which the chain refuses
            max_fee_per_gas: 0,
            daily_budget: 0,
            confirmations: 1,
            finality: Finality::Finalized,
            explorer: Some(explorer.into()),
            poll_interval_ms: 500,
            receipt_timeout_ms: minutes(),
        }
    }

    /// Fails if a number in it makes no sense.
    pub fn check(&self) -> Result<(), OutOfRange> {
        OutOfRange::check("chain_id", self.chain_id, CHAIN_IDS)?;
        OutOfRange::check("confirmations", self.confirmations, CONFIRMATIONS)?;
        OutOfRange::check("poll_interval_ms", self.poll_interval_ms, POLL_INTERVAL_MS)?;
        OutOfRange::check("receipt_timeout_ms", self.receipt_timeout_ms, RECEIPT_TIMEOUT_MS)
    }

    /// Whether this is a development chain, the only kind on which the public development keys may sign.
    pub fn is_local(&self) -> bool {
        self.chain_id == LOCAL_CHAIN_ID
    }

    /// See [`Network::poll_interval_ms`].
    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms.max(*POLL_INTERVAL_MS.start()))
    }

    /// See [`Network::receipt_timeout_ms`].
    pub fn receipt_timeout(&self) -> Duration {
        Duration::from_millis(self.receipt_timeout_ms)
    }

    /// Where a person can look at a transaction.
    pub fn transaction_url(&self, tx: alloy::primitives::B256) -> Option<String> {
        self.explorer.as_ref().map(|explorer| format!("{}/tx/{tx}", explorer.trim_end_matches('/')))
    }
}

/// The pauses between two questions that can be asked for, in milliseconds.
const POLL_INTERVAL_MS: RangeInclusive<u64> = 10..=3_600_000;

/// How long a receipt can be waited for, in milliseconds.
const RECEIPT_TIMEOUT_MS: RangeInclusive<u64> = 1_000..=86_400_000;

/// Blocks that can be asked to hold a transaction; none is taken for one.
const CONFIRMATIONS: RangeInclusive<u64> = 0..=10_000;

/// The chain ids that there are.
const CHAIN_IDS: RangeInclusive<u64> = 1..=u64::MAX;

/// Why the configuration was not used.
#[derive(Debug, thiserror::Error)]
pub enum NetworksError {
    /// A named file that is not there.
    #[error("the configuration file {0} does not exist")]
    NoFile(String),
    /// A file that cannot be read.
    #[error("cannot read the configuration file {file}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A mistake in the file or the environment, with its place. A line of the file is shown with its URLs cut.
    #[error("configuration: {0}")]
    Invalid(String),
    /// A number that makes no sense.
    #[error("configuration: networks.{name}.{} in {file} or its variable: {error}", error.key)]
    OutOfRange {
        /// The network.
        name: String,
        /// The file.
        file: String,
        /// The number.
        error: OutOfRange,
    },
    /// No network of that name.
    #[error("there is no network `{name}`; known are {known}. Describe it under [networks.{name}] in {CONFIG_FILE}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
}

impl From<Mistake> for NetworksError {
    fn from(mistake: Mistake) -> Self {
        Self::Invalid(shown::text(&mistake.to_string()))
    }
}

/// All networks that are known by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(BTreeMap<String, Network>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    networks: BTreeMap<String, Network>,
}

impl Networks {
    /// The networks that every installation knows.
    pub fn built_in() -> Self {
        let networks = [
            Network::local("http://127.0.0.1:8545"),
            Network::bsc(
                "testnet",
                97,
                "https://data-seed-prebsc-1-s1.bnbchain.org:8545, https://bsc-testnet.publicnode.com, \
                 https://bsc-testnet.drpc.org",
                "https://testnet.bscscan.com",
            ),
            Network::bsc(
                "mainnet",
                56,
                "https://bsc-dataseed.bnbchain.org, https://bsc-rpc.publicnode.com",
                "https://bscscan.com",
            ),
        ];
        Self(networks.into_iter().map(|network| (network.name.clone(), network)).collect())
    }

    /// Built-in defaults, under the file, under variables like `DTN_NETWORKS__TESTNET__RPC`.
    ///
    /// A named file must exist; the default one, [`CONFIG_FILE`] in the current directory, need not.
    pub fn load(file: Option<&Path>) -> Result<Self, NetworksError> {
        let path = file.unwrap_or(Path::new(CONFIG_FILE));
        let shown = || path.display().to_string();
        let is_there = path.try_exists().map_err(|source| NetworksError::Unreadable { file: shown(), source })?;
        if file.is_some() && !is_there {
            return Err(NetworksError::NoFile(shown()));
        }
        let mut layers = Layers::built_in(&File { networks: Self::built_in().0 })
            .expect("what is built in is tables, texts and numbers");
        if is_there {
            let text = dtn_files::read_to_string(path, dtn_files::MOST);
            let text = text.map_err(|source| NetworksError::Unreadable { file: shown(), source })?;
            layers = layers.file(path, &text)?;
        }
        let file: File = layers.variables(VARIABLES, &["networks"]).extract()?;
        let named = file.networks.into_iter().map(|(name, network)| (name.clone(), Network { name, ..network }));
        let networks = Self(named.collect());
        for network in networks.iter() {
            let out_of_range = |error| {
                let (name, file) = (network.name.clone(), shown());
                NetworksError::OutOfRange { name, file, error }
            };
            network.check().map_err(out_of_range)?;
        }
        Ok(networks)
    }

    /// The network of a name.
    pub fn get(&self, name: &str) -> Result<&Network, NetworksError> {
        self.0.get(name).ok_or_else(|| NetworksError::Unknown {
            name: name.to_string(),
            known: self.0.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Networks, NetworksError> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("dtn.toml");
        std::fs::write(&path, text).expect("writable");
        Networks::load(Some(&path))
    }

    #[test]
    fn the_file_changes_single_keys_and_adds_networks() {
        let networks = load(
            r#"
            [networks.testnet]
            rpc = "http://127.0.0.1:9000"
            min_priority_fee = "3gwei"
            [networks.sepolia]
            chain_id = 11155111
            rpc = ["https://example.org", "https://example.com"]
            "#,
        )
        .expect("valid");
        let testnet = networks.get("testnet").expect("known");
        assert_eq!((testnet.chain_id, testnet.rpc.to_string().as_str()), (97, "http://127.0.0.1:9000"));
        assert_eq!(testnet.min_priority_fee, 3 * GWEI);
        assert_eq!(testnet.name, "testnet");
        let sepolia = networks.get("sepolia").expect("known");
        assert_eq!((sepolia.confirmations, sepolia.finality), (1, Finality::Finalized));
        assert!(!sepolia.is_local());
        assert_eq!(sepolia.rpc, "https://example.org,https://example.com".into());
    }

    #[test]
    fn a_number_that_makes_no_sense_is_refused_with_its_file_key_and_range() {
        for (key, value) in [
            ("chain_id", "0"),
            ("confirmations", "1000000"),
            ("poll_interval_ms", "0"),
            ("receipt_timeout_ms", "0"),
            ("receipt_timeout_ms", "86400001"),
        ] {
            let error = load(&format!("[networks.testnet]\n{key} = {value}\n")).expect_err("out of range").to_string();
            let named = error.contains(&format!("networks.testnet.{key} in ")) && error.contains("dtn.toml");
            assert!(named && error.contains(&format!("{value} is not in ")), "{error}");
        }
    }

    #[test]
    fn a_mistake_is_reported_with_its_place() {
        let syntax = load("[networks.testnet]\nchain_id = = 3\n").expect_err("not TOML").to_string();
        assert!(syntax.contains("line 2"), "{syntax}");
        let kind = load("[networks.testnet]\nchain_id = \"x\"\n").expect_err("not a number").to_string();
        assert!(kind.contains("networks.testnet.chain_id") && kind.contains("dtn.toml"), "{kind}");
        let key = load("[networks.testnet]\nrcp = \"x\"\n").expect_err("unknown key").to_string();
        assert!(key.contains("rcp"), "{key}");
        let missing = load("[networks.mine]\nchain_id = 5\n").expect_err("no rpc").to_string();
        assert!(missing.contains("rpc"), "{missing}");
    }

    #[test]
    fn a_mistake_in_a_file_shows_no_url_in_full_and_neither_does_a_network() {
        for rpc in [
            "= = \"https://u:secret@a.example/secret\"",
            "= \"wss://a.example/secret\"\nrcp = 1",
            "= \"https://a.example/?k=secret",
        ] {
            let error = load(&format!("[networks.testnet]\nrpc {rpc}\n")).expect_err("a mistake").to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let networks =
            load("[networks.testnet]\nrpc = [\"https://u:secret@a.example/\", \"https://b.example/secret\"]\n");
        let network = networks.expect("valid").get("testnet").expect("known").clone();
        assert_eq!(network.rpc.to_string(), "https://a.example/…, https://b.example/…");
        let written = serde_json::to_string(&network).expect("JSON");
        assert!(!format!("{network:?}").contains("secret") && written.matches("secret").count() == 2);
    }

    #[test]
    fn an_unknown_name_and_an_absent_file_say_what_there_is() {
        let error = Networks::built_in().get("tesnet").expect_err("unknown").to_string();
        assert!(error.contains("local, mainnet, testnet"), "{error}");
        let error = Networks::load(Some(Path::new("/nowhere/dtn.toml"))).expect_err("absent").to_string();
        assert!(error.contains("/nowhere/dtn.toml"), "{error}");
        let unreadable = Networks::load(Some(Path::new("/dev/null/dtn.toml"))).expect_err("null is no folder");
        assert!(matches!(unreadable, NetworksError::Unreadable { .. }), "{unreadable}");
    }
}
