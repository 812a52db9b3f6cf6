//! Making the files of a local network.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::hex;
use anyhow::{Context, Result, bail, ensure};
use dtn_ledger::mark_never_voted;
use dtn_node::{Multiaddr, Role};
use dtn_primitives::{Address, Genesis, MAX_VALIDATORS, MIN_VALIDATORS, Mining, SecretKey};
use dtn_settlement::{
    keystore::{KeyInfo, Keystore, Password},
    networks::OutOfRange,
};
use zeroize::Zeroizing;

use crate::log::LogConfig;

use super::home::{ClientConfig, Home, PeerConfig, SettlementConfig, THREADS, make_private, write_toml};

/// The largest encoded block of a network made here, in bytes.
const MAX_BLOCK_BYTES: u64 = 1024 * 1024;

/// Which ports the peers use.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ports {
    /// Peer N listens on `base + 2N` for peers and serves its API on `base + 2N + 1`.
    From(u16),
    /// Any that are free now.
    Free,
}

/// What peers talk over.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum Transport {
    /// TCP, encrypted by Noise.
    #[default]
    Tcp,
    /// QUIC, over UDP; for a program that was built with `--features quic`.
    Quic,
}

impl Transport {
    /// Fails if this program cannot talk over it.
    fn ensure_built(self) -> Result<()> {
        ensure!(
            matches!(self, Self::Tcp) || cfg!(feature = "quic"),
            "this program was built without QUIC: build it with `--features quic`, or take --transport tcp"
        );
        Ok(())
    }

    fn address(self, port: u16) -> Result<Multiaddr> {
        let address = match self {
            Self::Tcp => format!("/ip4/127.0.0.1/tcp/{port}"),
            Self::Quic => format!("/ip4/127.0.0.1/udp/{port}/quic-v1"),
        };
        Ok(address.parse()?)
    }
}

/// What decides which blocks become final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// The validators' primaries propose blocks, and PBFT agrees on them.
    Pbft,
    /// Validators mine blocks, and PBFT makes the confirmed ones final.
    Nakamoto,
}

/// How the blocks of a new network come about.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct EngineOptions {
    /// What decides which blocks become final; pbft unless told otherwise.
    #[arg(long, value_enum)]
    pub(crate) engine: Option<Engine>,
    /// The time between two mined blocks that the work is adjusted to; 2s unless told otherwise.
    #[arg(long, requires = "engine", value_parser = humantime::parse_duration, value_name = "TIME")]
    block_interval: Option<Duration>,
    /// How many mined blocks have to be on top of one before it is made final; 6 unless told otherwise.
    #[arg(long, requires = "engine", value_name = "BLOCKS")]
    confirmations: Option<u64>,
    /// The expected hashes of the first mined block, 2^26 unless told otherwise; the work is adjusted from there.
    #[arg(long, requires = "engine", value_name = "HASHES")]
    block_work: Option<u64>,
}

/// What miners do unless told otherwise.
const BLOCK_INTERVAL: Duration = Duration::from_secs(2);
const CONFIRMATIONS: u64 = 6;
const BLOCK_WORK: u64 = 1 << 26;

impl EngineOptions {
    /// What the genesis says about mining.
    pub(crate) fn mining(&self) -> Result<Option<Mining>> {
        let Self { engine, block_interval, confirmations, block_work } = *self;
        if engine != Some(Engine::Nakamoto) {
            let unused = block_interval.is_none() && confirmations.is_none() && block_work.is_none();
            ensure!(unused, "--block-interval, --confirmations and --block-work are for --engine nakamoto");
            return Ok(None);
        }
        let block_interval = block_interval.unwrap_or(BLOCK_INTERVAL);
        Ok(Some(Mining {
            block_interval_ms: u64::try_from(block_interval.as_millis()).context("such a block interval")?,
            confirmations: confirmations.unwrap_or(CONFIRMATIONS),
            expected_hashes: block_work.unwrap_or(BLOCK_WORK),
        }))
    }
}

/// What a new network is like.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) nodes: usize,
    pub(crate) chain_id: u64,
    pub(crate) ports: Ports,
    pub(crate) threads: NonZeroUsize,
    /// The file that opens the new keystores; without one a random password is written beside them.
    pub(crate) password_file: Option<PathBuf>,
    /// What peers talk over.
    pub(crate) transport: Transport,
    /// How many peers follow without voting.
    pub(crate) observers: usize,
    /// How blocks are mined, if they are.
    pub(crate) mining: Option<Mining>,
}

/// Makes keys, genesis and configurations. Refuses a folder that holds a network already. `made` is told after each
/// key, which is the slow part, and ends it by an error.
pub(crate) fn init(home: &Home, plan: &Plan, made: impl Fn() -> Result<()>) -> Result<Genesis> {
    let n = plan.nodes;
    ensure!(!plan.name.trim().is_empty(), "a network needs a name");
    ensure!(
        (MIN_VALIDATORS..=MAX_VALIDATORS).contains(&n),
        "a network has {MIN_VALIDATORS} to {MAX_VALIDATORS} nodes, not {n}"
    );
    OutOfRange::check("threads", plan.threads.get() as u64, THREADS).context("--threads")?;
    plan.transport.ensure_built()?;
    ensure_vacant(home)?;
    let ports = ports(plan.ports, 2 * (n + plan.observers))?;
    // Made beside its place and moved there when it is complete, so that what fails half-way is in nobody's way.
    let cannot = || format!("cannot make {}", home.path().display());
    let missing = missing_folders(home.path());
    make_private(home.path())?;
    let build = || -> Result<Genesis> {
        let folder = tempfile::Builder::new().prefix(".init-").tempdir_in(home.path()).with_context(cannot)?;
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
    folder.ancestors().take_while(|folder| !folder.exists()).map(Path::to_path_buf).collect()
}

/// Fails if a folder holds a network.
pub(crate) fn ensure_vacant(home: &Home) -> Result<()> {
    if home.genesis_file().exists() || home.client_file().exists() {
        bail!("{} holds a network already; remove it or choose another folder with --home", home.path().display());
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
        let target = home.path().join(file.strip_prefix(draft.path())?);
        ensure!(!target.exists(), "{} is in the way; remove it or choose another folder with --home", target.display());
        moves.push((file, target));
    }
    for (done, (file, target)) in moves.iter().enumerate() {
        let folder = target.parent().unwrap_or(home.path());
        let moved = make_private(folder).and_then(|()| Ok(fs::rename(file, target)?));
        if moved.is_err() {
            // Those that cannot be removed are named when it is tried again.
            moves[..done].iter().for_each(|(_, target)| _ = fs::remove_file(target));
        }
        moved.with_context(|| format!("cannot make {}", target.display()))?;
    }
    Ok(())
}

/// All files below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Makes all files of a network.
fn make(home: &Home, plan: &Plan, ports: &[u16], made: impl Fn() -> Result<()>) -> Result<Genesis> {
    let n = plan.nodes;
    let password_file = match &plan.password_file {
        Some(file) => std::path::absolute(file).with_context(|| format!("cannot use {}", file.display()))?,
        None => write_password(home)?,
    };
    let password = Password::from_file(&password_file)
        .with_context(|| format!("cannot read the password file {}", password_file.display()))?;
    let keystore = Keystore::new(home.keys());
    let generate = |name: String| -> Result<(KeyInfo, SecretKey)> {
        let made_key = keystore.generate(&name, &password)?;
        made()?;
        Ok(made_key)
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
        timestamp: u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?,
        max_block_bytes: MAX_BLOCK_BYTES,
        validators: validators.iter().map(|(_, key)| key.public_key()).collect(),
        requesters: vec![client.address()],
        engine: plan.mining.map_or(dtn_primitives::Engine::Pbft, dtn_primitives::Engine::Nakamoto),
    };
    genesis.validator_set()?;
    let text = serde_json::to_string_pretty(&genesis)?;
    fs::write(home.genesis_file(), text + "\n").context("cannot write the genesis")?;

    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let peers: BTreeMap<Address, Multiaddr> = validators
        .iter()
        .enumerate()
        .map(|(i, (_, key))| Ok((key.address(), plan.transport.address(ports[2 * i])?)))
        .collect::<Result<_>>()?;
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
            listen: plan.transport.address(ports[2 * (n + i)])?,
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
pub(crate) fn set_settlement(home: &Home, settlement: &SettlementConfig) -> Result<()> {
    for peer in home.peers()? {
        let file = peer.config_file();
        let mut config: PeerConfig = super::home::read_toml(&file)?;
        config.settlement = Some(settlement.clone());
        write_toml(&file, &config)?;
    }
    Ok(())
}

/// Tells a peer to claim half of its work of rounds as all of it.
pub(crate) fn set_half_work(home: &Home, peer: usize) -> Result<()> {
    change(home, peer, |config| config.half_work = true)
}

/// Changes the configuration of a peer, which reads it when it starts.
pub(crate) fn change(home: &Home, peer: usize, change: impl FnOnce(&mut PeerConfig)) -> Result<()> {
    let file = home.peer(peer).config_file();
    let mut config: PeerConfig = super::home::read_toml(&file)?;
    change(&mut config);
    write_toml(&file, &config)
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
    let mut opened = options.open(&file).with_context(|| format!("cannot make {}", file.display()))?;
    writeln!(opened, "{}", *secret).context("cannot write the password")?;
    Ok(file)
}

/// The ports for `count` listeners.
pub(crate) fn ports(ports: Ports, count: usize) -> Result<Vec<u16>> {
    match ports {
        Ports::From(base) => {
            let last = usize::from(base) + count.saturating_sub(1);
            ensure!(base > 0, "port 0 is any port, which nobody can dial: choose a --base-port");
            ensure!(last <= usize::from(u16::MAX), "ports {base} to {last} do not exist: choose a lower --base-port");
            Ok((0..count).map(|offset| base + offset as u16).collect())
        }
        Ports::Free => {
            // Below the ports that systems give to outgoing connections (RFC 6335 section 6, Linux from 32768 on): there
            // a peer that restarts could find its port taken. All are held until all are known.
            let first = rand::random_range(10_000..23_000);
            let listeners: Vec<_> = (first..24_000)
                .filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
                .take(count)
                .collect();
            ensure!(listeners.len() == count, "only {} ports of {count} are free from {first} on", listeners.len());
            listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
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
        let plan = Plan {
            name: "dtn".into(),
            nodes: MIN_VALIDATORS,
            chain_id: 31_337,
            ports: Ports::From(26_600),
            threads: NonZeroUsize::MIN,
            password_file: None,
            transport: Transport::Tcp,
            observers: 0,
            mining: None,
        };
        let interrupted = |folder: &Path| {
            let error = init(&Home::new(folder), &plan, || bail!("interrupted")).unwrap_err();
            assert_eq!(error.to_string(), "interrupted");
        };
        interrupted(&root.path().join("new").join("network"));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "neither it nor the one above it");
        let there = root.path().join("there");
        fs::create_dir(&there).unwrap();
        interrupted(&there);
        assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
    }
}
