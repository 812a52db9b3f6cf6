//! What it takes this machine to simulate a network.

use std::time::{Duration, Instant};

use dtn_report::{Progress, Table, Tell, right, units};
use dtn_simulator::{Latency, Scenario, Signatures, Verdict, play};
use nix::unistd::Pid;
use serde::Serialize;

use crate::{BenchError, Result, machine};

/// How long each size is repeated at least, and how often at least.
const MEASURED_FOR: Duration = Duration::from_secs(1);
const RUNS: usize = 5;

/// Milliseconds a run of PBFT under N(250, 50) ms takes the simulator "Tool" (DSN '22), measured on a machine of two
/// cores: 218,000 messages and 1.2 GB for 256 replicas, and no larger network was tried.
const TOOL_MS: [(usize, f64); 7] =
    [(4, 0.7), (16, 8.1), (32, 32.5), (50, 108.0), (64, 201.0), (128, 2304.0), (256, 45_687.0)];

/// A size and what it took.
#[derive(Debug, Serialize)]
pub struct Row {
    /// How many replicas.
    pub nodes: usize,
    /// What they sent.
    pub messages: u64,
    /// What happened in all.
    pub events: u64,
    /// How often it was run.
    pub runs: usize,
    /// The median of the runs.
    pub ms: f64,
    /// Events a second of such a run.
    pub events_per_second: f64,
    /// What this process held after the last of them.
    pub resident_bytes: Option<u64>,
    /// What the other simulator takes.
    pub tool_ms: Option<f64>,
}

/// Measures networks of these sizes, with signatures that are computed or counted.
pub fn measure(sizes: &[usize], real: bool, tell: Tell<'_>) -> Result<Vec<Row>> {
    tell(Progress::Stage { what: "sizes", parts: sizes.len() as u64 });
    let mut rows = Vec::new();
    for nodes in sizes {
        rows.push(one(*nodes, real)?);
        tell(Progress::Part);
    }
    tell(Progress::Over);
    Ok(rows)
}

fn one(nodes: usize, real: bool) -> Result<Row> {
    let mut scenario = Scenario { n: nodes, seed: 7, ..Scenario::default() };
    let (mean, deviation) = (Duration::from_millis(250), Duration::from_millis(50));
    scenario.links.latency = Some(Latency::Normal { mean, deviation });
    scenario.signatures = if real { Signatures::Real } else { Signatures::Counted };
    scenario.check()?;
    let report = play(&scenario);
    if report.verdict != Verdict::Pass {
        return Err(BenchError::Undecided { nodes, verdict: report.verdict.to_string() });
    }
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < RUNS || began.elapsed() < MEASURED_FOR {
        let began = Instant::now();
        play(&scenario);
        times.push(began.elapsed());
    }
    times.sort();
    let median = times[times.len() / 2].as_secs_f64();
    Ok(Row {
        nodes,
        messages: report.measured.total().messages,
        events: report.events,
        runs: times.len(),
        ms: median * 1e3,
        events_per_second: report.events as f64 / median,
        resident_bytes: machine::usage(Pid::this()).map(|usage| usage.resident_bytes),
        tool_ms: TOOL_MS.iter().find(|(size, _)| *size == nodes).map(|(_, ms)| *ms),
    })
}

/// As people read them.
pub fn table(rows: &[Row], real: bool) -> Table {
    let columns = ["replicas", "messages", "events", "ms", "events a second", "memory", "Tool, ms", "times as fast"];
    let signatures = if real { "real" } else { "counted" };
    let mut table = Table::new(format!("PBFT's normal case, one thread, signatures {signatures}"), columns.map(right));
    for row in rows {
        let none = || units::NONE.to_string();
        table.row([
            units::thousands(row.nodes),
            units::thousands(row.messages),
            units::thousands(row.events),
            format!("{:.1}", row.ms),
            units::thousands(row.events_per_second as u64),
            row.resident_bytes.map_or_else(none, units::bytes),
            row.tool_ms.map_or_else(none, |ms| format!("{ms:.1}")),
            row.tool_ms.map_or_else(none, |ms| format!("{:.1}", ms / row.ms)),
        ]);
    }
    table.note(
        "Delay N(250, 50) ms, 100 transactions of 310 B, until all have decided; the median of five runs or a second of \
         them. Tool: the simulator of DSN '22, as measured on a machine of two cores.",
    );
    table
}
