//! `dtn-cli aow round` and `rounds`: sequential work of a network that runs.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use dtn_api::{ApiClient, Verification};
use dtn_client::Client;
use dtn_primitives::{Completed, Completion, Payload, Round, RoundOrder, Transaction};
use dtn_report::{
    CompletionEntry, RoundEntry, RoundTotals, Table, VerificationEntry, left, right, round_table, round_totals_table,
    units,
};
use dtn_testbed::Home;
use futures::future::join_all;
use jsonrpsee::http_client::HttpClient;
use tokio::time::{Instant, sleep, timeout};

use crate::output;

/// How often the peers are asked how far a round is.
const LOOK: Duration = Duration::from_millis(100);

/// How long a peer may take to say what it found: one that hangs keeps nobody waiting for longer.
const ANSWER: Duration = Duration::from_secs(2);

/// How long after a round's deadline its end is waited for.
const GRACE: Duration = Duration::from_secs(60);

/// How long after a round's end the peers may still be verifying.
const VERIFYING: Duration = Duration::from_secs(10);

/// What a round asks for.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asked {
    /// Steps of work for each peer
    #[arg(long, default_value_t = 1 << 20)]
    pub(crate) steps: u64,
    /// How long the peers have
    #[arg(long, default_value = "2m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) deadline: Duration,
}

impl Asked {
    /// The order of a round, if there can be one.
    pub(crate) fn order(&self, nonce: u64, quorum: u16, reward: U256) -> Result<Payload> {
        let duration_ms = u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX);
        let order = Payload::Round(RoundOrder { nonce, steps: self.steps, quorum, duration_ms, reward });
        order.validate()?;
        Ok(order)
    }
}

/// Open a round and wait for its end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow round
  dtn-cli aow round --steps 4096 --reward 0.01ether --deadline 30s --json

Each validator starts from a hash of the network, the round, the block that opens it, itself and the number of steps, works,
and proves its work to the others, which verify before they vote. The round closes at --quorum completions or at the
deadline. Whoever was slower is shown as missing, as usually one of four is: that is no fault. A reward is paid once the completion has settled on chain.")]
pub(crate) struct OpenRound {
    #[command(flatten)]
    asked: Asked,
    /// Close at so many completions; a quorum of the validators without it
    #[arg(long)]
    quorum: Option<u16>,
    /// What each completion earns, as 0.01ether or in wei
    #[arg(long, default_value = "0", value_parser = dtn_settlement::amount::parse_amount)]
    reward: U256,
    /// The network's folder
    #[arg(long, env = "DTN_HOME", default_value = ".dtn", value_name = "DIR")]
    home: std::path::PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// List the last rounds of a network.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow rounds
  dtn-cli aow rounds --last 50 --json")]
pub(crate) struct ListRounds {
    /// How many
    #[arg(long, default_value_t = 10)]
    last: u64,
    /// The network's folder
    #[arg(long, env = "DTN_HOME", default_value = ".dtn", value_name = "DIR")]
    home: std::path::PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn open(round: OpenRound) -> Result<()> {
    let home = Home::new(&round.home);
    let client = dtn_testbed::client(&home)?;
    let quorum = round.quorum.unwrap_or(client.validators.quorum() as u16);
    let entry = perform(&client, &home, &round.asked, quorum, round.reward).await?;
    if round.json {
        return output::json(&entry);
    }
    let totals = RoundTotals::of(std::slice::from_ref(&entry));
    output::line(format_args!("{}\n\n{}", round_table(&entry, &names(&client)), round_totals_table(&totals)))
}

pub(crate) async fn list(rounds: ListRounds) -> Result<()> {
    let client = dtn_testbed::client(&Home::new(&rounds.home))?;
    let last = client.last_round().await?;
    let mut found = Vec::new();
    for number in last.saturating_sub(rounds.last) + 1..=last {
        found.extend(client.round(number).await?);
    }
    if rounds.json {
        return output::json(&found);
    }
    let columns = ["round", "opened by", "steps", "completed", "closed by", "missing"].map(right);
    let mut table = Table::new("Rounds", columns.into_iter().chain([left("beacon")]));
    for round in &found {
        let closing = round.closing.as_ref();
        table.row([
            units::thousands(round.number),
            units::thousands(round.height),
            units::thousands(round.steps),
            format!("{} of {}", round.completed.len(), client.validators.len()),
            closing.map_or_else(|| "open".into(), |closing| units::thousands(closing.height)),
            closing.map_or_else(|| units::NONE.into(), |closing| closing.missing.len().to_string()),
            closing.map_or_else(|| units::NONE.into(), |closing| units::short(closing.beacon)),
        ]);
    }
    let more = format!("no rounds yet: `dtn-cli aow round --home {}` opens one", rounds.home.display());
    output::list(&table, more)
}

/// Opens a round, waits until it is closed and gathers what the peers found.
pub(crate) async fn perform(
    client: &Client,
    home: &Home,
    asked: &Asked,
    quorum: u16,
    reward: U256,
) -> Result<RoundEntry> {
    let opened_at = begin(client, home, asked, quorum, reward).await?;
    Ok(end(client, opened_at, asked, quorum).await?.1)
}

/// Opens a round, and gives the height of the block that did.
pub(crate) async fn begin(client: &Client, home: &Home, asked: &Asked, quorum: u16, reward: U256) -> Result<u64> {
    let key = dtn_testbed::client_key(home)?;
    let nonce = client.next_nonce(&key).await?;
    let transaction = Transaction::sign(asked.order(nonce, quorum, reward)?, &key, &client.domain);
    let accepted = client.execute_all(std::slice::from_ref(&transaction), |_| ()).await?;
    Ok(accepted.first().context("no answer")?.height)
}

/// Waits until the round is closed that a block has opened.
async fn closed(client: &Client, opened_at: u64, asked: &Asked, quorum: u16) -> Result<Round> {
    let bar = output::progress(u64::from(quorum), "completions");
    let began = Instant::now();
    loop {
        let last = client.last_round().await?;
        if let Some(round) = client.round(last).await?.filter(|round| round.height == opened_at) {
            bar.set_position(round.completed.len() as u64);
            if round.closing.is_some() {
                bar.finish_and_clear();
                return Ok(round);
            }
        }
        if began.elapsed() > asked.deadline + GRACE {
            bail!(
                "the round of block {opened_at} is not closed {GRACE:?} after its deadline; look at `dtn-cli l1 status`"
            );
        }
        sleep(LOOK).await;
    }
}

/// Waits for the end of a round and gathers what the peers found.
pub(crate) async fn end(client: &Client, opened_at: u64, asked: &Asked, quorum: u16) -> Result<(Round, RoundEntry)> {
    let closed = closed(client, opened_at, asked, quorum).await?;
    let verifications = verifications(client, &closed).await;
    let entry = entry(closed.clone(), verifications).context("the round is not closed")?;
    Ok((closed, entry))
}

/// What the peers found, once all that answer have looked at all completions.
async fn verifications(client: &Client, round: &Round) -> Vec<VerificationEntry> {
    let began = Instant::now();
    loop {
        let asked = join_all(client.peers.iter().map(|peer| timeout(ANSWER, of_peer(peer, round.number)))).await;
        let answers: Vec<_> = asked.into_iter().flatten().flatten().collect();
        let missing = |(verifier, found): &(Address, Vec<Verification>)| {
            let others = round.completed.iter().filter(|completed| completed.node != *verifier);
            others.filter(|completed| found.iter().all(|it| it.node != completed.node)).count()
        };
        if began.elapsed() > VERIFYING || answers.iter().all(|answer| missing(answer) == 0) {
            let entries = answers.into_iter().flat_map(|(verifier, found)| {
                found.into_iter().map(move |it| VerificationEntry {
                    verifier,
                    node: it.node,
                    valid: it.valid,
                    reason: it.reason,
                    bytes: it.bytes,
                    network_us: it.fetch_us,
                    verify_us: it.verify_us,
                })
            });
            return entries.collect();
        }
        sleep(LOOK).await;
    }
}

async fn of_peer(peer: &HttpClient, round: u64) -> Option<(Address, Vec<Verification>)> {
    let status = peer.status().await.ok()?;
    Some((status.address, peer.verifications(round).await.ok()?))
}

fn entry(round: Round, verifications: Vec<VerificationEntry>) -> Option<RoundEntry> {
    let closing = round.closing?;
    Some(RoundEntry {
        round: round.number,
        steps: round.steps,
        height: round.height,
        closed_at: closing.height,
        duration_ms: closing.timestamp_ms.saturating_sub(round.opened_at_ms),
        beacon: closing.beacon,
        completions: round.completed.into_iter().map(completion_entry).collect(),
        missing: closing.missing,
        verifications,
    })
}

/// A completion as reports have it.
pub(super) fn completion_entry(completed: Completed) -> CompletionEntry {
    let Completed { node, height, completion: Completion { result, compute_us, prove_us, .. }, .. } = completed;
    CompletionEntry { node, result, height, compute_us, prove_us }
}

/// The peers as tables name them.
pub(crate) fn names(client: &Client) -> Vec<(Address, String)> {
    let name = |address: Address, index| (address, format!("{index} {}", units::short(address)));
    client.validators.iter().map(|(index, validator)| name(validator.address, index)).collect()
}
