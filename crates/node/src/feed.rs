//! Tells subscribers of final blocks, each height once and in order.
//!
//! The core publishes the last few blocks alone, so that nothing piles up in it: who is behind reads the store.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use dtn_api::FinalizedBlock;
use dtn_primitives::{B256, Block, Certificate};
use jsonrpsee::{PendingSubscriptionSink, SubscriptionSink, core::SubscriptionError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{NodeError, NodeHandle, waiters::Waiters};

/// Subscribers at a time.
const MAX_SUBSCRIBERS: usize = 64;

/// How long a subscriber may take nothing before it is cut off.
const PATIENCE: Duration = Duration::from_secs(10);

/// Blocks that are kept for subscribers that are a little late.
const RECENT: usize = 8;

/// Where the core publishes what it commits, and others wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    recent: watch::Sender<VecDeque<Arc<FinalizedBlock>>>,
    seats: Arc<Semaphore>,
    waiters: Waiters,
}

impl Feed {
    pub(crate) fn new() -> Self {
        let seats = Arc::new(Semaphore::new(MAX_SUBSCRIBERS));
        Self { recent: watch::Sender::new(VecDeque::new()), seats, waiters: Waiters::default() }
    }

    /// Sees every commit from here on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<VecDeque<Arc<FinalizedBlock>>> {
        self.recent.subscribe()
    }

    /// Who waits for transactions to become final.
    pub(crate) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// Tells of a block that was committed, if anybody listens.
    pub(crate) fn publish(&self, block: &Block, certificate: &Certificate, hashes: &[B256]) {
        self.waiters.wake(hashes, (block.header.height, certificate.block_hash));
        if self.recent.receiver_count() == 0 {
            return;
        }
        let block = Arc::new(FinalizedBlock::new(block, certificate, hashes));
        self.recent.send_modify(|recent| {
            recent.truncate(RECENT - 1);
            recent.push_front(block);
        });
    }
}

/// Serves one subscriber until it leaves, is too slow or asks for what is gone.
pub(crate) async fn serve(
    node: NodeHandle,
    pending: PendingSubscriptionSink,
    from_height: Option<u64>,
) -> Result<(), SubscriptionError> {
    let seat: Result<OwnedSemaphorePermit, _> = node.feed().seats.clone().try_acquire_owned();
    let Ok(_seat) = seat else {
        pending.reject(crate::api::unavailable(NodeError::Busy("there are too many subscribers"))).await;
        return Ok(());
    };
    // From here on every commit is seen, so nothing is missed between the store and what is live.
    let mut recent = node.feed().subscribe();
    let height = node.height().await?;
    let sink = pending.accept().await?;
    let mut next = from_height.unwrap_or(height + 1).max(1);
    loop {
        let live = recent.borrow_and_update().iter().find(|block| block.header.height == next).cloned();
        let (block, height) = match live {
            Some(block) => (Some(block), next),
            None => {
                let (block, height) = node.reader().finalized(next).await?;
                (block.map(Arc::new), height)
            }
        };
        match block {
            Some(block) => {
                send(&sink, &block).await?;
                next += 1;
            }
            None if height >= next => return Err(format!("the block at height {next} is gone").into()),
            None => tokio::select! {
                changed = recent.changed() => changed?,
                () = sink.closed() => return Ok(()),
            },
        }
    }
}

async fn send(sink: &SubscriptionSink, block: &FinalizedBlock) -> Result<(), SubscriptionError> {
    let message = serde_json::value::to_raw_value(block)?;
    sink.send_timeout(message, PATIENCE).await.map_err(|_| {
        tracing::debug!(height = block.header.height, "a subscriber left or was too slow");
        format!("nothing was taken for {} s", PATIENCE.as_secs()).into()
    })
}
