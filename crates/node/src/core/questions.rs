//! What the outside asks of a validator, and what that shows to the outside.

use dtn_api::{MiningStatus, Status, Vitals};
use dtn_ledger::AdmissionError;
use dtn_primitives::{B256, Bytes, Transaction};
use dtn_trainer::Blob;

use super::Core;
use crate::{host::Host, work::line::LineRefusal};

impl Host for Core {
    fn stop(&mut self) {
        self.stopping = true;
    }

    /// Takes a transaction from a client or from this peer itself, and tells the others.
    fn submit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError> {
        let hash = self.admit(transaction.clone())?;
        self.outbox.transactions.push(transaction);
        Ok(hash)
    }

    fn submit_line(&mut self, data: Bytes, expected_hashes: u64) -> Result<B256, LineRefusal> {
        self.take_line(data, expected_hashes)
    }

    fn waits_for(&self, order: B256, blob: Blob) -> bool {
        Self::waits_for(self, order, blob)
    }

    fn look_for(&mut self, order: B256, blob: Blob) {
        Self::look_for(self, order, blob);
    }

    fn take_in(&mut self, order: B256, blob: Blob, bytes: Vec<u8>) {
        Self::take_in(self, order, blob, bytes);
    }
}

impl Core {
    /// Shows how this peer is doing at the end of a step.
    pub(super) fn show(&self) {
        self.board.show(self.status());
    }

    fn status(&self) -> Status {
        let standing = self.engine.standing();
        Status {
            network: self.genesis.name.clone(),
            network_id: self.domain.network_id,
            chain_id: self.domain.chain_id,
            validator: Some(self.me.0),
            address: self.key.address(),
            nodes: self.ledger.validators().len(),
            quorum: self.ledger.validators().quorum(),
            view: standing.view,
            primary: standing.primary.0,
            height: self.ledger.tip().height,
            block_hash: self.ledger.tip().hash,
            checkpoint: standing.stable_height,
            mining: self.mining_status(),
            silent: standing.is_silent,
            connected: self.connected.iter().map(|peer| peer.0).collect(),
            pending_transactions: self.ledger.pending_count(),
            open_orders: self.ledger.open_orders().count(),
            working_on: self.miner.running(),
            evidence: self.evidence.validators(),
            faults: self.faults.clone(),
            vitals: Vitals::default(),
        }
    }

    fn mining_status(&self) -> Option<MiningStatus> {
        let (chain, mining) = (self.engine.mined()?, self.genesis.engine.mining()?);
        let count = |gauge: i64| u64::try_from(gauge).unwrap_or_default();
        Some(MiningStatus {
            height: chain.height,
            block_hash: chain.head,
            confirmations: mining.confirmations,
            next_work: chain.next_work,
            mined_blocks: self.metrics.mined_blocks.get(),
            reorganizations: self.metrics.reorganizations.get(),
            deepest_reorganization: count(self.metrics.deepest_reorganization.get()),
            chains_below_checkpoint: self.metrics.chains_below_checkpoint.get(),
        })
    }
}
