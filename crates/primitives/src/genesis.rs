//! The genesis: who validates, who may offer rewards, where results settle. Its hash is the network id.

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{Domain, PublicKey, ValidatorSet};

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
        struct Mining { uint64 blockIntervalMs; uint64 confirmations; uint64 expectedHashes; }
    }
}

/// The version of everything that peers of a network must have in common: what a block means, what they store and how
/// they speak.
pub const VERSION: u32 = 7;

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
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The version of the program that made the network, [`VERSION`]; [`UNVERSIONED`] where the file names none. What a
    /// network of that version has decided can still be proven, so its store may be brought here.
    #[serde(default = "unversioned", skip_serializing_if = "is_unversioned")]
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
    /// How blocks are mined; absent where they are not, but proposed by the primaries of PBFT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mining: Option<Mining>,
}

fn unversioned() -> u32 {
    UNVERSIONED
}

fn is_unversioned(version: &u32) -> bool {
    *version == UNVERSIONED
}

/// How the blocks of a network are mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mining {
    /// The time between two blocks that the work is adjusted to, in milliseconds.
    pub block_interval_ms: u64,
    /// How many blocks have to be on top of one before validators make it final.
    pub confirmations: u64,
    /// The expected number of hashes for the first block.
    pub expected_hashes: u64,
}

/// The adjustment of the work forgets in so many blocks.
const ADJUSTMENT_BLOCKS: u128 = 16;

/// A block that took longer than so many intervals counts as if it had not.
const SLOWEST_INTERVALS: u64 = 10;

/// How many blocks may be mined on top of confirmed ones that are not final, because a quorum of validators is missing:
/// everybody has to remember all of them.
pub const MAX_UNDECIDED: u64 = 64;

impl Mining {
    /// How far above the last final block a block is taken: twice as far as anybody mines beyond what is confirmed.
    pub fn max_mined_ahead(&self) -> u64 {
        self.confirmations.saturating_add(2 * MAX_UNDECIDED)
    }

    /// The expected number of hashes for the block after one that expected `work` and came `elapsed_ms` after its parent.
    ///
    /// An exponential average over [`ADJUSTMENT_BLOCKS`]: with blocks of interval T that take t each, the work goes by the
    /// factor 16T / (15T + t). It depends on nothing but a block and its parent, rises by a fifteenth at most and falls by
    /// two fifths at most.
    pub fn next_work(&self, work: u64, elapsed_ms: u64) -> u64 {
        let interval = u128::from(self.block_interval_ms);
        let elapsed = u128::from(elapsed_ms.min(self.block_interval_ms.saturating_mul(SLOWEST_INTERVALS)));
        let next = u128::from(work) * ADJUSTMENT_BLOCKS * interval / ((ADJUSTMENT_BLOCKS - 1) * interval + elapsed);
        // Small numbers would not rise otherwise.
        let least = if elapsed < interval { work.saturating_add(1) } else { 1 };
        u64::try_from(next).unwrap_or(u64::MAX).max(least)
    }
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
    /// Blocks without work.
    #[error("the first mined block must expect at least 1 hash")]
    NoWork,
}

impl Genesis {
    /// Checks the genesis and gives its validator set.
    pub fn validator_set(&self) -> Result<ValidatorSet, GenesisError> {
        if ![VERSION, UNVERSIONED].contains(&self.version) {
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
        if let Some(Mining { block_interval_ms, confirmations, expected_hashes }) = self.mining {
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
        let set = ValidatorSet::new(0, self.validators.iter().copied());
        if set.len() == count { Ok(set) } else { Err(GenesisError::DuplicateValidator) }
    }

    /// `keccak256(abi.encode(genesis))`, without a version where the genesis names none, with validators and requesters in ascending order of address; where blocks are
    /// mined, `keccak256(abi.encode(genesis, mining))`.
    pub fn network_id(&self) -> B256 {
        let mut validators: Vec<_> = self.validators.iter().map(PublicKey::address).collect();
        validators.sort();
        let mut requesters = self.requesters.clone();
        requesters.sort();
        let mining = self.mining.map(|Mining { block_interval_ms, confirmations, expected_hashes }| abi::Mining {
            blockIntervalMs: block_interval_ms,
            confirmations,
            expectedHashes: expected_hashes,
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
        let encoded = match (self.version, mining) {
            (UNVERSIONED, None) => unversioned.abi_encode(),
            (UNVERSIONED, Some(mining)) => (unversioned, mining).abi_encode_params(),
            (_, None) => genesis(unversioned).abi_encode(),
            (_, Some(mining)) => (genesis(unversioned), mining).abi_encode_params(),
        };
        keccak256(encoded)
    }

    /// The domain in which this network signs.
    pub fn domain(&self) -> Domain {
        Domain::new(self.network_id(), self.chain_id)
    }
}
