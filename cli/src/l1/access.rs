//! From a network's folder to its client, its client's key and its blocks.

use anyhow::{Context, Result, ensure};
use dtn_client::{Blocks, Client};
use dtn_ledger::Ledger;
use dtn_primitives::SecretKey;
use dtn_settlement::keystore::{KeyInfo, Password};

use super::{home::Home, survey::Survey};

/// A client of the network.
pub(crate) fn client(home: &Home) -> Result<Client> {
    Ok(Client::new(home.genesis()?, home.client()?.peers)?)
}

/// The key that signs for the network's client.
pub(crate) fn client_key(home: &Home) -> Result<SecretKey> {
    let config = home.client()?;
    let file = home.path().join(config.password_file);
    let password =
        Password::from_file(&file).with_context(|| format!("cannot read the password file {}", file.display()))?;
    Ok(KeyInfo::at(&home.path().join(config.keystore))?.unlock(&password)?)
}

/// The blocks that the peers serve that answer; if none does and their stores are here, those in them. With the number of a
/// peer, only that one's.
pub(crate) async fn blocks(home: &Home, peer: Option<usize>) -> Result<Blocks> {
    let (peers, client) = (home.peers()?, client(home)?);
    ensure!(
        peer.is_none_or(|peer| peer < peers.len()),
        "there is no peer {}: they are 0 to {}",
        peer.unwrap_or_default(),
        peers.len() - 1
    );
    let asked = peer.map_or(0..peers.len(), |peer| peer..peer + 1);
    let mut answering = Survey::of(home)?.answering(asked.clone()).await;
    let stores: Vec<_> = peers[asked].iter().map(|peer| peer.store()).filter(|store| store.is_file()).collect();
    if peer.is_some()
        && let Some(one) = answering.pop()
    {
        return Ok(Blocks::of_peer(client, one));
    }
    if !answering.is_empty() || stores.is_empty() {
        return Ok(Blocks::of_peers(client, answering));
    }
    let opened = stores.iter().map(|store| Ok(Ledger::open(store, client.genesis.clone())?));
    let opened = opened.collect::<Result<Vec<_>>>()?;
    let highest = opened.into_iter().max_by_key(|ledger| ledger.tip().height).context("there is no store")?;
    Ok(Blocks::of_store(client, highest))
}
