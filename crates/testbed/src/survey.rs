//! What answers where the peers of a network should. An answer counts only if it is this network's: the same ports may be
//! another's on the same machine.

use std::{net::SocketAddr, time::Duration};

use dtn_api::{ApiClient, Status};
use dtn_keys::KeyInfo;
use dtn_peer::PeerHome;
use dtn_primitives::{B256, VERSION};
use dtn_report::units;
use futures::{
    StreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use jsonrpsee::{core::ClientError, http_client::HttpClient};

use crate::{Result, home::Home};

/// A peer that takes longer to say how it is doing counts as not answering.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Where the peers of a network should answer.
#[derive(Debug)]
pub struct Survey {
    network_id: B256,
    quorum: usize,
    /// Where they should answer, by index.
    pub addresses: Vec<SocketAddr>,
    clients: Vec<HttpClient>,
}

/// What answers there.
#[derive(Debug, Clone)]
pub enum Found {
    /// Nobody in time.
    None,
    /// Somebody else, in words.
    Other(String),
    /// The peer.
    Peer(Box<Status>),
}

impl From<Option<Status>> for Found {
    fn from(status: Option<Status>) -> Self {
        status.map_or(Self::None, |status| Self::Peer(Box::new(status)))
    }
}

impl Found {
    /// The peer's answer.
    pub fn peer(self) -> Option<Status> {
        match self {
            Self::Peer(status) => Some(*status),
            Self::None | Self::Other(_) => None,
        }
    }

    /// The peer's answer.
    pub fn as_peer(&self) -> Option<&Status> {
        match self {
            Self::Peer(status) => Some(status),
            Self::None | Self::Other(_) => None,
        }
    }

    /// Who else answers, in words.
    pub fn other(&self) -> Option<&str> {
        match self {
            Self::Other(who) => Some(who),
            Self::None | Self::Peer(_) => None,
        }
    }
}

impl Survey {
    /// Of the network in a folder.
    pub fn of(home: &Home) -> Result<Self> {
        // Where there is no network, it is the client's file whose absence says so.
        let (addresses, genesis) = (home.client()?.peers, home.genesis()?);
        let clients = addresses.iter().copied().map(dtn_client::connect).collect::<Result<_, _>>()?;
        Ok(Self { network_id: genesis.network_id(), quorum: genesis.validator_set()?.quorum(), addresses, clients })
    }

    /// Asks all peers, each for as long as it may take.
    pub async fn ask(&self) -> Vec<Found> {
        join_all((0..self.clients.len()).map(|peer| self.ask_one(peer))).await
    }

    /// The clients of those that answer, the quickest first. A quorum of them is enough to ask: whoever hangs is not
    /// waited for.
    pub async fn answering(&self, peers: impl IntoIterator<Item = usize>) -> Vec<HttpClient> {
        let asked: FuturesUnordered<_> = peers
            .into_iter()
            .map(async |peer| self.ask_one(peer).await.peer().map(|_| self.clients[peer].clone()))
            .collect();
        asked.flat_map(stream::iter).take(self.quorum).collect().await
    }

    /// Asks an observer, where its configuration says that it answers.
    pub async fn ask_observer(&self, observer: &PeerHome) -> Found {
        let Ok(config) = observer.config(&[]) else { return Found::None };
        let Ok(client) = dtn_client::connect(config.api) else { return Found::None };
        let found = ask(&client, self.network_id, None).await;
        let address = KeyInfo::at(&config.keystore).ok().and_then(|key| key.address);
        match found.as_peer().is_some_and(|status| address.is_some_and(|own| own != status.address)) {
            true => Found::Other("another observer of this network answers".into()),
            false => found,
        }
    }

    async fn ask_one(&self, peer: usize) -> Found {
        ask(&self.clients[peer], self.network_id, Some(peer)).await
    }
}

/// Asks for the peer of an index, or for an observer.
async fn ask(client: &HttpClient, network_id: B256, peer: Option<usize>) -> Found {
    let answer = tokio::time::timeout(TIMEOUT, client.status()).await;
    let status = match answer {
        Ok(Ok(status)) => status,
        // It answers, and in other words than these.
        Ok(Err(ClientError::ParseError(_) | ClientError::Call(_))) => {
            return Found::Other(format!("a peer of another version answers: this program is of version {VERSION}"));
        }
        Ok(Err(_)) | Err(_) => return Found::None,
    };
    if status.network_id != network_id {
        let (name, id) = (&status.network, units::short(status.network_id));
        return Found::Other(format!("a peer of another network answers, `{name}` ({id})"));
    }
    if status.validator.map(usize::from) != peer {
        let who = status.validator.map_or("an observer".into(), |index| format!("peer {index}"));
        return Found::Other(format!("{who} of this network answers"));
    }
    Found::Peer(Box::new(status))
}
