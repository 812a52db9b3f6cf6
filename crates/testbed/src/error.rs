//! What does not work with networks of processes.

use std::{io, path::PathBuf, time::Duration};

use dtn_chain::{SendError, connection::ConnectError};
use dtn_client::ClientError;
use dtn_config::OutOfRange;
use dtn_keys::KeystoreError;
use dtn_ledger::{LedgerError, StoreError};
use dtn_peer::{ConfigError, files::FileError};
use dtn_primitives::{GenesisError, MAX_VALIDATORS, MIN_VALIDATORS, TransactionError};
use dtn_settlement::deploy::{DeployError, PlanError};
use serde_json::{Value, json};

/// Why something does not work with a network of processes.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// A folder holds no network.
    #[error("there is no network in {}", .0.display())]
    NoNetwork(PathBuf),
    /// The client's file makes no sense.
    #[error("peers in {} is not valid: {why}", file.display())]
    Peers {
        /// The file.
        file: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// A peer that the network does not have.
    #[error("there is no peer {peer}: they are 0 to {last}", last = count - 1)]
    NoPeer {
        /// The number that was given.
        peer: usize,
        /// How many there are.
        count: usize,
    },
    /// A network without a name.
    #[error("a network needs a name")]
    NoName,
    /// A network has too few or too many validators.
    #[error("a network has {MIN_VALIDATORS} to {MAX_VALIDATORS} nodes, not {0}")]
    Nodes(usize),
    /// A number is out of its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// QUIC is a feature that this program was built without.
    #[error("this program was built without QUIC: build it with `--features quic`, or take the transport tcp")]
    NoQuic,
    /// A folder holds a network already.
    #[error("{} holds a network already; remove it or choose another folder", .0.display())]
    Occupied(PathBuf),
    /// Something is where a file of the network should be.
    #[error("{} is in the way; remove it or choose another folder", .0.display())]
    InTheWay(PathBuf),
    /// Whoever was told of the progress asked to end.
    #[error("interrupted")]
    Interrupted,
    /// A base port that nobody can dial.
    #[error("port 0 is any port, which nobody can dial: choose a base port")]
    AnyPort,
    /// Ports that do not exist.
    #[error("ports {first} to {last} do not exist: choose a lower base port")]
    NoSuchPorts {
        /// The first.
        first: u16,
        /// The last.
        last: usize,
    },
    /// Too few ports are free.
    #[error("only {free} ports of {need} are free from {first} on")]
    PortsTaken {
        /// How many are free.
        free: usize,
        /// How many are needed.
        need: usize,
        /// From where on.
        first: u16,
    },
    /// Something cannot be done with a file or a folder.
    #[error("cannot {what} {}", path.display())]
    Path {
        /// What.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Accounts were to be given money, and the validators did not agree.
    #[error("the deposits that were stated are not final")]
    NotCredited,
    /// The system's clock is before 1970, or far beyond.
    #[error("the system's clock is wrong")]
    Clock,
    /// Too few peers can be started.
    #[error("{failed} of {count} peers cannot be started, and {least} are needed\n{why}")]
    TooFewStarted {
        /// How many cannot.
        failed: usize,
        /// How many there are.
        count: usize,
        /// How many are needed.
        least: usize,
        /// Why each does not.
        why: String,
    },
    /// Too few peers are linked to all that run.
    #[error("{connected} of {count} peers are connected to all that run, and {least} are needed\n{why}")]
    TooFewConnected {
        /// How many are.
        connected: usize,
        /// How many there are.
        count: usize,
        /// How many are needed.
        least: usize,
        /// What is the matter with each other.
        why: String,
    },
    /// Some peers go on.
    #[error("{stopped} peers stopped, but\n{left}")]
    Left {
        /// How many stopped.
        stopped: usize,
        /// What is known of each other.
        left: String,
    },
    /// A process cannot be started.
    #[error("cannot start a process in {}", folder.display())]
    Start {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no process to do something with.
    #[error("nothing is running in {}", .0.display())]
    NotRunning(PathBuf),
    /// A process goes on after it was killed.
    #[error("process {pid} in {} does not end, even when it is killed", folder.display())]
    Endless {
        /// The process.
        pid: i32,
        /// Its folder.
        folder: PathBuf,
    },
    /// A process cannot be signalled.
    #[error("cannot stop process {pid} in {}", folder.display())]
    Signal {
        /// The process.
        pid: i32,
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A round that cannot be ordered.
    #[error("{0}")]
    Order(#[from] TransactionError),
    /// A round goes on after its deadline.
    #[error("the round of block {opened_at} is not closed {grace:?} after its deadline; look at `dtn-cli l1 status`")]
    RoundOpen {
        /// The block that opened it.
        opened_at: u64,
        /// How long after its deadline that is so.
        grace: Duration,
    },
    /// A network has too few peers for what is asked of them.
    #[error("the network in {} has {peers} peers, too few for the ports", folder.display())]
    FewPeers {
        /// Its folder.
        folder: PathBuf,
        /// How many it has.
        peers: usize,
    },
    /// What must be there is not.
    #[error("{0}")]
    Missing(&'static str),
    /// A development chain ended before it answered.
    #[error("{0}")]
    Ended(String),
    /// Contracts that cannot be deployed.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Contracts that were not deployed.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// A transaction of a settlement chain.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The way to a development chain.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A peer's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A keystore.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// A store that is opened in place of a peer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A ledger that does not open.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What the network answers.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl TestbedError {
    /// Its stable code, for programs, and what belongs to it; nothing where it has none of its own.
    pub fn code(&self) -> Option<(&'static str, Value)> {
        Some(match self {
            Self::NoNetwork(folder) => ("no_network", json!({ "folder": folder })),
            Self::Occupied(path) | Self::InTheWay(path) => ("occupied", json!({ "path": path })),
            Self::NoPeer { peer, count } => ("no_peer", json!({ "peer": peer, "count": count })),
            Self::TooFewStarted { .. } | Self::TooFewConnected { .. } => ("peers_down", Value::Null),
            Self::Left { .. } => ("peers_left", Value::Null),
            Self::Interrupted => ("interrupted", Value::Null),
            Self::Peers { file, .. } => ("not_valid", json!({ "file": file })),
            Self::Path { path, .. } => ("file", json!({ "file": path })),
            Self::NoName
            | Self::Nodes(_)
            | Self::OutOfRange(_)
            | Self::NoQuic
            | Self::AnyPort
            | Self::NoSuchPorts { .. } => ("bad_argument", Value::Null),
            Self::Genesis(_) => ("genesis", Value::Null),
            Self::Store(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Keystore(error) => return error.code(),
            Self::Client(error) => error.code(),
            Self::Connect(error) => error.code(),
            Self::Plan(error) => error.code(),
            Self::Deploy(error) => error.code(),
            Self::Send(error) => error.code(),
            Self::Order(_) | Self::RoundOpen { .. } | Self::FewPeers { .. } | Self::Missing(_) | Self::Ended(_) => {
                return None;
            }
            _ => ("process", Value::Null),
        })
    }

    /// For `map_err`: what cannot be done with a path.
    pub(crate) fn path(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Path { what, path, source }
    }
}
