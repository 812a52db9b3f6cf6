//! What a peer counts and measures of itself, for Prometheus.
//!
//! Everything on a hot path is an atomic that was looked up once. What can be read when somebody asks (queue depths, the
//! store's size, the process) costs nothing until then.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dtn_api::Vitals;
use dtn_primitives::ValidatorIndex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry},
};
use tokio::sync::mpsc;

/// The content type of [`Metrics::encode`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// As [`Metrics::connection_refused`] names a handshake that had to make room for another.
pub(crate) const CROWDED_OUT: &str = "crowded_out";

/// The unit of the times in `/proc/PID/stat`: Linux reports them to programs in hundredths of a second everywhere.
const TICKS_PER_SECOND: f64 = 100.0;

/// A part of the core's work whose duration is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Checking transactions and taking them into the mempool.
    Admit,
    /// Choosing and executing transactions for a block of one's own.
    Propose,
    /// Executing another's block.
    Validate,
    /// Handling one message or timer in the consensus protocol.
    Consensus,
    /// Making votes durable, with all that was written before them.
    Persist,
    /// Writing and applying a final block.
    Commit,
}

impl Step {
    /// By discriminant.
    const NAMES: [&'static str; 6] = ["admit", "propose", "validate", "consensus", "persist", "commit"];
}

/// Why a replica left its view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ViewChangeReason {
    /// Nothing was decided in time.
    Timeout,
    /// Others asked for a higher view, f + 1 of them or a quorum.
    Joined,
}

impl ViewChangeReason {
    /// By discriminant.
    const NAMES: [&'static str; 2] = ["timeout", "joined"];
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabel {
    peer: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerReason {
    peer: u16,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerKind {
    peer: u16,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    queue: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
}

/// A queue whose depth is read when somebody asks.
pub(crate) struct WatchedQueue {
    name: &'static str,
    depth: Box<dyn Fn() -> usize + Send + Sync>,
}

impl WatchedQueue {
    /// Watches a channel without keeping it open.
    pub(crate) fn new<T: Send + 'static>(name: &'static str, sender: &mpsc::Sender<T>) -> Self {
        let weak = sender.downgrade();
        Self::with(name, move || weak.upgrade().map_or(0, |sender| sender.max_capacity() - sender.capacity()))
    }

    /// Watches whatever tells its depth.
    pub(crate) fn with(name: &'static str, depth: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        Self { name, depth: Box::new(depth) }
    }
}

impl fmt::Debug for WatchedQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchedQueue").field(&self.name).finish()
    }
}

/// What is read only when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// The peer's store.
    pub(crate) store: PathBuf,
    /// The channels between its tasks.
    pub(crate) queues: Vec<WatchedQueue>,
    /// How long it gives a primary.
    pub(crate) view_timeout: Duration,
}

/// One metric as the documentation lists it.
#[cfg(test)]
#[derive(Debug)]
struct Description {
    /// As Prometheus stores it.
    name: String,
    /// Counter, gauge or histogram.
    kind: String,
    /// What it tells.
    help: &'static str,
}

#[cfg(test)]
impl Description {
    fn new(name: &str, help: &'static str, metric: &impl Metric) -> Self {
        let kind = metric.metric_type();
        let suffix = if matches!(kind, prometheus_client::metrics::MetricType::Counter) { "_total" } else { "" };
        Self { name: format!("dtn_{name}{suffix}"), kind: kind.as_str().into(), help }
    }
}

/// The handles of one peer's link.
#[derive(Debug)]
struct PeerMetrics {
    connected: Gauge,
    frames_in: Counter,
    frames_out: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    /// How often it ended; by reason it is in the disconnections.
    lost: AtomicU64,
}

/// Handles to everything that a peer counts; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Arc<Inner>);

/// The handles. Those that are public to the crate are set or counted directly, the others through a method.
#[derive(Debug)]
pub(crate) struct Inner {
    registry: Registry,
    #[cfg(test)]
    descriptions: Vec<Description>,
    watched: Watched,
    started: Instant,

    pub(crate) view: Gauge,
    pub(crate) primary: Gauge,
    pub(crate) height: Gauge,
    pub(crate) stable_height: Gauge,
    pub(crate) lowest_block: Gauge,
    pub(crate) decided_blocks: Counter,
    pub(crate) decided_transactions: Counter,
    pub(crate) proposals: Counter,
    pub(crate) decide_latency: Histogram,
    pub(crate) mempool_transactions: Gauge,
    pub(crate) mempool_bytes: Gauge,
    pub(crate) refused_transactions: Counter,
    pub(crate) durable_writes: Counter,
    pub(crate) journal_records: Counter,
    pub(crate) sync_blocks: Counter,
    pub(crate) sync_snapshots: Counter,
    proofs_valid: Counter,
    proofs_invalid: Counter,
    pub(crate) waiters: Gauge,
    pub(crate) silent: Gauge,
    pub(crate) mined_blocks: Counter,
    pub(crate) mined_height: Gauge,
    pub(crate) next_work: Gauge,
    pub(crate) reorganizations: Counter,
    pub(crate) deepest_reorganization: Gauge,
    pub(crate) chains_below_checkpoint: Counter,
    votes_sent: Family<Kind, Counter>,
    votes_received: Family<Kind, Counter>,
    view_changes: [Counter; ViewChangeReason::NAMES.len()],
    timers: Family<Kind, Counter>,
    steps: [Histogram; Step::NAMES.len()],
    peers: Vec<PeerMetrics>,
    frames_dropped: Family<PeerReason, Counter>,
    disconnections: Family<PeerReason, Counter>,
    refused_connections: Family<Reason, Counter>,
    pub(crate) handshakes: Gauge,
    pub(crate) twin_seen: Gauge,
    twins: Family<PeerLabel, Counter>,
    software: Mutex<Vec<Option<String>>>,
    faults: Family<PeerKind, Counter>,
    observer_faults: Family<Reason, Counter>,
    pub(crate) observers: Gauge,
    evidence: Family<PeerKind, Counter>,
    queue_depth: Family<Queue, Gauge>,
    store_bytes: Gauge,
    uptime: Gauge<f64, AtomicU64>,
    resident_memory: Gauge,
    cpu: Counter<f64, AtomicU64>,
}

impl std::ops::Deref for Metrics {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Registers metrics.
struct Registrar {
    registry: Registry,
    #[cfg(test)]
    descriptions: Vec<Description>,
}

impl Registrar {
    fn add<M: Metric + Clone>(&mut self, name: &'static str, help: &'static str, metric: M) -> M {
        #[cfg(test)]
        self.descriptions.push(Description::new(name, help, &metric));
        // The registry ends the help with a full stop of its own.
        self.registry.register(name, help.trim_end_matches('.'), metric.clone());
        metric
    }

    fn metric<M: Metric + Clone + Default>(&mut self, name: &'static str, help: &'static str) -> M {
        self.add(name, help, M::default())
    }
}

/// 50 µs to 6.5 s, each bucket twice the one before.
#[derive(Debug, Clone, Copy)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.000_05, 2.0, 18))
    }
}

impl Metrics {
    /// The metrics of a peer among so many validators.
    pub(crate) fn new(validators: usize, watched: Watched) -> Self {
        let registry = Registry::with_prefix("dtn");
        let mut new = Registrar {
            registry,
            #[cfg(test)]
            descriptions: Vec::new(),
        };
        let build: Family<Build, Gauge> =
            new.metric("build_info", "Always 1; its label is the version of the program.");
        build.get_or_create(&Build { version: crate::VERSION }).set(1);
        let view = new.metric("view", "The view that the peer is in.");
        let primary = new.metric("primary", "The index of the view's primary.");
        let height = new.metric("height", "The height of the last final block.");
        let stable_height = new.metric("stable_checkpoint_height", "The height of the last stable checkpoint.");
        let lowest_block = new.metric("lowest_block", "The lowest height whose block is still stored.");
        let decided_blocks = new.metric("decided_blocks", "Blocks that became final here.");
        let decided_transactions = new.metric("decided_transactions", "Transactions in blocks that became final here.");
        let proposals = new.metric("proposals", "Blocks that this peer proposed.");
        let decide_latency = new.add(
            "decide_latency_seconds",
            "Time from holding a proposal to its block being final here.",
            Buckets.new_metric(),
        );
        let mempool_transactions = new.metric("mempool_transactions", "Transactions that wait for a block.");
        let mempool_bytes = new.metric("mempool_bytes", "Bytes of transactions that wait for a block.");
        let refused_transactions = new.metric("refused_transactions", "Transactions that were not admitted.");
        let durable_writes = new.metric("durable_writes", "Writes that were forced to disk (fsync).");
        let journal_records = new.metric("journal_records", "Consensus records that were made durable.");
        let sync_blocks = new.metric("sync_blocks", "Certified blocks that were taken from another peer.");
        let sync_snapshots = new.metric("sync_snapshots", "Snapshots that were taken from another peer.");
        let proofs_valid =
            new.metric("proofs_valid", "Proofs of completed rounds that this peer verified and that hold.");
        let proofs_invalid = new.metric("proofs_invalid", "Proofs of completed rounds that do not hold.");
        let waiters = new.metric("pending_waiters", "Calls that wait for a transaction to become final.");
        let silent = new.metric(
            "silent",
            "Whether the validator votes (0) or not yet (1): it asks the others, catches up, or has lost its store.",
        );
        let mined_blocks = new.metric("mined_blocks", "Blocks that this peer mined.");
        let mined_height = new.metric("mined_height", "The height of the mined chain that is followed, final or not.");
        let next_work = new.metric("next_work", "The expected hashes for the next mined block.");
        let reorganizations =
            new.metric("reorganizations", "How often blocks that were not final made room for more work.");
        let deepest_reorganization =
            new.metric("deepest_reorganization", "The most blocks that one reorganization has left.");
        let chains_below_checkpoint =
            new.metric("chains_below_checkpoint", "How often a peer showed a chain that leaves out a final block.");
        let votes_sent = new.metric("votes_sent", "Consensus messages that this peer sent or broadcast, by kind.");
        let votes_received = new.metric("votes_received", "Consensus messages from others, by kind.");
        let view_changes: Family<Reason, Counter> = new.metric(
            "view_changes",
            "Views that this peer asked for, by reason: timeout (nothing was decided in time) or joined (others did).",
        );
        let timers = new.metric("timers", "Consensus timers that expired, by kind.");
        let steps: Family<StepLabel, Histogram, Buckets> = new.add(
            "step_seconds",
            "How long the core's steps take, by step: admit, propose, validate, consensus, persist, commit.",
            Family::new_with_constructor(Buckets),
        );
        let connected: Family<PeerLabel, Gauge> =
            new.metric("connected", "Whether there is a link to the peer (1) or not (0).");
        let frames_in: Family<PeerLabel, Counter> = new.metric("frames_in", "Messages that arrived, by peer.");
        let frames_out: Family<PeerLabel, Counter> = new.metric("frames_out", "Messages that were written, by peer.");
        let bytes_in: Family<PeerLabel, Counter> = new.metric("bytes_in", "Bytes of messages that arrived, by peer.");
        let bytes_out: Family<PeerLabel, Counter> =
            new.metric("bytes_out", "Bytes of messages that were written, by peer.");
        let peers = (0..validators as u16)
            .map(|peer| PeerMetrics {
                connected: connected.get_or_create_owned(&PeerLabel { peer }),
                frames_in: frames_in.get_or_create_owned(&PeerLabel { peer }),
                frames_out: frames_out.get_or_create_owned(&PeerLabel { peer }),
                bytes_in: bytes_in.get_or_create_owned(&PeerLabel { peer }),
                bytes_out: bytes_out.get_or_create_owned(&PeerLabel { peer }),
                lost: AtomicU64::new(0),
            })
            .collect();
        let inner = Inner {
            steps: Step::NAMES.map(|step| steps.get_or_create_owned(&StepLabel { step })),
            frames_dropped: new.metric("frames_dropped", "Messages that were dropped, by peer and reason."),
            disconnections: new.metric("disconnections", "Links that ended, by peer and reason."),
            refused_connections: new.metric("refused_connections", "Connections that were refused, by reason."),
            twin_seen: new
                .metric("twin_seen", "Whether another process was seen that runs with this peer's key (1) or not (0)."),
            twins: new.metric(
                "peer_twins",
                "How often a link flapped because two processes run with the key of the peer, by peer.",
            ),
            software: Mutex::new(vec![None; validators]),
            handshakes: new.metric("handshakes", "Connections to the peer port that have not yet proven who they are."),
            observer_faults: new.metric("observer_faults", "What observers did that no correct peer does, by reason."),
            observers: new.metric("observers", "Peers with a link that are not validators."),
            faults: new.metric("faults", "Messages that no correct peer sends, by peer and kind."),
            evidence: new.metric("evidence", "Proofs that a validator contradicted itself, by peer and kind."),
            queue_depth: new.metric("queue_depth", "What waits between the peer's tasks, by queue."),
            store_bytes: new.metric("store_bytes", "The size of the store's file."),
            uptime: new.metric("uptime_seconds", "How long the peer has been running."),
            resident_memory: new.metric("process_resident_memory_bytes", "Memory of the process that is in RAM."),
            cpu: new.metric("process_cpu_seconds", "CPU time that the process has used."),
            registry: new.registry,
            #[cfg(test)]
            descriptions: new.descriptions,
            watched,
            started: Instant::now(),
            view,
            primary,
            height,
            stable_height,
            lowest_block,
            decided_blocks,
            decided_transactions,
            proposals,
            decide_latency,
            mempool_transactions,
            mempool_bytes,
            refused_transactions,
            durable_writes,
            journal_records,
            sync_blocks,
            sync_snapshots,
            proofs_valid,
            proofs_invalid,
            waiters,
            silent,
            mined_blocks,
            mined_height,
            next_work,
            reorganizations,
            deepest_reorganization,
            chains_below_checkpoint,
            votes_sent,
            votes_received,
            view_changes: ViewChangeReason::NAMES.map(|reason| view_changes.get_or_create_owned(&Reason { reason })),
            timers,
            peers,
        };
        Self(Arc::new(inner))
    }

    /// All metrics as OpenMetrics text.
    pub(crate) fn encode(&self) -> String {
        self.read_watched();
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a string takes all that is written to it");
        text
    }

    /// What there is, for the documentation.
    #[cfg(test)]
    fn descriptions(&self) -> &[Description] {
        &self.descriptions
    }

    /// How the process is doing.
    pub(crate) fn vitals(&self) -> Vitals {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Vitals {
            version: crate::VERSION.into(),
            time_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            uptime_s: self.started.elapsed().as_secs(),
            memory_bytes: resident_memory().unwrap_or(0),
            store_bytes: self.store_size().unwrap_or(0),
            view_changes: self.view_changes.iter().map(Counter::get).sum(),
            pid: std::process::id(),
            view_timeout_ms: u64::try_from(self.watched.view_timeout.as_millis()).unwrap_or(u64::MAX),
            lost_links: self.peers.iter().map(|peer| peer.lost.load(Ordering::Relaxed)).collect(),
            peer_versions: self.software().clone(),
            crowded_out: self.refused_connections.get_or_create(&Reason { reason: CROWDED_OUT }).get(),
            twin_seen: self.twin_seen.get() > 0,
        }
    }

    fn store_size(&self) -> Option<u64> {
        Some(std::fs::metadata(&self.watched.store).ok()?.len())
    }

    fn read_watched(&self) {
        for queue in &self.watched.queues {
            let depth = (queue.depth)();
            self.queue_depth.get_or_create(&Queue { queue: queue.name }).set(depth as i64);
        }
        if let Some(bytes) = self.store_size() {
            self.store_bytes.set(bytes as i64);
        }
        self.uptime.set(self.started.elapsed().as_secs_f64());
        if let Some(bytes) = resident_memory() {
            self.resident_memory.set(bytes as i64);
        }
        if let Some(seconds) = cpu_seconds() {
            self.cpu.inner().store(seconds.to_bits(), Ordering::Relaxed);
        }
    }

    // Links.

    /// A link to a validator opened.
    pub(crate) fn connected(&self, peer: ValidatorIndex) {
        self.with_peer(peer, |peer| _ = peer.connected.set(1));
    }

    /// A link to a validator ended.
    pub(crate) fn disconnected(&self, peer: ValidatorIndex, reason: &'static str) {
        self.with_peer(peer, |peer| {
            peer.connected.set(0);
            peer.lost.fetch_add(1, Ordering::Relaxed);
        });
        self.disconnections.get_or_create(&PeerReason { peer: peer.0, reason }).inc();
    }

    /// A connection was refused, before it was anybody's.
    pub(crate) fn connection_refused(&self, reason: &'static str) {
        self.refused_connections.get_or_create(&Reason { reason }).inc();
    }

    /// A validator told the version of its program.
    pub(crate) fn software_of(&self, peer: ValidatorIndex, software: String) {
        if let Some(known) = self.software().get_mut(peer.as_usize()) {
            *known = Some(software);
        }
    }

    fn software(&self) -> MutexGuard<'_, Vec<Option<String>>> {
        // Nothing panics under the lock.
        self.software.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Two processes with a validator's key took turns at its link.
    pub(crate) fn peer_twins(&self, peer: ValidatorIndex) {
        self.twins.get_or_create(&PeerLabel { peer: peer.0 }).inc();
    }

    /// A frame of so many bytes arrived.
    pub(crate) fn frame_in(&self, peer: ValidatorIndex, bytes: usize) {
        self.with_peer(peer, |peer| {
            peer.frames_in.inc();
            peer.bytes_in.inc_by(bytes as u64);
        });
    }

    /// A frame of so many bytes was written.
    pub(crate) fn frame_out(&self, peer: ValidatorIndex, bytes: usize) {
        self.with_peer(peer, |peer| {
            peer.frames_out.inc();
            peer.bytes_out.inc_by(bytes as u64);
        });
    }

    /// A frame from or to a peer was dropped.
    pub(crate) fn frame_dropped(&self, peer: ValidatorIndex, reason: &'static str) {
        self.frames_dropped.get_or_create(&PeerReason { peer: peer.0, reason }).inc();
    }

    /// A peer sent what no correct peer sends.
    pub(crate) fn peer_fault(&self, peer: ValidatorIndex, kind: &'static str) {
        self.faults.get_or_create(&PeerKind { peer: peer.0, kind }).inc();
    }

    /// An observer did what no correct peer does.
    pub(crate) fn observer_fault(&self, reason: &'static str) {
        self.observer_faults.get_or_create(&Reason { reason }).inc();
    }

    // Consensus.

    /// A consensus message left this peer, to one peer or to all.
    pub(crate) fn vote_sent(&self, kind: &'static str) {
        self.votes_sent.get_or_create(&Kind { kind }).inc();
    }

    /// A consensus message arrived.
    pub(crate) fn vote_received(&self, kind: &'static str) {
        self.votes_received.get_or_create(&Kind { kind }).inc();
    }

    /// A reorganization left so many blocks.
    pub(crate) fn reorganized(&self, depth: u64) {
        self.reorganizations.inc();
        let deepest = self.deepest_reorganization.get().max(i64::try_from(depth).unwrap_or(i64::MAX));
        self.deepest_reorganization.set(deepest);
    }

    /// This peer asked for a higher view.
    pub(crate) fn view_change(&self, reason: ViewChangeReason) {
        self.view_changes[reason as usize].inc();
    }

    /// A consensus timer expired.
    pub(crate) fn timer(&self, kind: &'static str) {
        self.timers.get_or_create(&Kind { kind }).inc();
    }

    /// The proof of a completion was verified, and holds or not.
    pub(crate) fn proof_verified(&self, valid: bool) {
        if valid {
            self.proofs_valid.inc()
        } else {
            self.proofs_invalid.inc()
        };
    }

    /// A validator was caught contradicting itself.
    pub(crate) fn caught(&self, peer: ValidatorIndex, kind: &'static str) {
        self.evidence.get_or_create(&PeerKind { peer: peer.0, kind }).inc();
    }

    /// A step took so long.
    pub(crate) fn step(&self, step: Step, took: Duration) {
        self.steps[step as usize].observe(took.as_secs_f64());
    }

    /// Runs a step and measures it.
    pub(crate) fn timed<T>(&self, step: Step, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let outcome = work();
        self.step(step, began.elapsed());
        outcome
    }

    /// Validators of this network only: what others do must not grow the metrics.
    fn with_peer(&self, peer: ValidatorIndex, count: impl FnOnce(&PeerMetrics)) {
        if let Some(peer) = self.peers.get(peer.as_usize()) {
            count(peer);
        }
    }
}

/// Memory of this process that is in RAM, in bytes, where the system tells.
pub(crate) fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// CPU time that this process has used, in seconds, where the system tells.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name is in parentheses and may hold any character; user and system time are the 12th and 13th
    // fields after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn value(text: &str, sample: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
    }

    #[test]
    fn what_was_counted_is_in_the_text_and_outsiders_are_not() {
        let (sender, _receiver) = mpsc::channel::<()>(8);
        sender.try_send(()).unwrap();
        let queues = vec![WatchedQueue::new("events", &sender)];
        let metrics = Metrics::new(4, Watched { store: "/proc/self/exe".into(), queues, ..Watched::default() });
        metrics.height.set(7);
        metrics.decided_transactions.inc_by(3);
        metrics.connected(ValidatorIndex(1));
        metrics.connected(ValidatorIndex(2));
        metrics.disconnected(ValidatorIndex(2), "closed");
        metrics.frame_in(ValidatorIndex(1), 100);
        metrics.frame_in(ValidatorIndex(1), 28);
        metrics.frame_out(ValidatorIndex(9), 1);
        metrics.frame_dropped(ValidatorIndex(3), "queue_full");
        metrics.view_change(ViewChangeReason::Timeout);
        metrics.timed(Step::Persist, || std::thread::sleep(Duration::from_millis(1)));
        let text = metrics.clone().encode();
        assert!(text.ends_with("# EOF\n"), "{text}");
        for (sample, expected) in [
            ("dtn_height", 7.0),
            ("dtn_decided_transactions_total", 3.0),
            ("dtn_connected{peer=\"1\"}", 1.0),
            ("dtn_connected{peer=\"2\"}", 0.0),
            ("dtn_disconnections_total{peer=\"2\",reason=\"closed\"}", 1.0),
            ("dtn_frames_in_total{peer=\"1\"}", 2.0),
            ("dtn_bytes_in_total{peer=\"1\"}", 128.0),
            ("dtn_frames_dropped_total{peer=\"3\",reason=\"queue_full\"}", 1.0),
            ("dtn_view_changes_total{reason=\"timeout\"}", 1.0),
            ("dtn_step_seconds_count{step=\"persist\"}", 1.0),
            ("dtn_queue_depth{queue=\"events\"}", 1.0),
        ] {
            assert_eq!(value(&text, sample), expected, "{sample}");
        }
        assert!(value(&text, "dtn_store_bytes") > 0.0);
        assert!(value(&text, "dtn_step_seconds_sum{step=\"persist\"}") >= 0.001);
        assert!(!text.contains("peer=\"9\""));
        assert_eq!(metrics.vitals().lost_links, [0, 0, 1, 0]);
        drop(sender);
        assert_eq!(value(&metrics.encode(), "dtn_queue_depth{queue=\"events\"}"), 0.0, "a closed channel is empty");
    }

    #[test]
    fn the_process_is_measured() {
        if !std::path::Path::new("/proc/self/stat").exists() {
            return;
        }
        let metrics = Metrics::new(4, Watched::default());
        let text = metrics.encode();
        assert!(value(&text, "dtn_process_resident_memory_bytes") > 1_000_000.0);
        let began = Instant::now();
        while cpu_seconds().unwrap() < value(&text, "dtn_process_cpu_seconds_total") + 0.02 {
            assert!(began.elapsed() < Duration::from_secs(20), "CPU time stands still while this loop spins");
        }
    }

    /// Set `UPDATE_DOCS=1` to write the table.
    #[test]
    fn the_documentation_lists_every_metric() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operate/operation.md");
        let text = std::fs::read_to_string(file).unwrap();
        let (begin, end) = ("<!-- metrics -->\n", "<!-- end of metrics -->");
        let (before, rest) = text.split_once(begin).unwrap();
        let (listed, after) = rest.split_once(end).unwrap();
        let mut table = String::from("| metric | kind | what it tells |\n|---|---|---|\n");
        for Description { name, kind, help } in Metrics::new(4, Watched::default()).descriptions() {
            table += &format!("| `{name}` | {kind} | {help} |\n");
        }
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(file, format!("{before}{begin}{table}{end}{after}")).unwrap();
        } else {
            assert_eq!(listed, table, "docs/operate/operation.md is out of date: UPDATE_DOCS=1 writes it");
        }
    }
}
