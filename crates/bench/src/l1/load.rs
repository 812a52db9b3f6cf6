//! Sending a load at a given rate, whatever the network makes of it.
//!
//! The load is open-loop: when a transaction is due does not depend on what became of those before it, and its latency
//! counts from then. A network that falls behind is not spared (no coordinated omission); it only is not handed more
//! than a mempool holds.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use dtn_api::{ApiClient, RefusalKind, SubmitOutcome};
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{BenchError, Result, workload::Workload};

/// The most transactions in one call.
const BATCH: usize = 512;

/// The most bytes in one call: twice as many in JSON, and a WebSocket takes messages of 256 KiB.
const BATCH_BYTES: usize = 96 << 10;

/// How long a peer may take to answer a call.
const ANSWER: Duration = Duration::from_secs(10);

/// The pause after a peer has had enough for now, or does not answer.
const PAUSE: Duration = Duration::from_millis(5);

/// A transaction that is not final after so long is handed to another peer too (OSDI '99, §4.1).
const RETRANSMIT: Duration = Duration::from_secs(2);

/// The longest message that a client takes: a full block's hashes and signatures.
const MAX_MESSAGE: u32 = 64 << 20;

/// A block that was verified to be final.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit {
    pub(crate) view: u64,
    pub(crate) transactions: usize,
    pub(crate) at: Instant,
}

/// A load under way: when each transaction is due, and what became of it.
pub(crate) struct Load {
    pub(crate) workload: Workload,
    /// When the clock starts.
    pub(crate) start: Instant,
    /// Items a second.
    pub(crate) rate: f64,
    /// Items in a transaction.
    pub(crate) items: usize,
    /// Where the peers answer.
    pub(crate) peers: Vec<SocketAddr>,
    /// Which peers have been killed.
    pub(crate) dead: Vec<AtomicBool>,
    /// How many transactions may be under way at once.
    pub(crate) window: usize,
    /// Microseconds after the start at which a transaction was handed in, plus one; 0 before that.
    handed_in: Vec<AtomicU64>,
    /// Microseconds after the start at which its finality was verified, plus one; 0 before that.
    verified: Vec<AtomicU64>,
    commits: Mutex<Vec<Commit>>,
    pub(crate) taken: AtomicUsize,
    pub(crate) done: AtomicUsize,
    /// How often a peer had enough for now.
    pub(crate) put_off: AtomicUsize,
    pub(crate) retransmitted: AtomicUsize,
}

impl Load {
    pub(crate) fn new(
        workload: Workload,
        start: Instant,
        rate: f64,
        items: usize,
        peers: Vec<SocketAddr>,
        window: usize,
    ) -> Self {
        let count = workload.transactions.len();
        let zeros = || (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            workload,
            start,
            rate,
            items,
            dead: peers.iter().map(|_| AtomicBool::new(false)).collect(),
            peers,
            window,
            handed_in: zeros(),
            verified: zeros(),
            commits: Mutex::default(),
            taken: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            put_off: AtomicUsize::new(0),
            retransmitted: AtomicUsize::new(0),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.handed_in.len()
    }

    /// When the first item of a transaction is due, in microseconds after the start. Latency counts from here.
    pub(crate) fn due(&self, place: usize) -> u64 {
        (place as f64 * self.items as f64 * 1e6 / self.rate) as u64
    }

    /// When its last item is due, so that it can be sent.
    fn complete(&self, place: usize) -> Instant {
        let last = place as f64 * self.items as f64 + (self.items - 1) as f64;
        self.start + Duration::from_secs_f64(last / self.rate)
    }

    fn micros(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_micros() as u64
    }

    /// Notes that a transaction is final, as was verified at that time.
    pub(crate) fn finalized(&self, place: u32, at: Instant) {
        if self.verified[place as usize].swap(self.micros(at) + 1, Relaxed) == 0 {
            self.done.fetch_add(1, Relaxed);
        }
    }

    /// Notes a block that was verified to be final.
    pub(crate) fn committed(&self, commit: Commit) {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).push(commit);
    }

    /// The blocks so far, in order.
    pub(crate) fn commits(&self) -> Vec<Commit> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When it was verified that a transaction is final, in microseconds after the start.
    pub(crate) fn verified_at(&self, place: usize) -> Option<u64> {
        self.verified[place].load(Relaxed).checked_sub(1)
    }

    fn hand_in(&self, place: u32) {
        if self.handed_in[place as usize].swap(self.micros(Instant::now()) + 1, Relaxed) == 0 {
            self.taken.fetch_add(1, Relaxed);
        }
    }

    /// How many more may be handed in now.
    fn room(&self) -> usize {
        let under_way = self.taken.load(Relaxed).saturating_sub(self.done.load(Relaxed));
        self.window.saturating_sub(under_way)
    }

    /// Sends every transaction of one sender when it is due, until `end`.
    pub(crate) async fn send(&self, sender: usize, end: Instant) -> Result<()> {
        let senders = self.peers.len();
        let mut link = Link::new(sender);
        let mut next = sender;
        // What is to be sent before anything new: transactions of an account are taken in their order.
        let mut again: Vec<u32> = Vec::new();
        loop {
            if again.is_empty() {
                if next >= self.count() {
                    return Ok(());
                }
                sleep_until(self.complete(next).min(end)).await;
            }
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            let mut batch = std::mem::take(&mut again);
            let most = self.batch_limit().min(self.room() / senders + 1);
            while batch.len() < most && next < self.count() && self.complete(next) <= now {
                batch.push(next as u32);
                next += senders;
            }
            if self.room() == 0 {
                again = batch;
                sleep(PAUSE).await;
                continue;
            }
            let Some(outcomes) = link.submit(self, &batch).await? else {
                again = batch;
                sleep(PAUSE).await;
                continue;
            };
            for (place, outcome) in batch.into_iter().zip(outcomes) {
                if taken(outcome)? { self.hand_in(place) } else { again.push(place) }
            }
            if !again.is_empty() {
                self.put_off.fetch_add(again.len(), Relaxed);
                sleep(PAUSE).await;
            }
        }
    }

    fn batch_limit(&self) -> usize {
        let bytes = self.workload.transactions.first().map_or(1, |transaction| transaction.len().max(1));
        BATCH.min(BATCH_BYTES / bytes).max(1)
    }

    /// Hands in again, to one peer after the other, what should be final by now. Runs until it is dropped.
    pub(crate) async fn retransmit(&self) -> Result<()> {
        let (mut first, mut peer) = (0, 0);
        loop {
            sleep(RETRANSMIT / 4).await;
            let late = self.micros(Instant::now()).saturating_sub(RETRANSMIT.as_micros() as u64);
            let done = |place: &usize| self.verified[*place].load(Relaxed) > 0;
            first = (first..self.count()).find(|place| !done(place)).unwrap_or(self.count());
            let last = self.taken.load(Relaxed) + self.window;
            let overdue = (first..self.count().min(last)).filter(|place| {
                let handed_in = self.handed_in[*place].load(Relaxed);
                handed_in > 0 && handed_in < late && !done(place)
            });
            let batch: Vec<_> = overdue.take(self.batch_limit()).map(|place| place as u32).collect();
            if batch.is_empty() {
                continue;
            }
            peer += 1;
            let mut link = Link::new(peer % self.peers.len());
            if link.submit(self, &batch).await?.is_some() {
                self.retransmitted.fetch_add(batch.len(), Relaxed);
                batch.iter().for_each(|place| self.hand_in(*place));
            }
        }
    }
}

/// Whether a peer has a transaction now; false if it has too much for the moment.
fn taken(outcome: SubmitOutcome) -> Result<bool> {
    let SubmitOutcome::Refused(refused) = outcome else { return Ok(true) };
    match refused.kind {
        RefusalKind::Pending { .. }
        | RefusalKind::Taken { .. }
        | RefusalKind::Final { .. }
        | RefusalKind::NonceTooLow { .. } => Ok(true),
        RefusalKind::Full | RefusalKind::NonceTooHigh { .. } => Ok(false),
        RefusalKind::Missing { .. } | RefusalKind::NotNow | RefusalKind::Invalid | RefusalKind::Unknown => {
            Err(BenchError::Refused(refused))
        }
    }
}

/// A connection to one peer, or to the next one that lives.
struct Link {
    peer: usize,
    client: Option<WsClient>,
}

impl Link {
    fn new(peer: usize) -> Self {
        Self { peer, client: None }
    }

    /// What became of each transaction; `None` if the peer does not answer, and the next one is to be asked.
    async fn submit(&mut self, load: &Load, batch: &[u32]) -> Result<Option<Vec<SubmitOutcome>>> {
        if load.dead[self.peer].load(Relaxed) {
            self.give_up(load);
        }
        let client = match self.client.take() {
            Some(client) => client,
            None => match connect(load.peers[self.peer]).await {
                Ok(client) => client,
                Err(_) => {
                    self.give_up(load);
                    return Ok(None);
                }
            },
        };
        match timeout(ANSWER, client.submit_encoded(load.workload.batch(batch))).await {
            Ok(Ok(outcomes)) => {
                self.client = Some(client);
                Ok(Some(outcomes))
            }
            Ok(Err(jsonrpsee::core::ClientError::Call(error)))
                if ![dtn_api::UNAVAILABLE, dtn_api::BUSY].contains(&error.code()) =>
            {
                Err(BenchError::Call(error))
            }
            Ok(Err(_)) | Err(_) => {
                self.give_up(load);
                Ok(None)
            }
        }
    }

    fn give_up(&mut self, load: &Load) {
        self.client = None;
        self.peer = (self.peer + 1) % load.peers.len();
    }
}

/// A WebSocket connection to a peer.
async fn connect(peer: SocketAddr) -> Result<WsClient, jsonrpsee::core::ClientError> {
    WsClientBuilder::default()
        .max_request_size(MAX_MESSAGE)
        .max_response_size(MAX_MESSAGE)
        .build(format!("ws://{peer}"))
        .await
}
