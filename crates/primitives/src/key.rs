//! secp256k1 keys and the 65-byte recoverable signatures that both Rust and `ecrecover` accept.

use std::fmt;

use alloy_primitives::{Address, B256, keccak256};
use k256::{
    Scalar,
    ecdsa::{SigningKey, VerifyingKey},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{ecdsa, memo, signatures};

/// Why a key or a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The 32 bytes are zero or not below the curve's order.
    #[error("not a secp256k1 secret key")]
    InvalidSecretKey,
    /// The 33 bytes are not a compressed point of the curve.
    #[error("not a compressed secp256k1 public key")]
    InvalidPublicKey,
    /// The signature is out of range, has a high `s` (EIP-2), or a recovery byte other than 27 or 28.
    #[error("malformed signature")]
    MalformedSignature,
    /// The signature is well formed, but not by the expected signer over this digest.
    #[error("the signature is not by {0}")]
    WrongSigner(Address),
    /// No validator of the expected epoch has this index.
    #[error("there is no validator {index} in epoch {epoch}")]
    UnknownValidator {
        /// The index that the message names.
        index: u16,
        /// The epoch that it names.
        epoch: u64,
    },
}

/// A signing key. Never printed; `Debug` shows its address only.
#[derive(Clone)]
pub struct SecretKey {
    key: SigningKey,
    address: Address,
}

impl SecretKey {
    /// Reads a key from its 32 big-endian bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = SigningKey::from_slice(bytes).map_err(|_| KeyError::InvalidSecretKey)?;
        let address = PublicKey(*key.verifying_key()).address();
        Ok(Self { key, address })
    }

    /// The 32 big-endian bytes, for a keystore to encrypt and for libp2p's identity.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.key.to_bytes().into()
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(*self.key.verifying_key())
    }

    /// The Ethereum address of this key.
    pub fn address(&self) -> Address {
        self.address
    }

    pub(crate) fn scalar(&self) -> Scalar {
        **self.key.as_nonzero_scalar()
    }

    /// Signs a 32-byte digest deterministically (RFC 6979), with low `s` (EIP-2).
    pub fn sign(&self, digest: B256) -> Signature {
        let stand_in = signatures::make(self.address, digest);
        stand_in
            .unwrap_or_else(|| memo::signature(self.address, digest, || Signature(ecdsa::sign(&self.key, &digest.0))))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.address())
    }
}

/// A verified point of the curve; 33 bytes compressed on every wire, hex in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub(crate) VerifyingKey);

impl PublicKey {
    /// Reads the compressed form (SEC 1).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() != 33 {
            return Err(KeyError::InvalidPublicKey);
        }
        VerifyingKey::from_sec1_bytes(bytes).map(Self).map_err(|_| KeyError::InvalidPublicKey)
    }

    /// The compressed form (SEC 1).
    pub fn to_bytes(&self) -> [u8; 33] {
        let point = self.0.to_encoded_point(true);
        let mut bytes = [0; 33];
        bytes.copy_from_slice(point.as_bytes());
        bytes
    }

    /// The last 20 bytes of the Keccak-256 of the uncompressed point.
    pub fn address(&self) -> Address {
        address_of(&self.0.to_encoded_point(false).as_bytes()[1..])
    }
}

/// The last 20 bytes of the Keccak-256 of an uncompressed point without its tag.
fn address_of(point: &[u8]) -> Address {
    Address::from_slice(&keccak256(point)[12..])
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", alloy_primitives::hex::encode_prefixed(self.to_bytes()))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        alloy_primitives::FixedBytes::<33>(self.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = alloy_primitives::FixedBytes::<33>::deserialize(deserializer)?;
        Self::from_bytes(bytes.as_slice()).map_err(D::Error::custom)
    }
}

/// `r ‖ s ‖ v`, 65 bytes with `v` 27 or 28, as `ecrecover` takes it. Not checked until [`Signature::signer`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 65]);

impl Signature {
    /// The address whose key signed `digest`.
    ///
    /// Refuses what the contract refuses (out of range, high `s`, other recovery bytes), so that a vote which a peer
    /// counts is always one that the registry accepts.
    pub fn signer(&self, digest: B256) -> Result<Address, KeyError> {
        let stand_in = signatures::check(self, digest);
        stand_in.unwrap_or_else(|| {
            memo::signer(self, digest, || match ecdsa::recover(&self.0, &digest.0) {
                Ok(point) => Ok(address_of(&point)),
                Err(ecdsa::Malformed) => Err(KeyError::MalformedSignature),
            })
        })
    }

    /// Succeeds only if `signer` signed `digest`.
    pub fn verify(&self, digest: B256, signer: Address) -> Result<(), KeyError> {
        if self.signer(digest)? == signer { Ok(()) } else { Err(KeyError::WrongSigner(signer)) }
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", alloy_primitives::hex::encode_prefixed(self.0))
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        alloy_primitives::FixedBytes::<65>(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        alloy_primitives::FixedBytes::<65>::deserialize(deserializer).map(|bytes| Self(bytes.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_bytes(&[7; 32]).expect("a valid scalar")
    }

    #[test]
    fn the_first_development_key_has_its_well_known_address() {
        let secret: [u8; 32] =
            alloy_primitives::hex!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
        let address = SecretKey::from_bytes(&secret).expect("anvil's account 0").address();
        assert_eq!(address.to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    }

    #[test]
    fn a_signature_recovers_its_signer_and_nobody_else() {
        let digest = keccak256("digest");
        let signature = key().sign(digest);
        assert_eq!(signature.signer(digest), Ok(key().address()));
        assert_ne!(signature.signer(keccak256("another")), Ok(key().address()));
        assert_eq!(signature.verify(digest, Address::ZERO), Err(KeyError::WrongSigner(Address::ZERO)));
    }

    #[test]
    fn the_twin_with_high_s_is_refused() {
        let digest = keccak256("digest");
        let signature = key().sign(digest);
        let twin = k256::ecdsa::Signature::from_slice(&signature.0[..64]).expect("well formed");
        let negated =
            k256::ecdsa::Signature::from_scalars(twin.r().to_bytes(), (-*twin.s()).to_bytes()).expect("in range");
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&negated.to_bytes());
        bytes[64] = 55 - signature.0[64];
        assert_eq!(Signature(bytes).signer(digest), Err(KeyError::MalformedSignature));
    }

    #[test]
    fn malformed_keys_and_signatures_are_errors() {
        assert!(SecretKey::from_bytes(&[0; 32]).is_err());
        assert!(SecretKey::from_bytes(&[0xff; 32]).is_err());
        assert!(PublicKey::from_bytes(&[5; 33]).is_err());
        assert!(PublicKey::from_bytes(&[]).is_err());
        for v in [0, 1, 26, 29, 255] {
            let mut signature = key().sign(B256::ZERO);
            signature.0[64] = v;
            assert_eq!(signature.signer(B256::ZERO), Err(KeyError::MalformedSignature));
        }
        assert_eq!(Signature([0; 65]).signer(B256::ZERO), Err(KeyError::MalformedSignature));
        assert_eq!(Signature([0xff; 65]).signer(B256::ZERO), Err(KeyError::MalformedSignature));
    }

    #[test]
    fn debug_shows_the_address_and_not_the_secret() {
        let shown = format!("{:?}", key());
        assert!(shown.contains(&key().address().to_string()));
        assert!(!shown.contains("0707"));
    }
}
