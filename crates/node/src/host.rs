//! What the API asks of whoever owns the ledger: a validator's core, or an observer.

use dtn_ledger::AdmissionError;
use dtn_primitives::{Address, B256, Evidence, FinalizedResult, Genesis, Question, Reply, SignedAnswer, Transaction};
use tokio::sync::oneshot;

use crate::{
    NodeError,
    api::{BlockView, CertifiedHeader, Status, SubmitOutcome},
    feed::FinalizedBlock,
};

/// A question, run between two steps of the thread that owns the ledger.
pub(crate) type Query = Box<dyn FnOnce(&mut dyn Host) + Send>;

/// Answers questions.
pub(crate) trait Host {
    /// Ends the thread.
    fn stop(&mut self);
    /// The genesis.
    fn genesis(&self) -> &Genesis;
    /// The height of the last final block.
    fn height(&self) -> u64;
    /// How this peer is doing.
    fn status(&self) -> Status;
    /// Takes a transaction from a client and tells the others.
    fn submit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError>;
    /// Has the signed reply to a transaction sent once its block is final.
    fn wait_for_reply(&mut self, transaction: B256, waiter: oneshot::Sender<Reply>) -> Result<(), NodeError>;
    /// A final block.
    fn block(&self, height: u64) -> Result<Option<BlockView>, NodeError>;
    /// The certificate of a final block.
    fn certificate(&self, height: u64) -> Result<Option<CertifiedHeader>, NodeError>;
    /// The nonce of an account's next order.
    fn nonce(&self, account: Address) -> u64;
    /// Answers a read-only request from the final state.
    fn read(&self, question: &Question) -> Result<SignedAnswer, NodeError>;
    /// Results of final blocks from a height on.
    fn results(&self, from_height: u64, limit: usize) -> Result<Vec<FinalizedResult>, NodeError>;
    /// Proofs that validators contradicted themselves.
    fn evidence(&self) -> Vec<Evidence>;

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
