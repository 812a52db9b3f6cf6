//! Peers that take in lines at ports of their own and race for each, and the ledger of the races as it grows.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    time::Duration,
};

use dtn_client::{
    ClientError, RaceError,
    ledger::{Entry, Writer},
};
use dtn_node::LinesConfig;
use dtn_primitives::{GenesisError, MIN_VALIDATORS};
use dtn_report::{Progress, Tell};
use futures::{StreamExt, pin_mut};
use tokio::time::sleep;

use crate::{Home, Plan, Result, Service, TestbedError, blocks, change, init_and_tell};

/// How often the peers are asked for the next block.
const LOOK: Duration = Duration::from_millis(50);

/// Why the ledger cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// The network.
    #[error("{0}")]
    Testbed(#[from] TestbedError),
    /// What its peers answer.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// Its genesis.
    #[error("{0}")]
    Genesis(#[from] GenesisError),
    /// A race in its blocks.
    #[error("{0}")]
    Race(#[from] RaceError),
}

/// What there is to tell.
#[derive(Debug)]
pub enum News {
    /// So many races were over before.
    Known(u64),
    /// A race is over.
    Entry(Box<Entry>),
    /// A peer has ended. The others go on without it as long as they are a quorum.
    Ended {
        /// Which.
        peer: usize,
        /// The last error of its log.
        why: Option<String>,
        /// So many run.
        running: usize,
        /// So many are a quorum.
        quorum: usize,
    },
}

/// Gives the first peers of a network a port for lines on loopback each. A line opens a race that is expected to take so many
/// hashes. All other peers vote without racing. A network that is not there yet is made; of one that is there nothing may run.
/// Gives how many peers there are.
pub fn give_ports(home: &Home, ports: &[u16], expected_hashes: NonZeroU64, tell: Tell<'_>) -> Result<usize> {
    if !dtn_peer::files::exists(&home.client_file())? {
        init_and_tell(home, &Plan::local("pow", ports.len().max(MIN_VALIDATORS)), tell)?;
    }
    let peers = home.peers()?.len();
    if ports.len() > peers {
        return Err(TestbedError::FewPeers { folder: home.path().into(), peers });
    }
    for peer in 0..peers {
        let listen = ports.get(peer).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, *port)));
        change(home, peer, |config| {
            config.lines = listen.map(|listen| LinesConfig { listen, expected_hashes });
            config.mine = listen.is_some();
            config.retain_blocks = 0;
        })?;
    }
    Ok(peers)
}

/// Tells of every race that is over from now on, verified against the genesis, and of peers that end, until `news` fails.
pub async fn follow<E: From<LinesError>>(
    home: &Home,
    mut news: impl FnMut(News) -> Result<(), E>,
    tell: Tell<'_>,
) -> Result<(), E> {
    let blocks = blocks(home, None).await.map_err(LinesError::from)?;
    let mut writer = Writer::new(blocks.genesis().clone()).map_err(LinesError::from)?;
    let tip = blocks.tip().await.map_err(LinesError::from)?;
    tell(Progress::Stage { what: "blocks", parts: tip });
    {
        let known = blocks.up_to(tip);
        pin_mut!(known);
        while let Some(block) = known.next().await {
            writer.next(block.map_err(LinesError::from)?).map_err(LinesError::from)?;
            tell(Progress::Part);
        }
    }
    tell(Progress::Over);
    news(News::Known(writer.head.entries))?;
    let (peers, quorum) = (home.peers().map_err(LinesError::from)?, blocks.validators().quorum());
    let peers: Vec<_> = peers.iter().map(Service::peer).collect();
    let (mut height, mut ended) = (tip + 1, BTreeSet::new());
    loop {
        let Some(block) = blocks.at(height).await.map_err(LinesError::from)? else {
            for (peer, service) in peers.iter().enumerate() {
                if service.runs() {
                    ended.remove(&peer);
                } else if ended.insert(peer) {
                    let (why, running) = (service.last_error(), peers.len() - ended.len());
                    news(News::Ended { peer, why, running, quorum })?;
                }
            }
            sleep(LOOK).await;
            continue;
        };
        for entry in writer.next(block).map_err(LinesError::from)? {
            news(News::Entry(Box::new(entry)))?;
        }
        height += 1;
    }
}
