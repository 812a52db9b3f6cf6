//! Blocks on top of the tip that are not final: what is proposed here, and what others propose.

use std::sync::Arc;

use dtn_primitives::{Address, B256, Block, Header, MAX_TRANSACTION_BYTES, Transaction, WorkResult, codec};

use super::{Ledger, Tip, view};
use crate::{
    BlockError, MAX_BLOCK_TRANSACTIONS, MAX_SPECULATIVE, Ready,
    block::{CheckedBlock, check_header, check_network, check_time},
    fairness::{self, Judgement},
    state::View,
    work::Execution,
};

/// Left free in a block for everything but its transactions.
const HEADER_BYTES: usize = 1024;

/// What a block is checked against before this peer votes for it, beside what makes it valid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voting {
    /// This peer's clock, for a proposal that is fresh.
    now_ms: Option<u64>,
}

impl Ledger {
    /// How many blocks on top of the tip are remembered.
    pub(super) fn max_speculative(&self) -> usize {
        MAX_SPECULATIVE + self.genesis.engine.mining().map_or(0, |mining| mining.max_mined_ahead() as usize)
    }

    /// The expected hashes for the block after one that comes so long after its parent.
    pub(super) fn next_work_after(&self, parent: &View<'_>, elapsed_ms: u64) -> u64 {
        self.genesis.engine.mining().map_or(0, |mining| mining.next_work(parent.next_work(), elapsed_ms))
    }

    /// How many blocks are below the one that follows `parent`, counted from the tip.
    pub(super) fn depth_above(&self, parent: B256) -> Option<usize> {
        if parent == self.tip.hash {
            return Some(0);
        }
        self.speculative.iter().position(|checked| checked.hash == parent).map(|index| index + 1)
    }

    pub(super) fn parent_at(&self, depth: usize) -> Option<Tip> {
        match depth.checked_sub(1) {
            None => Some(self.tip),
            Some(index) => self.speculative.get(index).map(CheckedBlock::tip),
        }
    }

    /// Drops the blocks on top of the first `depth` ones, so that their transactions may be proposed again.
    pub(super) fn truncate(&mut self, depth: usize) {
        let dropped = self.speculative.split_off(depth.min(self.speculative.len()));
        let view = view(&self.state, &self.speculative, usize::MAX);
        for checked in dropped {
            self.mempool.refresh(&checked.changes, &view);
        }
    }

    fn remember(&mut self, checked: CheckedBlock, depth: usize) {
        self.truncate(depth);
        self.speculative.push_back(checked);
        if let Some(CheckedBlock { changes, .. }) = self.speculative.back() {
            self.mempool.refresh(changes, &view(&self.state, &self.speculative, usize::MAX));
        }
    }

    /// Forgets the blocks on top of `parent`, so that what they hold may be proposed again, and says how much can be on
    /// top of it; nothing if `parent` is neither the tip nor a block on top of it that was proposed or found valid.
    ///
    /// What consensus builds on and what is remembered here may differ, when a view change has dropped blocks. Whoever is
    /// about to propose must ask here first: what is ready on top of dropped blocks says nothing about `parent`.
    pub fn build_on(&mut self, parent: B256) -> Ready {
        let Some(depth) = self.depth_above(parent) else { return Ready::default() };
        self.truncate(depth);
        self.mempool.ready()
    }

    /// Builds a block of what has waited longest on top of the tip or of a block on top of it that was proposed or
    /// found valid, and remembers it in place of others on the same parent. Nothing if there is no such parent, or if
    /// nothing that waits can be executed and the block is not to be `empty` then.
    pub fn propose(
        &mut self,
        parent: B256,
        now_ms: u64,
        proposer: Address,
        max_transactions: usize,
        empty: bool,
    ) -> Option<Arc<Block>> {
        let depth = self.depth_above(parent).filter(|depth| *depth < self.max_speculative())?;
        let below = self.parent_at(depth)?;
        self.truncate(depth);
        let max_bytes = (self.genesis.max_block_bytes as usize).saturating_sub(HEADER_BYTES);
        let parent_view = view(&self.state, &self.speculative, depth);
        let max_transactions = max_transactions.min(MAX_BLOCK_TRANSACTIONS);
        let (height, timestamp) = (below.height + 1, now_ms.max(below.timestamp + 1));
        let next_work = self.next_work_after(&parent_view, timestamp - below.timestamp);
        let mut execution = Execution::new(&self.rules, parent_view, below, timestamp);
        let (mut hashes, mut transactions, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (hash, transaction) in self.mempool.select(max_bytes, max_transactions) {
            // It waits on: what it takes may be here in a moment.
            if self.lacks(&execution, transaction, hash) {
                continue;
            }
            match execution.apply(transaction, hash) {
                Ok(()) => {
                    hashes.push(hash);
                    transactions.push(transaction.clone());
                }
                Err(_) => failed.push(hash),
            }
        }
        execution.finish();
        let Execution { mut changes, results, solutions, expired, .. } = execution;
        changes.next_work = next_work;
        // What fails on top of blocks that are not final may succeed without them.
        if depth == 0 {
            failed.into_iter().for_each(|hash| self.mempool.remove(hash));
        }
        if transactions.is_empty() && !empty {
            return None;
        }
        let header = Header {
            network_id: self.rules.domain.network_id,
            chain_id: self.genesis.chain_id,
            epoch: self.validators().epoch(),
            height,
            timestamp,
            proposer,
            parent_hash: parent,
            transactions_root: Block::transactions_root_of(hashes.iter().copied().zip(&transactions)),
            results_root: WorkResult::root(&results),
        };
        let block = Arc::new(Block { header, transactions });
        let (hash, encoded, transaction_hashes) = (block.header.hash(), codec::encode(block.as_ref()), hashes.into());
        let changes = changes.sealed(height, hash);
        let checked = CheckedBlock {
            block: block.clone(),
            hash,
            encoded,
            transaction_hashes,
            results,
            solutions,
            expired,
            changes,
        };
        self.remember(checked, depth);
        Some(block)
    }

    /// Whether a transaction takes, where an execution is, what this peer does not hold.
    fn lacks(&self, execution: &Execution<'_>, transaction: &Transaction, hash: B256) -> bool {
        execution.missing(transaction, hash).is_some_and(|missing| !self.held.contains(&missing))
    }

    /// Checks whether a proposal may follow the tip or a block on top of it that was proposed or found valid, and
    /// remembers it in place of others on the same parent. `arrived_ms` is when it came by this peer's clock, also if it
    /// is judged again later; a proposal that is not `fresh` is not compared with that, nor with what waits here, because
    /// others may have prepared it long ago.
    ///
    /// An error that [is for now](BlockError::is_for_now) may be none later.
    pub fn check_proposal(&mut self, block: Arc<Block>, arrived_ms: u64, fresh: bool) -> Result<(), BlockError> {
        check_network(&block.header, &self.genesis, self.validators(), self.rules.domain.network_id)?;
        let parent = block.header.parent_hash;
        let depth = self.depth_above(parent).ok_or(BlockError::UnknownParent(parent))?;
        let limit = self.max_speculative();
        if depth >= limit {
            return Err(BlockError::TooFarAhead { limit });
        }
        let hash = block.header.hash();
        if self.speculative.get(depth).is_some_and(|known| known.hash == hash && known.block == block) {
            return Ok(());
        }
        let checked = self.check(block, hash, depth, Some(Voting { now_ms: fresh.then_some(arrived_ms) }))?;
        self.remember(checked, depth);
        Ok(())
    }

    pub(super) fn check(
        &mut self,
        block: Arc<Block>,
        hash: B256,
        depth: usize,
        voting: Option<Voting>,
    ) -> Result<CheckedBlock, BlockError> {
        check_network(&block.header, &self.genesis, self.validators(), self.rules.domain.network_id)?;
        let parent = self.parent_at(depth).ok_or(BlockError::UnknownParent(block.header.parent_hash))?;
        check_header(&block.header, &parent, self.validators())?;
        if let Some(now_ms) = voting.and_then(|voting| voting.now_ms) {
            let clock = (now_ms, self.mempool.now_ms().max(now_ms));
            check_time(&block.header, &parent, clock, self.genesis.engine.mining().is_some())?;
        }
        if block.transactions.len() > MAX_BLOCK_TRANSACTIONS {
            return Err(BlockError::TooManyTransactions(block.transactions.len()));
        }
        let encoded = codec::encode(block.as_ref());
        if encoded.len() as u64 > self.genesis.max_block_bytes {
            return Err(BlockError::TooLarge { actual: encoded.len(), limit: self.genesis.max_block_bytes });
        }
        let mut lengths = block.transactions.iter().map(codec::encoded_len).enumerate();
        if let Some((index, actual)) = lengths.find(|(_, length)| *length > MAX_TRANSACTION_BYTES) {
            return Err(BlockError::TransactionTooLong { index, actual });
        }
        let transaction_hashes: Arc<[B256]> =
            block.transactions.iter().map(|transaction| transaction.hash(&self.rules.domain)).collect();
        let root = Block::transactions_root_of(transaction_hashes.iter().copied().zip(&block.transactions));
        if root != block.header.transactions_root {
            return Err(BlockError::TransactionsRoot { have: root, named: block.header.transactions_root });
        }
        let parent_view = view(&self.state, &self.speculative, depth);
        let Header { height, timestamp, .. } = block.header;
        let next_work = self.next_work_after(&parent_view, timestamp - parent.timestamp);
        let mut execution = Execution::new(&self.rules, parent_view, parent, timestamp);
        for (index, (transaction, hash)) in block.transactions.iter().zip(transaction_hashes.iter()).enumerate() {
            if voting.is_some() && (self.unproven(transaction).is_some() || self.lacks(&execution, transaction, *hash))
            {
                return Err(BlockError::Unproven { index });
            }
            let refused = |refusal| BlockError::Execution { index, refusal };
            execution.apply(transaction, *hash).map_err(refused)?;
            let valid = self.verified.validate(transaction, *hash, &self.rules);
            valid.map_err(refused)?;
        }
        if let Some(arrived_ms) =
            voting.and_then(|voting| voting.now_ms).filter(|_| self.genesis.engine.mining().is_none())
        {
            let max_bytes = (self.genesis.max_block_bytes as usize).saturating_sub(HEADER_BYTES);
            let count = MAX_BLOCK_TRANSACTIONS - block.transactions.len();
            let room = (count, max_bytes.saturating_sub(encoded.len()));
            let (now_ms, proposer) = (self.mempool.now_ms().max(arrived_ms), block.header.proposer);
            let lenient_ms = self.leniency.allowance_ms(now_ms);
            let judgement = Judgement { arrived_ms, now_ms, lenient_ms, room };
            fairness::check(&block, &mut execution, &self.mempool, &transaction_hashes, judgement).inspect_err(
                |_| {
                    self.leniency.looked_unfair(proposer, now_ms, self.rules.validators().max_faulty());
                },
            )?;
        }
        execution.finish();
        let Execution { mut changes, results, solutions, expired, .. } = execution;
        changes.next_work = next_work;
        let root = WorkResult::root(&results);
        if root != block.header.results_root {
            return Err(BlockError::ResultsRoot { have: root, named: block.header.results_root });
        }
        let changes = changes.sealed(height, hash);
        Ok(CheckedBlock { block, hash, encoded, transaction_hashes, results, solutions, expired, changes })
    }
}
