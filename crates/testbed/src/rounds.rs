//! Rounds of sequential work in a network that runs: opened, waited for, and what the peers found.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use dtn_api::{ApiClient, Verification};
use dtn_client::Client;
use dtn_primitives::{Completed, Completion, Payload, Round, RoundOrder, Transaction, TransactionError};
use dtn_report::{CompletionEntry, Progress, RoundEntry, Tell, VerificationEntry, units};
use futures::future::join_all;
use jsonrpsee::http_client::HttpClient;
use tokio::time::{Instant, sleep, timeout};

use crate::{Home, Result, TestbedError, client_key};

/// How often the peers are asked how far a round is.
const LOOK: Duration = Duration::from_millis(100);

/// How long a peer may take to say what it found: one that hangs keeps nobody waiting for longer.
const ANSWER: Duration = Duration::from_secs(2);

/// How long after a round's deadline its end is waited for.
const GRACE: Duration = Duration::from_secs(60);

/// How long after a round's end the peers may still be verifying.
const VERIFYING: Duration = Duration::from_secs(10);

/// What a round asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Steps of work for each peer.
    pub steps: u64,
    /// How long the peers have.
    pub deadline: Duration,
    /// With so many completions the round closes before.
    pub quorum: u16,
    /// What each completion earns, in wei.
    pub reward: U256,
}

impl Asked {
    /// The order of a round, if there can be one.
    pub fn order(&self, nonce: u64) -> Result<Payload, TransactionError> {
        let Self { steps, deadline, quorum, reward } = *self;
        let duration_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let order = Payload::Round(RoundOrder { nonce, steps, quorum, duration_ms, reward });
        order.validate()?;
        Ok(order)
    }
}

/// Opens a round, and gives the height of the block that did.
pub async fn open(client: &Client, home: &Home, asked: &Asked) -> Result<u64> {
    let key = client_key(home)?;
    let nonce = client.next_nonce(&key).await?;
    let transaction = Transaction::sign(asked.order(nonce)?, &key, &client.domain);
    let accepted = client.execute_all(std::slice::from_ref(&transaction), |_| ()).await?;
    accepted.first().map(|accepted| accepted.height).ok_or(TestbedError::Missing("no answer"))
}

/// Waits for the end of the round that a block has opened, and gathers what the peers found. Told are the completions.
pub async fn end(client: &Client, opened_at: u64, asked: &Asked, tell: Tell<'_>) -> Result<(Round, RoundEntry)> {
    let closed = closed(client, opened_at, asked, tell).await?;
    let verifications = verifications(client, &closed).await;
    let entry = entry(closed.clone(), verifications).ok_or(TestbedError::Missing("the round is not closed"))?;
    Ok((closed, entry))
}

async fn closed(client: &Client, opened_at: u64, asked: &Asked, tell: Tell<'_>) -> Result<Round> {
    tell(Progress::Stage { what: "completions", parts: asked.quorum.into() });
    let began = Instant::now();
    loop {
        let last = client.last_round().await?;
        if let Some(round) = client.round(last).await?.filter(|round| round.height == opened_at) {
            tell(Progress::Parts(round.completed.len() as u64));
            if round.closing.is_some() {
                tell(Progress::Over);
                return Ok(round);
            }
        }
        if began.elapsed() > asked.deadline + GRACE {
            return Err(TestbedError::RoundOpen { opened_at, grace: GRACE });
        }
        sleep(LOOK).await;
    }
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
pub fn completion_entry(completed: Completed) -> CompletionEntry {
    let Completed { node, height, completion: Completion { result, compute_us, prove_us, .. }, .. } = completed;
    CompletionEntry { node, result, height, compute_us, prove_us }
}

/// The peers as tables name them.
pub fn names(client: &Client) -> Vec<(Address, String)> {
    let name = |address: Address, index| (address, format!("{index} {}", units::short(address)));
    client.validators().iter().map(|(index, validator)| name(validator.address, index)).collect()
}
