//! What the thread that owns the ledger shows to everybody else at the end of each step: nobody has to ask it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dtn_api::{Status, Verification};
use tokio::sync::watch;

use crate::NodeError;

/// Heights whose latency is remembered.
const MAX_LATENCIES: usize = 4096;

/// How many findings about proofs are remembered.
const MAX_VERIFICATIONS: usize = 4096;

/// How long a peer's thread may take for a step before it counts as stuck; a step comes every 250 ms.
const PATIENCE: Duration = Duration::from_secs(2);

/// One writer, any number of readers.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shown: watch::Sender<Shown>,
    latencies: Mutex<BTreeMap<u64, Duration>>,
    verifications: Mutex<VecDeque<Verification>>,
}

#[derive(Debug)]
enum Shown {
    Starting,
    Running { status: Arc<Status>, since: Instant },
    Stopped,
}

impl Board {
    pub(crate) fn new() -> Self {
        let (latencies, verifications) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { shown: watch::Sender::new(Shown::Starting), latencies, verifications }))
    }

    /// Shows how the peer is doing.
    pub(crate) fn show(&self, status: Status) {
        self.0.shown.send_replace(Shown::Running { status: Arc::new(status), since: Instant::now() });
    }

    /// There is nothing more to come.
    pub(crate) fn stop(&self) {
        self.0.shown.send_replace(Shown::Stopped);
    }

    /// How the peer was doing at the end of its last step.
    pub(crate) async fn status(&self) -> Result<Arc<Status>, NodeError> {
        self.when(|_| true).await
    }

    /// The same once it has reached a height and knows what it may have said before: nobody takes its word until then.
    pub(crate) async fn to_be_believed_at(&self, height: u64) -> Result<Arc<Status>, NodeError> {
        self.when(|status| status.height >= height && !status.silent).await
    }

    async fn when(&self, condition: impl Fn(&Status) -> bool) -> Result<Arc<Status>, NodeError> {
        let mut shown = self.0.shown.subscribe();
        let ready = |shown: &Shown| match shown {
            Shown::Starting => false,
            Shown::Running { status, .. } => condition(status),
            Shown::Stopped => true,
        };
        match &*shown.wait_for(ready).await.map_err(|_| NodeError::Stopped)? {
            Shown::Running { status, .. } => Ok(status.clone()),
            Shown::Starting | Shown::Stopped => Err(NodeError::Stopped),
        }
    }

    /// For how long nothing was shown, if that is too long.
    pub(crate) fn stuck_for(&self) -> Option<Duration> {
        match &*self.0.shown.borrow() {
            Shown::Running { since, .. } => Some(since.elapsed()).filter(|elapsed| *elapsed > PATIENCE),
            Shown::Starting | Shown::Stopped => None,
        }
    }

    /// How long a block took here from its proposal to finality.
    pub(crate) fn took(&self, height: u64, latency: Duration) {
        let mut latencies = lock(&self.0.latencies);
        latencies.insert(height, latency);
        if latencies.len() > MAX_LATENCIES {
            latencies.pop_first();
        }
    }

    /// How long a block took, in microseconds, if that was seen and is remembered.
    pub(crate) fn latency_us(&self, height: u64) -> Option<u64> {
        lock(&self.0.latencies).get(&height).map(|latency| latency.as_micros() as u64)
    }

    /// What was found out about a proof.
    pub(crate) fn verified(&self, verification: Verification) {
        let mut verifications = lock(&self.0.verifications);
        verifications.push_back(verification);
        if verifications.len() > MAX_VERIFICATIONS {
            verifications.pop_front();
        }
    }

    /// What is remembered of the proofs of a round.
    pub(crate) fn verifications(&self, round: u64) -> Vec<Verification> {
        lock(&self.0.verifications).iter().filter(|it| it.round == round).cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
