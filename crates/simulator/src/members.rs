//! Who takes part in a run.

use std::{cell::RefCell, collections::HashMap, sync::Arc, time::Duration};

use dtn_adversary::Seat;
use dtn_consensus::{Decision, PbftConfig, chained::Lapse};
use dtn_primitives::{
    Address, B256, Block, Certificate, CheckpointCertificate, Domain, Genesis, Mining, SecretKey, Transaction, VERSION,
    ValidatorIndex, ValidatorSet, Vote, VoteKind, keccak256,
};

use crate::{
    Work,
    filling::{self, Filling},
    pool::Request,
};

/// When a network was made whose hosts have the real ledger, in milliseconds since the Unix epoch: the beginning of a run.
pub(crate) const EPOCH_MS: u64 = 1_800_000_000_000;

/// The largest block of such a network.
const MAX_BLOCK_BYTES: u64 = 1 << 20;

/// Keys and the set of their validators.
type Identities = (Arc<[SecretKey]>, ValidatorSet);

thread_local! {
    /// By the number of validators: making them takes longer than many a run.
    static DERIVED: RefCell<HashMap<usize, Identities>> = RefCell::default();
}

/// The validators of a simulated network with their keys, the same in every run of a size.
#[derive(Debug, Clone)]
pub struct Members {
    keys: Arc<[SecretKey]>,
    domain: Domain,
    validators: ValidatorSet,
    view_timeout: Duration,
    mining: Option<Mining>,
    /// Replicas that chain blocks pass on what they hear.
    relays: bool,
    /// A rule that they leave out.
    lapse: Option<Lapse>,
    /// Where hosts have the real ledger: what it begins with, and what it has to do.
    ledger: Option<Arc<(Genesis, Work)>>,
    /// Signs transactions.
    client: SecretKey,
    filling: Arc<Filling>,
}

impl Members {
    /// A network of `n` validators.
    pub fn new(n: usize, view_timeout: Duration) -> Self {
        let (keys, validators) = identities(n);
        let client = key(u64::MAX);
        let domain = Domain::new(B256::repeat_byte(7), 31337);
        let filling = Arc::new(Filling::new(Vec::new(), domain));
        Self {
            keys,
            domain,
            validators,
            view_timeout,
            mining: None,
            relays: false,
            lapse: None,
            ledger: None,
            client,
            filling,
        }
    }

    /// The same validators, in another network.
    #[must_use]
    pub(crate) fn in_network(self, number: u64) -> Self {
        let domain = Domain::new(B256::left_padding_from(&number.to_be_bytes()), self.domain.chain_id);
        let filling = Arc::new(Filling::new(Vec::new(), domain));
        Self { domain, filling, ..self }
    }

    /// The same network, whose blocks are mined.
    #[must_use]
    pub fn with_mining(self, mining: Mining) -> Self {
        Self { mining: Some(mining), ..self }
    }

    /// The same network, whose replicas pass on what they hear, or do not.
    #[must_use]
    pub fn relaying(self, relays: bool) -> Self {
        Self { relays, ..self }
    }

    /// The same network, whose replicas leave out a rule of protocols that chain blocks.
    #[must_use]
    pub fn lapsing(self, lapse: Option<Lapse>) -> Self {
        Self { lapse, ..self }
    }

    /// What replicas that chain blocks leave out.
    pub fn lapse(&self) -> Option<Lapse> {
        self.lapse
    }

    /// Whether replicas that chain blocks pass on what they hear.
    pub fn relays(&self) -> bool {
        self.relays
    }

    /// The same network, whose hosts have the real ledger.
    #[must_use]
    pub fn with_ledger(self, work: &Work) -> Self {
        let genesis = Genesis {
            version: VERSION,
            name: "simulated".into(),
            chain_id: self.domain.chain_id,
            timestamp: EPOCH_MS - 1,
            max_block_bytes: MAX_BLOCK_BYTES,
            validators: self.keys.iter().map(SecretKey::public_key).collect(),
            requesters: (0..work.requesters).map(Self::client).collect(),
            engine: dtn_primitives::Engine::Pbft,
            kinds: Vec::new(),
            training: None,
        };
        let domain = genesis.domain();
        let filling = Arc::new(Filling::new(Vec::new(), domain));
        let ledger = Some(Arc::new((genesis, work.clone())));
        Self { domain, filling, ledger, ..self }
    }

    /// What the ledger of a host begins with, and what it has to do.
    pub(crate) fn ledger(&self) -> Option<&(Genesis, Work)> {
        self.ledger.as_deref()
    }

    /// The same network, with so many signed transactions in every block, each of so many bytes as it is encoded, if
    /// that is not less than a transaction takes.
    #[must_use]
    pub fn with_transactions(mut self, count: usize, bytes: usize) -> Self {
        self.filling = Filling::of(count, bytes, &self.client, self.domain);
        self
    }

    /// What fills blocks, and what comes of executing them.
    pub(crate) fn filling(&self) -> &Arc<Filling> {
        &self.filling
    }

    /// Whether a block holds the transactions that its header names.
    pub fn is_whole(&self, block: &Block) -> bool {
        self.filling.is_whole(block)
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
        self.validators.others(me)
    }

    /// A block. Another salt makes another one.
    pub fn block(&self, height: u64, parent_hash: B256, proposer: ValidatorIndex, salt: u64) -> Arc<Block> {
        self.block_at(height, (height, parent_hash), proposer, salt)
    }

    /// A block of a time, in milliseconds, on top of another.
    pub fn block_at(&self, timestamp: u64, place: (u64, B256), proposer: ValidatorIndex, salt: u64) -> Arc<Block> {
        self.seat(proposer).block_at(timestamp, place, salt)
    }

    /// A block of these transactions.
    pub(crate) fn block_of(
        &self,
        transactions: Vec<Transaction>,
        (height, parent_hash): (u64, B256),
        proposer: ValidatorIndex,
        salt: u64,
    ) -> Arc<Block> {
        let root = Block::transactions_root(&transactions, &self.domain);
        let results_root = B256::left_padding_from(&salt.to_be_bytes());
        let header = self.seat(proposer).header(height, (height, parent_hash), (root, results_root));
        Arc::new(Block { header, transactions })
    }

    /// In whose place an adversary may be.
    pub(crate) fn seat(&self, me: ValidatorIndex) -> Seat<'_> {
        let Filling { transactions, root, .. } = self.filling.as_ref();
        Seat {
            me,
            key: self.key(me),
            keys: &self.keys,
            domain: &self.domain,
            validators: &self.validators,
            view_timeout: self.view_timeout,
            filling: (transactions, *root),
        }
    }

    /// A transaction of a client, of so many bytes as it is encoded.
    pub(crate) fn request(&self, client: u64, nonce: u64, bytes: usize) -> Request {
        let transaction = Arc::new(filling::data(nonce, bytes, &key(u64::MAX - client), &self.domain));
        Request { hash: transaction.hash(&self.domain), transaction }
    }

    /// The account of a client.
    pub(crate) fn client(client: u64) -> Address {
        Self::client_key(client).address()
    }

    /// What a client signs with.
    pub(crate) fn client_key(client: u64) -> SecretKey {
        key(u64::MAX - client)
    }

    /// How long the first view lasts without a decision.
    pub fn view_timeout(&self) -> Duration {
        self.view_timeout
    }

    /// A vote of a validator.
    pub fn vote(&self, kind: VoteKind, place: (u64, u64), block_hash: B256, by: ValidatorIndex) -> Arc<Vote> {
        self.seat(by).vote(kind, place, block_hash)
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
        let votes = self.quorum(VoteKind::Checkpoint, height, filling::base_state(height));
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
