//! From a network's folder to its client, its client's key and its blocks.

use dtn_client::{Blocks, Client};
use dtn_keys::{KeyInfo, Password};
use dtn_ledger::Ledger;
use dtn_peer::{PeerHome, files::exists};
use dtn_primitives::SecretKey;

use crate::{Result, TestbedError, home::Home, survey::Survey};

/// A client of the network.
pub fn client(home: &Home) -> Result<Client> {
    let peers = home.client()?.peers;
    Ok(Client::new(home.genesis()?, peers)?)
}

/// The key that signs for the network's client.
pub fn client_key(home: &Home) -> Result<SecretKey> {
    let config = home.client()?;
    let file = home.path().join(config.password_file);
    let password = Password::from_file(&file).map_err(TestbedError::path("read the password file", file))?;
    Ok(KeyInfo::at(&home.path().join(config.keystore))?.unlock(&password)?)
}

/// The blocks that the peers serve that answer; if none does and their stores are here, those in them. With the number of a
/// peer, only that one's.
pub async fn blocks(home: &Home, peer: Option<usize>) -> Result<Blocks> {
    let (peers, client) = (home.peers()?, client(home)?);
    if let Some(peer) = peer.filter(|peer| *peer >= peers.len()) {
        return Err(TestbedError::NoPeer { peer, count: peers.len() });
    }
    let asked = peer.map_or(0..peers.len(), |peer| peer..peer + 1);
    let mut answering = Survey::of(home)?.answering(asked.clone()).await;
    if peer.is_some()
        && let Some(one) = answering.pop()
    {
        return Ok(Blocks::of_peer(client, one));
    }
    if !answering.is_empty() {
        return Ok(Blocks::of_peers(client, answering));
    }
    let mut opened = Vec::new();
    for store in peers[asked].iter().map(PeerHome::store) {
        if exists(&store)? {
            opened.push(Ledger::open(store, client.genesis.clone())?);
        }
    }
    match opened.into_iter().max_by_key(|ledger| ledger.tip().height) {
        Some(highest) => Ok(Blocks::of_store(client, highest)),
        None => Ok(Blocks::of_peers(client, answering)),
    }
}
