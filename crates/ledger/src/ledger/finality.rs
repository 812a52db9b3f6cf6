//! What becomes final: blocks, checkpoints, and the state that is taken over from others.

use std::sync::Arc;

use dtn_primitives::{B256, Block, Certificate, CheckpointCertificate};

use super::{Committed, Ledger, LedgerError, view};
use crate::{
    BlockError, Importer, Manifest, SnapshotError, StoreError,
    mempool::Mempool,
    root::{self, StateTree},
    store::Cover,
};

impl Ledger {
    /// Makes the block above the tip final, checking it unless it is remembered as valid. Verifies the certificate, so
    /// that nothing without a quorum's signatures is ever stored; its timestamp is not compared with a clock. Blocks on
    /// top of it stay remembered, all others are dropped. Nothing changes on an error.
    ///
    /// The block is durable after the next [`Store::append_journal`] or [`Store::sync`].
    pub fn commit(&mut self, block: Arc<Block>, certificate: &Certificate) -> Result<Committed, LedgerError> {
        let hash = block.header.hash();
        if (certificate.block_hash, certificate.height) != (hash, block.header.height) {
            let (have, height, need) = (certificate.block_hash, certificate.height, hash);
            return Err(LedgerError::CertificateMismatch { have, height, need });
        }
        certificate.verify(&self.rules.domain, &self.rules.membership)?;
        let remembered = self.speculative.front().is_some_and(|known| known.hash == hash);
        let checked = if remembered { None } else { Some(self.check(block, hash, 0, None)?) };
        let Some(checked) = checked.as_ref().or_else(|| self.speculative.front()) else {
            return Err(BlockError::UnknownParent(hash).into());
        };
        self.store.commit(checked, certificate, self.keep_from(), &self.rules.domain)?;
        let committed = Committed {
            block: checked.block.clone(),
            hash,
            transaction_hashes: checked.transaction_hashes.clone(),
            opened: checked.changes.opened(checked.block.header.height).collect(),
            ended: checked.changes.closed().collect(),
        };
        let (tip, changes) = (checked.tip(), checked.changes.clone());
        let closed = checked.changes.closed_rounds.last().map(|round| round.number);
        if remembered {
            self.speculative.pop_front();
        } else {
            self.truncate(0);
        }
        self.tip = tip;
        self.state.apply(changes.clone());
        self.tree.update(&self.state, changes.buckets());
        let view = view(&self.state, &self.speculative, usize::MAX);
        self.mempool.refresh(&changes, &view);
        self.mempool.prune(&changes, &committed.transaction_hashes, &self.rules, &self.state, &view);
        changes.ended_training.iter().for_each(|open| self.held.forget(open.order.id()));
        closed.map_or(Ok(()), |number| self.proofs.prune(number))?;
        Ok(committed)
    }

    /// The lowest height whose block must be kept.
    fn keep_from(&self) -> u64 {
        match self.retain_blocks {
            0 => 0,
            retain => {
                let below = self.stable.as_ref().map_or(0, |stable| stable.height.saturating_sub(retain));
                // Who is fetching a snapshot needs the blocks above it next.
                self.store.lowest_lent().map_or(below, |lent| below.min(lent))
            }
        }
    }

    /// The root of the state at the tip, which is the same at every peer. It is kept up to date by the blocks, so that
    /// this costs little however large the state is. A snapshot for peers that lag is written meanwhile, see
    /// [`Store::finish_snapshot`].
    pub fn checkpoint(&mut self) -> Result<B256, StoreError> {
        let (rest, chunks) = (self.state.rest(), self.tree.chunks());
        let root = root::root(&self.tip, &rest, &chunks);
        self.store.checkpoint(self.tip.height, root, Cover { rest, chunks })?;
        Ok(root)
    }

    /// Takes in that a quorum has the same state at a height. Old snapshots are dropped unless somebody is fetching them,
    /// and as further blocks are committed, those out of retention are removed. A checkpoint above the tip, or one that
    /// is no news, changes nothing.
    pub fn stable(&mut self, checkpoint: &CheckpointCertificate) -> Result<(), LedgerError> {
        let before = self.stable.as_ref().map_or(0, |stable| stable.height);
        if checkpoint.height > self.tip.height || checkpoint.height <= before {
            return Ok(());
        }
        checkpoint.verify(&self.rules.domain, &self.rules.membership)?;
        let (height, need) = (checkpoint.height, checkpoint.state_root);
        let have = self.store.state_root(height)?;
        if let Some(have) = have.filter(|have| *have != need) {
            return Err(LedgerError::Diverged { height, have, need });
        }
        self.store.stabilize(checkpoint)?;
        self.stable = Some(checkpoint.clone());
        Ok(())
    }

    /// The last stable checkpoint.
    pub fn stable_checkpoint(&self) -> Option<&CheckpointCertificate> {
        self.stable.as_ref()
    }

    /// [`Store::snapshot_manifest`].
    pub fn snapshot_manifest(&self) -> Result<Option<Manifest>, StoreError> {
        self.store.snapshot_manifest()
    }

    /// [`Store::snapshot_chunk`].
    pub fn snapshot_chunk(&self, height: u64, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.snapshot_chunk(height, index)
    }

    /// Takes over the state of a stable checkpoint above the tip, without the blocks that led to it. Everything is
    /// checked before anything is changed, and the change is one durable transaction. What waits is admitted anew.
    pub fn install(&mut self, manifest: &Manifest, chunks: &[impl AsRef<[u8]>]) -> Result<(), LedgerError> {
        let (have, tip) = (manifest.header.height, self.tip.height);
        if have <= tip {
            return Err(SnapshotError::NotAhead { have, tip }.into());
        }
        manifest.verify(&self.rules.domain, &self.rules.membership)?;
        let state = manifest.assemble(chunks)?;
        self.store.install(manifest, chunks, &state)?;
        self.tip = manifest.tip();
        self.tree = StateTree::of(&state);
        self.stable = Some(manifest.checkpoint.clone());
        self.state = state;
        self.speculative.clear();
        let limits = self.mempool.limits();
        let mempool = Mempool::new(limits, self.mempool.now_ms());
        let waiting = std::mem::replace(&mut self.mempool, mempool).into_transactions();
        for transaction in waiting {
            // What is refused now was executed or made impossible by the blocks in between.
            _ = self.admit(transaction);
        }
        Ok(())
    }

    /// What takes over the results of blocks that this peer has skipped, beside whoever owns the ledger.
    pub fn importer(&self) -> Importer {
        Importer::new(self.store.clone(), *self.domain(), self.rules.membership.clone())
    }
}
