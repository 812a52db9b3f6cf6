//! The ledger: the store, the state at its tip, the blocks on top that are not final, and the mempool on top of them.

use std::{collections::VecDeque, path::Path, sync::Arc};

use dtn_primitives::{
    Address, B256, Block, Certificate, CertificateError, CheckpointCertificate, Completion, Domain, FinalizedResult,
    Genesis, GenesisError, Header, MAX_TRANSACTION_BYTES, Payload, Round, Transaction, ValidatorSet, WorkResult, codec,
};

use crate::{
    AdmissionError, BlockError, BlockResults, ImportError, Location, MAX_BLOCK_TRANSACTIONS, MAX_SPECULATIVE, Manifest,
    Memory, MempoolLimits, OpenOrder, Ready, Refusal, Rounds, SnapshotError, Store, StoreError,
    block::{CheckedBlock, check_header, check_network, check_time},
    fairness::{self, Judgement},
    mempool::{Grounds, Mempool},
    proofs::Proofs,
    root::{self, StateTree},
    rules::{Execution, Rules},
    state::{State, View},
    store::{self, Cover, EXPIRED, Loaded},
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
    /// The results that others have kept are not the ones of final blocks.
    #[error("results: {0}")]
    Import(#[from] ImportError),
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
    /// The orders that it has opened.
    pub opened: Vec<B256>,
    /// The orders whose races it has ended, with a winner or without.
    pub ended: Vec<B256>,
}

/// What a block is checked against before this peer votes for it, beside what makes it valid.
#[derive(Debug, Clone, Copy)]
struct Voting {
    /// This peer's clock, for a proposal that is fresh.
    now_ms: Option<u64>,
}

/// Everything that a peer knows: the finalized blocks, what they lead to, and what waits for a block.
#[derive(Debug)]
pub struct Ledger {
    genesis: Genesis,
    validators: ValidatorSet,
    rules: Rules,
    store: Store,
    state: State,
    tree: StateTree,
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

    /// Opens the store in a file, or makes a new one, for a peer that is about to speak, and counts the start. The
    /// ledger's [`Ledger::memory`] then tells whether it holds everything that this peer has said. With it comes
    /// whether the file is an older copy of the store that this peer had.
    pub fn start(path: impl AsRef<Path>, genesis: Genesis) -> Result<(Self, bool), LedgerError> {
        let (path, mut is_older) = (path.as_ref(), false);
        let ledger = Self::load(genesis, |network_id| {
            let (store, older) = Store::start(path, network_id)?;
            is_older = older;
            Ok(store)
        })?;
        Ok((ledger, is_older))
    }

    /// Copies the store of a stopped peer to a file that is not there yet.
    pub fn back_up(store: impl AsRef<Path>, file: impl AsRef<Path>, genesis: &Genesis) -> Result<(), StoreError> {
        Store::back_up(store.as_ref(), file.as_ref(), genesis.network_id())
    }

    /// Puts a copy in the place of a store that is gone. What the peer has said since the copy was made is not in it, so
    /// the ledger's [`Ledger::memory`] is [`Memory::Lost`] then.
    pub fn restore(file: impl AsRef<Path>, store: impl AsRef<Path>, genesis: &Genesis) -> Result<(), StoreError> {
        Store::restore(file.as_ref(), store.as_ref(), genesis.network_id())
    }

    /// Brings the store of a stopped peer to this version of the program, and gives the version that it had. The store as
    /// it was stays beside it.
    pub fn migrate(store: impl AsRef<Path>, genesis: &Genesis) -> Result<u32, StoreError> {
        store::migrate(store.as_ref(), genesis.network_id())
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
        let (tip, tree) = (tip.unwrap_or(genesis_tip), StateTree::of(&state));
        let have = root::root(&tip, &state.rest(), &tree.chunks());
        let signed = stable.as_ref().filter(|stable| stable.height == tip.height).map(|stable| stable.state_root);
        if let Some(need) = signed.filter(|need| *need != have) {
            return Err(LedgerError::Diverged { height: tip.height, have, need });
        }
        Ok(Self {
            genesis,
            validators,
            rules,
            store,
            state,
            tree,
            tip,
            stable,
            retain_blocks: RETAIN_BLOCKS,
            speculative: VecDeque::new(),
            mempool: Mempool::new(MempoolLimits::default(), 0),
            verified: Verified::default(),
            proofs,
        })
    }

    /// Replaces the mempool by an empty one with other limits.
    pub fn with_mempool_limits(mut self, limits: MempoolLimits) -> Self {
        self.mempool = Mempool::new(limits, self.mempool.now_ms());
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

    /// What the store knows of what this peer has said.
    pub fn memory(&self) -> Result<Memory, StoreError> {
        self.store.memory()
    }

    /// How often this peer was started, this time included; 0 for a ledger that was only opened.
    pub fn run(&self) -> Result<u64, StoreError> {
        self.store.run()
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
    /// contains it: until it is final, a decision is due. If there is none, the order whose race is over longest.
    pub fn oldest_executable(&self) -> Option<B256> {
        let timestamp = self.mempool.now_ms().max(self.tip.timestamp + 1);
        let at_tip = view(&self.state, &self.speculative, 0);
        let mut execution = Execution::new(&self.rules, at_tip, self.tip.height + 1, timestamp);
        let mut oldest = self.mempool.next_at_tip(&self.state).into_iter();
        let oldest = oldest.find(|(hash, transaction)| execution.apply(transaction, *hash).is_ok());
        oldest.map(|(hash, _)| hash).or_else(|| self.state.orders.over(timestamp).next())
    }

    /// Whether a race on top of the highest block known is over by this clock: a block is due that ends it, if need be an
    /// empty one.
    pub fn is_due(&self, now_ms: u64) -> bool {
        !view(&self.state, &self.speculative, usize::MAX).races_over(now_ms).is_empty()
    }

    /// Tells the time in milliseconds since the Unix epoch, which a ledger never reads: it is what `oldest_executable`
    /// goes by, and when what is admitted from now on came.
    pub fn tell_time(&mut self, now_ms: u64) {
        self.mempool.tell_time(now_ms);
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

    /// Checks whether a proposal may follow the tip or a block on top of it that was proposed or found valid, and
    /// remembers it in place of others on the same parent. `arrived_ms` is when it came by this peer's clock, also if it
    /// is judged again later; a proposal that is not `fresh` is not compared with that, nor with what waits here, because
    /// others may have prepared it long ago.
    ///
    /// An error that [is for now](BlockError::is_for_now) may be none later.
    pub fn check_proposal(&mut self, block: Arc<Block>, arrived_ms: u64, fresh: bool) -> Result<(), BlockError> {
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
        let checked = self.check(block, hash, depth, Some(Voting { now_ms: fresh.then_some(arrived_ms) }))?;
        self.remember(checked, depth);
        Ok(())
    }

    fn check(
        &mut self,
        block: Arc<Block>,
        hash: B256,
        depth: usize,
        voting: Option<Voting>,
    ) -> Result<CheckedBlock, BlockError> {
        check_network(&block.header, &self.genesis, &self.validators, self.rules.domain.network_id)?;
        let parent = self.parent_at(depth).ok_or(BlockError::UnknownParent(block.header.parent_hash))?;
        check_header(&block.header, &parent, &self.validators)?;
        if let Some(now_ms) = voting.and_then(|voting| voting.now_ms) {
            let clock = (now_ms, self.mempool.now_ms().max(now_ms));
            check_time(&block.header, &parent, clock, self.genesis.mining.is_some())?;
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
        let mut execution = Execution::new(&self.rules, parent_view, height, timestamp);
        for (index, (transaction, hash)) in block.transactions.iter().zip(transaction_hashes.iter()).enumerate() {
            if voting.is_some() && self.unproven(transaction).is_some() {
                return Err(BlockError::Unproven { index });
            }
            let refused = |refusal| BlockError::Execution { index, refusal };
            execution.apply(transaction, *hash).map_err(refused)?;
            let valid = self.verified.validate(transaction, *hash);
            valid.map_err(Refusal::Invalid).map_err(refused)?;
        }
        if let Some(arrived_ms) = voting.and_then(|voting| voting.now_ms).filter(|_| self.genesis.mining.is_none()) {
            let max_bytes = (self.genesis.max_block_bytes as usize).saturating_sub(HEADER_BYTES);
            let count = MAX_BLOCK_TRANSACTIONS - block.transactions.len();
            let room = (count, max_bytes.saturating_sub(encoded.len()));
            let judgement = Judgement { arrived_ms, now_ms: self.mempool.now_ms().max(arrived_ms), room };
            fairness::check(&block, &mut execution, &self.mempool, &transaction_hashes, judgement)?;
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
            opened: checked.changes.opened(checked.block.header.height).collect(),
            ended: checked.changes.closed().collect(),
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
        self.tree.update(&self.state, changes.buckets());
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
            retain => {
                let below = self.stable.as_ref().map_or(0, |stable| stable.height.saturating_sub(retain));
                // Who is fetching a snapshot needs the blocks above it next.
                self.store.lowest_lent().map_or(below, |lent| below.min(lent))
            }
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

    /// The root of the state at the tip, which is the same at every peer. It is kept up to date by the blocks, so that
    /// this costs little however large the state is. A snapshot for peers that lag is written meanwhile, see
    /// [`Store::finish_snapshot`].
    pub fn checkpoint(&mut self) -> Result<B256, StoreError> {
        let (rest, chunks) = (self.state.rest(), self.tree.chunks());
        let root = root::root(&self.tip, &rest, &chunks);
        self.store.checkpoint(self.tip.height, root, Cover { rest, chunks })?;
        Ok(root)
    }

    /// Takes in that a quorum has the same state at a height. Old snapshots are dropped unless somebody is fetching them,
    /// and as further blocks are committed, those out of retention are removed. A checkpoint above the tip, or one that
    /// is no news, changes nothing.
    pub fn stable(&mut self, checkpoint: &CheckpointCertificate) -> Result<(), LedgerError> {
        let before = self.stable.as_ref().map_or(0, |stable| stable.height);
        if checkpoint.height > self.tip.height || checkpoint.height <= before {
            return Ok(());
        }
        checkpoint.verify(&self.rules.domain, &self.validators)?;
        let (height, need) = (checkpoint.height, checkpoint.state_root);
        let have = self.store.state_root(height)?;
        if let Some(have) = have.filter(|have| *have != need) {
            return Err(LedgerError::Diverged { height, have, need });
        }
        self.store.stabilize(checkpoint)?;
        self.stable = Some(checkpoint.clone());
        Ok(())
    }

    /// The last stable checkpoint.
    pub fn stable_checkpoint(&self) -> Option<&CheckpointCertificate> {
        self.stable.as_ref()
    }

    /// [`Store::snapshot_manifest`].
    pub fn snapshot_manifest(&self) -> Result<Option<Manifest>, StoreError> {
        self.store.snapshot_manifest()
    }

    /// [`Store::snapshot_chunk`].
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
        let state = manifest.assemble(chunks)?;
        self.store.install(manifest, chunks, &state)?;
        self.tip = manifest.tip();
        self.tree = StateTree::of(&state);
        self.stable = Some(manifest.checkpoint.clone());
        self.state = state;
        self.speculative.clear();
        let limits = self.mempool.limits();
        let mempool = Mempool::new(limits, self.mempool.now_ms());
        let waiting = std::mem::replace(&mut self.mempool, mempool).into_transactions();
        for transaction in waiting {
            // What is refused now was executed or made impossible by the blocks in between.
            _ = self.admit(transaction);
        }
        Ok(())
    }

    // Results of blocks that were skipped.

    /// [`Store::results_missing`].
    pub fn results_missing(&self) -> Result<Option<(u64, u64)>, StoreError> {
        self.store.results_missing()
    }

    /// Takes over what others have kept of blocks that this peer has skipped. Everything is checked before anything is
    /// changed. Gives how many blocks were news.
    pub fn import_results(&mut self, blocks: &[BlockResults]) -> Result<usize, LedgerError> {
        for block in blocks {
            block.verify(&self.rules.domain, &self.validators)?;
        }
        let Some((first, last)) = self.store.results_missing()? else { return Ok(0) };
        let mut news = Vec::new();
        for block in blocks.iter().filter(|block| (first..=last).contains(&block.header.height)) {
            if self.store.results_in(block.header.height)?.is_empty() {
                news.push(block);
            }
        }
        self.store.put_results(news.iter().copied())?;
        Ok(news.len())
    }

    /// Takes in that no result is missing up to a height. No certificate can say that a block has none: the caller has
    /// heard so many peers, each of which has said what results it has up to there, that one of them is correct.
    pub fn results_complete_to(&mut self, height: u64) -> Result<(), StoreError> {
        self.store.results_complete_to(height)
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
        let ended = self.store.result_of(order)?.filter(|location| location.index != EXPIRED);
        let Some(Location { height, index }) = ended else { return Ok(None) };
        let reading = self.store.reading()?;
        let proven = reading.results_in(height, index as usize)?.next().transpose()?;
        let proven = proven.filter(|proven| proven.result.id == order);
        proven.map(Some).ok_or_else(|| self.store.contradiction("a closed order has no result"))
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

/// The state after the first `depth` blocks on top of the tip.
fn view<'a>(state: &'a State, speculative: &'a VecDeque<CheckedBlock>, depth: usize) -> View<'a> {
    View::new(state, speculative.iter().take(depth).map(|checked| &checked.changes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::{SecretKey, ValidatorIndex, Vote, VoteKind};

    use super::*;

    fn key(number: u8) -> SecretKey {
        SecretKey::from_bytes(&[number; 32]).unwrap()
    }

    fn genesis() -> Genesis {
        Genesis {
            version: dtn_primitives::VERSION,
            name: "accounts".into(),
            chain_id: 1,
            timestamp: 1_000,
            max_block_bytes: 1 << 20,
            validators: (1..=4).map(|number| key(number).public_key()).collect(),
            requesters: Vec::new(),
            mining: None,
        }
    }

    fn data(signer: u8, nonce: u64) -> Transaction {
        let payload = Payload::Data { nonce, items: vec![[signer]].into() };
        Transaction::sign(payload, &key(signer), &genesis().domain())
    }

    /// A ledger that remembers three accounts.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::in_memory(genesis()).unwrap();
        ledger.rules.max_accounts = 3;
        ledger
    }

    fn certificate(block: &Block) -> Certificate {
        let (domain, validators) = (genesis().domain(), genesis().validator_set().unwrap());
        let vote = |number| {
            let index: ValidatorIndex = validators.index_of(key(number).address()).unwrap();
            Vote::sign(VoteKind::Commit, (0, 0, block.header.height), block.header.hash(), index, &key(number), &domain)
        };
        Certificate::from_votes(&(1..=3).map(vote).collect::<Vec<_>>()).unwrap()
    }

    fn propose(ledger: &mut Ledger, parent: B256, transactions: impl IntoIterator<Item = Transaction>) -> Arc<Block> {
        transactions.into_iter().for_each(|transaction| _ = ledger.admit(transaction).unwrap());
        ledger.propose(parent, 0, key(1).address(), 100, false).unwrap()
    }

    #[test]
    fn who_was_idle_longest_is_forgotten_and_nothing_that_it_signed_is_executed_again() {
        let (mut ledger, mut replica) = (ledger(), ledger());
        let bodies =
            [vec![data(11, 0), data(11, 1)], vec![data(1, 0)], vec![data(12, 0)], vec![data(13, 0), data(14, 0)]];
        // All four blocks are under way at once in one, and final one after the other in the other.
        let mut parent = ledger.tip().hash;
        let blocks = bodies.map(|body| {
            let block = propose(&mut ledger, parent, body);
            parent = block.header.hash();
            block
        });
        for block in &blocks {
            ledger.commit(block.clone(), &certificate(block)).unwrap();
            replica.commit(block.clone(), &certificate(block)).unwrap();
        }
        assert_eq!(ledger.checkpoint(), replica.checkpoint());
        let known: Vec<_> = ledger.state.nonces.keys().copied().collect();
        let mut kept = [1, 13, 14].map(|number| key(number).address());
        kept.sort();
        assert_eq!(known, kept, "the strangers 11 and 12 are forgotten, the validator is not");
        // Whoever is not remembered begins above all that anybody forgotten has used.
        assert_eq!([11, 12, 15].map(|number| ledger.next_nonce(key(number).address())), [2; 3]);
        let tip = ledger.tip();
        for replayed in [data(11, 0), data(11, 1), data(12, 0)] {
            let view = view(&ledger.state, &ledger.speculative, 0);
            let mut execution = Execution::new(&ledger.rules, view, tip.height + 1, tip.timestamp + 1);
            let refused = execution.apply(&replayed, replayed.hash(&ledger.rules.domain));
            assert!(matches!(refused, Err(Refusal::NonceTooLow { next: 2, .. })), "{refused:?}");
        }
        // They go on, and a peer that is opened anew or takes over a snapshot knows the same.
        let block = propose(&mut ledger, tip.hash, [data(11, 2), data(15, 2)]);
        ledger.commit(block.clone(), &certificate(&block)).unwrap();
        assert_eq!(ledger.next_nonce(key(11).address()), 3);
        let mut state = State::from(ledger.state.rest());
        for number in ledger.state.buckets() {
            state.add_bucket(&ledger.state.bucket(number).unwrap()).unwrap();
        }
        assert_eq!((&state, state.next_nonce(key(16).address())), (&ledger.state, 2));
    }

    #[test]
    fn what_waits_of_somebody_unknown_is_dropped_when_its_nonce_is_below_the_floor() {
        let mut ledger = ledger();
        let late = data(16, 0);
        let hash = late.hash(&ledger.rules.domain);
        let parent = ledger.tip.hash;
        let first = propose(&mut ledger, parent, [data(11, 0), data(12, 0), data(13, 0)]);
        ledger.commit(first.clone(), &certificate(&first)).unwrap();
        ledger.admit(late).unwrap();
        let mut other = self::ledger();
        other.commit(first.clone(), &certificate(&first)).unwrap();
        let block = propose(&mut other, first.header.hash(), [data(14, 0)]);
        ledger.commit(block.clone(), &certificate(&block)).unwrap();
        assert_eq!((ledger.pending(hash), ledger.oldest_executable(), ledger.ready()), (None, None, Ready::default()));
        ledger.admit(data(16, 1)).unwrap();
        assert_eq!(ledger.ready().transactions, 1);
    }
}
