//! The folder of a peer, and what its `node.toml` says.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use dtn_adversary::Kind;
use dtn_bindings::ContractAddresses;
use dtn_chain::{networks::Network, shown};
pub use dtn_config::Setting;
use dtn_config::{Layers, Mistake, OutOfRange};
use dtn_node::{LinesConfig, Multiaddr, Role};
use dtn_participant::Behaviour;
use dtn_primitives::{Address, Genesis, GenesisError, MAX_LINE_HASHES, deserialize_address};
use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileError},
    log::{self, LogConfig},
};

/// What every variable begins with that overrides a key of `node.toml`: `DTN_NODE_LOG__LEVEL` is `log.level`.
const NODE_VARIABLES: &str = "DTN_NODE_";

/// How many threads a peer may work on proofs with.
pub const THREADS: RangeInclusive<u64> = 1..=1_024;

/// How long a primary may be given, in milliseconds: less than a message takes ends every view, and more stops the network
/// for as long.
const VIEW_TIMEOUT_MS: RangeInclusive<u64> = 10..=3_600_000;

/// How many observers may follow a peer; each takes a connection, and memory.
const OBSERVERS: RangeInclusive<u64> = 0..=10_000;

/// Where a log may move to a second file, in bytes: one that has room for no line would move at each.
const LOG_BYTES: RangeInclusive<u64> = 1_024..=u64::MAX;

/// One peer's `node.toml`. Relative paths are taken from the file's folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// The genesis file.
    pub genesis: PathBuf,
    /// Whether it votes: "validator" or "observer".
    #[serde(default)]
    pub role: Role,
    /// The encrypted keystore of this peer.
    pub keystore: PathBuf,
    /// The file whose first line opens it.
    pub password_file: PathBuf,
    /// Where this peer listens for the others, as a multiaddress.
    pub listen: Multiaddr,
    /// Where it serves its API. It has no authentication: keep it on loopback.
    pub api: SocketAddr,
    /// Names beside `localhost` and the address by which clients call the API; requests to others are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_hosts: Vec<String>,
    /// Who receives the rewards that it earns.
    #[serde(deserialize_with = "deserialize_address")]
    pub payee: Address,
    /// How many threads search for proofs of work and prove rounds.
    pub threads: NonZeroUsize,
    /// Whether it races for proofs of work; one that does not votes all the same.
    #[serde(default = "mine", skip_serializing_if = "Clone::clone")]
    pub mine: bool,
    /// For demonstrations on a development chain: claims half of its work of rounds as all of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub half_work: bool,
    /// For trials on a development chain: how it lies to the other validators, such as "equivocator" or "silent".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lie: Option<Kind>,
    /// Whether it takes part in orders for trained models by itself: it trains where validators are left over, states scores and
    /// audits where it is drawn, challenges what is false, and rules.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub train: bool,
    /// At how many points of an order's grid it trains at most.
    #[serde(default = "train_points")]
    pub train_points: u16,
    /// For demonstrations on a development chain: how it behaves in such orders, such as "lazy" or "thief:0x…".
    #[serde(default, skip_serializing_if = "is_honest", with = "behaviour")]
    pub train_behaviour: Behaviour,
    /// A program that trains, where only scores count, in place of what is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer: Option<PathBuf>,
    /// A program that says how good a model is, of those at the points of a grid, in place of the rows that everybody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorer: Option<PathBuf>,
    /// Have the contract take own work of rounds back as a whole where it is short enough: more gas, and no window to wait
    /// for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uphold: bool,
    /// How long a primary may take before the others move to the next view, in milliseconds.
    #[serde(default = "view_timeout_ms")]
    pub view_timeout_ms: u64,
    /// How many blocks below a stable checkpoint are kept; 0 for all.
    #[serde(default = "retain_blocks")]
    pub retain_blocks: u64,
    /// How many observers may follow this peer.
    #[serde(default)]
    pub max_observers: usize,
    /// Observers that this observer may follow, as multiaddresses that end in `/p2p/` and the peer's id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bootstrap: Vec<Multiaddr>,
    /// What is logged, how and where.
    #[serde(default)]
    pub log: LogConfig,
    /// Where it takes in lines, each of which opens a race; without it, nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<LinesConfig>,
    /// Where validators listen: an observer needs to know one.
    pub peers: BTreeMap<Address, Multiaddr>,
    /// Where results are paid; without it the peer does not settle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<SettlementConfig>,
}

fn mine() -> bool {
    true
}

fn train_points() -> u16 {
    4
}

fn is_honest(behaviour: &Behaviour) -> bool {
    *behaviour == Behaviour::Honest
}

/// A behaviour as text.
mod behaviour {
    use dtn_participant::Behaviour;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(behaviour: &Behaviour, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(behaviour)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Behaviour, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

fn view_timeout_ms() -> u64 {
    2_000
}

fn retain_blocks() -> u64 {
    dtn_ledger::RETAIN_BLOCKS
}

fn least_claim() -> u64 {
    dtn_settlement::earnings::LEAST_CLAIM as u64
}

/// Where a peer settles.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementConfig {
    /// The network's name, as in `dtn.toml`.
    pub name: String,
    /// The contracts of this DTN network there.
    pub contracts: ContractAddresses,
    /// A block of the chain before which the contracts did not exist: deposits are looked for from here on.
    #[serde(default)]
    pub from_block: u64,
    /// What an account must have to claim of earnings so that this peer claims it for it, in the unit of the ledger's money. Less
    /// is not worth the gas, and waits until it is more.
    #[serde(default = "least_claim")]
    pub least_claim: u64,
    /// How to reach and treat the chain.
    pub chain: Network,
}

impl SettlementConfig {
    /// That of contracts on a chain which did not exist before a block.
    pub fn new(chain: Network, contracts: ContractAddresses, from_block: u64) -> Self {
        Self { name: chain.name.clone(), contracts, from_block, least_claim: least_claim(), chain }
    }
}

/// The folder of one peer.
#[derive(Debug, Clone)]
pub struct PeerHome(PathBuf);

impl PeerHome {
    /// That of a folder, whether it exists or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(absolute(path.into()))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its configuration.
    pub fn config_file(&self) -> PathBuf {
        self.0.join("node.toml")
    }

    /// What is final, and what it has said.
    pub fn store(&self) -> PathBuf {
        self.0.join("ledger.redb")
    }

    /// What its transactions on the chain cost.
    pub fn gas_ledger(&self) -> PathBuf {
        self.0.join("gas.jsonl")
    }

    /// What it keeps for its orders and claims.
    pub fn training(&self) -> PathBuf {
        self.0.join("training")
    }

    /// The file that its process holds; see [`crate::hold`].
    pub fn pid_file(&self) -> PathBuf {
        self.0.join("pid")
    }

    /// What is logged by a peer that `l1 up` started.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The configuration: `node.toml`, under variables like `DTN_NODE_LOG__LEVEL`, under settings as `log.level=debug`.
    /// Paths are made absolute.
    pub fn config(&self, settings: &[Setting]) -> Result<PeerConfig, ConfigError> {
        let file = self.config_file();
        if !files::exists(&file)? {
            return Err(ConfigError::NoPeer { folder: self.0.clone(), file });
        }
        let text = files::read_text(&file, files::MOST)?;
        let layers = Layers::default().file(&file, &text)?;
        let layers = layers.variables(NODE_VARIABLES, &[]).settings(settings);
        let mut config: PeerConfig = layers.extract()?;
        let unfit = config.unfit().into_iter().map(|(key, why)| {
            let key: Vec<_> = key.split('.').map(str::to_string).collect();
            format!("{} is not valid: {why}", layers.who(&key))
        });
        let unfit: Vec<_> = unfit.collect();
        if !unfit.is_empty() {
            return Err(ConfigError::NotValid(unfit));
        }
        let files = [&mut config.genesis, &mut config.keystore, &mut config.password_file];
        let tools = config.trainer.iter_mut().chain(&mut config.scorer);
        for path in files.into_iter().chain(&mut config.log.file).chain(tools) {
            *path = self.0.join(&path);
        }
        Ok(config)
    }
}

/// Why a configuration, or what it names, is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is none.
    #[error("there is no peer in {}: {} is absent", folder.display(), file.display())]
    NoPeer {
        /// The folder.
        folder: PathBuf,
        /// The file that should be there.
        file: PathBuf,
    },
    /// Some keys do not fit, each said with who says what it is.
    #[error("{}", .0.join("\n"))]
    NotValid(Vec<String>),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is no genesis.
    #[error("{} is not a genesis", file.display())]
    NoGenesis {
        /// The file.
        file: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Nobody can run a network by a genesis.
    #[error("{} is unusable", file.display())]
    Genesis {
        /// The file.
        file: PathBuf,
        /// Why.
        source: GenesisError,
    },
}

/// Reads a genesis by which a network can run.
pub fn read_genesis(file: &Path) -> Result<Genesis, ConfigError> {
    let text = files::read_text(file, files::MOST)?;
    let genesis: Genesis =
        serde_json::from_str(&text).map_err(|source| ConfigError::NoGenesis { file: file.into(), source })?;
    genesis.validator_set().map_err(|source| ConfigError::Genesis { file: file.into(), source })?;
    Ok(genesis)
}

impl From<Mistake> for ConfigError {
    fn from(mistake: Mistake) -> Self {
        Self::NotValid(vec![shown::text(&mistake.to_string())])
    }
}

impl PeerConfig {
    /// The keys whose values are of the right kind and make no sense all the same, and why.
    fn unfit(&self) -> Vec<(String, String)> {
        let mut unfit: Vec<(String, String)> = Vec::new();
        let sockets = [("api", Some(self.api)), ("lines.listen", self.lines.as_ref().map(|lines| lines.listen))];
        let sockets = sockets.into_iter().filter(|(_, socket)| socket.is_some_and(|socket| socket.port() == 0));
        unfit.extend(sockets.map(|(key, _)| (key.into(), ANY_PORT.into())));
        let peers = self.peers.iter().map(|(address, place)| (format!("peers.{address}"), place));
        let places = [("listen".to_string(), &self.listen)].into_iter().chain(peers);
        let places = places.chain(self.bootstrap.iter().map(|place| ("bootstrap".to_string(), place)));
        unfit.extend(places.filter(|(_, place)| listens_anywhere(place)).map(|(key, _)| (key, ANY_PORT.to_string())));
        let numbers = [
            OutOfRange::check("threads", self.threads.get() as u64, THREADS),
            OutOfRange::check("view_timeout_ms", self.view_timeout_ms, VIEW_TIMEOUT_MS),
            OutOfRange::check(
                "lines.expected_hashes",
                self.lines.as_ref().map_or(1, |lines| lines.expected_hashes.get()),
                1..=MAX_LINE_HASHES,
            ),
            OutOfRange::check("max_observers", self.max_observers as u64, OBSERVERS),
            OutOfRange::check("log.max_bytes", self.log.max_bytes, LOG_BYTES),
        ];
        unfit.extend(numbers.into_iter().filter_map(Result::err).map(|error| (error.key.into(), error.to_string())));
        if let Err(why) = log::check_level(&self.log.level) {
            unfit.push(("log.level".into(), why));
        }
        if let Some(Err(error)) = self.settlement.as_ref().map(|settlement| settlement.chain.check()) {
            unfit.push((format!("settlement.chain.{}", error.key), error.to_string()));
        }
        unfit
    }
}

/// Whether the system chooses the port of a multiaddress.
fn listens_anywhere(address: &Multiaddr) -> bool {
    let text = address.to_string();
    let mut parts = text.split('/');
    parts.any(|part| matches!(part, "tcp" | "udp")) && parts.next() == Some("0")
}

/// One spelling for each folder that exists, however it was named.
pub fn absolute(path: PathBuf) -> PathBuf {
    fs::canonicalize(&path).or_else(|_| std::path::absolute(&path)).unwrap_or(path)
}

/// What is said of an address whose port the system chooses.
pub const ANY_PORT: &str = "the port 0 is any port, which nobody can find: choose one in 1..=65535";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::num::NonZeroU64;

    use dtn_chain::Network as Chain;

    use super::*;
    use crate::files::{make_private, write_toml};

    fn full() -> PeerConfig {
        let address = Address::repeat_byte(1);
        let [registry, aow, multisig, distributor, vault] = [address; 5];
        let contracts = ContractAddresses { registry, aow, multisig, distributor, vault };
        let mut chain = Chain::local("http://127.0.0.1:8545");
        chain.explorer = Some("https://example.org".into());
        PeerConfig {
            genesis: "../../genesis.json".into(),
            role: Role::Validator,
            keystore: "key.json".into(),
            password_file: "password".into(),
            listen: "/ip4/127.0.0.1/tcp/1".parse().unwrap(),
            api: "127.0.0.1:2".parse().unwrap(),
            api_hosts: vec!["peer.example".into()],
            payee: address,
            threads: NonZeroUsize::MIN,
            mine: false,
            half_work: true,
            lie: Some(Kind::Equivocator),
            train: true,
            train_points: 2,
            train_behaviour: Behaviour::Lazy,
            trainer: Some("tools/trainer".into()),
            scorer: Some("tools/scorer".into()),
            uphold: true,
            view_timeout_ms: 2_000,
            retain_blocks: 0,
            max_observers: 0,
            bootstrap: vec!["/ip4/127.0.0.1/tcp/3".parse().unwrap()],
            log: LogConfig { file: Some("log".into()), ..LogConfig::default() },
            lines: Some(LinesConfig { listen: "127.0.0.1:5".parse().unwrap(), expected_hashes: NonZeroU64::MIN }),
            peers: BTreeMap::from([(Address::repeat_byte(0xab), "/ip4/127.0.0.1/tcp/4".parse().unwrap())]),
            settlement: Some(SettlementConfig {
                name: "local".into(),
                contracts,
                from_block: 7,
                least_claim: 8,
                chain,
            }),
        }
    }

    fn with(settings: &[&str]) -> Result<PeerConfig, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let home = PeerHome::new(folder.path());
        write_toml(&home.config_file(), &full()).unwrap();
        let settings: Vec<Setting> = settings.iter().map(|setting| setting.parse().unwrap()).collect();
        home.config(&settings)
    }

    #[test]
    fn a_setting_overrides_one_key_and_leaves_the_others() {
        let config =
            with(&["view_timeout_ms=500", "log.level=debug", "settlement.chain.rpc=http://127.0.0.1:9"]).unwrap();
        assert_eq!((config.view_timeout_ms, config.log.level.as_str()), (500, "debug"));
        assert_eq!(config.settlement.unwrap().chain.rpc, "http://127.0.0.1:9".into());
        assert_eq!(config.log.max_bytes, LogConfig::default().max_bytes);
        let moved = with(&["peers.0xABababababababababababababababababababab=/ip4/10.0.0.1/tcp/4"]).unwrap();
        let moved: Vec<_> = moved.peers.into_values().map(|address| address.to_string()).collect();
        assert_eq!(moved, ["/ip4/10.0.0.1/tcp/4"], "the same peer, however its address is spelled");
    }

    #[cfg(unix)]
    #[test]
    fn others_can_read_no_configuration_and_enter_no_folder() {
        use std::os::unix::fs::PermissionsExt;

        let root = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let home = PeerHome::new(root.path().join("net").join("0"));
        make_private(home.path()).unwrap();
        assert_eq!((mode(home.path()), mode(&root.path().join("net"))), (0o700, 0o700));
        fs::write(home.config_file(), "").unwrap();
        fs::set_permissions(home.config_file(), PermissionsExt::from_mode(0o644)).unwrap();
        write_toml(&home.config_file(), &full()).unwrap();
        assert_eq!(mode(&home.config_file()), 0o600, "also one that was there");
    }

    #[test]
    fn a_key_that_does_not_exist_and_a_value_that_does_not_fit_are_named() {
        let unknown = format!("{:#}", with(&["lisen=/ip4/127.0.0.1/tcp/1"]).unwrap_err());
        assert!(unknown.contains("lisen"), "{unknown}");
        let wrong = format!("{:#}", with(&["threads=many"]).unwrap_err());
        assert!(wrong.contains("threads"), "{wrong}");
        assert!("no-value".parse::<Setting>().is_err());
    }

    #[test]
    fn who_said_what_is_wrong_is_named_without_words_of_the_program() {
        let of_setting = format!("{:#}", with(&["listen=nowhere"]).unwrap_err());
        assert!(of_setting.starts_with("--set listen is not valid"), "{of_setting}");
        let nested = format!("{:#}", with(&["log.colour=red"]).unwrap_err());
        assert!(nested.starts_with("--set log.colour is not valid"), "{nested}");
        let folder = tempfile::tempdir().unwrap();
        let home = PeerHome::new(folder.path());
        let text = toml::to_string(&full()).unwrap().replace("max_bytes", "most_bytes");
        fs::write(home.config_file(), text).unwrap();
        let of_file = format!("{:#}", home.config(&[]).unwrap_err());
        assert!(of_file.starts_with("log.most_bytes in ") && of_file.contains("node.toml is not valid"), "{of_file}");
        for said in [of_setting, nested, of_file] {
            assert!(!said.contains("::") && !said.contains("global"), "{said}");
        }
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_with_its_key_and_what_is_allowed() {
        for (setting, allowed) in [
            ("listen=/ip4/127.0.0.1/tcp/0", "1..=65535"),
            ("listen=/ip6/::1/udp/0/quic-v1", "1..=65535"),
            ("api=127.0.0.1:0", "1..=65535"),
            ("lines.listen=127.0.0.1:0", "1..=65535"),
            ("peers.0xABababababababababababababababababababab=/ip4/127.0.0.1/tcp/0", "1..=65535"),
            ("threads=100000", "1..=1024"),
            ("view_timeout_ms=0", "10..=3600000"),
            ("view_timeout_ms=3600001", "10..=3600000"),
            ("max_observers=1000000", "0..=10000"),
            ("lines.expected_hashes=9223372036854775807", "1..=1099511627776"),
            ("log.level=loud", "error, warn, info"),
            ("log.level=info,dtn_node=loud", "error, warn, info"),
            ("log.max_bytes=0", "1024..="),
            ("settlement.chain.receipt_timeout_ms=0", "1000..="),
            ("settlement.chain.poll_interval_ms=1", "10..="),
        ] {
            let (key, _) = setting.split_once('=').unwrap();
            let refused = with(&[setting]).unwrap_err().to_string();
            let named = refused.to_lowercase().starts_with(&format!("--set {} is not valid: ", key.to_lowercase()));
            assert!(named && refused.contains(allowed), "{refused}");
        }
        let both = with(&["threads=5000", "view_timeout_ms=1"]).unwrap_err().to_string();
        assert_eq!(both.lines().count(), 2, "{both}");
    }

    #[test]
    fn the_documentation_lists_every_key() {
        fn keys(prefix: &str, table: &toml::Table, all: &mut Vec<String>) {
            for (key, value) in table {
                let path = format!("{prefix}{key}");
                match value {
                    toml::Value::Table(table) if path != "peers" => keys(&format!("{path}."), table, all),
                    _ => all.push(path),
                }
            }
        }
        let mut all = Vec::new();
        keys("", &toml::Table::try_from(full()).unwrap(), &mut all);
        let text = include_str!("../../../docs/operate/operation.md");
        for key in all {
            assert!(text.contains(&format!("| `{key}` |")), "docs/operate/operation.md does not list the key {key}");
        }
    }
}
