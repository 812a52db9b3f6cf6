//! `dtn-cli bench l1`: a network of real processes under load.

use std::{fs, net::SocketAddr, ops::ControlFlow, path::PathBuf, sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use dtn_api::{ApiClient, Status};
use dtn_client::{Follower, Verifier};
use dtn_primitives::{Domain, Genesis, ValidatorSet};
use dtn_settlement::networks::LOCAL_CHAIN_ID;
use dtn_testbed::{Home, OwnNetwork, Plan, Service};
use hdrhistogram::Histogram;
use nix::unistd::Pid;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    document::{Crash, Latency, Parameters, PeerUse, Report, Run},
    follow::follow,
    load::{Commit, Load},
    machine::{self, Machine, Usage},
    primitives,
    workload::{Shape, Workload},
};
use crate::commands::l1::engine::Transport;
use crate::output;

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

/// Load a network of peers on this machine and measure it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli bench l1 --rate 1000 --size 512 --seconds 20
  dtn-cli bench l1 --rates 500,1000,2000,4000 --html report.html
  dtn-cli bench l1 --saturate --opaque --json report.json
  dtn-cli bench l1 --rate 1000 --crash 1          f backups are killed a third into it
  dtn-cli bench l1 --rate 500 --crash-primary     how long until the next one leads")]
pub(crate) struct L1 {
    /// How many peers.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// Transactions a second; with --opaque items a second.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Several rates, one after the other on the same network.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["rate", "saturate"])]
    rates: Vec<f64>,
    /// Double the rate from --rate on until the network does not keep up.
    #[arg(long)]
    saturate: bool,
    /// The encoded size of a transaction in bytes; with --opaque of an item.
    #[arg(long, default_value_t = 512)]
    size: usize,
    /// Send opaque items of which many share a signature, and count items.
    #[arg(long)]
    opaque: bool,
    /// How many items share a signature; as many as fit without it.
    #[arg(long, requires = "opaque")]
    items: Option<usize>,
    /// How long it is measured.
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// How long the load lasts before it is measured.
    #[arg(long, default_value_t = 3.0)]
    warm_up: f64,
    /// Kill so many peers that are not the primary (SIGKILL) when a third is over.
    #[arg(long, default_value_t = 0, conflicts_with = "crash_primary")]
    crash: usize,
    /// Kill the primary when a third is over.
    #[arg(long)]
    crash_primary: bool,
    /// What the peers talk over.
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    transport: Transport,
    /// Write the report there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report there as a page with a chart.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The folder of the network, which must hold none yet and is kept; a temporary one without it.
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
}

/// A network that runs.
struct Network {
    home: Home,
    genesis: Genesis,
    domain: Domain,
    validators: ValidatorSet,
    peers: Vec<SocketAddr>,
    pids: Vec<Pid>,
    view_timeout: Duration,
}

pub(crate) async fn run(bench: L1) -> Result<()> {
    let rates = if bench.rates.is_empty() { vec![bench.rate] } else { bench.rates.clone() };
    ensure!(rates.iter().all(|rate| (1.0..=1e7).contains(rate)), "a rate is 1 to 10,000,000 a second");
    ensure!((0.1..=86_400.0).contains(&bench.seconds), "--seconds is 0.1 to 86,400");
    ensure!((0.0..=3_600.0).contains(&bench.warm_up), "--warm-up is 0 to 3,600");
    let faulty = dtn_primitives::max_faulty(bench.nodes);
    ensure!(bench.crash <= faulty, "{} peers tolerate {faulty} faults, not {}", bench.nodes, bench.crash);
    let crashes = bench.crash > 0 || bench.crash_primary;
    ensure!(!crashes || (rates.len() == 1 && !bench.saturate), "peers are killed under one rate only");
    let shape = match bench.opaque {
        true => Shape::opaque(bench.size, bench.items)?,
        false => Shape::signed(bench.size)?,
    };
    let network = OwnNetwork::at(bench.home.as_deref(), |what| output::note(what))?;
    dtn_testbed::ensure_vacant(network.home())?;
    let outcome = crate::interruption::unless_asked(measure(&bench, &shape, rates, network.home())).await;
    network.end(outcome.is_err(), |what| output::note(what)).await?;
    outcome
}

async fn measure(bench: &L1, shape: &Shape, mut rates: Vec<f64>, home: &Home) -> Result<()> {
    let machine = Machine::this();
    let network = start(bench, home).await?;
    let costs = tokio::task::block_in_place(|| primitives::costs(bench.size, home.path()))?;
    let accounts = ACCOUNTS_PER_PEER * bench.nodes;
    let window = WINDOW.min(WINDOW_BYTES / shape.transaction_bytes()).max(bench.nodes);
    let parameters = Parameters {
        nodes: bench.nodes,
        size: bench.size,
        opaque: bench.opaque,
        items_per_transaction: shape.items,
        seconds: bench.seconds,
        warm_up_seconds: bench.warm_up,
        accounts,
        window,
        view_timeout_ms: network.view_timeout.as_millis() as u64,
        max_block_bytes: network.genesis.max_block_bytes,
        crash: bench.crash,
        crash_primary: bench.crash_primary,
    };
    let mut runs: Vec<Run> = Vec::new();
    while let Some(rate) = rates.get(runs.len()).copied() {
        let run = load(bench, shape, rate, window, accounts, &network).await?;
        output::note(format_args!(
            "{:>9.0}/s: {:.0}/s final, p50 {:.1} ms, p99 {:.1} ms",
            rate, run.throughput, run.latency.p50, run.latency.p99
        ));
        let kept_up = run.throughput >= KEEPS_UP * rate;
        runs.push(run);
        if bench.saturate && kept_up && runs.len() < MAX_RUNS {
            rates.push(rate * 2.0);
        }
        sleep(REST).await;
    }
    let verified_ceiling = costs.verified_ceiling(machine.cores, bench.nodes) * shape.items as f64;
    let version = env!("CARGO_PKG_VERSION");
    let report = Report { version, machine, parameters, primitives: costs, verified_ceiling, runs };
    let tables: Vec<_> = report.tables().iter().map(ToString::to_string).collect();
    output::line(format_args!("\n{}", tables.join("\n\n")))?;
    let write = |file: &Option<PathBuf>, text: &dyn Fn() -> Result<String>| -> Result<()> {
        let Some(file) = file else { return Ok(()) };
        fs::write(file, text()?).with_context(|| format!("cannot write {}", file.display()))?;
        output::note(format_args!("report written to {}", file.display()));
        Ok(())
    };
    write(&bench.json, &|| Ok(serde_json::to_string_pretty(&report)? + "\n"))?;
    write(&bench.html, &|| Ok(report.page().to_string()))
}

async fn start(bench: &L1, home: &Home) -> Result<Network> {
    let plan = Plan { nodes: bench.nodes, transport: bench.transport.into(), ..Plan::new("bench", LOCAL_CHAIN_ID) };
    let bar = output::progress(2 * bench.nodes as u64 + 1, "keys");
    let genesis = tokio::task::block_in_place(|| {
        dtn_testbed::init(home, &plan, || {
            bar.inc(1);
            ControlFlow::Continue(())
        })
    })?;
    bar.finish_and_clear();
    let bar = output::progress(bench.nodes as u64, "peers");
    dtn_testbed::up_all(home, |ready| bar.set_position(ready as u64)).await?;
    bar.finish_and_clear();
    let folders = home.peers()?;
    let pids = folders.iter().map(|peer| Service::peer(peer).process().context("a peer has ended"));
    Ok(Network {
        home: home.clone(),
        domain: genesis.domain(),
        validators: genesis.validator_set()?,
        peers: home.client()?.peers,
        pids: pids.collect::<Result<_>>()?,
        view_timeout: Duration::from_millis(folders[0].config(&[])?.view_timeout_ms),
        genesis,
    })
}

/// One load, from its signatures to the last of its transactions.
async fn load(bench: &L1, shape: &Shape, rate: f64, window: usize, accounts: usize, network: &Network) -> Result<Run> {
    let (warm_up, measured) = (Duration::from_secs_f64(bench.warm_up), Duration::from_secs_f64(bench.seconds));
    let items = (rate * (bench.warm_up + bench.seconds)).ceil() as usize;
    let count = items.div_ceil(shape.items).max(1);
    let bar = output::progress(count as u64, "signatures");
    let workload =
        tokio::task::block_in_place(|| Workload::sign(shape, count, accounts, &network.domain, || bar.inc(1)))?;
    bar.finish_and_clear();

    let statuses = statuses(network).await?;
    let primary = usize::from(statuses[0].primary);
    let n = network.peers.len();
    // Whoever is killed comes after the one that is followed, which is a backup.
    let backups: Vec<_> = (1..n).map(|offset| (primary + offset) % n).collect();
    let victims = match bench.crash_primary {
        true => vec![primary],
        false => backups[n - 1 - bench.crash..].to_vec(),
    };
    let followed = backups[0];
    let start = Instant::now() + Duration::from_millis(100);
    let load = Load::new(workload, start, rate, shape.items, network.peers.clone(), window);
    let mut peers = network.peers.clone();
    peers.rotate_left(followed);
    let follower = Follower {
        verifier: Verifier { domain: &network.domain, validators: &network.validators },
        peers,
        next: statuses[followed].height + 1,
        pause: PAUSE,
    };
    let (begin, end) = (start + warm_up, start + warm_up + measured);
    let bar = output::progress(count as u64, "final");
    let late = end + DRAIN;
    let senders = async {
        futures::future::try_join_all((0..n).map(|sender| load.send(sender, late))).await?;
        while load.done.load(Relaxed) < load.taken.load(Relaxed) && Instant::now() < late {
            sleep(LOOK / 4).await;
        }
        anyhow::Ok(())
    };
    let progress = async {
        loop {
            bar.set_position(load.done.load(Relaxed) as u64);
            sleep(LOOK).await;
        }
    };
    let crash = kill(victims, begin + measured / 3, &load, network);
    let observed = async { tokio::try_join!(senders, crash, watch_use(begin, end, network)) };
    let ((), killed, uses) = tokio::select! {
        observed = observed => observed?,
        Err(error) = follow(follower, &load) => return Err(error),
        Err(error) = load.retransmit() => return Err(error),
        () = progress => bail!("the progress bar ended"),
    };
    bar.finish_and_clear();
    Ok(summarize(&load, &load.commits(), (begin, end), &uses, killed, bench, network))
}

async fn statuses(network: &Network) -> Result<Vec<Status>> {
    let clients = network.peers.iter().map(|peer| dtn_client::connect(*peer)).collect::<Result<Vec<_>, _>>()?;
    let asked = clients.iter().map(|client| client.status());
    futures::future::try_join_all(asked).await.context("a peer does not answer")
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

fn summarize(
    load: &Load,
    commits: &[Commit],
    (begin, end): (Instant, Instant),
    uses: &[Watched],
    killed: Option<(Vec<usize>, Instant)>,
    bench: &L1,
    network: &Network,
) -> Run {
    let micros = |at: Instant| at.saturating_duration_since(load.start).as_micros() as u64;
    let items = load.items as u64;
    // Three digits of every latency up to an hour.
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).expect("such bounds are possible");
    let (mut due, mut done) = (0, 0);
    let mut finished = Vec::new();
    for place in 0..load.count() {
        let (at, verified) = (load.due(place), load.verified_at(place));
        finished.extend(verified);
        if (micros(begin)..micros(end)).contains(&at) {
            due += items;
            if let Some(verified) = verified {
                done += items;
                latencies.saturating_record_n(verified.saturating_sub(at).max(1), items);
            }
        }
    }
    let throughput = |from: Instant, to: Instant| {
        let range = micros(from)..micros(to);
        let count = finished.iter().filter(|at| range.contains(at)).count() as u64 * items;
        count as f64 / to.saturating_duration_since(from).as_secs_f64().max(1e-9)
    };
    let within: Vec<_> = commits.iter().filter(|commit| (begin..end).contains(&commit.at)).collect();
    let moments = [begin].into_iter().chain(within.iter().map(|commit| commit.at)).chain([end]);
    let moments: Vec<_> = moments.collect();
    let longest_gap = moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let count = within.len().max(1) as f64;
    let transactions: usize = within.iter().map(|commit| commit.transactions).sum();
    let crash = killed.as_ref().map(|(peers, at)| {
        let view = commits.iter().filter(|commit| commit.at < *at).map(|commit| commit.view).max().unwrap_or(0);
        let back = commits.iter().find(|commit| commit.at > *at && (!bench.crash_primary || commit.view > view));
        let outage = back.map(|commit| commit.at - *at);
        Crash {
            peers: peers.clone(),
            of_primary: bench.crash_primary,
            after_seconds: (*at - begin).as_secs_f64(),
            outage_ms: outage.map(|outage| outage.as_secs_f64() * 1e3),
            outage_per_view_timeout: outage.map(|outage| outage.div_duration_f64(network.view_timeout)),
            throughput_before: throughput(begin, *at),
            throughput_after: throughput(*at + outage.unwrap_or_default(), end),
        }
    });
    let peers = uses.iter().enumerate().map(|(peer, watched)| PeerUse {
        peer,
        killed: killed.as_ref().is_some_and(|(peers, _)| peers.contains(&peer)),
        cpu_seconds: watched.end.cpu_seconds - watched.start.cpu_seconds,
        cpu_ms_per_commit: 1e3 * (watched.end.cpu_seconds - watched.start.cpu_seconds) / count,
        forced_writes: watched.forced_writes,
        forced_writes_per_commit: watched.forced_writes.map(|writes| writes as f64 / count),
        written_bytes: watched.end.written_bytes.saturating_sub(watched.start.written_bytes),
        memory_start_bytes: watched.start.resident_bytes,
        memory_end_bytes: watched.end.resident_bytes,
        memory_peak_bytes: watched.peak,
    });
    Run {
        rate: load.rate,
        due,
        done,
        throughput: throughput(begin, end),
        commits_per_second: within.len() as f64 / (end - begin).as_secs_f64(),
        transactions_per_commit: transactions as f64 / count,
        latency: Latency::of(&latencies),
        longest_gap_ms: longest_gap.as_secs_f64() * 1e3,
        put_off: load.put_off.load(Relaxed),
        retransmitted: load.retransmitted.load(Relaxed),
        peers: peers.collect(),
        client_cpu_seconds: uses.first().map_or(0.0, |watched| watched.client),
        crash,
    }
}
