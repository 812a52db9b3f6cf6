//! Peers that are told to lie.

use std::str::FromStr;

use anyhow::{Result, ensure};
use clap::Args;
use dtn_chain::networks::LOCAL_CHAIN_ID;
use dtn_simulator::adversary::Kind;
use dtn_testbed::Home;

use crate::failure::Coded;

/// A peer, and how it lies; or that it does no more.
#[derive(Debug, Clone, Copy)]
struct Lie {
    peer: usize,
    kind: Option<Kind>,
}

impl FromStr for Lie {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (peer, kind) = text.split_once('=').ok_or("PEER=KIND is meant, such as 0=equivocator")?;
        let peer = peer.parse().map_err(|_| format!("{peer:?} is no peer's number"))?;
        let kind = if kind == "none" { None } else { Some(kind.parse().map_err(|error| format!("{error}"))?) };
        Ok(Self { peer, kind })
    }
}

/// Who lies.
#[derive(Debug, Clone, Args)]
pub(crate) struct Lies {
    /// For trials on a development chain: a peer lies to the others from its next start on, as those of `sim pbft --behaviour` do;
    /// PEER=none ends it. May be given several times.
    #[arg(long = "lie", value_name = "PEER=KIND")]
    lies: Vec<Lie>,
}

impl Lies {
    /// Refuses what would not start, in a network of so many peers that settles on a chain.
    pub(crate) fn check(&self, peers: usize, chain: u64) -> Result<()> {
        let refused = format!("peers lie on chain {LOCAL_CHAIN_ID} only, and this network settles on {chain}");
        ensure!(self.lies.is_empty() || chain == LOCAL_CHAIN_ID, Coded::argument(refused));
        let unknown = self.lies.iter().find(|lie| lie.peer >= peers);
        let refused = |lie: &Lie| format!("there is no peer {}: the last one is {}", lie.peer, peers.saturating_sub(1));
        unknown.map_or(Ok(()), |lie| Err(Coded::argument(refused(lie)).into()))
    }

    /// Writes it into the configurations of a network that is made.
    pub(crate) fn tell(&self, home: &Home) -> Result<()> {
        if !self.lies.is_empty() {
            self.check(home.peers()?.len(), home.genesis()?.chain_id)?;
        }
        self.lies.iter().try_for_each(|lie| Ok(dtn_testbed::set_lie(home, lie.peer, lie.kind)?))
    }
}
