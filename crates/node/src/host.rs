//! What is asked of the thread that owns the ledger, a validator's core or an observer: to take what clients hand in.
//! Everything else is answered without it, by the reader.

use dtn_api::SubmitOutcome;
use dtn_ledger::AdmissionError;
use dtn_primitives::{B256, Bytes, Transaction};
use dtn_trainer::Blob;

use crate::{api::outcome, work::line::LineRefusal};

/// A question, run between two steps.
pub(crate) type Query = Box<dyn FnOnce(&mut dyn Host) + Send>;

/// Takes what clients hand in.
pub(crate) trait Host {
    /// Ends the thread.
    fn stop(&mut self);

    /// Takes a transaction from a client and tells the others.
    fn submit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError>;

    /// Signs a line by this validator's account, takes it and tells the others.
    fn submit_line(&mut self, _data: Bytes, _expected_hashes: u64) -> Result<B256, LineRefusal> {
        Err(LineRefusal::Observer)
    }

    /// Whether something that was handed in waits for a blob. Only validators look at what orders are about.
    fn waits_for(&self, _order: B256, _blob: Blob) -> bool {
        false
    }

    /// Looks for a blob of an open order that a client has asked for and that is not here.
    fn look_for(&mut self, _order: B256, _blob: Blob) {}

    /// Takes in a blob that something waits for.
    fn take_in(&mut self, _order: B256, _blob: Blob, _bytes: Vec<u8>) {}

    /// Takes several transactions from a client.
    fn submit_many(&mut self, transactions: Vec<Transaction>) -> Vec<SubmitOutcome> {
        transactions.into_iter().map(|transaction| outcome(self.submit(transaction))).collect()
    }
}
