//! Rounds of events among processes of this machine, over real sockets and disks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use dtn_consensus::{
    Lockstep, Party, Unmet,
    lockstep::{Answer, Config, Gather, History, Limits, Mode, Output, State},
};
use dtn_node::standalone::{Event, Peer, PeerConfig, PeerError};
use dtn_primitives::{B256, Bytes, ValidatorIndex, max_faulty};
use dtn_report::{Table, left, right};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

/// The file in which a peer's process finds what to do.
const PLAN: &str = "plan.json";

/// Why rounds among processes fail.
#[derive(Debug, thiserror::Error)]
pub enum LockstepError {
    /// A peer does not start, or has stopped.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The protocol promises nothing like that.
    #[error(transparent)]
    Unmet(#[from] Unmet),
    /// Something is wrong with a file or a process.
    #[error("cannot {0}")]
    Io(&'static str, #[source] io::Error),
    /// A plan or a result is none.
    #[error("{0} is malformed")]
    Malformed(&'static str, #[source] serde_json::Error),
    /// There is no such peer.
    #[error("there is no peer {0}")]
    NoPeer(usize),
    /// A peer's process has ended.
    #[error("the process of peer {0} has ended; the end of its log:\n{1}")]
    Ended(usize, String),
}

fn io(what: &'static str) -> impl Fn(io::Error) -> LockstepError {
    move |error| LockstepError::Io(what, error)
}

/// How a round waits, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waits {
    /// For all.
    Strict,
    /// For all until a deadline.
    Timed,
    /// For nobody.
    Bucket,
    /// For those whom a peer depends on.
    Async,
}

/// What is to be played.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// How many peers.
    pub peers: u8,
    /// How a round waits.
    pub waits: Waits,
    /// Rounds under way at once.
    pub pipeline: u64,
    /// How many rounds.
    pub rounds: u64,
    /// Events of each peer in a round.
    pub events: usize,
    /// Bytes of each.
    pub bytes: usize,
    /// How long is waited for commitments, where there are deadlines.
    pub deadline: Duration,
    /// After how long a bucket is over.
    pub delay: Duration,
    /// How often a bucket begins.
    pub tick: Duration,
    /// On how many others each depends, in async mode.
    pub depends: Option<usize>,
    /// Where each listens.
    ports: Vec<u16>,
}

impl Plan {
    /// So many strict rounds, one at a time, with an event of 32 bytes of each peer.
    pub fn new(peers: u8, rounds: u64) -> Self {
        Self {
            peers,
            waits: Waits::Strict,
            pipeline: 1,
            rounds,
            events: 1,
            bytes: 32,
            deadline: Duration::from_secs(5),
            delay: Duration::from_millis(100),
            tick: Duration::from_millis(40),
            depends: None,
            ports: Vec::new(),
        }
    }

    /// As the protocol has it.
    pub fn config(&self) -> Config {
        let mode = match self.waits {
            Waits::Strict => Mode::Strict,
            Waits::Timed => Mode::Timed { deadline: self.deadline },
            Waits::Bucket => Mode::Bucket { tick: self.tick, delay: self.delay },
            Waits::Async => Mode::Async,
        };
        let limits = Limits { events: self.events, bytes: self.bytes };
        Config { mode, pipeline: self.pipeline, limits, rounds: self.rounds }
    }

    /// Whether rounds can be played so; buckets promise nothing, and can.
    pub fn check(&self) -> Result<(), Unmet> {
        let strict = Config { mode: Mode::Strict, ..self.config() };
        let config = if self.waits == Waits::Bucket { strict } else { self.config() };
        config.assumes(self.peers.into(), max_faulty(self.peers.into()))
    }

    fn events(&self, me: ValidatorIndex, round: u64) -> Vec<Bytes> {
        let event = |index: usize| {
            let mut event = [&me.0.to_be_bytes()[..], &round.to_be_bytes(), &index.to_be_bytes()].concat();
            event.resize(self.bytes, 0);
            event.into()
        };
        (0..self.events).map(event).collect()
    }

    fn depends_on(&self, me: ValidatorIndex) -> Option<BTreeSet<ValidatorIndex>> {
        let next = |step: usize| ValidatorIndex(((me.as_usize() + step) % usize::from(self.peers)) as u16);
        self.depends.map(|others| (1..=others).map(next).collect())
    }
}

/// What a peer has seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// Rounds that are over.
    pub rounds: u64,
    /// From the end of the first round to that of the last.
    pub elapsed: Duration,
    /// How long each round took, from when its events were asked for, in microseconds; without the first ones, in which peers
    /// find each other.
    pub round_us: Vec<u64>,
    /// The hash of all events in their order.
    pub state: B256,
    /// Events that were dropped here because they came late.
    pub late: u64,
    /// Who was excluded.
    pub excluded: Vec<u16>,
    /// Against whom it has evidence.
    pub evidence: Vec<u16>,
    /// Messages that it has sent, and their bytes.
    pub sent: (u64, u64),
}

/// Plays as one of the peers of the network in a folder, in this process; says by `done` what it has seen, and goes on for the
/// others until `end`.
pub async fn play(
    folder: &Path,
    me: usize,
    done: impl FnOnce(&Seen) -> io::Result<()>,
    end: impl Future<Output = ()>,
) -> Result<(), LockstepError> {
    let plan = fs::read(folder.join(PLAN)).map_err(io("read the plan"))?;
    let plan: Plan = serde_json::from_slice(&plan).map_err(|error| LockstepError::Malformed("the plan", error))?;
    let (index, config) =
        PeerConfig::on_ports(&plan.ports, folder).into_iter().nth(me).ok_or(LockstepError::NoPeer(me))?;
    let party = Party::new(index, config.key.clone(), config.validators.clone(), config.network_id, 1);
    let create = |records| Lockstep::new(party, plan.config(), History::default(), records);
    let mut peer = Peer::start(config, create).await?;
    if let Some(whom) = plan.depends_on(index) {
        peer.handle().answer(Answer::DependsOn(whom)).await?;
    }
    let mut seen = rounds(&mut peer, &plan, index).await?;
    let counts = peer.handle().counts();
    seen.sent = counts.sent.values().fold((0, 0), |sum, it| (sum.0 + it.messages, sum.1 + it.bytes));
    done(&seen).map_err(io("say what was seen"))?;
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            event = peer.next() => drop(event?),
        }
    }
    peer.shutdown().await;
    Ok(())
}

/// Plays until the last round is over.
async fn rounds(peer: &mut Peer<Lockstep<History>>, plan: &Plan, me: ValidatorIndex) -> Result<Seen, LockstepError> {
    let (mut asked, mut first) = (BTreeMap::new(), None);
    let mut seen = Seen {
        rounds: 0,
        elapsed: Duration::ZERO,
        round_us: Vec::new(),
        state: History::default().digest(),
        late: 0,
        excluded: Vec::new(),
        evidence: Vec::new(),
        sent: (0, 0),
    };
    while seen.rounds < plan.rounds {
        match peer.next().await? {
            Event::Asked(Gather(round)) => {
                asked.insert(round, Instant::now());
                peer.handle().answer(Answer::Events(round, plan.events(me, round))).await?;
            }
            Event::Output(Output::Round(outcome)) => {
                let began = asked.remove(&outcome.round);
                seen.elapsed = first.get_or_insert_with(Instant::now).elapsed();
                let took = began.filter(|_| outcome.round > plan.pipeline).map(|it: Instant| it.elapsed().as_micros());
                seen.round_us.extend(took.map(|us| us as u64));
                (seen.rounds, seen.state) = (outcome.round, outcome.state);
            }
            Event::Output(Output::Late(..)) => seen.late += 1,
            Event::Output(Output::Excluded(peer, _)) => seen.excluded.push(peer.0),
            Event::Output(Output::Evidence(evidence)) => seen.evidence.push(evidence.accused().0),
            Event::Output(Output::Dropped(..) | Output::LeftOut(..)) => {}
        }
    }
    Ok(seen)
}

/// What came of rounds among processes.
#[derive(Debug, Clone, Serialize)]
pub struct Played {
    /// What was played.
    pub plan: Plan,
    /// Rounds a second, of the slowest peer.
    pub rounds_per_second: f64,
    /// How long a round takes, in milliseconds: half of them, 99 of 100, and all take no longer.
    pub round_ms: [f64; 3],
    /// The hash of all events in their order, if all peers have the same.
    pub state: Option<B256>,
    /// Messages and bytes of all peers, a round.
    pub sent_a_round: (f64, f64),
    /// What each has seen.
    pub peers: Vec<Seen>,
}

/// Plays with a process for each peer, which `command` makes of their common folder and of a peer's number.
pub async fn among_processes(
    mut plan: Plan,
    command: impl Fn(&Path, usize) -> Command,
) -> Result<Played, LockstepError> {
    plan.check()?;
    let temporary = tempfile::tempdir().map_err(io("make a folder"))?;
    let folder = temporary.path();
    let configs = PeerConfig::local(plan.peers, folder)?;
    plan.ports = configs.iter().filter_map(|(_, config)| port(config)).collect();
    let text = serde_json::to_vec(&plan).map_err(|error| LockstepError::Malformed("the plan", error))?;
    fs::write(folder.join(PLAN), text).map_err(io("write the plan"))?;
    let start = |peer: usize| -> Result<Child, LockstepError> {
        let log = fs::File::create(log(folder, peer)).map_err(io("write a log"))?;
        let mut command = command(folder, peer);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        command.spawn().map_err(io("start a process"))
    };
    let mut children = (0..plan.peers.into()).map(start).collect::<Result<Vec<_>, _>>()?;
    // Each ends when its input does: until then it goes on for the others.
    let peers = try_join_all(children.iter_mut().enumerate().map(|(peer, child)| seen(folder, peer, child))).await?;
    for child in &mut children {
        drop(child.stdin.take());
        child.wait().await.map_err(io("wait for a process"))?;
    }
    Ok(Played::new(plan, peers))
}

fn port(config: &PeerConfig) -> Option<u16> {
    config.listen.iter().find_map(|part| if let dtn_node::Protocol::Tcp(port) = part { Some(port) } else { None })
}

fn log(folder: &Path, peer: usize) -> std::path::PathBuf {
    folder.join(peer.to_string()).join("log")
}

async fn seen(folder: &Path, peer: usize, child: &mut Child) -> Result<Seen, LockstepError> {
    let ended = || {
        let log = fs::read_to_string(log(folder, peer)).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        LockstepError::Ended(peer, lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    };
    let out = child.stdout.take().ok_or_else(ended)?;
    let mut line = String::new();
    // What a process of ours says of so many rounds is no longer.
    let mut out = BufReader::new(out.take(1 << 26));
    out.read_line(&mut line).await.map_err(io("read what a process says"))?;
    if line.is_empty() {
        return Err(ended());
    }
    serde_json::from_str(&line).map_err(|error| LockstepError::Malformed("what a process says", error))
}

impl Played {
    fn new(plan: Plan, peers: Vec<Seen>) -> Self {
        let rate = |seen: &Seen| (seen.rounds.saturating_sub(1)) as f64 / seen.elapsed.as_secs_f64();
        let mut all: Vec<_> = peers.iter().flat_map(|seen| seen.round_us.iter().copied()).collect();
        all.sort_unstable();
        let at = |share: f64| {
            let place = (share * all.len().saturating_sub(1) as f64).round() as usize;
            all.get(place).copied().unwrap_or_default() as f64 / 1e3
        };
        let rounds = plan.rounds as f64;
        let sent = peers.iter().fold((0, 0), |sum, it| (sum.0 + it.sent.0, sum.1 + it.sent.1));
        let state = peers.first().map(|seen| seen.state);
        Self {
            rounds_per_second: peers.iter().map(rate).fold(f64::INFINITY, f64::min),
            round_ms: [at(0.5), at(0.99), at(1.0)],
            state: state.filter(|state| peers.iter().all(|seen| seen.state == *state)),
            sent_a_round: (sent.0 as f64 / rounds, sent.1 as f64 / rounds),
            plan,
            peers,
        }
    }

    /// Whether all have to have the same state, and do not.
    pub fn differs(&self) -> bool {
        matches!(self.plan.waits, Waits::Strict | Waits::Timed) && self.state.is_none()
    }

    /// The figures.
    pub fn table(&self) -> Table {
        let [p50, p99, most] = self.round_ms.map(|ms| format!("{ms:.2}"));
        let mut table = Table::new("Rounds", [left(""), right("")]);
        let (messages, bytes) = self.sent_a_round;
        let dropped: u64 = self.peers.iter().map(|seen| seen.late).sum();
        let state = self.state.map_or_else(|| "differs from peer to peer".to_owned(), |state| state.to_string());
        table.row(["rounds a second".to_owned(), format!("{:.1}", self.rounds_per_second)]);
        table
            .row(["a round, ms: median".to_owned(), p50])
            .row(["99 %".to_owned(), p99])
            .row(["longest".to_owned(), most]);
        table.row(["messages a round".to_owned(), format!("{messages:.1}")]);
        table.row(["bytes a round".to_owned(), format!("{bytes:.0}")]);
        table.row(["late, and dropped".to_owned(), dropped.to_string()]).row(["state".to_owned(), state]);
        for (peer, seen) in self.peers.iter().enumerate() {
            if !seen.excluded.is_empty() || !seen.evidence.is_empty() {
                let (excluded, evidence) = (&seen.excluded, &seen.evidence);
                table.note(format!("Peer {peer} has excluded {excluded:?} and has evidence against {evidence:?}."));
            }
        }
        table
    }
}
