//! What waits for a block.

use dtn_primitives::{Address, B256, Statement, Transaction};

use super::{Ledger, view};
use crate::{AdmissionError, Ready, block::CheckedBlock, mempool::Grounds, state::State, work::Execution};

impl Ledger {
    /// Admits a transaction to the mempool and gives its hash.
    pub fn admit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError> {
        let Self { rules, state, speculative, store, proofs, held, mempool, verified, tip, .. } = self;
        let below = speculative.back().map_or(*tip, CheckedBlock::tip);
        let view = view(state, speculative, usize::MAX);
        mempool.admit(transaction, &Grounds { rules, state, view: &view, below, store, proofs, held }, verified)
    }

    /// How many transactions wait, those in blocks that are not final included.
    pub fn pending_count(&self) -> usize {
        self.mempool.len()
    }

    /// A transaction that waits.
    pub fn pending(&self, hash: B256) -> Option<&Transaction> {
        self.mempool.get(hash)
    }

    /// Everything that waits, in no particular order, with the transactions' hashes.
    pub fn pending_transactions(&self) -> impl Iterator<Item = (B256, &Transaction)> {
        self.mempool.iter()
    }

    /// Whether a completion of this round by this validator waits.
    pub fn has_completion(&self, round: u64, node: Address) -> bool {
        self.mempool.has_completion(round, node)
    }

    /// What could be proposed on top of the highest block known, at most `count` of it, the longest waiting first.
    pub fn proposable(&self, count: usize) -> Vec<Transaction> {
        self.mempool.select(usize::MAX, count).into_iter().map(|(_, transaction)| transaction.clone()).collect()
    }

    /// How much could be proposed on top of the highest block known.
    pub fn ready(&self) -> Ready {
        self.mempool.ready()
    }

    /// The transaction that waits longest of those that could be executed at the tip, even if a block that is not final
    /// contains it: until it is final, a decision is due. If there is none, the order whose race, record or phase is over longest, or
    /// else the statement of earnings that is due.
    pub fn oldest_executable(&self) -> Option<B256> {
        let timestamp = self.mempool.now_ms().max(self.tip.timestamp + 1);
        let at_tip = view(&self.state, &self.speculative, 0);
        let mut execution = Execution::new(&self.rules, at_tip, self.tip, timestamp);
        let mut oldest = self.mempool.next_at_tip(&self.state).into_iter();
        let oldest = oldest.find(|(hash, transaction)| execution.apply(transaction, *hash).is_ok());
        let over = || {
            let State { orders, records, training, .. } = &self.state;
            orders.over(timestamp).chain(records.over(timestamp)).chain(training.over(timestamp)).next()
        };
        let statement = || {
            let terms = self.rules.training.filter(|it| self.state.earned.is_due(timestamp, it.epoch_ms))?;
            Some(Statement::id(self.state.earned.number.saturating_add(1), terms.token))
        };
        oldest.map(|(hash, _)| hash).or_else(over).or_else(statement)
    }

    /// Whether a race, a record or a phase of training on top of the highest block known is over by this clock, an order for a
    /// trained model waits for a block to draw by, or what was earned is to be stated: a block is due, if need be an empty one.
    pub fn is_due(&self, now_ms: u64) -> bool {
        let view = view(&self.state, &self.speculative, usize::MAX);
        let is_over = !view.races_over(now_ms).is_empty() || !view.records_over(now_ms).is_empty();
        let states = self.rules.training.is_some_and(|terms| view.earned().is_due(now_ms, terms.epoch_ms));
        is_over || states || !view.training_over(now_ms).is_empty() || view.waits_for_block()
    }

    /// Tells the time in milliseconds since the Unix epoch, which a ledger never reads: it is what `oldest_executable`
    /// goes by, and when what is admitted from now on came.
    pub fn tell_time(&mut self, now_ms: u64) {
        self.mempool.tell_time(now_ms);
    }
}
