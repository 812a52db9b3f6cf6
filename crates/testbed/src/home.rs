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

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use dtn_peer::{
    PeerHome,
    config::{ANY_PORT, absolute, read_genesis},
    files::{exists, read_toml},
};
use dtn_primitives::Genesis;
use serde::{Deserialize, Serialize};

use crate::{Result, TestbedError};

/// The folder of a local network.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

/// `client.toml`: who submits, and to whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// The encrypted keystore of the account that submits.
    pub keystore: PathBuf,
    /// The file whose first line opens it.
    pub password_file: PathBuf,
    /// Where each validator answers, by index.
    pub peers: Vec<SocketAddr>,
}

impl Home {
    /// That of a folder, whether it exists or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(absolute(path.into()))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What all peers agree on.
    pub fn genesis_file(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    /// The folder of the encrypted keystores.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// What opens them, unless another file was given.
    pub fn password_file(&self) -> PathBuf {
        self.0.join("password")
    }

    /// Who submits, and to whom.
    pub fn client_file(&self) -> PathBuf {
        self.0.join("client.toml")
    }

    /// The folder of a development chain that belongs to the network.
    pub fn chain(&self) -> PathBuf {
        self.0.join("chain")
    }

    /// The folder of a peer, by index.
    pub fn peer(&self, index: usize) -> PeerHome {
        PeerHome::new(self.0.join("peers").join(index.to_string()))
    }

    /// The peers' folders, by index.
    pub fn peers(&self) -> Result<Vec<PeerHome>> {
        let count = self.client()?.peers.len();
        Ok((0..count).map(|index| self.peer(index)).collect())
    }

    /// The folder of an observer, by number.
    pub fn observer(&self, index: usize) -> PeerHome {
        PeerHome::new(self.0.join("observers").join(index.to_string()))
    }

    /// The folders of the observers that were made with the network.
    pub fn observers(&self) -> Result<Vec<PeerHome>> {
        let mut found = Vec::new();
        loop {
            let next = self.observer(found.len());
            if !exists(&next.config_file())? {
                return Ok(found);
            }
            found.push(next);
        }
    }

    /// Whether there is a network, or what is left of one.
    pub fn is_taken(&self) -> Result<bool> {
        Ok(exists(&self.genesis_file())? || exists(&self.client_file())?)
    }

    /// The genesis.
    pub fn genesis(&self) -> Result<Genesis> {
        // Where there is no network, that is what is to be said.
        match self.is_taken()? {
            true => Ok(read_genesis(&self.genesis_file())?),
            false => Err(TestbedError::NoNetwork(self.0.clone())),
        }
    }

    /// Who submits, and to whom.
    pub fn client(&self) -> Result<ClientConfig> {
        let file = self.client_file();
        if !exists(&file)? {
            return Err(TestbedError::NoNetwork(self.0.clone()));
        }
        let config: ClientConfig = read_toml(&file)?;
        let why = match &config.peers[..] {
            [] => "it names no peer",
            peers if peers.iter().any(|peer| peer.port() == 0) => ANY_PORT,
            _ => return Ok(config),
        };
        Err(TestbedError::Peers { file, why })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_peer::files::write_toml;

    use super::*;

    #[test]
    fn a_folder_that_cannot_be_looked_into_is_not_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        assert!(matches!(home.client(), Err(TestbedError::NoNetwork(_))) && home.observers().unwrap().is_empty());
        // One that leads to itself is as closed to the superuser as to anybody.
        std::os::unix::fs::symlink(home.path(), home.path()).unwrap();
        for error in [home.client().unwrap_err(), home.genesis().unwrap_err(), home.observers().unwrap_err()] {
            assert!(matches!(error, TestbedError::File(_)), "{error}");
        }
        assert!(matches!(crate::ensure_vacant(&home), Err(TestbedError::File(_))));
    }

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
