//! Who takes part in a run.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
    time::Duration,
};

use dtn_consensus::{Decision, PbftConfig};
use dtn_primitives::{
    Address, B256, Block, Certificate, CheckpointCertificate, Domain, Header, Mining, Payload, SecretKey, Signature,
    Transaction, ValidatorIndex, ValidatorSet, Vote, VoteKind, codec, keccak256,
};

/// Keys and the set of their validators.
type Identities = (Arc<[SecretKey]>, ValidatorSet);

/// What fills a block, of so many transactions of so many bytes.
struct Filling {
    of: (usize, usize, Signature),
    transactions: Vec<Transaction>,
    root: B256,
}

thread_local! {
    /// By the number of validators: making them takes longer than many a run.
    static DERIVED: RefCell<HashMap<usize, Identities>> = RefCell::default();
    /// Of the last run.
    static FILLING: Cell<Option<Filling>> = const { Cell::new(None) };
}

/// The validators of a simulated network with their keys, the same in every run of a size.
#[derive(Debug, Clone)]
pub struct Members {
    keys: Arc<[SecretKey]>,
    domain: Domain,
    validators: ValidatorSet,
    view_timeout: Duration,
    mining: Option<Mining>,
    /// Signs transactions.
    client: SecretKey,
    /// What every block holds, and its root.
    transactions: Vec<Transaction>,
    transactions_root: B256,
}

impl Members {
    /// A network of `n` validators.
    pub fn new(n: usize, view_timeout: Duration) -> Self {
        let (keys, validators) = identities(n);
        let client = key(u64::MAX);
        let domain = Domain::new(B256::repeat_byte(7), 31337);
        let transactions_root = Block::transactions_root(&[], &domain);
        let (mining, transactions) = (None, Vec::new());
        Self { keys, domain, validators, view_timeout, mining, client, transactions, transactions_root }
    }

    /// The same network, whose blocks are mined.
    #[must_use]
    pub fn with_mining(self, mining: Mining) -> Self {
        Self { mining: Some(mining), ..self }
    }

    /// The same network, with so many signed transactions in every block, each of so many bytes as it is encoded, if
    /// that is not less than a transaction takes.
    #[must_use]
    pub fn with_transactions(mut self, count: usize, bytes: usize) -> Self {
        // Another signature means that signatures are made in another way.
        let wanted = (count, bytes, self.client.sign(B256::ZERO));
        let known = FILLING.take().filter(|known| known.of == wanted);
        let filling = known.unwrap_or_else(|| {
            let transactions: Vec<_> = (0..count as u64).map(|nonce| self.filled(nonce, bytes)).collect();
            let root = Block::transactions_root(&transactions, &self.domain);
            Filling { of: wanted, transactions, root }
        });
        (self.transactions, self.transactions_root) = (filling.transactions.clone(), filling.root);
        FILLING.set(Some(filling));
        self
    }

    fn filled(&self, nonce: u64, bytes: usize) -> Transaction {
        let payload = |length: usize| Payload::Data { nonce, items: vec![vec![nonce as u8; length.max(1)]].into() };
        let unsigned = Transaction { sender: Address::ZERO, payload: payload(bytes), signature: Signature([0; 65]) };
        let overhead = codec::encode(&unsigned).len() - bytes.max(1);
        Transaction::sign(payload(bytes.saturating_sub(overhead)), &self.client, &self.domain)
    }

    /// Whether a block holds the transactions that its header names.
    pub fn is_whole(&self, block: &Block) -> bool {
        let Block { header, transactions } = block;
        if *transactions == self.transactions {
            return header.transactions_root == self.transactions_root;
        }
        header.transactions_root == Block::transactions_root(transactions, &self.domain)
    }

    /// What signatures are bound to.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// All validators.
    pub fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// How blocks are mined, if they are.
    pub fn mining(&self) -> Option<Mining> {
        self.mining
    }

    /// The number of validators.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no validator.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A validator's key.
    pub fn key(&self, validator: ValidatorIndex) -> &SecretKey {
        &self.keys[validator.as_usize()]
    }

    /// What a replica of PBFT needs to know.
    pub fn config(&self, me: ValidatorIndex) -> PbftConfig {
        PbftConfig {
            me,
            key: self.key(me).clone(),
            domain: self.domain,
            validators: self.validators.clone(),
            view_timeout: self.view_timeout,
        }
    }

    /// Every validator but one.
    pub fn others(&self, me: ValidatorIndex) -> impl Iterator<Item = ValidatorIndex> + use<> {
        (0..self.keys.len()).map(|index| ValidatorIndex(index as u16)).filter(move |index| *index != me)
    }

    /// A block. Another salt makes another one.
    pub fn block(&self, height: u64, parent_hash: B256, proposer: ValidatorIndex, salt: u64) -> Arc<Block> {
        self.block_at(height, (height, parent_hash), proposer, salt)
    }

    /// A block of a time, in milliseconds, on top of another.
    pub fn block_at(
        &self,
        timestamp: u64,
        (height, parent_hash): (u64, B256),
        proposer: ValidatorIndex,
        salt: u64,
    ) -> Arc<Block> {
        let header = Header {
            network_id: self.domain.network_id,
            chain_id: self.domain.chain_id,
            epoch: self.validators.epoch(),
            height,
            timestamp,
            proposer: self.key(proposer).address(),
            parent_hash,
            transactions_root: self.transactions_root,
            results_root: B256::left_padding_from(&salt.to_be_bytes()),
        };
        Arc::new(Block { header, transactions: self.transactions.clone() })
    }

    /// A vote of a validator.
    pub fn vote(&self, kind: VoteKind, (view, height): (u64, u64), block_hash: B256, by: ValidatorIndex) -> Arc<Vote> {
        let place = (self.validators.epoch(), view, height);
        Arc::new(Vote::sign(kind, place, block_hash, by, self.key(by), &self.domain))
    }

    /// Votes of the first quorum of validators.
    fn quorum(&self, kind: VoteKind, height: u64, hash: B256) -> Vec<Arc<Vote>> {
        let vote = |index| self.vote(kind, (0, height), hash, ValidatorIndex(index as u16));
        (0..self.validators.quorum()).map(vote).collect()
    }

    /// A block that was decided in view 0 before the run begins; nothing at height 0.
    pub fn base(&self, height: u64) -> Option<Decision> {
        let block = self.block(height, B256::ZERO, ValidatorIndex(0), 0);
        let certificate = Certificate::from_votes(
            self.quorum(VoteKind::Commit, height, block.header.hash()).iter().map(Arc::as_ref),
        )?;
        (height > 0).then_some(Decision { block, certificate })
    }

    /// A checkpoint that was stable before the run begins; nothing at height 0.
    pub fn checkpoint(&self, height: u64) -> Option<CheckpointCertificate> {
        let votes = self.quorum(VoteKind::Checkpoint, height, state_root(height, B256::ZERO));
        CheckpointCertificate::from_votes(votes.iter().map(Arc::as_ref)).filter(|_| height > 0)
    }
}

fn key(number: u64) -> SecretKey {
    SecretKey::from_bytes(&keccak256(number.to_be_bytes()).0).expect("a hash is below the order of the curve")
}

/// The keys of a network's validators in the order of their addresses, derived once a thread and size.
fn identities(n: usize) -> Identities {
    let derive = || {
        let mut keys: Vec<_> = (0..n as u64).map(key).collect();
        keys.sort_by_key(SecretKey::address);
        let validators = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key));
        (keys.into(), validators)
    };
    DERIVED.with_borrow_mut(|derived| derived.entry(n).or_insert_with(derive).clone())
}

/// The root of the state after a block: that of a ledger whose state is its chain.
pub(crate) fn state_root(height: u64, block_hash: B256) -> B256 {
    keccak256([height.to_be_bytes().as_slice(), block_hash.as_slice()].concat())
}
