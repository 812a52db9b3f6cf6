//! What a local network looks like on disk.
//!
//! ```text
//! HOME/genesis.json            what all peers agree on
//! HOME/password                opens the keystores below (readable by its owner only), unless one was given
//! HOME/keys/                   the encrypted keystores: validators, payees, client
//! HOME/client.toml             who submits, and where the peers answer
//! HOME/peers/N/node.toml       one peer: keystore, addresses, settlement
//! HOME/peers/N/                its store, log and gas ledger, and the file that its process holds (pid)
//! HOME/observers/N/            the same for a peer that follows without voting
//! HOME/chain/                  the same log and file of a development chain, if the network has its own
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use dtn_peer::{
    PeerHome,
    config::{ANY_PORT, absolute, read_genesis},
    files::read_toml,
};
use dtn_primitives::Genesis;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The folder of a local network.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

/// `client.toml`: who submits, and to whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientConfig {
    /// The encrypted keystore of the account that submits.
    pub(crate) keystore: PathBuf,
    /// The file whose first line opens it.
    pub(crate) password_file: PathBuf,
    /// Where each validator answers, by index.
    pub(crate) peers: Vec<SocketAddr>,
}

impl Home {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(absolute(path.into()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn genesis_file(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.0.join("password")
    }

    pub(crate) fn client_file(&self) -> PathBuf {
        self.0.join("client.toml")
    }

    /// The folder of a development chain that belongs to the network.
    pub(crate) fn chain(&self) -> PathBuf {
        self.0.join("chain")
    }

    pub(crate) fn peer(&self, index: usize) -> PeerHome {
        PeerHome::new(self.0.join("peers").join(index.to_string()))
    }

    /// The peers' folders, by index.
    pub(crate) fn peers(&self) -> Result<Vec<PeerHome>> {
        let count = self.client()?.peers.len();
        Ok((0..count).map(|index| self.peer(index)).collect())
    }

    pub(crate) fn observer(&self, index: usize) -> PeerHome {
        PeerHome::new(self.0.join("observers").join(index.to_string()))
    }

    /// The folders of the observers that were made with the network.
    pub(crate) fn observers(&self) -> Vec<PeerHome> {
        (0..).map(|index| self.observer(index)).take_while(|observer| observer.config_file().exists()).collect()
    }

    pub(crate) fn genesis(&self) -> Result<Genesis> {
        Ok(read_genesis(&self.genesis_file())?)
    }

    pub(crate) fn client(&self) -> Result<ClientConfig> {
        let file = self.client_file();
        if !file.exists() {
            bail!(
                "there is no network in {}: make one with `dtn-cli l1 init --home {}`",
                self.0.display(),
                self.0.display()
            );
        }
        let config: ClientConfig = read_toml(&file)?;
        let shown = file.display();
        ensure!(!config.peers.is_empty(), "peers in {shown} is not valid: it names no peer");
        ensure!(config.peers.iter().all(|peer| peer.port() != 0), "peers in {shown} is not valid: {ANY_PORT}");
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_peer::files::write_toml;

    use super::*;

    #[test]
    fn a_client_needs_peers_that_it_can_find() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        for (peers, why) in [(vec![], "no peer"), (vec!["127.0.0.1:0".parse().unwrap()], "1..=65535")] {
            let config = ClientConfig { keystore: "key".into(), password_file: "password".into(), peers };
            write_toml(&home.client_file(), &config).unwrap();
            let refused = home.client().unwrap_err().to_string();
            assert!(refused.starts_with("peers in ") && refused.contains(why), "{refused}");
        }
    }
}
