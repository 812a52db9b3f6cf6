//! The ledger: the store, the state at its tip, the blocks on top that are not final, and the mempool on top of them.

use std::{collections::VecDeque, path::Path, sync::Arc};

use dtn_primitives::{
    Address, B256, Block, Certificate, CertificateError, CheckpointCertificate, Completion, Domain, FinalizedResult,
    Genesis, GenesisError, Header, Payload, Round, Transaction, ValidatorSet, WorkResult, codec, merkle,
};

use crate::{
    AdmissionError, BlockError, Location, MAX_SPECULATIVE, Manifest, MempoolLimits, OpenOrder, Ready, Refusal, Rounds,
    SnapshotError, Store, StoreError,
    block::{CheckedBlock, check_header, check_network},
    mempool::{Grounds, Mempool},
    proofs::Proofs,
    rules::{Execution, Rules},
    snapshot,
    state::{State, View},
    store::Loaded,
    verified::Verified,
};

/// How many blocks below the last stable checkpoint are kept unless told otherwise.
pub const RETAIN_BLOCKS: u64 = 10_000;

/// Left free in a block for everything but its transactions.
const HEADER_BYTES: usize = 1024;

/// The last committed block, or the genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// 0 for the genesis.
    pub height: u64,
    /// The network id for the genesis.
    pub hash: B256,
    /// In milliseconds since the Unix epoch.
    pub timestamp: u64,
}

/// Why a ledger could not be opened or a block not be committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The genesis is unusable.
    #[error("genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// The store failed. Nothing was committed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate is not a quorum's.
    #[error("certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The certificate is for another block.
    #[error("the certificate is for block {have} at height {height}, not for {need}")]
    CertificateMismatch {
        /// The block that it certifies.
        have: B256,
        /// The height that it names.
        height: u64,
        /// The block to be committed.
        need: B256,
    },
    /// The block is not valid.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The snapshot is not one that a quorum signed.
    #[error("snapshot: {0}")]
    Snapshot(#[from] SnapshotError),
    /// A quorum has another state than this peer. It must not go on.
    #[error("the state at height {height} has root {have}, but a quorum has {need}: move the store away")]
    Diverged {
        /// The height.
        height: u64,
        /// The root of this peer's state.
        have: B256,
        /// The quorum's.
        need: B256,
    },
}

/// A block that has become final.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The block.
    pub block: Arc<Block>,
    /// The block's hash.
    pub hash: B256,
    /// The hashes of its transactions, in order.
    pub transaction_hashes: Arc<[B256]>,
    /// The orders that it has opened and that are open still.
    pub opened: Vec<B256>,
    /// The orders that it has closed, by their claims.
    pub claimed: Vec<B256>,
}

/// Everything that a peer knows: the finalized blocks, what they lead to, and what waits for a block.
#[derive(Debug)]
pub struct Ledger {
    genesis: Genesis,
    validators: ValidatorSet,
    rules: Rules,
    store: Store,
    state: State,
    tip: Tip,
    stable: Option<CheckpointCertificate>,
    retain_blocks: u64,
    /// Blocks on top of the tip that were proposed here or found valid, each the parent of the next.
    speculative: VecDeque<CheckedBlock>,
    mempool: Mempool,
    verified: Verified,
    proofs: Proofs,
}

impl Ledger {
    /// Opens the store in a file, or makes a new one. The directory must exist.
    pub fn open(path: impl AsRef<Path>, genesis: Genesis) -> Result<Self, LedgerError> {
        let path = path.as_ref();
        Self::load(genesis, |network_id| Store::open(path, network_id))
    }

    /// A ledger that is gone when it is dropped.
    pub fn in_memory(genesis: Genesis) -> Result<Self, LedgerError> {
        Self::load(genesis, Store::in_memory)
    }

    fn load(genesis: Genesis, open: impl FnOnce(B256) -> Result<Store, StoreError>) -> Result<Self, LedgerError> {
        let validators = genesis.validator_set()?;
        let rules = Rules::new(&genesis, validators.clone());
        let store = open(rules.domain.network_id)?;
        let Loaded { mut state, tip, stable } = store.load()?;
        if tip.is_none() {
            state.next_work = genesis.mining.map_or(0, |mining| mining.expected_hashes);
        }
        let proofs = Proofs::open(store.clone())?;
        let genesis_tip = Tip { height: 0, hash: rules.domain.network_id, timestamp: genesis.timestamp };
        Ok(Self {
            genesis,
            validators,
            rules,
            store,
            state,
            tip: tip.unwrap_or(genesis_tip),
            stable,
            retain_blocks: RETAIN_BLOCKS,
            speculative: VecDeque::new(),
            mempool: Mempool::new(MempoolLimits::default()),
            verified: Verified::default(),
            proofs,
        })
    }

    /// Replaces the mempool by an empty one with other limits.
    pub fn with_mempool_limits(mut self, limits: MempoolLimits) -> Self {
        self.mempool = Mempool::new(limits);
        self
    }

    /// Keeps this many blocks below the last stable checkpoint, or all if it is 0.
    pub fn with_retention(mut self, retain_blocks: u64) -> Self {
        self.retain_blocks = retain_blocks;
        self
    }

    /// The genesis.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The validators that sign certificates.
    pub fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// The domain in which the network signs.
    pub fn domain(&self) -> &Domain {
        &self.rules.domain
    }

    /// The durable part, which others may read while this ledger goes on.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The last committed block.
    pub fn tip(&self) -> Tip {
        self.tip
    }

    /// The expected hashes for the block after the tip; 0 where blocks are not mined.
    pub fn next_work(&self) -> u64 {
        self.state.next_work
    }

    /// Whether the store was made anew and [`Ledger::end_fresh`] was not called since. A peer that ran before and has
    /// a fresh store has lost what it said: it must not vote until it is past the heights that it may have voted on.
    pub fn is_fresh(&self) -> Result<bool, StoreError> {
        self.store.is_fresh()
    }

    /// Remembers, durably, that this peer may vote.
    pub fn end_fresh(&mut self) -> Result<(), StoreError> {
        self.store.end_fresh()
    }

    // What waits.

    /// Admits a transaction to the mempool and gives its hash.
    pub fn admit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError> {
        let Self { rules, state, speculative, store, proofs, mempool, verified, .. } = self;
        let view = view(state, speculative, usize::MAX);
        mempool.admit(transaction, &Grounds { rules, state, view: &view, store, proofs }, verified)
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

    /// Whether a claim for this open order waits.
    pub fn has_claim(&self, order: B256) -> bool {
        self.mempool.has_claim(order)
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

    /// Whether anything could be proposed on top of the highest block known.
    pub fn has_proposable(&self) -> bool {
        self.mempool.ready().transactions > 0
    }

    /// Whether anything that waits could be executed at the tip, even if a block that is not final contains it: then a
    /// decision is due.
    pub fn has_executable(&self) -> bool {
        self.mempool.has_executable(&self.state)
    }

    // Blocks that are not final.

    /// How many blocks on top of the tip are remembered.
    fn max_speculative(&self) -> usize {
        MAX_SPECULATIVE + self.genesis.mining.map_or(0, |mining| mining.max_mined_ahead() as usize)
    }

    /// The expected hashes for the block after one that comes so long after its parent.
    fn next_work_after(&self, parent: &View<'_>, elapsed_ms: u64) -> u64 {
        self.genesis.mining.map_or(0, |mining| mining.next_work(parent.next_work(), elapsed_ms))
    }

    /// How many blocks are below the one that follows `parent`, counted from the tip.
    fn depth_above(&self, parent: B256) -> Option<usize> {
        if parent == self.tip.hash {
            return Some(0);
        }
        self.speculative.iter().position(|checked| checked.hash == parent).map(|index| index + 1)
    }

    fn parent_at(&self, depth: usize) -> Option<Tip> {
        match depth.checked_sub(1) {
            None => Some(self.tip),
            Some(index) => self.speculative.get(index).map(CheckedBlock::tip),
        }
    }

    /// Drops the blocks on top of the first `depth` ones, so that their transactions may be proposed again.
    fn truncate(&mut self, depth: usize) {
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

    /// Builds a block of what has waited longest on top of the tip or of a block on top of it that was proposed or
    /// found valid, and remembers it in place of others on the same parent. Nothing if there is no such parent, or
    /// nothing that waits can be executed, unless blocks are mined, which may be empty.
    pub fn propose(
        &mut self,
        parent: B256,
        now_ms: u64,
        proposer: Address,
        max_transactions: usize,
    ) -> Option<Arc<Block>> {
        let depth = self.depth_above(parent).filter(|depth| *depth < self.max_speculative())?;
        let below = self.parent_at(depth)?;
        self.truncate(depth);
        let max_bytes = (self.genesis.max_block_bytes as usize).saturating_sub(HEADER_BYTES);
        let parent_view = view(&self.state, &self.speculative, depth);
        let (height, timestamp) = (below.height + 1, now_ms.max(below.timestamp + 1));
        let next_work = self.next_work_after(&parent_view, timestamp - below.timestamp);
        let mut execution = Execution::new(&self.rules, parent_view, height, timestamp);
        let (mut hashes, mut transactions, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (hash, transaction) in self.mempool.select(max_bytes, max_transactions) {
            match execution.apply(transaction, hash) {
                Ok(()) => {
                    hashes.push(hash);
                    transactions.push(transaction.clone());
                }
                Err(_) => failed.push(hash),
            }
        }
        let Execution { mut changes, results, solutions, .. } = execution;
        changes.next_work = next_work;
        // What fails on top of blocks that are not final may succeed without them.
        if depth == 0 {
            failed.into_iter().for_each(|hash| self.mempool.remove(hash));
        }
        if transactions.is_empty() && self.genesis.mining.is_none() {
            return None;
        }
        let header = Header {
            network_id: self.rules.domain.network_id,
            chain_id: self.genesis.chain_id,
            epoch: self.validators.epoch(),
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
        let checked =
            CheckedBlock { block: block.clone(), hash, encoded, transaction_hashes, results, solutions, changes };
        self.remember(checked, depth);
        Some(block)
    }

    /// Checks whether a proposal may follow the tip or a block on top of it that was proposed or found valid, and
    /// remembers it in place of others on the same parent; `now_ms` is this peer's clock.
    pub fn check_proposal(&mut self, block: Arc<Block>, now_ms: u64) -> Result<(), BlockError> {
        check_network(&block.header, &self.genesis, &self.validators, self.rules.domain.network_id)?;
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
        let checked = self.check(block, hash, depth, Some(now_ms))?;
        self.remember(checked, depth);
        Ok(())
    }

    fn check(
        &mut self,
        block: Arc<Block>,
        hash: B256,
        depth: usize,
        now_ms: Option<u64>,
    ) -> Result<CheckedBlock, BlockError> {
        check_network(&block.header, &self.genesis, &self.validators, self.rules.domain.network_id)?;
        let parent = self.parent_at(depth).ok_or(BlockError::UnknownParent(block.header.parent_hash))?;
        check_header(&block.header, &parent, &self.validators, now_ms)?;
        if block.transactions.is_empty() && self.genesis.mining.is_none() {
            return Err(BlockError::Empty);
        }
        let encoded = codec::encode(block.as_ref());
        if encoded.len() as u64 > self.genesis.max_block_bytes {
            return Err(BlockError::TooLarge { actual: encoded.len(), limit: self.genesis.max_block_bytes });
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
        let mut execution = Execution::new(&self.rules, parent_view, height, timestamp);
        let voting = now_ms.is_some();
        for (index, (transaction, hash)) in block.transactions.iter().zip(transaction_hashes.iter()).enumerate() {
            if voting && self.unproven(transaction).is_some() {
                return Err(BlockError::Unproven { index });
            }
            let refused = |refusal| BlockError::Execution { index, refusal };
            execution.apply(transaction, *hash).map_err(refused)?;
            let valid = self.verified.validate(transaction, *hash);
            valid.map_err(Refusal::Invalid).map_err(refused)?;
        }
        let Execution { mut changes, results, solutions, .. } = execution;
        changes.next_work = next_work;
        let root = WorkResult::root(&results);
        if root != block.header.results_root {
            return Err(BlockError::ResultsRoot { have: root, named: block.header.results_root });
        }
        let changes = changes.sealed(height, hash);
        Ok(CheckedBlock { block, hash, encoded, transaction_hashes, results, solutions, changes })
    }

    // Final blocks.

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
        certificate.verify(&self.rules.domain, &self.validators)?;
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
            opened: checked.changes.opened().collect(),
            claimed: checked.results.iter().map(|result| result.id).collect(),
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
        let view = view(&self.state, &self.speculative, usize::MAX);
        self.mempool.refresh(&changes, &view);
        self.mempool.prune(&changes, &committed.transaction_hashes, &self.rules, &self.state, &view);
        closed.map_or(Ok(()), |number| self.proofs.prune(number))?;
        Ok(committed)
    }

    /// The lowest height whose block must be kept.
    fn keep_from(&self) -> u64 {
        match self.retain_blocks {
            0 => 0,
            retain => self.stable.as_ref().map_or(0, |stable| stable.height.saturating_sub(retain)),
        }
    }

    // Rounds.

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

    // Checkpoints.

    /// Stores a snapshot of the state at the tip, for peers that lag, and gives its root, which is the same at every
    /// peer. Costs as much as encoding the state, and nothing if it is there already.
    pub fn checkpoint(&mut self) -> Result<B256, StoreError> {
        if let Some(hashes) = self.store.snapshot(self.tip.height)? {
            return Ok(merkle::root(&hashes));
        }
        let encoded = snapshot::encode(&self.state, &self.tip);
        let hashes = snapshot::chunk_hashes(&encoded);
        self.store.put_snapshot(self.tip.height, &encoded, &hashes)?;
        Ok(merkle::root(&hashes))
    }

    /// Takes in that a quorum has the same state at a height. Snapshots older than the stable checkpoint before this
    /// one are dropped, that one's chunks stay for those who are fetching them; and as further blocks are committed,
    /// those out of retention are removed. A checkpoint above the tip, or one that is no news, changes nothing.
    pub fn stable(&mut self, checkpoint: &CheckpointCertificate) -> Result<(), LedgerError> {
        let before = self.stable.as_ref().map_or(0, |stable| stable.height);
        if checkpoint.height > self.tip.height || checkpoint.height <= before {
            return Ok(());
        }
        checkpoint.verify(&self.rules.domain, &self.validators)?;
        let (height, need) = (checkpoint.height, checkpoint.state_root);
        let have = self.store.snapshot(height)?.map(|hashes| merkle::root(&hashes));
        if let Some(have) = have.filter(|have| *have != need) {
            return Err(LedgerError::Diverged { height, have, need });
        }
        self.store.stabilize(checkpoint, before)?;
        self.stable = Some(checkpoint.clone());
        Ok(())
    }

    /// The last stable checkpoint.
    pub fn stable_checkpoint(&self) -> Option<&CheckpointCertificate> {
        self.stable.as_ref()
    }

    /// What a peer that lags must know about the snapshot of the last stable checkpoint, if it is there.
    pub fn snapshot_manifest(&self) -> Result<Option<Manifest>, StoreError> {
        let Some(checkpoint) = self.stable.clone() else { return Ok(None) };
        let height = checkpoint.height;
        let Some(chunks) = self.store.snapshot(height)? else { return Ok(None) };
        let certified = self.store.header(height)?.zip(self.store.certificate(height)?);
        Ok(certified.map(|(header, certificate)| Manifest { checkpoint, header, certificate, chunks }))
    }

    /// A chunk of the snapshot at a height.
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
        manifest.verify(&self.rules.domain, &self.validators)?;
        let (state, encoded) = manifest.assemble(chunks)?;
        self.store.install(manifest, &encoded, &state)?;
        let header = &manifest.header;
        self.tip = Tip { height: header.height, hash: header.hash(), timestamp: header.timestamp };
        self.stable = Some(manifest.checkpoint.clone());
        self.state = state;
        self.speculative.clear();
        let limits = self.mempool.limits();
        let waiting = std::mem::replace(&mut self.mempool, Mempool::new(limits)).into_transactions();
        for transaction in waiting {
            // What is refused now was executed or made impossible by the blocks in between.
            _ = self.admit(transaction);
        }
        Ok(())
    }

    // What blocks have led to.

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
        let Some(Location { height, index }) = self.store.result_of(order)? else { return Ok(None) };
        let reading = self.store.reading()?;
        let proven = reading.results_in(height, index as usize)?.next().transpose()?;
        let proven = proven.filter(|proven| proven.result.id == order);
        proven.map(Some).ok_or_else(|| self.store.contradiction("a closed order has no result"))
    }

    /// The first `limit` results of the blocks from a height on, in order, with their proofs.
    pub fn finalized_results(&self, from_height: u64, limit: usize) -> Result<Vec<FinalizedResult>, StoreError> {
        self.store.reading()?.results(from_height, 0, limit, usize::MAX)
    }
}

/// The state after the first `depth` blocks on top of the tip.
fn view<'a>(state: &'a State, speculative: &'a VecDeque<CheckedBlock>, depth: usize) -> View<'a> {
    View::new(state, speculative.iter().take(depth).map(|checked| &checked.changes))
}
