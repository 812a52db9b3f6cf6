//! Gathers what the checks look at: what peers answer, twice, and what their folders on this machine tell.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dtn_api::{ApiClient, Status};
use dtn_chain::Chain;
use dtn_node::Multiaddr;
use dtn_peer::{PeerConfig, PeerHome, SettlementConfig, read_genesis};
use dtn_primitives::{B256, Genesis};
use dtn_report::text::reason;
use futures::future::join_all;
use jsonrpsee::http_client::HttpClient;
use tokio::time::timeout;

use crate::{Result, home::Home, service::Service};

/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a settlement chain may take to answer.
const CHAIN_PATIENCE: Duration = Duration::from_secs(5);

/// A network as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Observation {
    pub(super) home: PathBuf,
    pub(super) network_id: B256,
    pub(super) quorum: usize,
    pub(super) peers: Vec<Peer>,
}

/// A peer as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) index: usize,
    /// Where it should answer.
    pub(super) api: SocketAddr,
    /// Its answer, or why there is none.
    pub(super) first: Result<Sample, String>,
    /// The same a while later.
    pub(super) second: Result<Sample, String>,
    /// What its folder tells, if it is on this machine.
    pub(super) local: Option<Local>,
}

impl Peer {
    /// The latest answer.
    pub(super) fn last(&self) -> Option<&Sample> {
        self.second.as_ref().ok()
    }

    /// Both answers.
    pub(super) fn samples(&self) -> Option<(&Sample, &Sample)> {
        self.first.as_ref().ok().zip(self.second.as_ref().ok())
    }
}

/// An answer of a peer.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) status: Status,
    /// How far its clock is ahead of this machine's, in milliseconds.
    pub(super) clock_ahead_ms: i64,
    /// How far off that may be.
    pub(super) uncertain_ms: i64,
    /// The time of its last final block, or of the genesis; `None` if it did not tell.
    pub(super) tip_ms: Option<u64>,
}

/// What a peer's folder tells.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) folder: PathBuf,
    pub(super) running: bool,
    /// The last error in its log.
    pub(super) last_error: Option<String>,
    /// Bytes that are free where its store is.
    pub(super) free_bytes: Option<u64>,
    /// What its configuration leads to, or why it is not valid.
    pub(super) config: Result<Configured, String>,
}

/// What a peer's configuration leads to.
#[derive(Debug, Clone)]
pub(super) struct Configured {
    pub(super) api: SocketAddr,
    /// The network id of its genesis, or why it has none.
    pub(super) network_id: Result<B256, String>,
    /// Addresses that it needs and somebody else has.
    pub(super) taken: Vec<String>,
    pub(super) keystore: Secret,
    pub(super) password: Secret,
    /// Its `node.toml`, where that has a secret: the endpoint of a chain often has a key in it.
    pub(super) file: Option<Secret>,
    /// Whether its settlement chain answers as the right one; `None` where it does not settle.
    pub(super) settlement: Option<Result<(), String>>,
}

/// A file that only its owner should read.
#[derive(Debug, Clone)]
pub(super) struct Secret {
    pub(super) path: PathBuf,
    /// Its permission bits, or why it cannot be read.
    pub(super) mode: Result<u32, String>,
}

/// Looks at a network for a while.
pub(super) async fn observe(home: &Home, watch: Duration) -> Result<Observation> {
    let genesis = home.genesis()?;
    let addresses = home.client()?.peers;
    let clients = addresses.iter().copied().map(dtn_client::connect).collect::<Result<Vec<_>, _>>()?;
    let first = join_all(clients.iter().map(sample)).await;
    let (second, locals) = tokio::join!(
        async {
            tokio::time::sleep(watch).await;
            join_all(clients.iter().map(async |client| with_tip(client, sample(client).await?, &genesis).await)).await
        },
        join_all(home.peers()?.into_iter().map(local)),
    );
    let peers = addresses.into_iter().zip(first).zip(second).zip(locals).enumerate();
    let peers = peers.map(|(index, (((api, first), second), local))| Peer { index, api, first, second, local });
    Ok(Observation {
        home: home.path().into(),
        network_id: genesis.network_id(),
        quorum: genesis.validator_set()?.quorum(),
        peers: peers.collect(),
    })
}

async fn sample(client: &HttpClient) -> Result<Sample, String> {
    let before = now_ms();
    let status = timeout(PATIENCE, client.status()).await.map_err(|_| format!("no answer within {PATIENCE:?}"))?;
    let status = status.map_err(|error| error.to_string())?;
    let after = now_ms();
    let clock_ahead_ms = i64::try_from(status.vitals.time_ms).unwrap_or(i64::MAX).saturating_sub((before + after) / 2);
    Ok(Sample { status, clock_ahead_ms, uncertain_ms: (after - before).max(0), tip_ms: None })
}

/// The time of the last final block beside a sample of its peer.
async fn with_tip(client: &HttpClient, sample: Sample, genesis: &Genesis) -> Result<Sample, String> {
    let height = sample.status.height;
    if height == 0 {
        return Ok(Sample { tip_ms: Some(genesis.timestamp), ..sample });
    }
    let certified = timeout(PATIENCE, client.certificate(height)).await.ok().and_then(Result::ok).flatten();
    Ok(Sample { tip_ms: certified.map(|certified| certified.header.timestamp), ..sample })
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// What a peer's folder tells; `None` if it is not on this machine.
async fn local(home: PeerHome) -> Option<Local> {
    if matches!(home.path().try_exists(), Ok(false)) {
        return None;
    }
    let service = Service::peer(&home);
    let running = service.runs();
    let config = match home.config(&[]) {
        Ok(config) => Ok(configured(home.config_file(), config, running).await),
        Err(error) => Err(reason(&error)),
    };
    Some(Local {
        folder: home.path().into(),
        running,
        last_error: service.last_error(),
        free_bytes: free_bytes(home.path()),
        config,
    })
}

async fn configured(file: PathBuf, config: PeerConfig, running: bool) -> Configured {
    let PeerConfig { genesis, keystore, password_file, listen, api, settlement, .. } = config;
    let mut taken = Vec::new();
    if !running {
        // Bound for a moment, to see whether they are free.
        if TcpListener::bind(api).is_err() {
            taken.push(api.to_string());
        }
        let listens = match socket_address(&listen) {
            Some((address, true)) => UdpSocket::bind(address).is_ok(),
            Some((address, false)) => TcpListener::bind(address).is_ok(),
            None => true,
        };
        if !listens {
            taken.push(listen.to_string());
        }
    }
    Configured {
        api,
        network_id: read_genesis(&genesis).map(|genesis| genesis.network_id()).map_err(|error| reason(&error)),
        taken,
        keystore: secret(keystore),
        password: secret(password_file),
        file: settlement.is_some().then(|| secret(file)),
        settlement: match settlement {
            Some(settlement) => Some(chain_answers(settlement).await),
            None => None,
        },
    }
}

async fn chain_answers(settlement: SettlementConfig) -> Result<(), String> {
    let SettlementConfig { name, chain: mut network, .. } = settlement;
    network.name = name;
    match timeout(CHAIN_PATIENCE, Chain::connect(&network)).await {
        Ok(answer) => answer.map(drop).map_err(|error| error.to_string()),
        Err(_) => Err(format!("{} does not answer within {CHAIN_PATIENCE:?}", network.rpc)),
    }
}

/// The socket of a multiaddress as `/ip4/A/tcp/P` or `/ip4/A/udp/P/…`, and whether it is UDP.
fn socket_address(address: &Multiaddr) -> Option<(SocketAddr, bool)> {
    let text = address.to_string();
    let mut parts = text.split('/').skip(2);
    let ip: std::net::IpAddr = parts.next()?.parse().ok()?;
    let udp = match parts.next()? {
        "tcp" => false,
        "udp" => true,
        _ => return None,
    };
    Some(((ip, parts.next()?.parse::<u16>().ok()?).into(), udp))
}

fn secret(path: PathBuf) -> Secret {
    let mode = std::fs::File::open(&path).and_then(|file| file.metadata());
    Secret { path, mode: mode.map(|metadata| metadata.permissions().mode() & 0o777).map_err(|error| error.to_string()) }
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = nix::sys::statvfs::statvfs(folder).ok()?;
    // The width of these numbers differs between systems.
    #[allow(clippy::useless_conversion)]
    Some(u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_socket_of_a_multiaddress_is_found() {
        let parse = |text: &str| socket_address(&text.parse().unwrap());
        assert_eq!(parse("/ip4/127.0.0.1/tcp/26600"), Some(("127.0.0.1:26600".parse().unwrap(), false)));
        assert_eq!(parse("/ip6/::1/udp/7/quic-v1"), Some(("[::1]:7".parse().unwrap(), true)));
        assert_eq!(parse("/dns4/example.org/tcp/1"), None);
    }

    #[test]
    fn a_folder_has_free_space_and_an_absent_file_is_no_secret() {
        assert!(free_bytes(Path::new("/")).unwrap() > 0);
        assert!(secret("/no/such/file".into()).mode.unwrap_err().contains("No such file"));
    }
}
