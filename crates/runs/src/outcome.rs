//! What came of a run, in figures and in tables.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use dtn_primitives::quorum;
use dtn_report::{Table, left, right, units};
use dtn_simulator::{Engine, Happening, Measured, Offence, Recorded, Report, Scenario, Signatures, Verdict};
use serde::Serialize;

use super::mining::Mining;

/// The figures of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// What the scenario says of itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// How many replicas.
    pub nodes: usize,
    /// How many of them are a quorum.
    pub quorum: usize,
    /// What chance was decided by.
    pub seed: u64,
    /// How it ended.
    pub verdict: String,
    /// Of a run that does not pass: where it went wrong.
    pub offence: Option<Place>,
    /// Of everything that happened.
    pub digest: String,
    /// How many things happened.
    pub events: u64,
    /// What the simulation took on this machine.
    pub wall_ms: f64,
    /// How long a view lasts without a decision.
    pub view_timeout_ms: f64,
    /// The highest view in which something was decided.
    pub view: u64,
    /// How often a correct replica left a view.
    pub view_changes: u64,
    /// From the client's request until the first correct replica had decided the last block.
    pub decided_first_ms: Option<f64>,
    /// Until the last had.
    pub decided_all_ms: Option<f64>,
    /// Until the client was convinced of all blocks.
    pub replied_ms: Option<f64>,
    /// From handing in or finding a block until a correct replica had decided it: over all blocks and correct replicas.
    pub decision_ms: Option<Quantiles>,
    /// From handing in a request until f + 1 correct replicas had decided it, where each is a transaction of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_ms: Option<Quantiles>,
    /// What was sent: how many messages.
    pub messages: u64,
    /// And how many bytes.
    pub bytes: u64,
    /// The same by the kind of message.
    pub by_kind: BTreeMap<&'static str, Kinds>,
    /// Rounds of messages until the first block was decided: order, pre-prepare, prepare, commit, if all was well.
    pub rounds: Option<u32>,
    /// The virtual time of the whole run.
    pub elapsed_ms: f64,
    /// The part of each.
    pub replicas: Vec<Replica>,
    /// Bytes that left their senders in each 10 ms in which any did: when those begin, in ms, and how many.
    pub bytes_over_time: Vec<(u64, u64)>,
    /// How many faults the replicas found in what they were sent.
    pub faults_found: u64,
    /// How often they can show that somebody contradicted itself.
    pub evidence: usize,
    /// How signatures were made, and at which cost.
    pub signatures: String,
    /// Where blocks are mined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mining: Option<Mining>,
    /// What decided which blocks became final.
    pub engine: Engine,
}

/// Messages of a kind.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Kinds {
    /// What was sent: how many messages.
    pub messages: u64,
    /// And how many bytes.
    pub bytes: u64,
}

/// A replica's part.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Replica {
    /// What it has decided.
    pub height: u64,
    /// What it sent.
    pub sent_messages: u64,
    /// In bytes.
    pub sent_bytes: u64,
    /// What it received.
    pub received_messages: u64,
    /// In bytes.
    pub received_bytes: u64,
}

/// An event.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    /// Its number.
    pub event: u64,
    /// When.
    pub at_ms: f64,
    /// What happened.
    pub what: String,
}

/// How values spread.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Quantiles {
    /// Half are at most this.
    pub p50: f64,
    /// Nine in ten are.
    pub p90: f64,
    /// All but one in a hundred are.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Quantiles {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| values[(last as f64 * share).round() as usize];
        Some(Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: values[last] })
    }
}

/// Milliseconds of a duration.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Plays a scenario.
pub fn play(scenario: &Scenario) -> (Outcome, Report) {
    timed(scenario, || dtn_simulator::play(scenario))
}

/// Plays a scenario and tells what happens.
pub fn watch(scenario: &Scenario, observer: &mut dyn FnMut(&Happening)) -> (Outcome, Report) {
    timed(scenario, || dtn_simulator::watch(scenario, observer))
}

fn timed(scenario: &Scenario, run: impl FnOnce() -> Report) -> (Outcome, Report) {
    let began = Instant::now();
    let report = run();
    (Outcome::of(scenario, &report, began.elapsed()), report)
}

impl Outcome {
    fn of(scenario: &Scenario, report: &Report, wall: Duration) -> Self {
        let measured = &report.measured;
        let last_block = measured.decisions.iter().map(|(_, _, height)| *height).max();
        let of_last =
            || measured.decisions.iter().filter(|(_, _, height)| Some(*height) == last_block).map(|(at, ..)| ms(*at));
        let total = measured.total();
        let traffic = measured.sent.iter().zip(&measured.received);
        let replicas = report.heights.iter().zip(traffic).map(|(height, (sent, received))| Replica {
            height: *height,
            sent_messages: sent.messages,
            sent_bytes: sent.bytes,
            received_messages: received.messages,
            received_bytes: received.bytes,
        });
        let passed = |_: &f64| report.verdict == Verdict::Pass;
        let place = |Offence { event, at, what }: &Offence| Place { event: *event, at_ms: ms(*at), what: what.clone() };
        let text = humantime::format_duration;
        let pace = scenario.pace;
        let bucket = Measured::BUCKET.as_millis() as u64;
        Self {
            about: scenario.about.clone(),
            nodes: scenario.n,
            quorum: quorum(scenario.n),
            seed: scenario.seed,
            verdict: report.verdict.name().into(),
            offence: report.offence.as_ref().map(place),
            digest: format!("{:032x}", report.digest),
            events: report.events,
            wall_ms: ms(wall),
            view_timeout_ms: ms(scenario.view_timeout()),
            view: measured.view,
            view_changes: measured.view_changes,
            decided_first_ms: of_last().reduce(f64::min),
            decided_all_ms: of_last().reduce(f64::max).filter(passed),
            replied_ms: measured.replies.values().max().map(|at| ms(*at)).filter(passed),
            decision_ms: Quantiles::of(measured.decision_latencies().map(|(_, latency)| ms(latency))),
            request_ms: measured.request_latencies(None).and_then(|all| Quantiles::of(all.into_iter().map(ms))),
            messages: total.messages,
            bytes: total.bytes,
            by_kind: measured
                .kinds
                .iter()
                .map(|(kind, traffic)| (*kind, Kinds { messages: traffic.messages, bytes: traffic.bytes }))
                .collect(),
            rounds: measured.rounds.values().next().copied(),
            elapsed_ms: ms(report.elapsed),
            replicas: replicas.collect(),
            bytes_over_time: measured.bytes_over_time.iter().map(|(at, bytes)| (at * bucket, *bytes)).collect(),
            faults_found: report.faults,
            evidence: report.evidence.len(),
            signatures: format!(
                "{}, {} to make and {} to check in virtual time",
                if scenario.signatures == Signatures::Real { "real" } else { "counted" },
                text(pace.signing),
                text(pace.verifying)
            ),
            engine: Engine::of(scenario),
            mining: scenario.mining.as_ref().map(|miners| Mining::of(scenario, miners, report)),
        }
    }

    /// What was played.
    pub fn title(&self) -> String {
        format!("{}, {} replicas, quorum {}", self.engine.title(), units::thousands(self.nodes), self.quorum)
    }

    /// Whether all decided, and alike.
    pub fn passes(&self) -> bool {
        self.verdict == Verdict::Pass.name()
    }

    /// What identifies the run.
    pub fn recorded(&self) -> Recorded {
        Recorded { verdict: self.verdict.clone(), events: self.events, digest: self.digest.clone() }
    }

    /// One line on how it ended.
    pub fn summary(&self) -> String {
        match &self.offence {
            None => self.verdict.clone(),
            Some(Place { event, at_ms, what }) => {
                format!("{}: event {event} at {}: {what}", self.verdict, virtual_time(*at_ms))
            }
        }
    }

    /// As people read it.
    pub fn tables(&self) -> String {
        let ms = |value: Option<f64>| value.map_or_else(|| units::NONE.into(), virtual_time);
        let columns = ["first decides", "all decide", "client knows", "p50", "p99", "view", "view changes"];
        let mut run = Table::new(self.title(), [left("verdict")].into_iter().chain(columns.map(right)));
        let decided = [self.decided_first_ms, self.decided_all_ms, self.replied_ms];
        let quantiles = [|of: Quantiles| of.p50, |of: Quantiles| of.p99].map(|of| self.decision_ms.map(of));
        let figures = decided.into_iter().chain(quantiles).map(ms);
        let counts = [self.view, self.view_changes].map(units::thousands);
        run.row([self.verdict.clone()].into_iter().chain(figures).chain(counts).collect::<Vec<_>>());
        if self.offence.is_some() {
            run.note(self.summary());
        }
        run.note(format!(
            "Virtual time; p50 and p99 of a block's decision since it was {}. A view lasts {} without a decision. {} events \
             in {}, seed {}, digest {}.",
            if self.mining.is_some() { "found" } else { "handed in" },
            virtual_time(self.view_timeout_ms),
            units::thousands(self.events),
            virtual_time(self.wall_ms),
            self.seed,
            self.digest
        ));
        if let Some(Quantiles { p50, p99, max, .. }) = self.request_ms {
            let [p50, p99, max] = [p50, p99, max].map(virtual_time);
            run.note(format!("A request was final {p50} after it was handed in (p50), {p99} (p99), {max} at most."));
        }
        let mut kinds = Table::new("Messages", [left("kind"), right("messages"), right("bytes")]);
        for (kind, Kinds { messages, bytes }) in &self.by_kind {
            kinds.row([(*kind).to_string(), units::thousands(messages), units::bytes(*bytes)]);
        }
        kinds.row(["all".to_string(), units::thousands(self.messages), units::bytes(self.bytes)]);
        let sent = || self.replicas.iter().map(|replica| replica.sent_bytes);
        let [least, most] = [sent().min(), sent().max()].map(|bytes| units::bytes(bytes.unwrap_or_default()));
        let rounds = self.rounds.map_or_else(String::new, |rounds| format!("{rounds} rounds to the first block. "));
        kinds.note(format!("{rounds}A replica sent {least} to {most}. Signatures: {}.", self.signatures));
        let mining = self.mining.as_ref().map_or_else(String::new, |mining| format!("{}\n", mining.table()));
        format!("{run}\n{mining}{kinds}")
    }
}

/// A time in milliseconds as people write it.
pub fn virtual_time(ms: f64) -> String {
    units::duration((ms * 1e3) as u64)
}

/// Several runs side by side.
pub fn comparison(runs: &[(String, Outcome)]) -> Table {
    let figures = ["nodes", "all decide", "p50", "p99", "view changes", "messages", "bytes"];
    let columns = [left("scenario"), left("verdict")].into_iter().chain(figures.map(right));
    let mut table = Table::new("Runs", columns);
    for (name, outcome) in runs {
        let time = |value: Option<f64>| value.map_or_else(|| units::NONE.into(), virtual_time);
        table.row([
            name.clone(),
            outcome.verdict.clone(),
            units::thousands(outcome.nodes),
            time(outcome.decided_all_ms),
            time(outcome.decision_ms.map(|of| of.p50)),
            time(outcome.decision_ms.map(|of| of.p99)),
            units::thousands(outcome.view_changes),
            units::thousands(outcome.messages),
            units::bytes(outcome.bytes),
        ]);
    }
    table
}
