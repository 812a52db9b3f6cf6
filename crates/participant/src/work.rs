//! The work of a participant: whatever takes time runs on threads for that, and what it takes is fetched from the peer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dtn_primitives::B256;
use dtn_trainer::{Brief, Library, Unmet};
use dtn_training::TrainingOrder;
use tokio::{sync::Semaphore, task::spawn_blocking, time::sleep};

use crate::{ParticipantError, Peer};

/// How often what a peer does not have is asked for again: it fetches it from the others meanwhile.
const TRIES: usize = 100;

/// The pause before that.
const PAUSE: Duration = Duration::from_millis(50);

/// Where work is done.
#[derive(Debug, Clone)]
pub(crate) struct Workshop {
    pub(crate) peer: Peer,
    pub(crate) library: Library,
    threads: Arc<Semaphore>,
    /// As many for tools of one's own, which take as long as they like, and must not keep scores and audits waiting.
    pub(crate) tools: Arc<Semaphore>,
}

/// An order, and what it asks for.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) brief: Brief,
    pub(crate) at: TrainingOrder,
}

impl Task {
    pub(crate) fn new(network: B256, at: TrainingOrder) -> Self {
        let brief = Brief { network, block: at.block, id: at.order.id(), terms: at.terms() };
        Self { brief, at }
    }

    pub(crate) fn id(&self) -> B256 {
        self.brief.id
    }
}

impl Workshop {
    pub(crate) fn new(peer: Peer, library: Library, threads: usize) -> Self {
        let [threads, tools] = [threads.max(1); 2].map(|count| Arc::new(Semaphore::new(count)));
        Self { peer, library, threads, tools }
    }

    /// Computes something of an order on a thread, and fetches what that takes.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        task: &Arc<Task>,
        work: impl Fn(&Task, &Library) -> Result<T, Unmet> + Send + Sync + 'static,
    ) -> Result<T, ParticipantError> {
        let (work, mut tries) = (Arc::new(work), 0);
        loop {
            let (work, on, library) = (work.clone(), task.clone(), self.library.clone());
            let thread = self.threads.clone().acquire_owned().await;
            let outcome = spawn_blocking(move || {
                let outcome = work(&on, &library);
                drop(thread);
                outcome
            });
            let missing = match outcome.await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(Unmet::Missing(missing))) => missing,
                Ok(Err(error)) => return Err(error.into()),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
            for blob in missing.clone() {
                if let Some(bytes) = self.peer.fetch(task.id(), blob).await? {
                    self.library.put(task.id(), &blob, &bytes)?;
                    tries = 0;
                }
            }
            tries += 1;
            if tries > TRIES {
                return Err(Unmet::Missing(missing).into());
            }
            sleep(if tries == 1 { Duration::ZERO } else { PAUSE }).await;
        }
    }

    /// The witnesses of segments of a claim, until one that does not hold.
    pub(crate) async fn witnesses(
        &self,
        task: &Arc<Task>,
        claim: u8,
        segments: impl IntoIterator<Item = u16>,
        known: &mut BTreeMap<u16, B256>,
    ) -> Result<Option<u16>, ParticipantError> {
        for segment in segments {
            if known.contains_key(&segment) {
                continue;
            }
            let look =
                move |task: &Task, library: &Library| task.brief.segment(&task.at.order, claim, segment, library);
            match self.compute(task, look).await? {
                Ok(witness) => known.insert(segment, witness),
                Err(fault) => {
                    tracing::info!(order = %task.id(), claim, segment, %fault, "a segment does not hold");
                    return Ok(Some(segment));
                }
            };
        }
        Ok(None)
    }
}

/// The time, in milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
