//! The one place that connects to a chain, and that makes sure it is the right one before anything is signed.

use std::{
    fmt, io,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
    sol_types::SolCall,
    transports::{RpcError, TransportError, TransportErrorKind},
};
pub use alloy_node_bindings::AnvilInstance;
use alloy_node_bindings::{Anvil, NodeError};
use backon::{ExponentialBuilder, Retryable};

use crate::{
    endpoints::NotANode,
    logs::LogReader,
    networks::{Finality, Network},
    shown,
};
use dtn_bindings::abi::Revert;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint is not a URL.
    #[error("`{rpc}` is not an HTTP endpoint: {reason}")]
    BadEndpoint {
        /// What was given.
        rpc: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing answers.
    #[error("no answer from {rpc}, the node of network `{network}`: {reason}. Start it, or name another with --rpc")]
    Unreachable {
        /// The network's name.
        network: String,
        /// Its endpoint.
        rpc: String,
        /// What went wrong.
        reason: String,
    },
    /// Something else than a node answers.
    #[error("{rpc}, the node of network `{network}`: {reason}. Is that its address? Name another with --rpc")]
    NotANode {
        /// The network's name.
        network: String,
        /// Its endpoint.
        rpc: String,
        /// What it answers.
        reason: String,
    },
    /// Another chain than the one configured.
    #[error(
        "{rpc} is chain {actual}, but network `{network}` is chain {expected}: nothing was signed. \
         Choose another --network or another --rpc"
    )]
    WrongChain {
        /// The network's name.
        network: String,
        /// The endpoint asked.
        rpc: String,
        /// The chain id in the configuration.
        expected: u64,
        /// The chain id that the node states.
        actual: u64,
    },
    /// The development chain could not be started.
    #[error(transparent)]
    Anvil(#[from] AnvilError),
}

/// Why no development chain was started.
#[derive(Debug, thiserror::Error)]
pub enum AnvilError {
    /// There is no program.
    #[error("anvil is neither under node_modules nor on PATH; run scripts/setup, or name a running node with --rpc")]
    NotFound,
    /// Somebody else listens there.
    #[error("port {0} is taken; choose another, or 0 for any free one")]
    PortTaken(u16),
    /// The program failed.
    #[error("anvil ({program}) did not start: {reason}")]
    Failed {
        /// The program.
        program: String,
        /// What it said.
        reason: String,
    },
}

/// Why a contract could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The node.
    #[error("the node: {0}")]
    Rpc(#[from] TransportError),
    /// The answer is not one that the contract gives.
    #[error(
        "{contract} on network `{network}` does not answer {function} as the contract does. Is it deployed there? \
         A development chain forgets everything when it restarts"
    )]
    NotTheContract {
        /// What was asked.
        contract: Address,
        /// Where.
        network: String,
        /// The function called.
        function: &'static str,
    },
    /// The contract refuses.
    #[error("{function} reverts: {revert}")]
    Revert {
        /// The function called.
        function: &'static str,
        /// Why.
        revert: Revert,
    },
}

/// A connection to a chain that has stated the expected chain id.
#[derive(Clone)]
pub struct Chain {
    network: Arc<Network>,
    provider: DynProvider,
    anvil: Option<Arc<AnvilInstance>>,
    logs: Arc<LogReader>,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({} at {})", self.network.name, self.network.rpc)
    }
}

impl Chain {
    /// The chain's time, in Unix seconds.
    pub async fn clock(&self) -> Result<u64, ReadError> {
        let block = retrying(|| async { self.provider().get_block(self.clock_block()).await }).await?;
        Ok(block.map_or(0, |block| block.header.timestamp))
    }

    /// Connects, and fails unless the node states the network's chain id.
    pub async fn connect(network: &Network) -> Result<Self, ConnectError> {
        let provider = network.rpc.provider(network.chain_id)?;
        let actual = retrying(|| provider.get_chain_id()).await.map_err(|error| unreachable(network, &error))?;
        Self::checked(network, provider, actual, None)
    }

    /// Connects like [`Chain::connect`]; when nothing answers at a development chain's endpoint, starts an anvil that
    /// lives as long as the returned connection and its clones. `root` is where `node_modules` is looked for.
    pub async fn connect_or_start(network: &Network, root: &Path) -> Result<Self, ConnectError> {
        let provider = network.rpc.provider(network.chain_id)?;
        match provider.get_chain_id().await {
            Ok(actual) => Self::checked(network, provider, actual, None),
            Err(error) if network.is_local() && is_transport(&error) => {
                let anvil = start_anvil(root, AnvilOptions::default()).await?;
                let network = Network { rpc: anvil.endpoint().into(), ..network.clone() };
                let provider = network.rpc.provider(network.chain_id)?;
                let actual = retrying(|| provider.get_chain_id()).await.map_err(|e| unreachable(&network, &e))?;
                Self::checked(&network, provider, actual, Some(Arc::new(anvil)))
            }
            Err(_) => Self::connect(network).await,
        }
    }

    fn checked(
        network: &Network,
        provider: DynProvider,
        actual: u64,
        anvil: Option<Arc<AnvilInstance>>,
    ) -> Result<Self, ConnectError> {
        if actual != network.chain_id {
            return Err(ConnectError::WrongChain {
                network: network.name.clone(),
                rpc: network.rpc.to_string(),
                expected: network.chain_id,
                actual,
            });
        }
        provider.client().set_poll_interval(network.poll_interval());
        Ok(Self { network: Arc::new(network.clone()), provider, anvil, logs: Arc::default() })
    }

    /// The network, with the endpoint that is really used.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The chain id, as configured and as the node stated it.
    pub fn chain_id(&self) -> u64 {
        self.network.chain_id
    }

    /// The provider for reading. Transactions go through [`crate::Account`].
    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// The same, which remembers in a folder what contracts have logged. A chain of this process alone is not worth it.
    pub fn remembering(mut self, folder: PathBuf) -> Self {
        if !self.owns_chain() {
            self.logs = Arc::new(LogReader::remembering(folder));
        }
        self
    }

    pub(crate) fn log_reader(&self) -> &LogReader {
        &self.logs
    }

    /// Whether this connection owns the chain, which then ends with it.
    pub fn owns_chain(&self) -> bool {
        self.anvil.is_some()
    }

    /// Calls a contract's view function.
    pub async fn read<C: SolCall>(&self, contract: Address, call: &C) -> Result<C::Return, ReadError> {
        self.read_at(contract, call, BlockId::latest()).await
    }

    /// Calls a contract's view function as of a block.
    pub async fn read_at<C: SolCall>(
        &self,
        contract: Address,
        call: &C,
        block: BlockId,
    ) -> Result<C::Return, ReadError> {
        let request = TransactionRequest::default().with_to(contract).with_input(call.abi_encode());
        let output = retrying(|| async { self.provider.call(request.clone()).block(block).await }).await;
        let function = C::SIGNATURE.split('(').next().unwrap_or_default();
        match output {
            Ok(output) => C::abi_decode_returns(&output).map_err(|_| ReadError::NotTheContract {
                contract,
                network: self.network.name.clone(),
                function,
            }),
            Err(RpcError::ErrorResp(payload)) if payload.as_revert_data().is_some() => {
                let data = payload.as_revert_data().unwrap_or_default();
                Err(ReadError::Revert { function, revert: Revert::decode(&data) })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Why a call by an account would revert now; `None` if it would not.
    pub async fn would_revert(
        &self,
        from: Address,
        to: Address,
        value: U256,
        data: Bytes,
    ) -> Result<Option<Revert>, TransportError> {
        let request = TransactionRequest::default().with_from(from).with_to(to).with_value(value).with_input(data);
        match retrying(|| async { self.provider.call(request.clone()).await }).await {
            Ok(_) => Ok(None),
            Err(RpcError::ErrorResp(payload)) => {
                Ok(Some(payload.as_revert_data().map_or(Revert::Silent, |data| Revert::decode(&data))))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether an account is a contract.
    pub async fn has_code(&self, address: Address) -> Result<bool, TransportError> {
        Ok(!retrying(|| async { self.provider.get_code_at(address).await }).await?.is_empty())
    }

    /// The block as of which to read what the clock decides. A development chain may make no block for long, and then
    /// only the one that is being made knows what time it is.
    pub fn clock_block(&self) -> BlockId {
        if self.network.is_local() { BlockId::pending() } else { BlockId::latest() }
    }

    /// The block up to which the chain is irrevocable, as far as the network's configuration goes.
    pub fn final_block(&self) -> BlockId {
        match self.network.finality {
            Finality::Latest => BlockId::latest(),
            Finality::Finalized => BlockId::finalized(),
        }
    }
}

fn unreachable(network: &Network, error: &TransportError) -> ConnectError {
    let (network, rpc, reason) = (network.name.clone(), network.rpc.to_string(), root_cause(error));
    match error {
        RpcError::Transport(TransportErrorKind::Custom(other)) if other.is::<NotANode>() => {
            ConnectError::NotANode { network, rpc, reason }
        }
        RpcError::ErrorResp(payload) => {
            ConnectError::NotANode { network, rpc, reason: format!("it refuses: {}", shown::text(&payload.message)) }
        }
        _ => ConnectError::Unreachable { network, rpc, reason },
    }
}

/// The innermost message of an error, where a refused connection says so.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Whether a request failed on its way, so that it may succeed when repeated.
fn is_transport(error: &TransportError) -> bool {
    matches!(error, RpcError::Transport(kind) if !matches!(kind, TransportErrorKind::MissingBatchResponse(_)))
}

/// Whether a request may succeed when repeated: it failed on its way, or the node is busy or limits the rate.
fn is_temporary(error: &TransportError) -> bool {
    is_transport(error) || matches!(error, RpcError::ErrorResp(payload) if payload.is_retry_err())
}

/// Repeats a request that fails for now, a few times over about two seconds.
pub async fn retrying<T, F, Fut>(request: F) -> Result<T, TransportError>
where
    F: FnMut() -> Fut,
    Fut: IntoFuture<Output = Result<T, TransportError>>,
{
    let mut request = request;
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(1))
        .with_max_times(4);
    (|| request().into_future()).retry(backoff).when(is_temporary).await
}

/// How a development chain differs from anvil's defaults.
#[derive(Debug, Clone, Default)]
pub struct AnvilOptions {
    /// 0 or nothing for any free port.
    pub port: Option<u16>,
    /// 31337 if nothing else is said.
    pub chain_id: Option<u64>,
    /// Seconds between blocks; without it every transaction makes one.
    pub block_time: Option<f64>,
    /// The base fee of the first block, in wei.
    pub base_fee: Option<u64>,
    /// Its rules, by the name of the hardfork; anvil's newest if nothing else is said.
    pub hardfork: Option<String>,
}

/// Of so many of the last blocks a development chain keeps the state, in memory. Left alone it writes older ones to a folder of the
/// user's, which nobody empties when its process is killed.
const KEPT_STATES: u32 = 500;

/// Starts a development chain on loopback that ends when the returned handle is dropped.
pub async fn start_anvil(root: &Path, options: AnvilOptions) -> Result<AnvilInstance, AnvilError> {
    let program = find_anvil(root).ok_or(AnvilError::NotFound)?;
    // A node that cannot listen would only be noticed when the time is up.
    let port = options.port.unwrap_or(0);
    if matches!(TcpListener::bind(("127.0.0.1", port)), Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
        return Err(AnvilError::PortTaken(port));
    }
    let mut anvil = Anvil::at(&program).host("127.0.0.1").port(port).timeout(20_000);
    anvil = anvil.arg("--prune-history").arg(KEPT_STATES.to_string());
    if let Some(chain_id) = options.chain_id {
        anvil = anvil.chain_id(chain_id);
    }
    if let Some(seconds) = options.block_time {
        anvil = anvil.block_time_f64(seconds);
    }
    if let Some(wei) = options.base_fee {
        anvil = anvil.arg("--block-base-fee-per-gas").arg(wei.to_string());
    }
    if let Some(hardfork) = options.hardfork {
        anvil = anvil.args(["--hardfork", &hardfork]);
    }
    let failed = |reason: String| AnvilError::Failed { program: program.display().to_string(), reason };
    // It blocks until the node listens.
    match tokio::task::spawn_blocking(move || anvil.try_spawn()).await {
        Ok(Ok(instance)) => Ok(instance),
        Ok(Err(NodeError::SpawnError(error))) if error.kind() == io::ErrorKind::NotFound => Err(AnvilError::NotFound),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The native program, never the Node.js wrapper beside it: killing that one leaves the node running.
fn find_anvil(root: &Path) -> Option<PathBuf> {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let binary = format!("anvil{}", std::env::consts::EXE_SUFFIX);
    let packaged = format!("node_modules/@foundry-rs/anvil-{os}-{arch}/bin/{binary}");
    // Where the command is run, or where this program was built.
    let places = [std::path::absolute(root).ok(), std::env::current_exe().ok()];
    let dirs = places.iter().flatten().flat_map(|place| place.ancestors());
    let installed = dirs.map(|dir| dir.join(&packaged)).find(|path| path.is_file());
    installed.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join(&binary)).find(|path| path.is_file())
    })
}
