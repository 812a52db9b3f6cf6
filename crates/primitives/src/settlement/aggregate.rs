//! Certificates by aggregate signature, and those of either kind.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use super::{EcdsaCertificate, require_quorum};
use crate::{BlsPublicKey, BlsSignature, CertificateError, ValidatorIndex, ValidatorSet};

/// Bytes of the bits that say who signed.
const SIGNERS: usize = 32;

/// Who of a quorum signed, and the sum of their signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlsCertificate {
    /// Bit `i` stands for the validator at place `i`.
    signers: U256,
    signature: BlsSignature,
}

impl BlsCertificate {
    /// Bytes of its encoding. No number of ECDSA signatures has this length.
    pub const LENGTH: usize = 160;

    /// Adds up signatures of one digest. `None` if there is no signature, if they cancel each other out, or if there is
    /// no bit for a place, which no validator has that the registry knows.
    pub fn aggregate(signatures: &BTreeMap<ValidatorIndex, BlsSignature>) -> Option<Self> {
        let mut signers = U256::ZERO;
        for place in signatures.keys().map(|place| place.as_usize()) {
            if place >= U256::BITS {
                return None;
            }
            signers.set_bit(place, true);
        }
        Some(Self { signers, signature: BlsSignature::sum(signatures.values())? })
    }

    /// Reads `signers ‖ signature`. Of the signature it is checked that it is one of somebody;
    /// [`BlsCertificate::verify`] checks the rest.
    pub fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Result<Self, CertificateError> {
        let (signers, signature) = bytes.split_at(SIGNERS);
        let signature = BlsSignature::from_bytes(signature).map_err(|_| CertificateError::MalformedAggregate)?;
        Ok(Self { signers: U256::from_be_slice(signers), signature })
    }

    /// `signers ‖ signature`.
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..SIGNERS].copy_from_slice(&self.signers.to_be_bytes::<SIGNERS>());
        bytes[SIGNERS..].copy_from_slice(&self.signature.to_bytes());
        bytes
    }

    /// The places of those who signed, in ascending order.
    pub fn signers(&self) -> impl Iterator<Item = ValidatorIndex> {
        (0..=u8::MAX).filter(|place| self.signers.bit(usize::from(*place))).map(|place| ValidatorIndex(place.into()))
    }

    /// Succeeds only if a quorum of validators signed this digest. `keys` are those published for their epoch, by
    /// place; who is beyond the end has none. Their possession must have been proven, which the registry asks for.
    ///
    /// What passes is what the registry takes, but for one thing: signers whose keys add up to infinity, which only a
    /// quorum of conspirators can make, have signed nothing here.
    pub fn verify(
        &self,
        digest: B256,
        validators: &ValidatorSet,
        keys: &[Option<BlsPublicKey>],
    ) -> Result<(), CertificateError> {
        require_quorum(self.signers.count_ones(), validators)?;
        let key_of = |place: ValidatorIndex| {
            validators.get(place).ok_or(CertificateError::NoValidator { place })?;
            let key = keys.get(place.as_usize()).and_then(Option::as_ref);
            key.ok_or(CertificateError::NoKey { validator: place })
        };
        let keys = self.signers().map(key_of).collect::<Result<Vec<_>, _>>()?;
        let valid = BlsPublicKey::sum(keys).is_some_and(|key| self.signature.verify(digest, &key).is_ok());
        if valid { Ok(()) } else { Err(CertificateError::InvalidAggregate) }
    }
}

/// A certificate as the registry takes it, in either encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub enum SettlementCertificate {
    /// Signatures one by one.
    Ecdsa(EcdsaCertificate),
    /// One aggregate signature. It costs less gas from about 32 signers on.
    Bls(BlsCertificate),
}

impl SettlementCertificate {
    /// Tells the two apart by the length, and reads it. [`SettlementCertificate::verify`] checks the rest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CertificateError> {
        match bytes.try_into() {
            Ok(bytes) => BlsCertificate::from_bytes(bytes).map(Self::Bls),
            Err(_) => EcdsaCertificate::from_bytes(bytes).map(Self::Ecdsa),
        }
    }

    /// The bytes that the registry takes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Ecdsa(certificate) => certificate.to_bytes(),
            Self::Bls(certificate) => certificate.to_bytes().into(),
        }
    }

    /// Succeeds only if a quorum of distinct validators signed this digest, as the registry contract checks it. The
    /// keys are those of [`BlsCertificate::verify`]; without any, only ECDSA passes.
    pub fn verify(
        &self,
        digest: B256,
        validators: &ValidatorSet,
        keys: &[Option<BlsPublicKey>],
    ) -> Result<(), CertificateError> {
        match self {
            Self::Ecdsa(certificate) => certificate.verify(digest, validators),
            Self::Bls(certificate) => certificate.verify(digest, validators, keys),
        }
    }
}

impl From<EcdsaCertificate> for SettlementCertificate {
    fn from(certificate: EcdsaCertificate) -> Self {
        Self::Ecdsa(certificate)
    }
}

impl From<BlsCertificate> for SettlementCertificate {
    fn from(certificate: BlsCertificate) -> Self {
        Self::Bls(certificate)
    }
}

impl TryFrom<Bytes> for SettlementCertificate {
    type Error = CertificateError;

    fn try_from(bytes: Bytes) -> Result<Self, CertificateError> {
        Self::from_bytes(&bytes)
    }
}

impl From<SettlementCertificate> for Bytes {
    fn from(certificate: SettlementCertificate) -> Self {
        certificate.to_bytes().into()
    }
}
