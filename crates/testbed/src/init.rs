//! Making the files of a local network.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dtn_adversary::Kind;
use dtn_chain::networks::LOCAL_CHAIN_ID;
use dtn_config::OutOfRange;
use dtn_keys::{KeyInfo, Keystore, Password};
use dtn_ledger::mark_never_voted;
use dtn_node::{Multiaddr, Protocol, Role};
use dtn_participant::Behaviour;
use dtn_peer::{
    PeerConfig, SettlementConfig,
    config::THREADS,
    files::{exists, make_private, read_toml, write_json, write_toml},
    log::LogConfig,
};
use dtn_primitives::{Address, Engine, Genesis, MAX_VALIDATORS, MIN_VALIDATORS, SecretKey, TrainingTerms};
use dtn_report::{Progress, Tell};

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
    /// What decides which blocks become final.
    pub engine: Engine,
    /// The custom kinds of work that it does.
    pub kinds: Vec<String>,
    /// What it demands of orders for trained models, if it takes any.
    pub training: Option<TrainingTerms>,
}

impl Plan {
    /// So many validators that talk over TCP on any free ports, and settle on a development chain.
    pub fn local(name: &str, nodes: usize) -> Self {
        Self {
            name: name.into(),
            nodes,
            chain_id: LOCAL_CHAIN_ID,
            ports: Ports::Free,
            threads: NonZeroUsize::MIN,
            password_file: None,
            transport: Transport::Tcp,
            observers: 0,
            engine: Engine::Pbft,
            kinds: Vec::new(),
            training: Some(TrainingTerms::default()),
        }
    }

    /// The same with another time from one statement of earnings to the next, if one is given.
    pub fn with_earnings_epoch(self, epoch: Option<Duration>) -> Self {
        let other = |terms: TrainingTerms| TrainingTerms {
            epoch_ms: epoch.map_or(terms.epoch_ms, |epoch| epoch.as_millis() as u64),
            ..terms
        };
        Self { training: self.training.map(other), ..self }
    }
}

/// The same as [`init`], which tells its progress and goes on to its end, within tokio's runtime of several threads.
pub fn init_and_tell(home: &Home, plan: &Plan, tell: Tell<'_>) -> Result<Genesis> {
    let keys = 2 * plan.nodes + plan.observers + 1;
    tell(Progress::Stage { what: "keys", parts: keys as u64 });
    let genesis = tokio::task::block_in_place(|| {
        init(home, plan, || {
            tell(Progress::Part);
            ControlFlow::Continue(())
        })
    })?;
    tell(Progress::Over);
    Ok(genesis)
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

/// The keys of a network.
struct Keys {
    /// Sorted by address, as the genesis has them.
    validators: Vec<(KeyInfo, SecretKey)>,
    /// Whom each validator's rewards go to.
    payees: Vec<Address>,
    observers: Vec<(KeyInfo, SecretKey)>,
    client: (KeyInfo, SecretKey),
}

impl Keys {
    /// Makes them. `made` is told after each.
    fn make(home: &Home, plan: &Plan, password: &Password, made: impl Fn() -> ControlFlow<()>) -> Result<Self> {
        let keystore = Keystore::new(home.keys());
        let generate = |name: String| -> Result<(KeyInfo, SecretKey)> {
            let made_key = keystore.generate(&name, password)?;
            match made() {
                ControlFlow::Continue(()) => Ok(made_key),
                ControlFlow::Break(()) => Err(TestbedError::Interrupted),
            }
        };
        let several =
            |count: usize, of: &str| (0..count).map(|i| generate(format!("{of}-{i}"))).collect::<Result<Vec<_>>>();
        let mut validators = several(plan.nodes, "validator")?;
        validators.sort_by_key(|(_, key)| key.address());
        let payees = several(plan.nodes, "payee")?.iter().map(|(_, key)| key.address()).collect();
        let observers = several(plan.observers, "observer")?;
        Ok(Self { validators, payees, observers, client: generate("client".into())? })
    }

    /// What they agree on.
    fn genesis(&self, plan: &Plan) -> Result<Genesis> {
        let genesis = Genesis {
            version: dtn_primitives::VERSION,
            name: plan.name.clone(),
            chain_id: plan.chain_id,
            timestamp: now_ms()?,
            max_block_bytes: MAX_BLOCK_BYTES,
            validators: self.validators.iter().map(|(_, key)| key.public_key()).collect(),
            requesters: vec![self.client.1.address()],
            engine: plan.engine,
            kinds: plan.kinds.clone(),
            training: plan.training,
        };
        genesis.validator_set()?;
        Ok(genesis)
    }
}

/// What the new keystores open with, and its file. The keys of a local network need no better than a random one beside them.
fn password(home: &Home, plan: &Plan) -> Result<(PathBuf, Password)> {
    let Some(file) = &plan.password_file else {
        let file = home.password_file();
        let made = Password::make_file(&file).map_err(TestbedError::path("make", &file))?;
        return Ok((file, made));
    };
    let file = std::path::absolute(file).map_err(TestbedError::path("use", file))?;
    let password = Password::from_file(&file).map_err(TestbedError::path("read the password file", &file))?;
    Ok((file, password))
}

/// Makes all files of a network.
fn make(home: &Home, plan: &Plan, ports: &[u16], made: impl Fn() -> ControlFlow<()>) -> Result<Genesis> {
    let n = plan.nodes;
    let (password_file, password) = password(home, plan)?;
    let keys = Keys::make(home, plan, &password, made)?;
    let genesis = keys.genesis(plan)?;
    write_json(&home.genesis_file(), &genesis)?;

    let Keys { validators, payees, observers, client } = keys;
    let listens = |place: usize| plan.transport.address(ports[2 * place]);
    let answers = |place: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[2 * place + 1]));
    let keystore = |info: &KeyInfo| Path::new("keys").join(info.path.file_name().unwrap_or_default());
    let peers: BTreeMap<Address, Multiaddr> =
        validators.iter().enumerate().map(|(i, (_, key))| (key.address(), listens(i))).collect();
    // What a validator and an observer have in common, each at its place among the ports.
    let config = |place: usize, info: &KeyInfo, payee: Address| PeerConfig {
        genesis: "../../genesis.json".into(),
        role: Role::Validator,
        keystore: Path::new("../..").join(keystore(info)),
        password_file: relative(&password_file, home, "../../password"),
        listen: listens(place),
        api: answers(place),
        api_hosts: Vec::new(),
        payee,
        threads: plan.threads,
        mine: true,
        half_work: false,
        lie: None,
        train: false,
        train_points: 4,
        train_behaviour: Behaviour::Honest,
        trainer: None,
        scorer: None,
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
    for (i, ((info, key), payee)) in validators.iter().zip(payees).enumerate() {
        let peer = home.peer(i);
        make_private(peer.path())?;
        let mut config = config(i, info, payee);
        config.peers.remove(&key.address());
        write_toml(&peer.config_file(), &config)?;
        // The key is new, so nothing was ever signed with it: its peer may vote from the first block on.
        mark_never_voted(peer.store())?;
    }
    for (i, (info, key)) in observers.iter().enumerate() {
        let observer = home.observer(i);
        make_private(observer.path())?;
        // It does no work and earns nothing.
        let idle = config(n + i, info, key.address());
        let config = PeerConfig { role: Role::Observer, threads: NonZeroUsize::MIN, ..idle };
        write_toml(&observer.config_file(), &config)?;
    }
    let client = ClientConfig {
        keystore: keystore(&client.0),
        password_file: relative(&password_file, home, "password"),
        peers: (0..n).map(answers).collect(),
    };
    write_toml(&home.client_file(), &client)?;
    Ok(genesis)
}

/// Tells every peer where it settles. Peers that are running read it when they start again.
pub fn set_settlement(home: &Home, settlement: &SettlementConfig) -> Result<()> {
    let peers = 0..home.peers()?.len();
    peers.into_iter().try_for_each(|peer| change(home, peer, |config| config.settlement = Some(settlement.clone())))
}

/// Where the peers settle, as they are told.
pub fn settlements(home: &Home) -> Result<Vec<SettlementConfig>> {
    let mut told = Vec::new();
    for peer in 0..home.peers()?.len() {
        let config: PeerConfig = read_toml(&home.peer(peer).config_file())?;
        told.extend(config.settlement);
    }
    Ok(told)
}

/// Tells a peer to claim half of its work of rounds as all of it.
pub fn set_half_work(home: &Home, peer: usize) -> Result<()> {
    change(home, peer, |config| config.half_work = true)
}

/// Tells a peer to lie to the others, or to do so no more.
pub fn set_lie(home: &Home, peer: usize, kind: Option<Kind>) -> Result<()> {
    change(home, peer, |config| config.lie = kind)
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
        let plan = Plan { ports: Ports::From(26_600), ..Plan::local("dtn", MIN_VALIDATORS) };
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
