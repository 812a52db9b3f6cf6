//! The EIP-712 domain of a network: what its signatures are bound to.

use alloy_primitives::{B256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use serde::{Deserialize, Serialize};

/// The network and settlement chain that a signature is for.
///
/// Holds the domain separator, so that a digest costs two hashes. Two networks, or one network settling on two chains,
/// have different separators: a signature of one is noise in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Domain {
    /// The Keccak-256 of the genesis.
    pub network_id: B256,
    /// The chain id of the settlement chain.
    pub chain_id: u64,
    separator: B256,
}

impl Domain {
    /// The domain of a network that settles on a chain.
    pub fn new(network_id: B256, chain_id: u64) -> Self {
        let domain = Eip712Domain {
            name: Some("DTN".into()),
            version: Some("1".into()),
            chain_id: Some(alloy_primitives::U256::from(chain_id)),
            verifying_contract: None,
            salt: Some(network_id),
        };
        Self { network_id, chain_id, separator: domain.separator() }
    }

    /// `hashStruct(EIP712Domain)` of EIP-712.
    pub fn separator(&self) -> B256 {
        self.separator
    }

    /// The digest to sign for a struct: `keccak256(0x1901 ‖ separator ‖ hashStruct)`.
    pub(crate) fn digest<T: SolStruct>(&self, message: &T) -> B256 {
        let mut preimage = [0; 66];
        preimage[..2].copy_from_slice(&[0x19, 0x01]);
        preimage[2..34].copy_from_slice(self.separator.as_slice());
        preimage[34..].copy_from_slice(message.eip712_hash_struct().as_slice());
        keccak256(preimage)
    }
}
