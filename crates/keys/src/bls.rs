//! The BLS keys of validators, and the file of those that can sign together.

use std::collections::BTreeMap;

use alloy_primitives::{Address, keccak256};
use dtn_primitives::{BlsPublicKey, BlsSecretKey, SecretKey};

/// The validators' published keys, as `dtn-cli bls keys --out` writes them: JSON, each by its validator's address.
pub type PublishedKeys = BTreeMap<Address, BlsPublicKey>;

/// The BLS key of a validator, which follows from its secret key: one secret is kept instead of two.
pub fn bls_key(key: &SecretKey) -> BlsSecretKey {
    let seed = keccak256([b"DTN/bls/1".as_slice(), key.to_bytes().as_slice()].concat());
    BlsSecretKey::from_seed(&seed.0)
}
