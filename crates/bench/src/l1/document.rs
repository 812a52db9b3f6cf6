//! What a benchmark found, for people and for programs.

use dtn_report::{Chart, Page, Table, left, right, units};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{machine::Machine, primitives::Costs};

/// A benchmark of a network on this machine.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Of the program.
    pub version: &'static str,
    /// Where it was measured.
    pub machine: Machine,
    /// What was asked for.
    pub parameters: Parameters,
    /// What one thread takes for what bounds the rest.
    pub primitives: Costs,
    /// The items a second at which this machine would do nothing but have every peer check every signature.
    pub verified_ceiling: f64,
    /// Each load.
    pub runs: Vec<Run>,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Parameters {
    /// How many peers.
    pub nodes: usize,
    /// How they agree.
    pub engine: &'static str,
    /// Bytes of a transaction, or of an item of an opaque one.
    pub size: usize,
    /// Many items share one signature, and every item counts.
    pub opaque: bool,
    /// Items in a transaction.
    pub items_per_transaction: usize,
    /// How long it was measured.
    pub seconds: f64,
    /// Load before the measured time, which counts for nothing.
    pub warm_up_seconds: f64,
    /// Accounts that sign.
    pub accounts: usize,
    /// The most transactions under way at once.
    pub window: usize,
    /// How long a primary may take.
    pub view_timeout_ms: u64,
    /// The largest block.
    pub max_block_bytes: u64,
    /// How many peers are killed that are not the primary.
    pub crash: usize,
    /// Whether the primary is.
    pub crash_primary: bool,
}

/// One load and what became of it. Rates and counts are of items where transactions are opaque.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Items a second.
    pub rate: f64,
    /// What was due in the measured time.
    pub due: u64,
    /// How much of that was verified to be final, then or later.
    pub done: u64,
    /// Items a second that were verified to be final in the measured time.
    pub throughput: f64,
    /// Blocks a second that became final.
    pub commits_per_second: f64,
    /// Transactions in such a block.
    pub transactions_per_commit: f64,
    /// From when an item is due until its finality is verified.
    pub latency: Latency,
    /// The longest time without a commit in the measured time.
    pub longest_gap_ms: f64,
    /// How often a transaction was put off because a peer held enough.
    pub put_off: usize,
    /// How many transactions were handed in again because they took too long.
    pub retransmitted: usize,
    /// What each peer used.
    pub peers: Vec<PeerUse>,
    /// Processor time of the program that makes the load and verifies what is final.
    pub client_cpu_seconds: f64,
    /// What killing peers did, if any were.
    pub crash: Option<Crash>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Latency {
    /// Half took at most this.
    pub p50: f64,
    /// Nine in ten did.
    pub p90: f64,
    /// All but one in a hundred did.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    pub(crate) fn of(microseconds: &Histogram<u64>) -> Self {
        let at = |quantile| microseconds.value_at_quantile(quantile) as f64 / 1e3;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: microseconds.max() as f64 / 1e3 }
    }
}

/// What a peer used in the measured time. A killed one is missing what it used.
#[derive(Debug, Clone, Serialize)]
pub struct PeerUse {
    /// Its number.
    pub peer: usize,
    /// Whether it was killed.
    pub killed: bool,
    /// Processor time.
    pub cpu_seconds: f64,
    /// The same for each final block.
    pub cpu_ms_per_commit: f64,
    /// Writes that were forced to disk; nothing if the peer does not tell.
    pub forced_writes: Option<u64>,
    /// The same for each final block.
    pub forced_writes_per_commit: Option<f64>,
    /// What it wrote to disk.
    pub written_bytes: u64,
    /// Its memory at the beginning.
    pub memory_start_bytes: u64,
    /// And at the end.
    pub memory_end_bytes: u64,
    /// And at most.
    pub memory_peak_bytes: u64,
}

/// What killing peers did.
#[derive(Debug, Clone, Serialize)]
pub struct Crash {
    /// Who was killed.
    pub peers: Vec<usize>,
    /// Whether it was the primary.
    pub of_primary: bool,
    /// In seconds after the measured time began.
    pub after_seconds: f64,
    /// Until the first commit in a later view, where the primary was killed, and otherwise the first commit.
    pub outage_ms: Option<f64>,
    /// The same in view timeouts.
    pub outage_per_view_timeout: Option<f64>,
    /// Items a second before.
    pub throughput_before: f64,
    /// And after they had decided again.
    pub throughput_after: f64,
}

impl Report {
    fn what(&self) -> &'static str {
        if self.parameters.opaque { "items" } else { "transactions" }
    }

    /// What the figures mean, for those who read only them.
    fn notes(&self) -> Vec<String> {
        let Parameters { nodes, size, items_per_transaction, .. } = self.parameters;
        let counted = if self.parameters.opaque {
            format!(
                "Opaque payloads: what counts is items of {size} B, {items_per_transaction} of which share a \
                 transaction with one signature, as hotstuff and mysticeti count. Latency counts from when the first \
                 of them is due."
            )
        } else {
            format!("Every transaction of {size} B has its own signature, which every peer verifies.")
        };
        let ceiling = format!(
            "Ceiling: with {} cores and {nodes} peers, recovering every signature once a peer takes all processor time \
             at {} {} a second.",
            self.machine.cores,
            units::thousands(self.verified_ceiling as u64),
            self.what()
        );
        let method = "Open loop: each latency counts from when its transaction was due, however late it was sent, and \
                      until a subscriber had verified the certificate and the transactions root. Peers are processes \
                      on loopback, links are encrypted, votes are durable before they are sent. The warm-up is left \
                      out.";
        vec![counted, ceiling, method.into()]
    }

    fn machine(&self) -> String {
        let Machine { cpu, cores, memory_bytes, kernel, load_average } = &self.machine;
        let memory = units::bytes(*memory_bytes);
        format!("{cores} cores of {cpu}, {memory}, Linux {kernel}; load average before: {load_average}")
    }

    fn title(&self) -> String {
        let Parameters { nodes, engine, size, .. } = self.parameters;
        format!("L1: {nodes} peers, {engine}, {} of {size} B", self.what())
    }

    /// As people read it.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = vec![self.loads(), self.costs()];
        if self.runs.iter().any(|run| run.crash.is_some()) {
            tables.push(self.crashes());
        }
        tables.push(self.primitives.table(self.parameters.size));
        tables
    }

    fn loads(&self) -> Table {
        let columns = ["rate", "final/s", "done", "p50", "p90", "p99", "max", "commits/s", "a commit", "longest gap"];
        let mut table = Table::new(self.title(), columns.map(right));
        let ms = |milliseconds: f64| units::duration((milliseconds * 1e3) as u64);
        for run in &self.runs {
            let Latency { p50, p90, p99, max } = run.latency;
            table.row([
                units::thousands(run.rate as u64),
                units::thousands(run.throughput as u64),
                format!("{:.1} %", 100.0 * run.done as f64 / run.due.max(1) as f64),
                ms(p50),
                ms(p90),
                ms(p99),
                ms(max),
                format!("{:.0}", run.commits_per_second),
                format!("{:.1}", run.transactions_per_commit),
                ms(run.longest_gap_ms),
            ]);
        }
        self.notes().into_iter().for_each(|note| _ = table.note(note));
        table
    }

    fn costs(&self) -> Table {
        let columns = [
            right("rate"),
            right("peer"),
            right("CPU"),
            right("CPU a commit"),
            right("fsyncs a commit"),
            right("written"),
            right("memory"),
            right("peak"),
        ];
        let mut table = Table::new("What it took", columns);
        for run in &self.runs {
            for peer in &run.peers {
                table.row([
                    units::thousands(run.rate as u64),
                    if peer.killed { format!("{} (killed)", peer.peer) } else { peer.peer.to_string() },
                    format!("{:.2} s", peer.cpu_seconds),
                    format!("{:.2} ms", peer.cpu_ms_per_commit),
                    peer.forced_writes_per_commit.map_or_else(|| units::NONE.into(), |count| format!("{count:.2}")),
                    units::bytes(peer.written_bytes),
                    units::bytes(peer.memory_end_bytes),
                    units::bytes(peer.memory_peak_bytes),
                ]);
            }
            let client = format!("{:.2} s", run.client_cpu_seconds);
            table.row([units::thousands(run.rate as u64), "client".into(), client]);
        }
        table.note(self.machine());
        table
    }

    fn crashes(&self) -> Table {
        let columns = [
            right("rate"),
            left("killed"),
            right("outage"),
            right("in view timeouts"),
            right("final/s before"),
            right("after"),
        ];
        let mut table = Table::new("Crashes", columns);
        for (run, crash) in self.runs.iter().filter_map(|run| Some((run, run.crash.as_ref()?))) {
            let peers: Vec<_> = crash.peers.iter().map(ToString::to_string).collect();
            let none = || units::NONE.to_string();
            table.row([
                units::thousands(run.rate as u64),
                format!("{} {}", if crash.of_primary { "primary" } else { "backup" }, peers.join(", ")),
                crash.outage_ms.map_or_else(none, |outage| units::duration((outage * 1e3) as u64)),
                crash.outage_per_view_timeout.map_or_else(none, |ratio| format!("{ratio:.2}")),
                units::thousands(crash.throughput_before as u64),
                units::thousands(crash.throughput_after as u64),
            ]);
        }
        table
    }

    /// The same as a page of its own, with a picture of latency against load.
    pub fn page(&self) -> Page {
        let mut page = Page::new(self.title());
        page.paragraph(&self.machine());
        let mut chart = Chart::new(format!("{} a second, verified to be final", self.what()), "latency, ms");
        type Figure = fn(&Latency) -> f64;
        let figures: [Figure; 3] = [|latency| latency.p50, |latency| latency.p90, |latency| latency.p99];
        for (name, figure) in ["p50", "p90", "p99"].into_iter().zip(figures) {
            chart.line(name, self.runs.iter().map(|run| (run.throughput, figure(&run.latency))));
        }
        page.chart(&chart);
        self.tables().iter().for_each(|table| _ = page.table(table));
        page
    }
}
