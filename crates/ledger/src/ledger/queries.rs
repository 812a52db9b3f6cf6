//! What the final blocks have led to.

use dtn_primitives::{
    Address, B256, Block, Certificate, Completion, Earning, FinalizedResult, Header, Payload, Round, Rounds, Statement,
    Transaction, WorkResult,
};

use super::{Ledger, view};
use crate::{
    Balance, Earned, Location, MAX_SPECULATIVE, Missing, OpenOrder, StoreError, TrainingOrder, block::CheckedBlock,
    store::EXPIRED, work::Execution,
};

impl Ledger {
    /// The open round, the last number and the randomness, as of the tip.
    pub fn rounds(&self) -> &Rounds {
        &self.state.rounds
    }

    /// A round, open or closed; `None` also for one in blocks that this peer has skipped.
    pub fn round(&self, number: u64) -> Result<Option<Round>, StoreError> {
        match self.state.rounds.open(number) {
            Some(open) => Ok(Some(open.clone())),
            None => self.store.closed_round(number),
        }
    }

    /// The completion of a transaction, if it is one whose proof was not verified here: this peer must not vote for it.
    pub fn unproven<'a>(&self, transaction: &'a Transaction) -> Option<&'a Completion> {
        match &transaction.payload {
            Payload::Completion(completion) if !self.proofs.holds(transaction.sender, completion) => Some(completion),
            _ => None,
        }
    }

    /// Keeps the proof of a validator's completion, which the caller has verified. It is durable before a vote is.
    pub fn add_proof(&mut self, node: Address, completion: &Completion, proof: &[u8]) -> Result<(), StoreError> {
        self.proofs.add(node, completion, proof)
    }

    /// What a transaction takes that is not held here, on top of the highest block known: this peer must not vote for it.
    pub fn missing(&self, transaction: &Transaction, hash: B256) -> Option<Missing> {
        let below = self.speculative.back().map_or(self.tip, CheckedBlock::tip);
        let view = view(&self.state, &self.speculative, usize::MAX);
        let execution = Execution::new(&self.rules, view, below, self.mempool.now_ms());
        execution.missing(transaction, hash).filter(|missing| !self.held.contains(missing))
    }

    /// An order for a trained model on top of the highest block known, if it is open there.
    pub fn training_ahead(&self, id: B256) -> Option<&TrainingOrder> {
        view(&self.state, &self.speculative, usize::MAX).training_order(id)
    }

    /// Notes that this peer holds, or has computed, what a transaction takes. It is durable before a vote is.
    pub fn add_held(&mut self, missing: &Missing) -> Result<(), StoreError> {
        self.held.add(missing)
    }

    /// What an account has at the tip.
    pub fn balance(&self, account: Address) -> Balance {
        self.state.bank.get(&account).copied().unwrap_or_default()
    }

    /// What all accounts have that have anything, in ascending order of address.
    pub fn balances(&self) -> impl ExactSizeIterator<Item = (Address, Balance)> {
        self.state.bank.iter().map(|(account, balance)| (*account, *balance))
    }

    /// The wei that nobody has: what was lost, for later rewards.
    pub fn pot(&self) -> u128 {
        self.state.pot
    }

    /// What has been earned in all, and what was stated of it.
    pub fn earned(&self) -> Earned {
        self.state.earned
    }

    /// [`Store::earnings`](crate::Store::earnings).
    pub fn earnings(&self, number: u32) -> Result<Option<(Statement, Vec<Earning>)>, StoreError> {
        self.store.earnings(number)
    }

    /// The number of the deposit that a vault is to be credited with next.
    pub fn next_deposit(&self, vault: Address) -> u64 {
        self.state.vaults.get(&vault).map_or(0, |vault| vault.next)
    }

    /// The orders for trained models that are open, in ascending order of their hashes.
    pub fn training(&self) -> impl ExactSizeIterator<Item = (B256, &TrainingOrder)> {
        self.state.training.iter().map(|(id, order)| (*id, order))
    }

    /// An order for a trained model, open or over; `None` also for one that ended in blocks that this peer has skipped.
    pub fn training_order(&self, id: B256) -> Result<Option<TrainingOrder>, StoreError> {
        match self.state.training.get(&id) {
            Some(open) => Ok(Some(open.clone())),
            None => self.store.trained(id),
        }
    }

    /// The nonce of an account's next order, not counting what waits.
    pub fn next_nonce(&self, account: Address) -> u64 {
        self.state.next_nonce(account)
    }

    /// The nonce with which an account's next transaction joins those that wait without a gap.
    pub fn free_nonce(&self, account: Address) -> u64 {
        self.mempool.free_nonce(account, &view(&self.state, &self.speculative, MAX_SPECULATIVE))
    }

    /// An order, if it takes claims.
    pub fn open_order(&self, hash: B256) -> Option<&OpenOrder> {
        self.state.orders.get(&hash)
    }

    /// The orders that take claims, in ascending order of their hashes.
    pub fn open_orders(&self) -> impl ExactSizeIterator<Item = (B256, &OpenOrder)> {
        self.state.orders.iter().map(|(hash, open)| (*hash, open))
    }

    /// The height from which on no block is missing.
    pub fn lowest_block(&self) -> Result<u64, StoreError> {
        self.store.lowest_block()
    }

    /// The block at a height; none below [`Ledger::lowest_block`].
    pub fn block(&self, height: u64) -> Result<Option<Block>, StoreError> {
        self.store.block(height)
    }

    /// The header of the block at a height; below [`Ledger::lowest_block`] only of blocks with results.
    pub fn header(&self, height: u64) -> Result<Option<Header>, StoreError> {
        self.store.header(height)
    }

    /// The certificate of the block at a height.
    pub fn certificate(&self, height: u64) -> Result<Option<Certificate>, StoreError> {
        self.store.certificate(height)
    }

    /// Where a finalized transaction is.
    pub fn transaction(&self, hash: B256) -> Result<Option<Location>, StoreError> {
        self.store.transaction(hash)
    }

    /// The results of the block at a height.
    pub fn results_in(&self, height: u64) -> Result<Vec<WorkResult>, StoreError> {
        self.store.results_in(height)
    }

    /// The result of an order with its proof, once it has its winner.
    pub fn finalized_result(&self, order: B256) -> Result<Option<FinalizedResult>, StoreError> {
        self.store.reading()?.result(order)
    }

    /// The height of the block that ended an order's race without a winner.
    pub fn expired(&self, order: B256) -> Result<Option<u64>, StoreError> {
        let ended = self.store.result_of(order)?.filter(|location| location.index == EXPIRED);
        Ok(ended.map(|location| location.height))
    }

    /// The first `limit` results of the blocks from a height on, in order, with their proofs.
    pub fn finalized_results(&self, from_height: u64, limit: usize) -> Result<Vec<FinalizedResult>, StoreError> {
        self.store.reading()?.results(from_height, 0, limit, usize::MAX)
    }
}
