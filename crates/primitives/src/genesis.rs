//! The genesis: who validates, who may offer rewards, where results settle. Its hash is the network id.

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{Domain, PublicKey, ValidatorSet};

mod abi {
    alloy_sol_types::sol! {
        struct Genesis {
            string name;
            uint64 chainId;
            uint64 timestamp;
            uint64 maxBlockBytes;
            address[] validators;
            address[] requesters;
        }
    }
}

/// The fewest validators that tolerate a Byzantine one.
pub const MIN_VALIDATORS: usize = 4;

/// The most validators that the registry contract accepts.
pub const MAX_VALIDATORS: usize = 255;

const BLOCK_BYTES: std::ops::RangeInclusive<u64> = 32 * 1024..=16 * 1024 * 1024;

/// Everything that peers of one network must agree on before the first block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
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
}

/// Why a genesis is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Too few or too many validators.
    #[error("{0} validators; there must be {MIN_VALIDATORS} to {MAX_VALIDATORS}")]
    ValidatorCount(usize),
    /// A validator is listed twice.
    #[error("a validator is listed twice")]
    DuplicateValidator,
    /// The block limit is out of range.
    #[error("max_block_bytes {0} is not in {min}..={max}", min = BLOCK_BYTES.start(), max = BLOCK_BYTES.end())]
    BlockLimit(u64),
}

impl Genesis {
    /// Checks the genesis and gives its validator set.
    pub fn validator_set(&self) -> Result<ValidatorSet, GenesisError> {
        let count = self.validators.len();
        if !(MIN_VALIDATORS..=MAX_VALIDATORS).contains(&count) {
            return Err(GenesisError::ValidatorCount(count));
        }
        if !BLOCK_BYTES.contains(&self.max_block_bytes) {
            return Err(GenesisError::BlockLimit(self.max_block_bytes));
        }
        let set = ValidatorSet::new(0, self.validators.iter().copied());
        if set.len() == count { Ok(set) } else { Err(GenesisError::DuplicateValidator) }
    }

    /// `keccak256(abi.encode(genesis))`, with validators and requesters in ascending order of address.
    pub fn network_id(&self) -> B256 {
        let mut validators: Vec<_> = self.validators.iter().map(PublicKey::address).collect();
        validators.sort();
        let mut requesters = self.requesters.clone();
        requesters.sort();
        let genesis = abi::Genesis {
            name: self.name.clone(),
            chainId: self.chain_id,
            timestamp: self.timestamp,
            maxBlockBytes: self.max_block_bytes,
            validators,
            requesters,
        };
        keccak256(genesis.abi_encode())
    }

    /// The domain in which this network signs.
    pub fn domain(&self) -> Domain {
        Domain::new(self.network_id(), self.chain_id)
    }
}
