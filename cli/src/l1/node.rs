//! One peer in this process: the node, and the relayer that settles what it finalizes.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context, Result};
use dtn_node::{Node, NodeConfig, NodeHandle};
use dtn_primitives::{FinalizedResult, SecretKey};
use dtn_settlement::{
    Account, Chain, ContractAddresses, Network,
    connection::ConnectError,
    gas_ledger::GasLedger,
    keystore::{KeyInfo, Password},
    relayer::{Relayer, RelayerOptions, ResultSource, SourceError},
};
use tokio::signal::unix::{SignalKind, signal};

use super::home::{PeerConfig, PeerHome, SettlementConfig, read_genesis};

/// How long a peer waits for its settlement chain before it starts without it.
const FIRST_CONTACT: Duration = Duration::from_secs(2);

/// The pause before a settlement chain that did not answer is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// The peer's own ledger, for its relayer.
struct OwnLedger(NodeHandle);

impl ResultSource for OwnLedger {
    async fn results(&self, from_height: u64) -> Result<Vec<FinalizedResult>, SourceError> {
        Ok(self.0.results(from_height).await?)
    }
}

/// Runs a peer until it is told to stop (SIGTERM or Ctrl-C) or its store fails.
pub(crate) async fn run(home: &PeerHome) -> Result<()> {
    let config = home.config()?;
    let PeerConfig {
        genesis,
        role,
        keystore,
        password_file,
        listen,
        api,
        payee,
        threads,
        view_timeout_ms,
        max_observers,
        bootstrap,
        peers,
        settlement,
    } = config;
    let genesis = read_genesis(&genesis)?;
    let password = Password::from_file(&password_file)
        .with_context(|| format!("cannot read the password file {}", password_file.display()))?;
    let key = KeyInfo::at(&keystore)?.unlock(&password)?;
    let view_timeout = std::time::Duration::from_millis(view_timeout_ms.max(1));
    let node_config = NodeConfig {
        genesis,
        role,
        key: key.clone(),
        listen,
        peers,
        bootstrap,
        max_observers,
        api,
        store: home.store(),
        payee,
        threads,
        view_timeout,
    };
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let settlement = match settlement {
        Some(settlement) => Some(Settlement::new(settlement).await?),
        None => None,
    };
    let mut node = Node::start(node_config).await?;
    tracing::info!(api = %node.api(), role = ?role, validator = ?node.handle().validator(), "the peer is up");
    let (source, ledger) = (OwnLedger(node.handle().clone()), GasLedger::new(home.gas_ledger()));
    let settling = async {
        match settlement {
            Some(settlement) => settlement.run(key, ledger, source).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        error = node.stopped() => return Err(error.into()),
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        Err(error) = settling => Err(error),
    };
    tracing::info!("stopping");
    node.shutdown().await;
    outcome
}

/// Where this peer settles.
struct Settlement {
    network: Network,
    contracts: ContractAddresses,
    /// `None` while the chain is out of reach.
    chain: Option<Chain>,
}

impl Settlement {
    /// Fails if what answers cannot be the settlement chain. One that is down is no reason not to start.
    async fn new(config: SettlementConfig) -> Result<Self> {
        let SettlementConfig { name, contracts, chain: mut network } = config;
        network.name = name;
        let chain = match tokio::time::timeout(FIRST_CONTACT, connect(&network)).await {
            Ok(answer) => answer?,
            Err(_) => None,
        };
        Ok(Self { network, contracts, chain })
    }

    /// Settles for as long as the peer runs. A chain that is down is tried again: the peer goes on without it.
    async fn run(self, key: SecretKey, ledger: GasLedger, source: OwnLedger) -> Result<Infallible> {
        let Self { network, contracts, mut chain } = self;
        let chain = loop {
            if let Some(chain) = chain {
                break chain;
            }
            tokio::time::sleep(PAUSE).await;
            chain = connect(&network).await?;
        };
        if let Err(error) = ledger.reconcile(&chain).await {
            tracing::warn!(%error, "some receipts are still missing in the gas ledger");
        }
        let options = RelayerOptions::for_network(&network);
        let account = Account::new(chain, key, ledger);
        Ok(Relayer::new(account, contracts, source, options).run().await)
    }
}

/// Connects to the settlement chain; `None` if it is out of reach.
async fn connect(network: &Network) -> Result<Option<Chain>> {
    match Chain::connect(network).await {
        Ok(chain) => Ok(Some(chain)),
        Err(error @ ConnectError::Unreachable { .. }) => {
            tracing::warn!(%error, "the settlement chain is out of reach; trying again");
            Ok(None)
        }
        Err(error) => Err(error).context("this peer cannot settle where its node.toml says"),
    }
}
