//! The ledger: the store, the state at its tip and the mempool on top of it.

use std::{path::Path, sync::Arc};

use dtn_primitives::{
    Address, B256, Block, Certificate, CertificateError, Domain, FinalizedResult, Genesis, GenesisError, Header,
    Transaction, ValidatorSet, WorkResult, codec, merkle,
};

use crate::{
    AdmissionError, BlockError, CheckedBlock, Location, MempoolLimits, OrderStatus, Refusal, Store, StoreError,
    block::check_header,
    mempool::Mempool,
    rules::{Execution, Rules},
    state::State,
    verified::Verified,
};

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
    mempool: Mempool,
    verified: Verified,
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
        let rules = Rules::new(&genesis);
        let store = open(rules.domain.network_id)?;
        let (state, tip) = store.load()?;
        let tip = match tip {
            None => Tip { height: 0, hash: rules.domain.network_id, timestamp: genesis.timestamp },
            Some((height, hash)) => {
                let block = store.block(height)?.filter(|block| block.header.hash() == hash);
                let block = block.ok_or_else(|| store.contradiction("its last block is not the one that it names"))?;
                Tip { height, hash, timestamp: block.header.timestamp }
            }
        };
        let mempool = Mempool::new(MempoolLimits::default());
        Ok(Self { genesis, validators, rules, store, state, tip, mempool, verified: Verified::default() })
    }

    /// Replaces the mempool by an empty one with other limits.
    pub fn with_mempool_limits(mut self, limits: MempoolLimits) -> Self {
        self.mempool = Mempool::new(limits);
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

    // What waits.

    /// Admits a transaction to the mempool and gives its hash.
    pub fn admit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError> {
        self.mempool.admit(transaction, &self.rules, &self.state, &mut self.verified)
    }

    /// How many transactions wait.
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

    /// What [`Ledger::propose`] would propose first, at most `count` of it.
    pub fn proposable(&self, count: usize) -> Vec<Transaction> {
        let selected = self.mempool.select(usize::MAX, count, &self.state);
        selected.into_iter().map(|(_, transaction)| transaction.clone()).collect()
    }

    // Blocks.

    /// Builds a block of what has waited longest, or nothing if nothing that waits can be executed.
    pub fn propose(&mut self, now_ms: u64, proposer: Address, max_transactions: usize) -> Option<Block> {
        let max_bytes = (self.genesis.max_block_bytes as usize).saturating_sub(HEADER_BYTES);
        let mut execution = Execution::new(&self.rules, &self.state, self.tip.height + 1);
        let (mut hashes, mut transactions, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (hash, transaction) in self.mempool.select(max_bytes, max_transactions, &self.state) {
            match execution.apply(transaction, hash) {
                Ok(()) => {
                    hashes.push(hash);
                    transactions.push(transaction.clone());
                }
                Err(_) => failed.push(hash),
            }
        }
        let results_root = WorkResult::root(&execution.results);
        for hash in failed {
            self.mempool.remove(hash);
        }
        if transactions.is_empty() {
            return None;
        }
        let header = Header {
            network_id: self.rules.domain.network_id,
            chain_id: self.genesis.chain_id,
            epoch: self.validators.epoch(),
            height: self.tip.height + 1,
            timestamp: now_ms.max(self.tip.timestamp + 1),
            proposer,
            parent_hash: self.tip.hash,
            transactions_root: Block::transactions_root_of(hashes.into_iter().zip(&transactions)),
            results_root,
        };
        Some(Block { header, transactions })
    }

    /// Checks whether a proposal may follow the tip; `now_ms` is this peer's clock.
    pub fn check_proposal(&mut self, block: Arc<Block>, now_ms: u64) -> Result<CheckedBlock, BlockError> {
        self.check(block, Some(now_ms))
    }

    /// Checks whether a block that a quorum has finalized follows the tip. Its timestamp is not compared with a clock.
    pub fn check_decided(&mut self, block: Arc<Block>) -> Result<CheckedBlock, BlockError> {
        self.check(block, None)
    }

    fn check(&mut self, block: Arc<Block>, now_ms: Option<u64>) -> Result<CheckedBlock, BlockError> {
        let network_id = self.rules.domain.network_id;
        check_header(&block.header, &self.tip, &self.genesis, &self.validators, now_ms, network_id)?;
        if block.transactions.is_empty() {
            return Err(BlockError::Empty);
        }
        let encoded = codec::encode(block.as_ref());
        if encoded.len() as u64 > self.genesis.max_block_bytes {
            return Err(BlockError::TooLarge { actual: encoded.len(), limit: self.genesis.max_block_bytes });
        }
        let transaction_hashes: Vec<_> =
            block.transactions.iter().map(|transaction| transaction.hash(&self.rules.domain)).collect();
        let root = Block::transactions_root_of(transaction_hashes.iter().copied().zip(&block.transactions));
        if root != block.header.transactions_root {
            return Err(BlockError::TransactionsRoot { have: root, named: block.header.transactions_root });
        }
        let mut execution = Execution::new(&self.rules, &self.state, block.header.height);
        for (index, (transaction, hash)) in block.transactions.iter().zip(&transaction_hashes).enumerate() {
            let refused = |refusal| BlockError::Execution { index, refusal };
            execution.apply(transaction, *hash).map_err(refused)?;
            let valid = self.verified.validate(transaction, *hash, &self.rules.domain);
            valid.map_err(Refusal::Invalid).map_err(refused)?;
        }
        let Execution { changes, results, .. } = execution;
        let root = WorkResult::root(&results);
        if root != block.header.results_root {
            return Err(BlockError::ResultsRoot { have: root, named: block.header.results_root });
        }
        let hash = block.header.hash();
        Ok(CheckedBlock { block, hash, encoded, transaction_hashes, results, changes })
    }

    /// Makes a block final: durable with its certificate, then part of the state. Verifies the certificate, so that
    /// nothing without a quorum's signatures is ever stored. Fails if another block was committed since the check.
    pub fn commit(&mut self, checked: CheckedBlock, certificate: &Certificate) -> Result<(), LedgerError> {
        let header = &checked.block.header;
        if header.parent_hash != self.tip.hash {
            return Err(BlockError::WrongParent { have: header.parent_hash, need: self.tip.hash }.into());
        }
        if (certificate.block_hash, certificate.height) != (checked.hash, header.height) {
            let (have, height, need) = (certificate.block_hash, certificate.height, checked.hash);
            return Err(LedgerError::CertificateMismatch { have, height, need });
        }
        certificate.verify(&self.rules.domain, &self.validators)?;
        self.store.commit(&checked, certificate)?;
        self.tip = Tip { height: header.height, hash: checked.hash, timestamp: header.timestamp };
        self.state.apply(checked.changes.clone());
        self.mempool.prune(&checked.changes, &self.rules, &self.state);
        Ok(())
    }

    // What blocks have led to.

    /// The nonce of an account's next order, not counting what waits.
    pub fn next_nonce(&self, account: Address) -> u64 {
        self.state.next_nonce(account)
    }

    /// What became of an order that is in a block.
    pub fn order(&self, hash: B256) -> Option<&OrderStatus> {
        self.state.order(hash)
    }

    /// The orders that take claims, in no particular order.
    pub fn open_orders(&self) -> impl Iterator<Item = (B256, &dtn_primitives::Order)> {
        self.state.orders.iter().filter_map(|(hash, status)| match status {
            OrderStatus::Open { order, .. } => Some((*hash, order)),
            _ => None,
        })
    }

    /// The block at a height.
    pub fn block(&self, height: u64) -> Result<Option<Block>, StoreError> {
        self.store.block(height)
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
        let Some(OrderStatus::Closed { height, index, .. }) = self.state.order(order) else { return Ok(None) };
        let proven = self.prove_results(*height)?.into_iter().nth(*index as usize);
        let proven = proven.filter(|proven| proven.result.id == order);
        proven.map(Some).ok_or_else(|| self.store.contradiction("a closed order has no result"))
    }

    /// The results of the blocks from a height on, in order, with their proofs: of whole blocks until there are at
    /// least `limit`, so that the next call goes on above the last one's height.
    pub fn finalized_results(&self, from_height: u64, limit: usize) -> Result<Vec<FinalizedResult>, StoreError> {
        let mut results = Vec::new();
        for height in self.store.heights_with_results(from_height, limit)? {
            if results.len() >= limit {
                break;
            }
            results.extend(self.prove_results(height)?);
        }
        Ok(results)
    }

    fn prove_results(&self, height: u64) -> Result<Vec<FinalizedResult>, StoreError> {
        let missing = || self.store.contradiction("a block with results is missing, or its certificate");
        let header = self.store.block(height)?.ok_or_else(missing)?.header;
        let certificate = self.store.certificate(height)?.ok_or_else(missing)?;
        let results = self.store.results_in(height)?;
        let leaves: Vec<_> = results.iter().map(WorkResult::leaf).collect();
        let prove = |(index, result)| {
            let proof = merkle::proof(&leaves, index).unwrap_or_default();
            FinalizedResult { header: header.clone(), certificate: certificate.clone(), result, proof }
        };
        Ok(results.into_iter().enumerate().map(prove).collect())
    }
}
