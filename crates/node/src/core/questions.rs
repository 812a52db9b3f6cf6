//! What the outside asks of a peer.

use dtn_ledger::{AdmissionError, Ledger};
use dtn_primitives::{Answer, B256, Bytes, FinalizedResult, Question, Reply, SignedAnswer, Transaction};
use tokio::sync::oneshot;

use super::{Core, MAX_WAITERS};
use crate::{
    NodeError,
    api::{MiningStatus, Status, Verification, Vitals},
    evidence::EvidencePool,
    host::Host,
    lines::LineRefusal,
};

impl Host for Core {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn evidence_pool(&self) -> &EvidencePool {
        &self.evidence
    }

    fn latency_us(&self, height: u64) -> Option<u64> {
        self.latencies.get(&height).map(|latency| latency.as_micros() as u64)
    }

    fn verifications(&self, round: u64) -> Vec<Verification> {
        self.rounds.verifications(round)
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn status(&self) -> Status {
        Status {
            network: self.genesis.name.clone(),
            network_id: self.domain.network_id,
            chain_id: self.domain.chain_id,
            validator: Some(self.me.0),
            address: self.key.address(),
            nodes: self.validators.len(),
            quorum: self.validators.quorum(),
            view: self.engine.finality().view(),
            primary: self.engine.finality().primary().0,
            height: self.ledger.tip().height,
            block_hash: self.ledger.tip().hash,
            checkpoint: self.engine.finality().stable().map_or(0, |stable| stable.height),
            mining: self.mining_status(),
            silent: self.engine.finality().is_silent(),
            connected: self.connected.iter().map(|peer| peer.0).collect(),
            pending_transactions: self.ledger.pending_count(),
            open_orders: self.ledger.open_orders().count(),
            working_on: self.miner.running(),
            evidence: self.evidence.validators(),
            faults: self.faults.clone(),
            vitals: Vitals::default(),
        }
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

    fn wait_for_reply(&mut self, transaction: B256, waiter: oneshot::Sender<Reply>) -> Result<(), NodeError> {
        if let Some(location) = self.ledger.transaction(transaction)? {
            let height = location.height;
            if let Some(certificate) = self.ledger.certificate(height)? {
                let reply = self.sign_reply(transaction, height, certificate.block_hash);
                self.outbox.replies.push((waiter, reply));
            }
            return Ok(());
        }
        self.waiters.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        if self.waiters.len() < MAX_WAITERS {
            self.waiters.entry(transaction).or_default().push(waiter);
        }
        Ok(())
    }

    fn read(&self, question: &Question) -> Result<SignedAnswer, NodeError> {
        let answer = match question {
            Question::Nonce(account) => Answer::Nonce(self.ledger.next_nonce(*account)),
            Question::Order(order) => self.order(*order)?,
        };
        let height = self.ledger.tip().height;
        Ok(SignedAnswer::sign(question, answer, height, self.me, (&self.key, &self.domain)))
    }
}

impl Core {
    fn mining_status(&self) -> Option<MiningStatus> {
        let (chain, mining) = (self.engine.chain()?, self.genesis.mining?);
        let (height, block_hash) = chain.head();
        let count = |gauge: i64| u64::try_from(gauge).unwrap_or_default();
        Some(MiningStatus {
            height,
            block_hash,
            confirmations: mining.confirmations,
            next_work: chain.next_work(),
            mined_blocks: self.metrics.mined_blocks.get(),
            reorganizations: self.metrics.reorganizations.get(),
            deepest_reorganization: count(self.metrics.deepest_reorganization.get()),
            chains_below_checkpoint: self.metrics.chains_below_checkpoint.get(),
        })
    }

    fn order(&self, order: B256) -> Result<Answer, NodeError> {
        if let Some(open) = self.ledger.open_order(order) {
            return Ok(Answer::OpenOrder { height: open.height });
        }
        if let Some(FinalizedResult { header, result, .. }) = self.ledger.finalized_result(order)? {
            return Ok(Answer::ClosedOrder { height: header.height, claim: result.digest });
        }
        if let Some(height) = self.ledger.expired(order)? {
            return Ok(Answer::ExpiredOrder { height });
        }
        let location = self.ledger.transaction(order)?;
        Ok(location.map_or(Answer::UnknownOrder, |location| Answer::RecordedOrder { height: location.height }))
    }
}
