//! Whom a command asks about orders, and who signs.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use clap::Args;
use dtn_keys::KeyChoice;
use dtn_participant::{Folder, ParticipantError, Peer};
use dtn_primitives::{Address, SecretKey};
use dtn_testbed::Home;
use tokio::time::sleep;

use crate::{context::Context, failure::Coded, output};

/// The pause before a peer is asked again that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Which peers are asked.
#[derive(Debug, Clone, Args)]
pub(super) struct Asked {
    /// Where a peer serves its API, or several do: the next one is asked where one does not answer
    /// [default: the peers of the network in --home]
    #[arg(long, value_name = "ADDRESS:PORT", value_delimiter = ',')]
    api: Vec<SocketAddr>,
}

/// Who signs for the network.
#[derive(Debug, Clone, Args)]
pub(super) struct Signs {
    /// The key that signs: a name, an address, a file or dev:N [default: that of the client of the network in --home]
    #[arg(long, env = "DTN_FROM", hide_env_values = true, value_name = "KEY")]
    from: Option<KeyChoice>,
}

impl Asked {
    /// A peer that answers, and those who are asked after it.
    pub(super) async fn peer(&self, context: &Context) -> Result<Peer> {
        if !self.api.is_empty() {
            return Ok(Peer::of(self.api.iter().copied()).await?);
        }
        let peers = Home::new(&context.home).peers()?;
        let apis = peers.iter().map(|peer| Ok(peer.config(&[])?.api)).collect::<Result<Vec<_>>>()?;
        Peer::of(apis).await.map_err(|_| {
            Coded::no_answer(format_args!(
                "no peer of the network in {} answers: start it by `dtn-cli l1 up`, or name another one's API with --api",
                context.home.display()
            ))
            .into()
        })
    }
}

/// Asks until somebody answers: a peer that restarts is no reason to leave an order alone.
pub(super) async fn patiently<T>(ask: impl AsyncFn() -> Result<T, ParticipantError>) -> Result<T> {
    let mut is_told = false;
    loop {
        match ask().await {
            Err(ParticipantError::Call(error)) => {
                if !std::mem::replace(&mut is_told, true) {
                    output::warn(format_args!("no peer answers ({error}); trying again"));
                }
                sleep(PAUSE).await;
            }
            outcome => return Ok(outcome?),
        }
    }
}

impl Signs {
    /// The key, which is to sign for the network of a peer.
    pub(super) async fn key(&self, peer: &Peer, context: &Context) -> Result<SecretKey> {
        let (network, chain_id) = (context.network()?, peer.genesis().chain_id);
        ensure!(
            network.chain_id == chain_id,
            "the peers' network settles on chain {chain_id}, and `{}` is chain {}: name the right one with --network",
            network.name,
            network.chain_id
        );
        match &self.from {
            None => Ok(dtn_testbed::client_key(&Home::new(&context.home))?),
            from => context.signer(from.as_ref(), &context.network()?).await,
        }
    }
}

/// Where an account keeps what it must not lose.
pub(super) fn folder(context: &Context, account: Address) -> Folder {
    Folder::new(context.home.join("training").join(format!("{account:#x}")))
}
