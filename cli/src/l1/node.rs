//! One peer in this process: the node, and the relayer that settles what it finalizes.

use anyhow::{Context, Result};
use dtn_node::{Node, NodeConfig, NodeHandle};
use dtn_primitives::FinalizedResult;
use dtn_settlement::{
    Account, Chain,
    gas_ledger::GasLedger,
    keystore::{KeyInfo, Password},
    relayer::{Relayer, RelayerOptions, ResultSource, SourceError},
};
use tokio::signal::unix::{SignalKind, signal};

use super::home::{PeerConfig, PeerHome, SettlementConfig, read_genesis};

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
    let PeerConfig { genesis, keystore, password_file, listen, api, payee, threads, peers, settlement } = config;
    let genesis = read_genesis(&genesis)?;
    let password = Password::from_file(&password_file)
        .with_context(|| format!("cannot read the password file {}", password_file.display()))?;
    let key = KeyInfo::at(&keystore)?.unlock(&password)?;
    let node_config = NodeConfig { genesis, key: key.clone(), listen, peers, api, store: home.store(), payee, threads };
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut node = Node::start(node_config).await?;
    tracing::info!(api = %node.api(), validator = %node.handle().validator(), "the peer is up");
    let (source, ledger) = (OwnLedger(node.handle().clone()), GasLedger::new(home.gas_ledger()));
    let settling = async {
        match settlement {
            Some(settlement) => settle(settlement, key, ledger, source).await,
            None => std::future::pending().await,
        }
    };
    let failure = tokio::select! {
        error = node.stopped() => Some(error),
        _ = terminate.recv() => None,
        _ = tokio::signal::ctrl_c() => None,
        () = settling => None,
    };
    match failure {
        Some(error) => Err(error.into()),
        None => {
            tracing::info!("stopping");
            node.shutdown().await;
            Ok(())
        }
    }
}

/// Settles for as long as the peer runs. A chain that is down is tried again: the peer goes on without it.
async fn settle(settlement: SettlementConfig, key: dtn_primitives::SecretKey, ledger: GasLedger, source: OwnLedger) {
    let SettlementConfig { name, contracts, mut chain } = settlement;
    chain.name = name;
    let connected = loop {
        match Chain::connect(&chain).await {
            Ok(connected) => break connected,
            Err(error) => tracing::warn!(%error, "the settlement chain is out of reach; trying again"),
        }
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    };
    if let Err(error) = ledger.reconcile(&connected).await {
        tracing::warn!(%error, "some receipts are still missing in the gas ledger");
    }
    let options = RelayerOptions::for_network(&chain);
    let account = Account::new(connected, key, ledger);
    match Relayer::new(account, contracts, source, options).run().await {}
}
