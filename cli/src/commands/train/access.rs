//! Whom a command asks about orders, and who signs.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use clap::Args;
use dtn_keys::KeyChoice;
use dtn_participant::{Folder, Peer};
use dtn_primitives::{Address, SecretKey};
use dtn_testbed::Home;

use crate::{context::Context, failure::Coded};

/// Which peer is asked.
#[derive(Debug, Clone, Args)]
pub(super) struct Asked {
    /// Where a peer serves its API [default: the first peer of the network in --home that answers]
    #[arg(long, value_name = "ADDRESS:PORT")]
    api: Option<SocketAddr>,
}

/// Who signs for the network.
#[derive(Debug, Clone, Args)]
pub(super) struct Signs {
    /// The key that signs: a name, an address, a file or dev:N [default: that of the client of the network in --home]
    #[arg(long, env = "DTN_FROM", hide_env_values = true, value_name = "KEY")]
    from: Option<KeyChoice>,
}

impl Asked {
    /// A peer that answers.
    pub(super) async fn peer(&self, context: &Context) -> Result<Peer> {
        if let Some(api) = self.api {
            return Ok(Peer::at(api).await?);
        }
        let home = Home::new(&context.home);
        for peer in home.peers()? {
            if let Ok(peer) = Peer::at(peer.config(&[])?.api).await {
                return Ok(peer);
            }
        }
        bail!(Coded::no_answer(format_args!(
            "no peer of the network in {} answers: start it by `dtn-cli l1 up`, or name another one's API with --api",
            context.home.display()
        )))
    }
}

impl Signs {
    /// The key.
    pub(super) async fn key(&self, context: &Context) -> Result<SecretKey> {
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
