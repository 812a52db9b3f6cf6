//! The ledger: the store, the state at its tip, the blocks on top that are not final, and the mempool on top of them.

mod finality;
mod proposals;
mod queries;
#[cfg(test)]
mod tests;
mod waiting;

use std::{collections::VecDeque, path::Path, sync::Arc};

use dtn_primitives::{
    Address, B256, Block, CertificateError, CheckpointCertificate, Domain, Genesis, GenesisError, Membership,
    ValidatorSet,
};

use crate::{
    BlockError, Kinds, Memory, MempoolLimits, SnapshotError, Store, StoreError,
    block::CheckedBlock,
    held::Held,
    leniency::Leniency,
    mempool::Mempool,
    proofs::Proofs,
    root::{self, StateTree},
    rules::Rules,
    state::{State, View},
    store::{self, Loaded},
    verified::Verified,
};

/// How many blocks below the last stable checkpoint are kept unless told otherwise.
pub const RETAIN_BLOCKS: u64 = 10_000;

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
    /// The genesis names a kind of work that this program does not have.
    #[error("this network does the work {0:?}, which this program does not know: run the program that does")]
    MissingKind(String),
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
    /// The orders that it has opened.
    pub opened: Vec<B256>,
    /// The orders whose races it has ended, with a winner or without.
    pub ended: Vec<B256>,
}

/// What the blocks of a network may do: its genesis, and the rules of the custom kinds of work that this names.
#[derive(Debug, Clone)]
pub struct Rulebook {
    /// The genesis.
    pub genesis: Genesis,
    /// Rules that a program has; all that the genesis names must be among them.
    pub kinds: Kinds,
}

impl From<Genesis> for Rulebook {
    /// Without custom kinds of work.
    fn from(genesis: Genesis) -> Self {
        Self { genesis, kinds: Kinds::default() }
    }
}

/// Everything that a peer knows: the finalized blocks, what they lead to, and what waits for a block.
#[derive(Debug)]
pub struct Ledger {
    genesis: Genesis,
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
    held: Held,
    leniency: Leniency,
}

impl Ledger {
    /// Opens the store in a file, or makes a new one. The directory must exist.
    pub fn open(path: impl AsRef<Path>, rules: impl Into<Rulebook>) -> Result<Self, LedgerError> {
        let path = path.as_ref();
        Self::load(rules.into(), |network_id| Store::open(path, network_id))
    }

    /// Opens the store in a file, or makes a new one, for a peer that is about to speak, and counts the start. The
    /// ledger's [`Ledger::memory`] then tells whether it holds everything that this peer has said. With it comes
    /// whether the file is an older copy of the store that this peer had. From then on the store is this peer's, and is
    /// refused to any other.
    pub fn start(
        path: impl AsRef<Path>,
        rules: impl Into<Rulebook>,
        peer: Address,
    ) -> Result<(Self, bool), LedgerError> {
        let (path, mut is_older) = (path.as_ref(), false);
        let ledger = Self::load(rules.into(), |network_id| {
            let (store, older) = Store::start(path, network_id, peer)?;
            is_older = older;
            Ok(store)
        })?;
        Ok((ledger, is_older))
    }

    /// Copies the store of a stopped peer to a file that is not there yet. Whose it is, both say from then on, as far as it
    /// is known.
    pub fn back_up(
        store: impl AsRef<Path>,
        file: impl AsRef<Path>,
        genesis: &Genesis,
        peer: Option<Address>,
    ) -> Result<(), StoreError> {
        Store::back_up(store.as_ref(), file.as_ref(), genesis.network_id(), peer)
    }

    /// Puts a copy in the place of a store that is gone. What the peer has said since the copy was made is not in it, so
    /// the ledger's [`Ledger::memory`] is [`Memory::Lost`] then. Refuses one of another peer, as far as that is known.
    pub fn restore(
        file: impl AsRef<Path>,
        store: impl AsRef<Path>,
        genesis: &Genesis,
        peer: Option<Address>,
    ) -> Result<(), StoreError> {
        Store::restore(file.as_ref(), store.as_ref(), genesis.network_id(), peer)
    }

    /// Brings the store of a stopped peer to this version of the program, and gives the version that it had. The store as
    /// it was stays beside it.
    pub fn migrate(store: impl AsRef<Path>, genesis: &Genesis) -> Result<u32, StoreError> {
        store::migrate(store.as_ref(), genesis.network_id())
    }

    /// A ledger that is gone when it is dropped.
    pub fn in_memory(rules: impl Into<Rulebook>) -> Result<Self, LedgerError> {
        Self::load(rules.into(), Store::in_memory)
    }

    fn load(
        Rulebook { genesis, kinds }: Rulebook,
        open: impl FnOnce(B256) -> Result<Store, StoreError>,
    ) -> Result<Self, LedgerError> {
        let membership = genesis.membership()?;
        let kinds = kinds.of(&genesis).map_err(LedgerError::MissingKind)?;
        let rules = Rules::new(&genesis, membership, kinds);
        let store = open(rules.domain.network_id)?;
        let Loaded { mut state, tip, stable } = store.load()?;
        if tip.is_none() {
            state.next_work = genesis.engine.mining().map_or(0, |mining| mining.expected_hashes);
        }
        let proofs = Proofs::open(store.clone())?;
        let held = Held::open(store.clone())?;
        let genesis_tip = Tip { height: 0, hash: rules.domain.network_id, timestamp: genesis.timestamp };
        let (tip, tree) = (tip.unwrap_or(genesis_tip), StateTree::of(&state));
        let have = root::root(&tip, &state.rest(), &tree.chunks());
        let signed = stable.as_ref().filter(|stable| stable.height == tip.height).map(|stable| stable.state_root);
        if let Some(need) = signed.filter(|need| *need != have) {
            return Err(LedgerError::Diverged { height: tip.height, have, need });
        }
        Ok(Self {
            genesis,
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
            held,
            leniency: Leniency::default(),
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

    /// Who validates, epoch by epoch.
    pub fn membership(&self) -> &Membership {
        &self.rules.membership
    }

    /// The validators that sign certificates now.
    pub fn validators(&self) -> &ValidatorSet {
        self.rules.validators()
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
}

/// The state after the first `depth` blocks on top of the tip.
fn view<'a>(state: &'a State, speculative: &'a VecDeque<CheckedBlock>, depth: usize) -> View<'a> {
    View::new(state, speculative.iter().take(depth).map(|checked| &checked.changes))
}
