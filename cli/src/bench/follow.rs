//! Watching what becomes final, and believing none of it unverified.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, ensure};
use dtn_api::{ApiClient, FinalizedBlock};
use dtn_primitives::B256;
use tokio::time::{Duration, Instant, sleep};

use super::load::{Commit, Load, connect};
use crate::l1::blocks::Verifier;

/// The pause before the next peer is asked.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a follower stands.
pub(crate) struct Follower<'a> {
    pub(crate) load: &'a Load,
    pub(crate) verifier: Verifier<'a>,
    /// The peer that is asked first.
    pub(crate) peer: usize,
    /// The last block that is known.
    pub(crate) height: u64,
    pub(crate) hash: B256,
}

impl Follower<'_> {
    /// Takes every final block in order and notes when its transactions were done. Runs until it is dropped; what does
    /// not hold is an error.
    pub(crate) async fn run(mut self) -> Result<()> {
        loop {
            if !self.load.dead[self.peer].load(Relaxed)
                && let Ok(client) = connect(self.load.peers[self.peer]).await
                && let Ok(mut blocks) = client.subscribe_finalized(Some(self.height + 1)).await
            {
                while let Some(Ok(block)) = blocks.next().await {
                    self.take(&block).with_context(|| format!("peer {} lies", self.peer))?;
                }
            }
            // Not the peer, then, but the next one.
            self.peer = (self.peer + 1) % self.load.peers.len();
            sleep(PAUSE).await;
        }
    }

    fn take(&mut self, block: &FinalizedBlock) -> Result<()> {
        let FinalizedBlock { header, certificate, transactions } = block;
        self.verifier.block(self.height + 1, header, certificate, block.transactions_root())?;
        ensure!(header.parent_hash == self.hash, "block {} does not follow the one before it", header.height);
        (self.height, self.hash) = (header.height, certificate.block_hash);
        let at = Instant::now();
        for place in transactions.iter().filter_map(|(hash, _)| self.load.workload.places.get(hash)) {
            self.load.finalized(*place, at);
        }
        self.load.committed(Commit { view: certificate.view, transactions: transactions.len(), at });
        Ok(())
    }
}
