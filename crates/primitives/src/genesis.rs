//! The genesis: who validates, who may offer rewards, where results settle. Its hash is the network id.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{
    Domain, Engine, Kind, KindError, Membership, Mining, PublicKey, ValidatorSet, deserialize_address,
    deserialize_addresses,
    engine::{EngineFile, KNOWN},
};

mod abi {
    alloy_sol_types::sol! {
        struct Genesis {
            uint32 version;
            string name;
            uint64 chainId;
            uint64 timestamp;
            uint64 maxBlockBytes;
            address[] validators;
            address[] requesters;
        }
        struct UnversionedGenesis {
            string name;
            uint64 chainId;
            uint64 timestamp;
            uint64 maxBlockBytes;
            address[] validators;
            address[] requesters;
        }
        struct Training { bytes32 network; uint64 price; uint64 viewTimeoutMs; uint64 rulingMs; uint64 maxLifeMs;
            uint64 beaconSteps; uint64 beaconMs; uint64 epochMs; address token; }
        struct Mining { uint64 blockIntervalMs; uint64 confirmations; uint64 expectedHashes; }
    }
}

/// The version of everything that peers of a network must have in common: what a block means, what they store and how
/// they speak.
pub const VERSION: u32 = 8;

/// The version of networks whose genesis names none.
pub const UNVERSIONED: u32 = 6;

/// The fewest validators that tolerate a Byzantine one.
pub const MIN_VALIDATORS: usize = 4;

/// The most validators that the registry contract accepts.
pub const MAX_VALIDATORS: usize = 255;

/// The block intervals that can be asked for, in milliseconds.
const BLOCK_INTERVAL_MS: std::ops::RangeInclusive<u64> = 50..=3_600_000;

/// The confirmations that can be asked for.
const CONFIRMATIONS: std::ops::RangeInclusive<u64> = 1..=100;

const BLOCK_BYTES: std::ops::RangeInclusive<u64> = 32 * 1024..=16 * 1024 * 1024;

/// Everything that peers of one network must agree on before the first block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GenesisFile", into = "GenesisFile")]
pub struct Genesis {
    /// The version of the program that made the network, at most [`VERSION`]; [`UNVERSIONED`] where the file names none. A
    /// store of an earlier one can be brought here.
    pub version: u32,
    /// The network's name.
    pub name: String,
    /// The chain id of the chain on which results settle.
    pub chain_id: u64,
    /// When the network was made, in milliseconds since the Unix epoch. Blocks come later.
    pub timestamp: u64,
    /// The largest encoded block, in bytes.
    pub max_block_bytes: u64,
    /// The validators' public keys.
    pub validators: Vec<PublicKey>,
    /// The accounts whose orders may ask for work and offer a reward for it. Otherwise whoever can submit could occupy
    /// every miner and empty the distributor.
    pub requesters: Vec<Address>,
    /// How the peers agree.
    pub engine: Engine,
    /// The names of the custom kinds of work that the network does, beside races and rounds.
    pub kinds: Vec<String>,
    /// What it demands of orders for trained models, if it takes any.
    pub training: Option<TrainingTerms>,
}

/// What a network demands of orders for trained models. All of its peers judge by the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingTerms {
    /// Wei that a multiplication is worth at least.
    pub price: u64,
    /// How long a primary has before its view ends, in milliseconds: windows are multiples of it.
    pub view_timeout_ms: u64,
    /// How long all peers take for a ruling, in milliseconds.
    pub ruling_ms: u64,
    /// The longest life of an order, in milliseconds.
    pub max_life_ms: u64,
    /// Steps of a round of sequential work that is opened because an order needs its randomness.
    pub beacon_steps: u64,
    /// How long such a round lasts at most, in milliseconds.
    pub beacon_ms: u64,
    /// How long the ledger waits at least from one statement of what accounts have earned to the next, in milliseconds.
    pub epoch_ms: u64,
    /// What the ledger's money is on the settlement chain: a token's contract, or zero for the native currency.
    #[serde(deserialize_with = "deserialize_address")]
    pub token: Address,
}

impl Default for TrainingTerms {
    /// A multiplication is worth 0.001 gwei, an order lasts for thirty days at most, and what was earned is stated once an hour,
    /// in the native currency.
    fn default() -> Self {
        Self {
            price: 1_000_000,
            view_timeout_ms: 2_000,
            ruling_ms: 300,
            max_life_ms: 30 * 24 * 3_600 * 1_000,
            beacon_steps: 1 << 16,
            beacon_ms: 30_000,
            epoch_ms: 3_600 * 1_000,
            token: Address::ZERO,
        }
    }
}

/// A genesis as files have it, which may name an engine that this program does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFile {
    #[serde(default = "unversioned", skip_serializing_if = "is_unversioned")]
    version: u32,
    name: String,
    chain_id: u64,
    timestamp: u64,
    max_block_bytes: u64,
    validators: Vec<PublicKey>,
    #[serde(deserialize_with = "deserialize_addresses")]
    requesters: Vec<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    engine: Option<EngineFile>,
    /// How blocks are mined, in files from before engines had names: where it is absent, too, the engine is PBFT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mining: Option<Mining>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    training: Option<TrainingTerms>,
}

impl TryFrom<GenesisFile> for Genesis {
    type Error = GenesisError;

    fn try_from(file: GenesisFile) -> Result<Self, GenesisError> {
        let engine = match (file.engine, file.mining) {
            (Some(engine), None) => Engine::try_from(engine)?,
            (None, Some(mining)) => Engine::Nakamoto(mining),
            (None, None) => Engine::Pbft,
            (Some(_), Some(_)) => return Err(GenesisError::TwoEngines),
        };
        Ok(Self {
            version: file.version,
            name: file.name,
            chain_id: file.chain_id,
            timestamp: file.timestamp,
            max_block_bytes: file.max_block_bytes,
            validators: file.validators,
            requesters: file.requesters,
            engine,
            kinds: file.kinds,
            training: file.training,
        })
    }
}

impl From<Genesis> for GenesisFile {
    fn from(genesis: Genesis) -> Self {
        let named = !is_unversioned(&genesis.version);
        Self {
            engine: named.then(|| genesis.engine.into()),
            mining: genesis.engine.mining().filter(|_| !named),
            version: genesis.version,
            name: genesis.name,
            chain_id: genesis.chain_id,
            timestamp: genesis.timestamp,
            max_block_bytes: genesis.max_block_bytes,
            validators: genesis.validators,
            requesters: genesis.requesters,
            kinds: genesis.kinds,
            training: genesis.training,
        }
    }
}

fn unversioned() -> u32 {
    UNVERSIONED
}

fn is_unversioned(version: &u32) -> bool {
    *version == UNVERSIONED
}

/// Why a genesis is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// It is of another version.
    #[error(
        "the network is of version {0}, and this program is of version {VERSION}: run the program that the network was \
         made with, or make a new network"
    )]
    Version(u32),
    /// Too few or too many validators.
    #[error("{0} validators; there must be {MIN_VALIDATORS} to {MAX_VALIDATORS}")]
    ValidatorCount(usize),
    /// A validator is listed twice.
    #[error("a validator is listed twice")]
    DuplicateValidator,
    /// The settlement chain is none.
    #[error("chain_id 0 is no chain's: it is 1 or more")]
    NoChain,
    /// The block limit is out of range.
    #[error("max_block_bytes {0} is not in {min}..={max}", min = BLOCK_BYTES.start(), max = BLOCK_BYTES.end())]
    BlockLimit(u64),
    /// The block interval is out of range.
    #[error(
        "block_interval_ms {0} is not in {min}..={max}",
        min = BLOCK_INTERVAL_MS.start(), max = BLOCK_INTERVAL_MS.end()
    )]
    BlockInterval(u64),
    /// The confirmations are out of range.
    #[error("confirmations {0} is not in {min}..={max}", min = CONFIRMATIONS.start(), max = CONFIRMATIONS.end())]
    Confirmations(u64),
    /// An engine that is none.
    #[error(
        "no engine is called {0:?}: this program knows {known}; run one that knows it, or make a network with one of these",
        known = KNOWN.join(", ")
    )]
    UnknownEngine(String),
    /// An engine without what it needs to be told, or with what it does not know.
    #[error("the engine {kind} {what}")]
    EngineParameters {
        /// The engine's name.
        kind: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A custom kind of work that cannot be.
    #[error("kinds: {0}")]
    Kind(#[from] KindError),
    /// A custom kind of work that is listed twice, or two whose names come to the same number.
    #[error("the kind of work {0:?} is listed twice, or another name comes to its number: rename one")]
    DuplicateKind(String),
    /// Mining beside an engine.
    #[error("the genesis names an engine, so how blocks are mined is part of that: leave out \"mining\" beside it")]
    TwoEngines,
    /// Blocks without work.
    #[error("the first mined block must expect at least 1 hash")]
    NoWork,
}

impl Genesis {
    /// Checks the genesis and gives its validator set.
    pub fn validator_set(&self) -> Result<ValidatorSet, GenesisError> {
        if !(UNVERSIONED..=VERSION).contains(&self.version) {
            return Err(GenesisError::Version(self.version));
        }
        let count = self.validators.len();
        if !(MIN_VALIDATORS..=MAX_VALIDATORS).contains(&count) {
            return Err(GenesisError::ValidatorCount(count));
        }
        if self.chain_id == 0 {
            return Err(GenesisError::NoChain);
        }
        if !BLOCK_BYTES.contains(&self.max_block_bytes) {
            return Err(GenesisError::BlockLimit(self.max_block_bytes));
        }
        if let Some(Mining { block_interval_ms, confirmations, expected_hashes }) = self.engine.mining() {
            if !BLOCK_INTERVAL_MS.contains(&block_interval_ms) {
                return Err(GenesisError::BlockInterval(block_interval_ms));
            }
            if !CONFIRMATIONS.contains(&confirmations) {
                return Err(GenesisError::Confirmations(confirmations));
            }
            if expected_hashes == 0 {
                return Err(GenesisError::NoWork);
            }
        }
        let mut kinds = BTreeSet::new();
        for name in &self.kinds {
            if !kinds.insert(Kind::of_name(name)?) {
                return Err(GenesisError::DuplicateKind(name.clone()));
            }
        }
        let set = ValidatorSet::new(0, self.validators.iter().copied());
        if set.len() == count { Ok(set) } else { Err(GenesisError::DuplicateValidator) }
    }

    /// Checks the genesis and gives who validates, epoch by epoch.
    pub fn membership(&self) -> Result<Membership, GenesisError> {
        Ok(Membership::new(self.validator_set()?))
    }

    /// `keccak256(abi.encode(genesis))`, without a version where the genesis names none, with validators and requesters in
    /// ascending order of address. Where blocks are mined, `mining` follows the genesis in the arguments, and where there are
    /// custom kinds of work, the ascending list of their numbers comes last. Where training is ordered, it is
    /// `keccak256(abi.encode(training))` with the id that the network would have without.
    pub fn network_id(&self) -> B256 {
        let mut validators: Vec<_> = self.validators.iter().map(PublicKey::address).collect();
        validators.sort();
        let mut requesters = self.requesters.clone();
        requesters.sort();
        let mining = self.engine.mining().map(|Mining { block_interval_ms, confirmations, expected_hashes }| {
            abi::Mining { blockIntervalMs: block_interval_ms, confirmations, expectedHashes: expected_hashes }
        });
        let unversioned = abi::UnversionedGenesis {
            name: self.name.clone(),
            chainId: self.chain_id,
            timestamp: self.timestamp,
            maxBlockBytes: self.max_block_bytes,
            validators,
            requesters,
        };
        let genesis = |it: abi::UnversionedGenesis| abi::Genesis {
            version: self.version,
            name: it.name,
            chainId: it.chainId,
            timestamp: it.timestamp,
            maxBlockBytes: it.maxBlockBytes,
            validators: it.validators,
            requesters: it.requesters,
        };
        let kinds: Vec<_> = self.custom_kinds().map(Kind::number).collect::<BTreeSet<_>>().into_iter().collect();
        let encoded = match (self.version, mining) {
            (UNVERSIONED, None) => unversioned.abi_encode(),
            (UNVERSIONED, Some(mining)) => (unversioned, mining).abi_encode_params(),
            (_, None) if kinds.is_empty() => genesis(unversioned).abi_encode(),
            (_, None) => (genesis(unversioned), kinds).abi_encode_params(),
            (_, Some(mining)) if kinds.is_empty() => (genesis(unversioned), mining).abi_encode_params(),
            (_, Some(mining)) => (genesis(unversioned), mining, kinds).abi_encode_params(),
        };
        let network = keccak256(encoded);
        let with = |it: TrainingTerms| abi::Training {
            network,
            price: it.price,
            viewTimeoutMs: it.view_timeout_ms,
            rulingMs: it.ruling_ms,
            maxLifeMs: it.max_life_ms,
            beaconSteps: it.beacon_steps,
            beaconMs: it.beacon_ms,
            epochMs: it.epoch_ms,
            token: it.token,
        };
        self.training.map_or(network, |training| keccak256(with(training).abi_encode()))
    }

    /// The custom kinds of work that the network does.
    pub fn custom_kinds(&self) -> impl Iterator<Item = Kind> {
        self.kinds.iter().filter_map(|name| Kind::of_name(name).ok())
    }

    /// The domain in which this network signs.
    pub fn domain(&self) -> Domain {
        Domain::new(self.network_id(), self.chain_id)
    }
}
