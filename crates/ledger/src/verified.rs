//! Which signatures and calls were checked before: checking one is a hundred times the cost of everything else about a
//! transaction, and a peer sees each transaction at admission, in the proposal and in the decided block.

use std::collections::{HashSet, VecDeque};

use dtn_primitives::{B256, Payload, Signature, Transaction, TransactionError};

use crate::rules::{Refusal, Rules};

/// How many are remembered, the oldest forgotten first.
const REMEMBERED: usize = 32 * 1024;

/// Valid transactions by hash *and* signature: the hash covers the sender and the content, but not which signature
/// comes with them.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    known: HashSet<(B256, Signature)>,
    oldest_first: VecDeque<(B256, Signature)>,
}

impl Verified {
    /// [`Transaction::validate`] for a transaction whose hash is known, and what its kind of work says of it by itself, at most
    /// once for each that is remembered. The signature comes first: nobody's time is taken on a stranger's word.
    pub(crate) fn validate(&mut self, transaction: &Transaction, hash: B256, rules: &Rules) -> Result<(), Refusal> {
        let key = (hash, transaction.signature);
        if self.known.contains(&key) {
            return Ok(());
        }
        transaction.payload.validate()?;
        transaction.signature.verify(hash, transaction.sender).map_err(TransactionError::from)?;
        if let Payload::Custom(custom) = &transaction.payload {
            rules.allow_custom(custom)?;
        }
        if self.oldest_first.len() == REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(key);
        self.oldest_first.push_back(key);
        Ok(())
    }
}
