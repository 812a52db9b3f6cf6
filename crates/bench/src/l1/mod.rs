//! A network of real processes under load.

mod document;
mod follow;
mod load;
mod summary;

use std::{convert::Infallible, net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration};

pub use document::{Crash, Latency, Parameters, PeerUse, Report, Run};
use dtn_api::{ApiClient, Status};
use dtn_client::{Follower, Verifier};
use dtn_primitives::{Domain, Engine, Genesis, Membership};
use dtn_report::{Progress, Tell};
use dtn_testbed::{Home, Service, Transport};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    BenchError, Result,
    machine::{self, Machine, Usage},
    primitives,
    workload::{Shape, Workload},
};
use follow::follow;
use load::Load;
use summary::Summary;

/// Accounts that sign, for each peer.
const ACCOUNTS_PER_PEER: usize = 16;

/// The most that is under way at once: half of what a mempool holds.
const WINDOW: usize = 8_192;
const WINDOW_BYTES: usize = 16 << 20;

/// How long after the last is due the network may take to finish. What is due but not sent yet by then is sent until
/// then too: left out, the slowest would be missing from the latencies.
const DRAIN: Duration = Duration::from_secs(15);

/// The pause before peers of which none answered are asked for blocks again.
const PAUSE: Duration = Duration::from_millis(20);

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The pause between two loads of a sweep.
const REST: Duration = Duration::from_millis(500);

/// The name of a peer's metric.
const FORCED_WRITES: &str = "dtn_durable_writes_total";

/// With --saturate, the load doubles until the network finishes less than this part of it in time.
const KEEPS_UP: f64 = 0.9;

/// The most loads of a sweep.
const MAX_RUNS: usize = 16;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many peers.
    pub nodes: usize,
    /// Transactions a second, one load after the other; items a second of opaque ones.
    pub rates: Vec<f64>,
    /// Whether the last of them is doubled until the network does not keep up.
    pub saturate: bool,
    /// The encoded size of a transaction in bytes; of an item of an opaque one.
    pub size: usize,
    /// Whether many items share a signature, and items count.
    pub opaque: bool,
    /// How many do; as many as fit unless it is said.
    pub items: Option<usize>,
    /// How long each load is measured, in seconds.
    pub seconds: f64,
    /// How long it lasts before.
    pub warm_up: f64,
    /// How many peers that are not the primary are killed when a third is over.
    pub crash: usize,
    /// Whether the primary is.
    pub crash_primary: bool,
    /// What the peers talk over.
    pub transport: Transport,
    /// How they agree.
    pub engine: Engine,
}

impl Plan {
    /// Whether it can be measured, as [`measure`] asks first.
    pub fn check(&self) -> Result<()> {
        self.shape().map(|_| ())
    }

    /// A load of signed transactions beside something else.
    pub(crate) fn beside(nodes: usize, seconds: f64) -> Self {
        let (size, warm_up, transport, engine) = (512, 2.0, Transport::default(), Engine::Pbft);
        let (saturate, opaque, items, crash, crash_primary) = (false, false, None, 0, false);
        Self {
            nodes,
            rates: Vec::new(),
            saturate,
            size,
            opaque,
            items,
            seconds,
            warm_up,
            crash,
            crash_primary,
            transport,
            engine,
        }
    }

    /// What is under way at most, and how many accounts sign.
    fn crowd(&self, shape: &Shape) -> (usize, usize) {
        let window = WINDOW.min(WINDOW_BYTES / shape.transaction_bytes()).max(self.nodes);
        (window, ACCOUNTS_PER_PEER * self.nodes)
    }

    fn shape(&self) -> Result<Shape> {
        let faulty = dtn_primitives::max_faulty(self.nodes);
        let crashes = self.crash > 0 || self.crash_primary;
        let impossible = [
            (!self.rates.iter().all(|rate| (1.0..=1e7).contains(rate)), BenchError::Rate),
            (!(0.1..=86_400.0).contains(&self.seconds), BenchError::Seconds),
            (!(0.0..=3_600.0).contains(&self.warm_up), BenchError::WarmUp),
            (self.crash > faulty, BenchError::Faults { peers: self.nodes, faulty, how: "faults", asked: self.crash }),
            (crashes && (self.rates.len() != 1 || self.saturate), BenchError::OneRate),
        ];
        if let Some((_, why)) = impossible.into_iter().find(|(is_so, _)| *is_so) {
            return Err(why);
        }
        match self.opaque {
            true => Shape::opaque(self.size, self.items),
            false => Shape::signed(self.size),
        }
    }
}

/// A network that runs.
pub(crate) struct Network {
    home: Home,
    genesis: Genesis,
    domain: Domain,
    membership: Membership,
    peers: Vec<SocketAddr>,
    pids: Vec<Pid>,
    view_timeout: Duration,
}

/// Makes a network in a folder, starts it and loads it as the plan says. The peers go on when it ends, however it does.
/// `loaded` is told what became of each load.
/// Within tokio's runtime of several threads.
pub async fn measure(plan: &Plan, home: &Home, loaded: impl Fn(&Run), tell: Tell<'_>) -> Result<Report> {
    let shape = plan.shape()?;
    let machine = Machine::this();
    let network = start(plan, home, tell).await?;
    let costs = tokio::task::block_in_place(|| primitives::costs(plan.size, home.path()))?;
    let (window, accounts) = plan.crowd(&shape);
    let parameters = Parameters {
        nodes: plan.nodes,
        engine: plan.engine.kind(),
        size: plan.size,
        opaque: plan.opaque,
        items_per_transaction: shape.items,
        seconds: plan.seconds,
        warm_up_seconds: plan.warm_up,
        accounts,
        window,
        view_timeout_ms: network.view_timeout.as_millis() as u64,
        max_block_bytes: network.genesis.max_block_bytes,
        crash: plan.crash,
        crash_primary: plan.crash_primary,
    };
    let (mut rates, mut runs) = (plan.rates.clone(), Vec::<Run>::new());
    while let Some(rate) = rates.get(runs.len()).copied() {
        let run = load(plan, rate, &network, tell).await?;
        loaded(&run);
        let kept_up = run.throughput >= KEEPS_UP * rate;
        runs.push(run);
        if plan.saturate && kept_up && runs.len() < MAX_RUNS {
            rates.push(rate * 2.0);
        }
        sleep(REST).await;
    }
    let verified_ceiling = costs.verified_ceiling(machine.cores, plan.nodes) * shape.items as f64;
    let version = env!("CARGO_PKG_VERSION");
    Ok(Report { version, machine, parameters, primitives: costs, verified_ceiling, runs })
}

async fn start(plan: &Plan, home: &Home, tell: Tell<'_>) -> Result<Network> {
    let (transport, engine) = (plan.transport, plan.engine);
    let made = dtn_testbed::Plan { transport, engine, ..dtn_testbed::Plan::local("bench", plan.nodes) };
    let genesis = dtn_testbed::init_and_tell(home, &made, tell)?;
    dtn_testbed::up_all(home, tell).await?;
    Network::of(home, genesis)
}

impl Network {
    /// That of a folder, whose peers run.
    pub(crate) fn of(home: &Home, genesis: Genesis) -> Result<Self> {
        let folders = home.peers()?;
        let process = |peer| Service::peer(peer).process().ok_or(BenchError::Missing("a peer has ended"));
        Ok(Self {
            home: home.clone(),
            domain: genesis.domain(),
            membership: genesis.membership()?,
            peers: home.client()?.peers,
            pids: folders.iter().map(process).collect::<Result<_>>()?,
            view_timeout: Duration::from_millis(folders[0].config(&[])?.view_timeout_ms),
            genesis,
        })
    }
}

/// One load, from its signatures to the last of its transactions.
pub(crate) async fn load(plan: &Plan, rate: f64, network: &Network, tell: Tell<'_>) -> Result<Run> {
    let shape = plan.shape()?;
    let (window, accounts) = plan.crowd(&shape);
    let (warm_up, measured) = (Duration::from_secs_f64(plan.warm_up), Duration::from_secs_f64(plan.seconds));
    let items = (rate * (plan.warm_up + plan.seconds)).ceil() as usize;
    let count = items.div_ceil(shape.items).max(1);
    tell(Progress::Stage { what: "signatures", parts: count as u64 });
    let signed = || tell(Progress::Part);
    let workload = tokio::task::block_in_place(|| Workload::sign(&shape, count, accounts, &network.domain, signed))?;
    tell(Progress::Over);

    let statuses = statuses(network).await?;
    let primary = usize::from(statuses[0].primary);
    let n = network.peers.len();
    // Whoever is killed comes after the one that is followed, which is a backup.
    let backups: Vec<_> = (1..n).map(|offset| (primary + offset) % n).collect();
    let victims = match plan.crash_primary {
        true => vec![primary],
        false => backups[n - 1 - plan.crash..].to_vec(),
    };
    let followed = backups[0];
    let start = Instant::now() + Duration::from_millis(100);
    let load = Load::new(workload, start, rate, shape.items, network.peers.clone(), window);
    let mut peers = network.peers.clone();
    peers.rotate_left(followed);
    let follower = Follower {
        verifier: Verifier { domain: &network.domain, membership: &network.membership },
        peers,
        next: statuses[followed].height + 1,
        pause: PAUSE,
    };
    let (begin, end) = (start + warm_up, start + warm_up + measured);
    tell(Progress::Stage { what: "final", parts: count as u64 });
    let late = end + DRAIN;
    let senders = async {
        futures::future::try_join_all((0..n).map(|sender| load.send(sender, late))).await?;
        while load.done.load(Relaxed) < load.taken.load(Relaxed) && Instant::now() < late {
            sleep(LOOK / 4).await;
        }
        Ok(())
    };
    let crash = kill(victims, begin + measured / 3, &load, network);
    let observed = async { tokio::try_join!(senders, crash, watch_use(begin, end, network)) };
    let ((), killed, uses) = tokio::select! {
        observed = observed => observed?,
        Err(error) = follow(follower, &load) => return Err(error),
        Err(error) = load.retransmit() => return Err(error),
        never = count_done(&load, tell) => match never {},
    };
    tell(Progress::Over);
    let summary = Summary { load: &load, commits: load.commits(), begin, end, view_timeout: network.view_timeout };
    Ok(summary.run(&uses, killed, plan.crash_primary))
}

/// Tells how many are final, until it is dropped.
async fn count_done(load: &Load, tell: Tell<'_>) -> Infallible {
    loop {
        tell(Progress::Parts(load.done.load(Relaxed) as u64));
        sleep(LOOK).await;
    }
}

async fn statuses(network: &Network) -> Result<Vec<Status>> {
    let clients = network.peers.iter().map(|peer| dtn_client::connect(*peer)).collect::<Result<Vec<_>, _>>()?;
    let asked = clients.iter().map(|client| client.status());
    futures::future::try_join_all(asked).await.map_err(BenchError::Silent)
}

/// Kills peers at a time; says who and when.
async fn kill(
    victims: Vec<usize>,
    at: Instant,
    load: &Load,
    network: &Network,
) -> Result<Option<(Vec<usize>, Instant)>> {
    if victims.is_empty() {
        return Ok(None);
    }
    sleep_until(at).await;
    let killed_at = Instant::now();
    for victim in &victims {
        load.dead[*victim].store(true, Relaxed);
        Service::peer(&network.home.peer(*victim)).crash().await?;
    }
    Ok(Some((victims, killed_at)))
}

/// What a peer used in the measured time.
struct Watched {
    start: Usage,
    end: Usage,
    peak: u64,
    forced_writes: Option<u64>,
    /// Of the program that makes the load.
    client: f64,
}

async fn watch_use(begin: Instant, end: Instant, network: &Network) -> Result<Vec<Watched>> {
    let use_of = |pid: &Pid| machine::usage(*pid);
    let forced = || futures::future::join_all(network.peers.iter().map(|peer| machine::counter(*peer, FORCED_WRITES)));
    let own = || machine::usage(Pid::this()).unwrap_or_default().cpu_seconds;
    sleep_until(begin).await;
    let (before, client) = (forced().await, own());
    let mut watched: Vec<_> = network
        .pids
        .iter()
        .map(|pid| {
            let start = use_of(pid).unwrap_or_default();
            Watched { start, end: start, peak: start.resident_bytes, forced_writes: None, client: 0.0 }
        })
        .collect();
    while Instant::now() < end {
        sleep_until((Instant::now() + LOOK).min(end)).await;
        for (watched, usage) in watched.iter_mut().zip(network.pids.iter().map(use_of)) {
            // A process that has ended, and is not waited for yet, has no memory.
            let Some(usage) = usage.filter(|usage| usage.resident_bytes > 0) else { continue };
            watched.end = usage;
            watched.peak = watched.peak.max(usage.resident_bytes);
        }
    }
    let client = own() - client;
    for ((watched, before), after) in watched.iter_mut().zip(before).zip(forced().await) {
        watched.forced_writes = before.zip(after).map(|(before, after)| after.saturating_sub(before));
        watched.client = client;
    }
    Ok(watched)
}
