//! Sequential work: steps, proofs, chains of events, rounds, and what does not pass as work.

use std::{path::PathBuf, time::Duration};

use alloy_primitives::{B256, U256, hex};
use dtn_aow::{Bound, Security, attack::Attempt, files::ChainFile};
use dtn_chain::amount::format_amount;
use dtn_primitives::Round;
use dtn_report::{Table, left, right, units};
use dtn_settlement::{aow::Slashing, claims::CheckedClaim};
use serde::Serialize;
use serde_json::{Value, json};

/// What came of steps of a map. Numbers of the field are decimal text.
#[derive(Debug, Serialize)]
pub struct Iterated {
    /// The map.
    pub map: String,
    /// The size of the field.
    pub modulus: String,
    /// Where they begin.
    pub start: String,
    /// How many steps.
    pub steps: u64,
    /// Where they lead.
    pub result: String,
    /// How long they took, in milliseconds.
    pub ms: f64,
    /// The same of one, in nanoseconds.
    pub ns_per_step: f64,
    /// What undoing took, if it was asked for.
    pub check_ms: Option<f64>,
    /// All that they passed, if it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
}

impl Iterated {
    /// So many steps that took a time.
    pub fn new(map: String, modulus: U256, [start, result]: [U256; 2], steps: u64, elapsed: Duration) -> Self {
        Self {
            map,
            modulus: modulus.to_string(),
            start: start.to_string(),
            steps,
            result: result.to_string(),
            ms: elapsed.as_secs_f64() * 1e3,
            ns_per_step: elapsed.as_secs_f64() * 1e9 / steps as f64,
            check_ms: None,
            trace: Vec::new(),
        }
    }

    /// For people.
    pub fn table(&self) -> Table {
        let mut table = Table::new(format!("{} modulo {}", self.map, self.modulus), [left("figure"), left("value")]);
        table.row(["start".to_string(), self.start.clone()]);
        self.trace
            .iter()
            .enumerate()
            .skip(1)
            .for_each(|(step, value)| _ = table.row([step.to_string(), value.clone()]));
        table.row([format!("after {} steps", units::thousands(self.steps)), self.result.clone()]);
        table.row(["time".to_string(), format!("{}, {:.0} ns a step", time(self.ms), self.ns_per_step)]);
        if let Some(ms) = self.check_ms {
            table.row(["undone in".to_string(), format!("{}, {:.0} times as fast", time(ms), self.ms / ms.max(1e-6))]);
        }
        table
    }
}

/// What came of proving.
#[derive(Debug, Serialize)]
pub struct Proven {
    /// Where it begins.
    pub start: String,
    /// How many steps.
    pub steps: u64,
    /// Where they lead.
    pub result: String,
    /// The options of the proof.
    pub security: Security,
    /// The bits that are proven of it.
    pub proven_bits: u32,
    /// Its length.
    pub proof_bytes: usize,
    /// How long the steps took, in milliseconds.
    pub evaluate_ms: f64,
    /// How long the proof took.
    pub prove_ms: f64,
    /// On so many threads.
    pub threads: usize,
    /// The file of the proof.
    pub out: PathBuf,
}

impl Proven {
    /// For people.
    pub fn table(&self) -> Table {
        let title = format!("{} steps, proven", units::thousands(self.steps));
        let mut table = Table::new(title, [left("figure"), left("value")]);
        table.row(["start".to_string(), self.start.clone()]);
        table.row(["result".to_string(), self.result.clone()]);
        table.row(["steps took".to_string(), time(self.evaluate_ms)]);
        let threads = if self.threads == 1 { "1 thread".to_string() } else { format!("{} threads", self.threads) };
        table.row(["proving took".to_string(), format!("{}, {threads}", time(self.prove_ms))]);
        table.row(["options".to_string(), format!("{}, {} bits proven", self.security, self.proven_bits)]);
        table.row(["proof".to_string(), units::bytes(self.proof_bytes as u64)]);
        table.row(["written to".to_string(), self.out.display().to_string()]);
        table
    }
}

/// What came of checking.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Where it begins.
    pub start: String,
    /// How many steps.
    pub steps: u64,
    /// Where they lead.
    pub result: String,
    /// What it is bound to.
    pub context: B256,
    /// What the start was hashed from, if it was.
    pub round: Option<Bound>,
    /// The options of the proof.
    pub security: Security,
    /// The bits that are proven of it.
    pub proven_bits: u32,
    /// Its length.
    pub proof_bytes: usize,
    /// How long it took, in milliseconds.
    pub verify_ms: f64,
}

impl Verified {
    /// For people.
    pub fn table(&self) -> Table {
        let title = format!("{} steps, and the proof holds", units::thousands(self.steps));
        let mut table = Table::new(title, [left("figure"), left("value")]);
        table.row(["start".to_string(), self.start.clone()]);
        table.row(["result".to_string(), self.result.clone()]);
        table.row(["bound to".to_string(), self.context.to_string()]);
        if let Some(Bound { round, node, .. }) = self.round {
            table.row(["of".to_string(), format!("round {round}, {node}")]);
        }
        table.row(["options".to_string(), format!("{}, {} bits proven", self.security, self.proven_bits)]);
        table.row(["proof".to_string(), units::bytes(self.proof_bytes as u64)]);
        table.row(["checked in".to_string(), time(self.verify_ms)]);
        table
    }
}

/// Milliseconds as people read them.
fn time(ms: f64) -> String {
    units::duration((ms * 1e3) as u64)
}

/// A chain of events.
#[derive(Debug, Serialize)]
pub struct Events {
    /// The first link that is kept.
    pub first: u64,
    /// How many links there have been.
    pub height: u64,
    /// How many steps follow each event.
    pub steps: u64,
    /// How many links are proven.
    pub proofs: usize,
    /// Where the work after the last event has led.
    pub last_tick: String,
    /// The links that were checked or proven, up to but not including the second.
    pub links: Option<(u64, u64)>,
}

impl Events {
    /// A chain in a file, of which some links were looked at.
    pub fn of(file: &ChainFile, links: Option<(u64, u64)>) -> Self {
        let (anchor, chain) = (file.chain.anchor(), &file.chain);
        let tick = chain.links().last().map_or(anchor.tick, |link| link.tick);
        Self {
            first: anchor.height,
            height: chain.height(),
            steps: chain.steps(),
            proofs: file.proofs.len(),
            last_tick: hex::encode_prefixed(tick),
            links,
        }
    }

    /// For people, with what was done to it.
    pub fn table(&self, done: &str) -> Table {
        let columns = [left("links"), right("steps each"), right("proofs"), left("last tick")];
        let what = self.links.map_or_else(String::new, |(from, to)| format!(", links {from} up to {to}"));
        let mut table = Table::new(format!("A chain of events, {done}{what}"), columns);
        let held = format!("{} up to {}", self.first, self.height);
        let [steps, proofs] = [units::thousands(self.steps), units::thousands(self.proofs)];
        table.row([held, steps, proofs, self.last_tick.clone()]);
        table
    }
}

/// Rounds of a network of so many validators.
pub fn rounds(rounds: &[Round], validators: usize) -> Table {
    let columns = ["round", "opened by", "steps", "completed", "closed by", "missing"].map(right);
    let mut table = Table::new("Rounds", columns.into_iter().chain([left("beacon")]));
    for round in rounds {
        let closing = round.closing.as_ref();
        table.row([
            units::thousands(round.number),
            units::thousands(round.height),
            units::thousands(round.steps),
            format!("{} of {validators}", round.completed.len()),
            closing.map_or_else(|| "open".into(), |closing| units::thousands(closing.height)),
            closing.map_or_else(|| units::NONE.into(), |closing| closing.missing.len().to_string()),
            closing.map_or_else(|| units::NONE.into(), |closing| units::short(closing.beacon)),
        ]);
    }
    table
}

/// What came of attempts to pass something as work of so many steps.
pub fn attempts(attempts: &[Attempt], steps: u64, security: Security) -> Table {
    let title = format!("{} steps, {security}", units::thousands(steps));
    let mut table = Table::new(title, [left("what is published"), right("accepted by"), left("because")]);
    for Attempt { attack, accepted, verifiers, reason } in attempts {
        let name = attack.map_or_else(|| "the work".to_string(), |attack| attack.to_string());
        let reason = reason.clone().unwrap_or_else(|| "it holds".into());
        table.row([name, format!("{accepted} of {verifiers}"), reason]);
    }
    table
}

/// What of a claim holds, in words.
fn holds(claim: &CheckedClaim) -> String {
    match (&claim.slashing, claim.false_segment) {
        (Some(Slashing { segment, challenger, .. }), _) => format!("not segment {segment}, by {challenger}"),
        (None, Some(segment)) => format!("not segment {segment}"),
        (None, None) => "all".into(),
    }
}

/// A claim on chain, for programs.
pub fn claim_json(claim: &CheckedClaim) -> Value {
    let CheckedClaim { posted, state, standing, false_segment, slashing } = claim;
    json!({
        "id": posted.id, "round": posted.round, "node": posted.node, "height": posted.height,
        "steps": posted.steps, "segments": posted.checkpoints.len(), "proof_digest": posted.proof_digest,
        "block": posted.block, "tx": posted.tx, "status": standing, "bond_wei": state.bond,
        "deadline": state.deadline, "holds": false_segment.is_none() && slashing.is_none(),
        "false_segment": false_segment, "slashing": slashing,
    })
}

/// Claims on chain, each of which was checked.
pub fn claims(claims: &[CheckedClaim]) -> Table {
    let columns = [right("round"), left("node"), right("steps"), right("segments"), left("status"), right("bond")];
    let columns = columns.into_iter().chain([left("deadline"), left("holds"), left("id")]);
    let mut table = Table::new("Claims of sequential work", columns.collect::<Vec<_>>());
    for claim in claims {
        table.row([
            claim.posted.round.to_string(),
            claim.posted.node.to_string(),
            units::thousands(claim.posted.steps),
            claim.posted.checkpoints.len().to_string(),
            claim.standing.to_string(),
            format_amount(claim.state.bond),
            units::date(claim.state.deadline),
            holds(claim),
            claim.posted.id.to_string(),
        ]);
    }
    table
}
