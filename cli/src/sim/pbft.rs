//! `dtn-cli sim pbft`: a client hands in transactions, and the replicas decide them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use clap::Args;
use dtn_consensus::Pbft;
use dtn_primitives::{max_faulty, memo, quorum};
use dtn_report::{Table, left, right, units};
use dtn_simulator::{Load, Measured, Scenario, Verdict, adversary::Kind};
use serde::Serialize;

use super::network::{MAX_VIEW_TIMEOUT, NetworkOptions, parse_latency};
use crate::output;

/// The most replicas, which 16 bits number, that a run of seconds can hold.
const MAX_NODES: usize = 1000;

/// The most bytes of transactions in a run, all blocks together.
const MAX_BYTES: usize = 1 << 30;

/// Signatures that are remembered, so that each is made and checked once although a thousand replicas do.
const REMEMBERED_SIGNATURES: usize = 1 << 20;

/// Have a client's transactions decided.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim pbft --nodes 4
  dtn-cli sim pbft --nodes 100 --transactions 1000 --latency 350ms --bandwidth 30mbps
  dtn-cli sim pbft --nodes 10 --byzantine 3 --behaviour equivocator --blocks 20
  dtn-cli sim pbft --nodes 30 --transactions 1000 --bandwidth 0.1mbps --model fpbft --json

The replicas are the ones that `dtn-cli l1` runs, with their signatures, in virtual time: the same options and seed give
the same run, and its digest, on every machine. Exit code 1 if they do not decide, or not alike.")]
pub(crate) struct Simulate {
    /// Replicas, 4 to 1,000
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// Transactions in a block
    #[arg(long, default_value_t = 100)]
    transactions: usize,
    /// The encoded length of a transaction
    #[arg(long, default_value_t = 310)]
    transaction_bytes: usize,
    /// Blocks that the client fills
    #[arg(long, default_value_t = 1)]
    blocks: u64,
    #[command(flatten)]
    network: NetworkOptions,
    /// How many replicas are liars, the primary first
    #[arg(long, default_value_t = 0)]
    byzantine: usize,
    /// What liars do
    #[arg(long, default_value = "silent", value_parser = parse_kind)]
    behaviour: Kind,
    /// How long a view lasts without a decision; without it, longer than the network needs if all is well
    #[arg(long, value_parser = humantime::parse_duration)]
    view_timeout: Option<Duration>,
    /// From when on nothing is lost
    #[arg(long, default_value = "0", value_parser = parse_latency)]
    stable_after: Duration,
    /// Decides all that is left to chance
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn parse_kind(name: &str) -> Result<Kind> {
    name.parse().or_else(|error| {
        let names: Vec<_> = Kind::ALL.iter().map(Kind::to_string).collect();
        bail!("{error}; there are {}", names.join(", "))
    })
}

/// What came of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    nodes: usize,
    quorum: usize,
    seed: u64,
    verdict: String,
    /// Of everything that happened.
    digest: String,
    events: u64,
    /// What the simulation took on this machine.
    wall_ms: f64,
    view_timeout_ms: f64,
    view: u64,
    /// From the client's request until the first and the last correct replica had decided the last block.
    decided_first_ms: Option<f64>,
    decided_all_ms: Option<f64>,
    /// Until the client was convinced of all blocks.
    pub(crate) replied_ms: Option<f64>,
    messages: u64,
    bytes: u64,
    by_kind: BTreeMap<&'static str, Kinds>,
    /// The least and the most that a replica sent.
    sent_bytes: [u64; 2],
    faults_found: u64,
    evidence: usize,
    signatures: &'static str,
}

#[derive(Debug, Serialize)]
struct Kinds {
    messages: u64,
    bytes: u64,
}

/// Makes this thread remember signatures until the guard is dropped.
#[must_use = "they are remembered as long as the guard lives"]
pub(crate) fn remembering() -> memo::Remembering {
    memo::remember(REMEMBERED_SIGNATURES)
}

/// Plays a scenario and tells what came of it.
pub(crate) fn play(scenario: &Scenario) -> Outcome {
    let began = Instant::now();
    let report = dtn_simulator::run::<Pbft>(scenario);
    let wall = began.elapsed();
    let Measured { kinds, sent, decisions, replies, view, .. } = &report.measured;
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let last_block = decisions.iter().map(|(_, _, height)| *height).max();
    let of_last = || decisions.iter().filter(|(_, _, height)| Some(*height) == last_block).map(|(at, ..)| ms(*at));
    let total = report.measured.total();
    let bytes = || sent.iter().map(|traffic| traffic.bytes);
    Outcome {
        nodes: scenario.n,
        quorum: quorum(scenario.n),
        seed: scenario.seed,
        verdict: report.verdict.to_string(),
        digest: format!("{:032x}", report.digest),
        events: report.events,
        wall_ms: ms(wall),
        view_timeout_ms: ms(scenario.pace.view_timeout),
        view: *view,
        decided_first_ms: of_last().reduce(f64::min),
        decided_all_ms: of_last().reduce(f64::max).filter(|_| report.verdict == Verdict::Pass),
        replied_ms: replies.values().max().map(|at| ms(*at)).filter(|_| report.verdict == Verdict::Pass),
        messages: total.messages,
        bytes: total.bytes,
        by_kind: kinds
            .iter()
            .map(|(kind, traffic)| (*kind, Kinds { messages: traffic.messages, bytes: traffic.bytes }))
            .collect(),
        sent_bytes: [bytes().min().unwrap_or_default(), bytes().max().unwrap_or_default()],
        faults_found: report.faults,
        evidence: report.evidence.len(),
        signatures: "real; each is made and checked once and remembered",
    }
}

impl Simulate {
    fn scenario(&self) -> Result<Scenario> {
        let Self { nodes, byzantine, transactions, transaction_bytes, blocks, .. } = *self;
        ensure!((4..=MAX_NODES).contains(&nodes), "--nodes {nodes}: a network has 4 to {MAX_NODES} replicas");
        let tolerated = max_faulty(nodes);
        ensure!(byzantine <= tolerated, "--byzantine {byzantine}: {nodes} replicas tolerate {tolerated} liars at most");
        let bytes = transactions.checked_mul(transaction_bytes).and_then(|bytes| bytes.checked_mul(blocks as usize));
        ensure!(
            (1..=10_000).contains(&blocks) && bytes.is_some_and(|bytes| bytes <= MAX_BYTES),
            "{blocks} blocks of {transactions} transactions of {transaction_bytes} B: at most 10,000 blocks and 1 GiB"
        );
        let mut scenario = Scenario::client(nodes, self.seed, blocks, transactions, transaction_bytes);
        scenario.links = self.network.links(nodes);
        let patient = self.network.patient_view_timeout(nodes, transactions * transaction_bytes);
        scenario.pace.view_timeout = self.view_timeout.unwrap_or(patient);
        ensure!(!scenario.pace.view_timeout.is_zero(), "--view-timeout 0: a view must last some time");
        ensure!(scenario.pace.view_timeout <= MAX_VIEW_TIMEOUT, "--view-timeout: a view lasts 30 days at most");
        scenario.pace.housekeeping = scenario.pace.view_timeout / 4;
        scenario.adversaries = (0..byzantine).map(|liar| (liar, self.behaviour)).collect();
        scenario.stabilization = self.stable_after;
        scenario.patience = scenario.pace.view_timeout * 1000;
        Ok(scenario)
    }
}

pub(crate) fn run(simulate: &Simulate) -> Result<()> {
    let scenario = simulate.scenario()?;
    let _remembering = remembering();
    let outcome = play(&scenario);
    if simulate.json {
        output::json(&outcome)?;
    } else {
        output::line(outcome.tables())?;
    }
    ensure!(outcome.verdict == Verdict::Pass.to_string(), "{}", outcome.verdict);
    Ok(())
}

/// The time of a decision in the FPBFT prototype: until the client has the replies of all.
pub(crate) fn prototype(nodes: usize, transactions: usize, network: &NetworkOptions, seed: u64) -> Scenario {
    const BYTES: usize = 310;
    let mut scenario = Scenario::client(nodes, seed, 1, transactions, BYTES);
    scenario.load =
        Load::Client { blocks: 1, transactions, transaction_bytes: BYTES, replies: Some(nodes), long_replies: true };
    scenario.links = network.links(nodes);
    scenario.pace.view_timeout = network.patient_view_timeout(nodes, transactions * BYTES) * 4;
    scenario.pace.housekeeping = scenario.pace.view_timeout;
    scenario.patience = scenario.pace.view_timeout * 10;
    (scenario.pace.gathering, scenario.pace.writing) = (Duration::ZERO, Duration::ZERO);
    scenario
}

impl Outcome {
    fn tables(&self) -> String {
        let ms = |value: Option<f64>| value.map_or("-".into(), |ms| units::duration((ms * 1e3) as u64));
        let mut run = Table::new(
            format!("PBFT, {} replicas, quorum {}", units::thousands(self.nodes), self.quorum),
            [left("verdict"), right("first decides"), right("all decide"), right("client knows"), right("view")],
        );
        let view = self.view.to_string();
        let decided = [self.decided_first_ms, self.decided_all_ms, self.replied_ms].map(ms);
        run.row([vec![self.verdict.clone()], decided.to_vec(), vec![view]].concat());
        run.note(format!(
            "Virtual time. {} events in {}, seed {}, digest {}.",
            units::thousands(self.events),
            units::duration((self.wall_ms * 1e3) as u64),
            self.seed,
            self.digest
        ));
        let mut kinds = Table::new("Messages", [left("kind"), right("messages"), right("bytes")]);
        for (kind, Kinds { messages, bytes }) in &self.by_kind {
            kinds.row([(*kind).to_string(), units::thousands(messages), units::bytes(*bytes)]);
        }
        kinds.row(["all".to_string(), units::thousands(self.messages), units::bytes(self.bytes)]);
        let [least, most] = self.sent_bytes.map(units::bytes);
        kinds.note(format!("A replica sent {least} to {most}. Signatures: {}.", self.signatures));
        format!("{run}\n{kinds}")
    }
}
