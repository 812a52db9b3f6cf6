//! What the API asks of whoever owns the ledger: a validator's core, or an observer.

use dtn_ledger::{AdmissionError, Ledger, Rounds};
use dtn_primitives::{
    Address, B256, Bytes, Evidence, FinalizedResult, Genesis, Question, Reply, Round, SignedAnswer, Transaction,
};
use tokio::sync::oneshot;

use crate::{
    NodeError,
    api::{BlockView, CertifiedHeader, Status, SubmitOutcome, Verification},
    evidence::EvidencePool,
    feed::FinalizedBlock,
    lines::LineRefusal,
};

/// A question, run between two steps of the thread that owns the ledger.
pub(crate) type Query = Box<dyn FnOnce(&mut dyn Host) + Send>;

/// Answers questions: those about what is final from the ledger, the same for all who have one.
pub(crate) trait Host {
    /// What is final.
    fn ledger(&self) -> &Ledger;
    /// Proofs that validators contradicted themselves.
    fn evidence_pool(&self) -> &EvidencePool;
    /// Ends the thread.
    fn stop(&mut self);
    /// How this peer is doing.
    fn status(&self) -> Status;
    /// Takes a transaction from a client and tells the others.
    fn submit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError>;
    /// Has the signed reply to a transaction sent once its block is final.
    fn wait_for_reply(&mut self, transaction: B256, waiter: oneshot::Sender<Reply>) -> Result<(), NodeError>;
    /// Answers a read-only request from the final state.
    fn read(&self, question: &Question) -> Result<SignedAnswer, NodeError>;

    /// Signs a line by this validator's account, takes it and tells the others.
    fn submit_line(&mut self, _data: Bytes, _expected_hashes: u64) -> Result<B256, LineRefusal> {
        Err(LineRefusal::Observer)
    }

    /// How long a block took here from its proposal to finality, in microseconds, if that was seen.
    fn latency_us(&self, _height: u64) -> Option<u64> {
        None
    }

    /// What this peer has verified of a round.
    fn verifications(&self, _round: u64) -> Vec<Verification> {
        Vec::new()
    }

    /// The rounds of sequential work.
    fn rounds(&self) -> Rounds {
        self.ledger().rounds().clone()
    }

    /// A round, open or closed.
    fn round(&self, number: u64) -> Result<Option<Round>, NodeError> {
        Ok(self.ledger().round(number)?)
    }

    /// The genesis.
    fn genesis(&self) -> &Genesis {
        self.ledger().genesis()
    }

    /// The height of the last final block.
    fn height(&self) -> u64 {
        self.ledger().tip().height
    }

    /// A final block.
    fn block(&self, height: u64) -> Result<Option<BlockView>, NodeError> {
        let ledger = self.ledger();
        let Some(block) = ledger.block(height)? else { return Ok(None) };
        let hash = |transaction: &Transaction| transaction.hash(ledger.domain());
        let transaction_hashes = block.transactions.iter().map(hash).collect();
        Ok(Some(BlockView { hash: block.header.hash(), transaction_hashes, block }))
    }

    /// The certificate of a final block.
    fn certificate(&self, height: u64) -> Result<Option<CertifiedHeader>, NodeError> {
        let certified = self.ledger().block(height)?.zip(self.ledger().certificate(height)?);
        Ok(certified.map(|(block, certificate)| CertifiedHeader {
            header: block.header,
            certificate,
            transactions: block.transactions.len(),
            latency_us: self.latency_us(height),
        }))
    }

    /// The nonce of an account's next order.
    fn nonce(&self, account: Address) -> u64 {
        self.ledger().next_nonce(account)
    }

    /// Results of final blocks from a height on.
    fn results(&self, from_height: u64, limit: usize) -> Result<Vec<FinalizedResult>, NodeError> {
        Ok(self.ledger().finalized_results(from_height, limit)?)
    }

    /// Proofs that validators contradicted themselves.
    fn evidence(&self) -> Vec<Evidence> {
        self.evidence_pool().all().cloned().collect()
    }

    /// Takes several transactions from a client.
    fn submit_many(&mut self, transactions: Vec<Transaction>) -> Vec<SubmitOutcome> {
        let submit = |transaction| match self.submit(transaction) {
            Ok(hash) => SubmitOutcome::Hash(hash),
            Err(error) => SubmitOutcome::Error(error.to_string()),
        };
        transactions.into_iter().map(submit).collect()
    }

    /// A final block as subscribers get it.
    fn finalized(&self, height: u64) -> Result<Option<FinalizedBlock>, NodeError> {
        let certified = self.block(height)?.zip(self.certificate(height)?);
        Ok(certified.map(|(view, CertifiedHeader { certificate, .. })| {
            FinalizedBlock::new(&view.block, &certificate, &view.transaction_hashes)
        }))
    }
}
