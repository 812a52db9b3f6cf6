//! A protocol of your own: tried in the simulator by what can go wrong, and then run by four peers over libp2p.
//!
//! docs/start/protocol.md explains it. The rules are in `rules.rs`, what they promise is in `trial.rs`.

mod rules;
mod trial;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use dtn_node::standalone::{Event, Peer, PeerConfig};

use crate::rules::Broadcast;

/// The signatures of a certificate: of any two so many out of four, one is a correct peer's although one peer lies.
const QUORUM: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let failure = |quorum| (0..1_000).map(move |seed| trial::play(seed, quorum)).find(|report| !report.passes());
    ensure!(failure(QUORUM).is_none(), "{:?}", failure(QUORUM));
    println!("1000 seeds: every promise is kept");
    println!("with a signature less, {}", failure(QUORUM - 1).context("nobody noticed")?);

    let folder = tempfile::tempdir()?;
    let mut peers = Vec::new();
    for (me, config) in PeerConfig::local(4, folder.path())? {
        let network = (config.network_id, &config.validators, QUORUM);
        let create = |records| Broadcast::new((me, &config.key), network, records);
        let peer = Peer::start(config.clone(), create).await?;
        peer.handle().answer(format!("the word of {me}")).await?;
        peers.push(peer);
    }
    let mut all = Vec::new();
    for peer in &mut peers {
        let mut got = BTreeMap::new();
        while got.len() < 4 {
            let Event::Output(signed) = peer.next().await? else { bail!("it asks nothing") };
            got.insert(signed.announcer, signed.value);
        }
        all.push(got);
    }
    ensure!(all.iter().all(|got| *got == all[0]), "{all:?}");
    all[0].iter().for_each(|(announcer, value)| println!("{value:?} of {announcer} is certified, and known to all"));
    for (index, peer) in peers.into_iter().enumerate() {
        for (kind, sent) in peer.handle().counts().sent {
            println!("peer {index} sent {} x {kind}, {} bytes", sent.messages, sent.bytes);
        }
        peer.shutdown().await;
    }
    Ok(())
}
