//! Making the files of a local network.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::hex;
use dtn_ledger::mark_never_voted;
use dtn_node::{Multiaddr, Protocol, Role};
use dtn_peer::{
    PeerConfig, SettlementConfig,
    config::THREADS,
    files::{exists, make_private, read_toml, write_json, write_toml},
    log::LogConfig,
};
use dtn_primitives::{Address, Genesis, MAX_VALIDATORS, MIN_VALIDATORS, Mining, SecretKey};
use dtn_settlement::{
    keystore::{KeyInfo, Keystore, Password},
    networks::OutOfRange,
};
use zeroize::Zeroizing;

use crate::{
    Result, TestbedError,
    home::{ClientConfig, Home},
};

/// The largest encoded block of a network made here, in bytes.
const MAX_BLOCK_BYTES: u64 = 1024 * 1024;

/// Which ports the peers use.
#[derive(Debug, Clone, Copy)]
pub enum Ports {
    /// Peer N listens on `base + 2N` for peers and serves its API on `base + 2N + 1`.
    From(u16),
    /// Any that are free now.
    Free,
}

/// What peers talk over.
#[derive(Debug, Clone, Copy, Default)]
pub enum Transport {
    /// TCP, encrypted by Noise.
    #[default]
    Tcp,
    /// QUIC, over UDP; for a program that was built with `--features quic`.
    Quic,
}

impl Transport {
    /// Fails if this program cannot talk over it.
    fn ensure_built(self) -> Result<()> {
        match matches!(self, Self::Tcp) || cfg!(feature = "quic") {
            true => Ok(()),
            false => Err(TestbedError::NoQuic),
        }
    }

    fn address(self, port: u16) -> Multiaddr {
        let host = Multiaddr::empty().with(Protocol::Ip4(Ipv4Addr::LOCALHOST));
        match self {
            Self::Tcp => host.with(Protocol::Tcp(port)),
            Self::Quic => host.with(Protocol::Udp(port)).with(Protocol::QuicV1),
        }
    }
}

/// What a new network is like.
#[derive(Debug)]
pub struct Plan {
    /// Its name, which is part of its identity.
    pub name: String,
    /// How many validators.
    pub nodes: usize,
    /// The chain id of the settlement chain.
    pub chain_id: u64,
    /// Where its peers listen.
    pub ports: Ports,
    /// How many threads each works with.
    pub threads: NonZeroUsize,
    /// The file that opens the new keystores; without one a random password is written beside them.
    pub password_file: Option<PathBuf>,
    /// What peers talk over.
    pub transport: Transport,
    /// How many peers follow without voting.
    pub observers: usize,
    /// How blocks are mined, if they are.
    pub mining: Option<Mining>,
    /// The custom kinds of work that it does.
    pub kinds: Vec<String>,
}

impl Plan {
    /// Four validators without observers at ports that are free now, which talk over TCP and agree by PBFT.
    pub fn new(name: impl Into<String>, chain_id: u64) -> Self {
        Self {
            name: name.into(),
            nodes: MIN_VALIDATORS,
            chain_id,
            ports: Ports::Free,
            threads: NonZeroUsize::MIN,
            password_file: None,
            transport: Transport::Tcp,
            observers: 0,
            mining: None,
            kinds: Vec::new(),
        }
    }
}

/// Makes keys, genesis and configurations. Refuses a folder that holds a network already. `made` is told after each
/// key, which is the slow part, and ends it by an error.
pub fn init(home: &Home, plan: &Plan, made: impl Fn() -> ControlFlow<()>) -> Result<Genesis> {
    let n = plan.nodes;
    if plan.name.trim().is_empty() {
        return Err(TestbedError::NoName);
    }
    if !(MIN_VALIDATORS..=MAX_VALIDATORS).contains(&n) {
        return Err(TestbedError::Nodes(n));
    }
    OutOfRange::check("threads", plan.threads.get() as u64, THREADS)?;
    plan.transport.ensure_built()?;
    ensure_vacant(home)?;
    let ports = ports(plan.ports, 2 * (n + plan.observers))?;
    // Made beside its place and moved there when it is complete, so that what fails half-way is in nobody's way.
    let missing = missing_folders(home.path());
    make_private(home.path())?;
    let build = || -> Result<Genesis> {
        let folder = tempfile::Builder::new().prefix(".init-").tempdir_in(home.path());
        let folder = folder.map_err(TestbedError::path("make", home.path()))?;
        let draft = Home::new(folder.path());
        let genesis = make(&draft, plan, &ports, made)?;
        publish(&draft, home)?;
        Ok(genesis)
    };
    build().inspect_err(|_| {
        // Those that have something in them by now are somebody else's.
        missing.iter().for_each(|folder| _ = fs::remove_dir(folder));
    })
}

/// Which folders have to be made for one to be there, from the innermost on.
fn missing_folders(folder: &Path) -> Vec<PathBuf> {
    folder.ancestors().take_while(|folder| matches!(folder.try_exists(), Ok(false))).map(Path::to_path_buf).collect()
}

/// Fails if a folder holds a network.
pub fn ensure_vacant(home: &Home) -> Result<()> {
    if home.is_taken()? {
        return Err(TestbedError::Occupied(home.path().into()));
    }
    Ok(())
}

/// Moves a complete network to its place, the genesis last.
fn publish(draft: &Home, home: &Home) -> Result<()> {
    let mut files = Vec::new();
    list(draft.path(), &mut files)?;
    files.sort_by_key(|file| *file == draft.genesis_file());
    let mut moves = Vec::new();
    for file in files {
        let target = home.path().join(file.strip_prefix(draft.path()).unwrap_or(&file));
        if exists(&target)? {
            return Err(TestbedError::InTheWay(target));
        }
        moves.push((file, target));
    }
    for (done, (file, target)) in moves.iter().enumerate() {
        let folder = target.parent().unwrap_or(home.path());
        let renamed = || fs::rename(file, target).map_err(TestbedError::path("make", target));
        let moved = make_private(folder).map_err(TestbedError::from).and_then(|()| renamed());
        if moved.is_err() {
            // Those that cannot be removed are named when it is tried again.
            moves[..done].iter().for_each(|(_, target)| _ = fs::remove_file(target));
        }
        moved?;
    }
    Ok(())
}

/// All files below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let cannot = || TestbedError::path("read", folder);
    for entry in fs::read_dir(folder).map_err(cannot())? {
        let path = entry.map_err(cannot())?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Makes all files of a network.
fn make(home: &Home, plan: &Plan, ports: &[u16], made: impl Fn() -> ControlFlow<()>) -> Result<Genesis> {
    let n = plan.nodes;
    let password_file = match &plan.password_file {
        Some(file) => std::path::absolute(file).map_err(TestbedError::path("use", file))?,
        None => write_password(home)?,
    };
    let password =
        Password::from_file(&password_file).map_err(TestbedError::path("read the password file", &password_file))?;
    let keystore = Keystore::new(home.keys());
    let generate = |name: String| -> Result<(KeyInfo, SecretKey)> {
        let made_key = keystore.generate(&name, &password)?;
        match made() {
            ControlFlow::Continue(()) => Ok(made_key),
            ControlFlow::Break(()) => Err(TestbedError::Interrupted),
        }
    };
    let mut validators = (0..n).map(|i| generate(format!("validator-{i}"))).collect::<Result<Vec<_>>>()?;
    validators.sort_by_key(|(_, key)| key.address());
    let payees = (0..n).map(|i| generate(format!("payee-{i}"))).collect::<Result<Vec<_>>>()?;
    let observers = (0..plan.observers).map(|i| generate(format!("observer-{i}"))).collect::<Result<Vec<_>>>()?;
    let (client_info, client) = generate("client".into())?;

    let genesis = Genesis {
        version: dtn_primitives::VERSION,
        name: plan.name.clone(),
        chain_id: plan.chain_id,
        timestamp: now_ms()?,
        max_block_bytes: MAX_BLOCK_BYTES,
        validators: validators.iter().map(|(_, key)| key.public_key()).collect(),
        requesters: vec![client.address()],
        engine: plan.mining.map_or(dtn_primitives::Engine::Pbft, dtn_primitives::Engine::Nakamoto),
        kinds: plan.kinds.clone(),
    };
    genesis.validator_set()?;
    write_json(&home.genesis_file(), &genesis)?;

    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let peers: BTreeMap<Address, Multiaddr> = validators
        .iter()
        .enumerate()
        .map(|(i, (_, key))| (key.address(), plan.transport.address(ports[2 * i])))
        .collect();
    for (i, ((info, key), (_, payee))) in validators.iter().zip(&payees).enumerate() {
        let peer = home.peer(i);
        make_private(peer.path())?;
        let config = PeerConfig {
            genesis: "../../genesis.json".into(),
            role: Role::Validator,
            keystore: Path::new("../../keys").join(info.path.file_name().unwrap_or_default()),
            password_file: relative(&password_file, home, "../../password"),
            listen: peers[&key.address()].clone(),
            api: address(ports[2 * i + 1]),
            api_hosts: Vec::new(),
            payee: payee.address(),
            threads: plan.threads,
            mine: true,
            half_work: false,
            uphold: false,
            view_timeout_ms: 2_000,
            retain_blocks: dtn_ledger::RETAIN_BLOCKS,
            max_observers: plan.observers,
            bootstrap: Vec::new(),
            log: LogConfig::default(),
            lines: None,
            peers: peers.iter().filter(|(peer, _)| **peer != key.address()).map(|(a, m)| (*a, m.clone())).collect(),
            settlement: None,
        };
        write_toml(&peer.config_file(), &config)?;
        // The key is new, so nothing was ever signed with it: its peer may vote from the first block on.
        mark_never_voted(peer.store())?;
    }
    for (i, (info, key)) in observers.iter().enumerate() {
        let observer = home.observer(i);
        make_private(observer.path())?;
        let config = PeerConfig {
            genesis: "../../genesis.json".into(),
            role: Role::Observer,
            keystore: Path::new("../../keys").join(info.path.file_name().unwrap_or_default()),
            password_file: relative(&password_file, home, "../../password"),
            listen: plan.transport.address(ports[2 * (n + i)]),
            api: address(ports[2 * (n + i) + 1]),
            api_hosts: Vec::new(),
            // It does no work and earns nothing.
            payee: key.address(),
            threads: NonZeroUsize::MIN,
            mine: true,
            half_work: false,
            uphold: false,
            view_timeout_ms: 2_000,
            retain_blocks: dtn_ledger::RETAIN_BLOCKS,
            max_observers: plan.observers,
            bootstrap: Vec::new(),
            log: LogConfig::default(),
            lines: None,
            peers: peers.clone(),
            settlement: None,
        };
        write_toml(&observer.config_file(), &config)?;
    }
    let client = ClientConfig {
        keystore: Path::new("keys").join(client_info.path.file_name().unwrap_or_default()),
        password_file: relative(&password_file, home, "password"),
        peers: (0..n).map(|i| address(ports[2 * i + 1])).collect(),
    };
    write_toml(&home.client_file(), &client)?;
    Ok(genesis)
}

/// Tells every peer where it settles. Peers that are running read it when they start again.
pub fn set_settlement(home: &Home, settlement: &SettlementConfig) -> Result<()> {
    for peer in home.peers()? {
        let file = peer.config_file();
        let mut config: PeerConfig = read_toml(&file)?;
        config.settlement = Some(settlement.clone());
        write_toml(&file, &config)?;
    }
    Ok(())
}

/// Tells a peer to claim half of its work of rounds as all of it.
pub fn set_half_work(home: &Home, peer: usize) -> Result<()> {
    change(home, peer, |config| config.half_work = true)
}

/// Changes the configuration of a peer, which reads it when it starts.
pub fn change(home: &Home, peer: usize, change: impl FnOnce(&mut PeerConfig)) -> Result<()> {
    let file = home.peer(peer).config_file();
    let mut config: PeerConfig = read_toml(&file)?;
    change(&mut config);
    Ok(write_toml(&file, &config)?)
}

fn now_ms() -> Result<u64> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| TestbedError::Clock)?;
    u64::try_from(since_epoch.as_millis()).map_err(|_| TestbedError::Clock)
}

fn relative(password_file: &Path, home: &Home, own: &str) -> PathBuf {
    if password_file == home.password_file() { own.into() } else { password_file.into() }
}

/// A random password that only its owner can read: the keys of a local network need no better.
fn write_password(home: &Home) -> Result<PathBuf> {
    let file = home.password_file();
    let secret = Zeroizing::new(hex::encode(rand::random::<[u8; 32]>()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut opened = options.open(&file).map_err(TestbedError::path("make", &file))?;
    writeln!(opened, "{}", *secret).map_err(TestbedError::path("write", &file))?;
    Ok(file)
}

/// The ports for `count` listeners.
pub fn ports(ports: Ports, count: usize) -> Result<Vec<u16>> {
    match ports {
        Ports::From(base) => {
            let last = usize::from(base) + count.saturating_sub(1);
            if base == 0 {
                return Err(TestbedError::AnyPort);
            }
            if last > usize::from(u16::MAX) {
                return Err(TestbedError::NoSuchPorts { first: base, last });
            }
            Ok((0..count).map(|offset| base + offset as u16).collect())
        }
        Ports::Free => {
            // Below the ports that systems give to outgoing connections (RFC 6335 section 6, Linux from 32768 on): there
            // a peer that restarts could find its port taken. All are held until all are known.
            let first = rand::random_range(10_000..23_000);
            let listen = |port| Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?));
            let free: Vec<_> = (first..24_000).filter_map(listen).take(count).collect();
            match free.len() == count {
                true => Ok(free.into_iter().map(|(port, _)| port).collect()),
                false => Err(TestbedError::PortsTaken { free: free.len(), need: count, first }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_init_that_is_interrupted_leaves_no_folder_that_was_not_there() {
        let root = tempfile::tempdir().unwrap();
        let plan = Plan { ports: Ports::From(26_600), ..Plan::new("dtn", 31_337) };
        let interrupted = |folder: &Path| {
            let error = init(&Home::new(folder), &plan, || ControlFlow::Break(())).unwrap_err();
            assert!(matches!(error, TestbedError::Interrupted), "{error}");
        };
        interrupted(&root.path().join("new").join("network"));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "neither it nor the one above it");
        let there = root.path().join("there");
        fs::create_dir(&there).unwrap();
        interrupted(&there);
        assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
    }
}
