//! What validators certify on the settlement chain, and certificates in the encodings of the registry contract: the
//! signatures alone, of which the contract finds out the signers, over the digest of any [`SettlementMessage`].

#[cfg(feature = "bls")]
mod aggregate;
mod message;

use alloy_primitives::B256;

#[cfg(feature = "bls")]
pub use self::aggregate::{BlsCertificate, SettlementCertificate};
pub use self::message::{Rotation, RotationError, SettlementMessage};
use crate::{
    CertificateError, Signature, ValidatorSet,
    certificate::{require_ascending, require_quorum},
};

/// The ECDSA signatures of a quorum, 65 bytes each, in strictly ascending order of the signer's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EcdsaCertificate {
    signatures: Vec<Signature>,
}

impl EcdsaCertificate {
    /// The certificate of signatures in the order of their validators' places, which is the order of their addresses.
    /// Nothing is checked; [`EcdsaCertificate::verify`] does.
    pub fn new(signatures: impl IntoIterator<Item = Signature>) -> Self {
        Self { signatures: signatures.into_iter().collect() }
    }

    /// Cuts bytes into signatures. Nothing else is checked; [`EcdsaCertificate::verify`] does.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CertificateError> {
        let (signatures, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(CertificateError::Length(bytes.len()));
        }
        Ok(Self::new(signatures.iter().copied().map(Signature)))
    }

    /// The signatures one by one.
    pub fn signatures(&self) -> impl Iterator<Item = &Signature> {
        self.signatures.iter()
    }

    /// The concatenated signatures.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.signatures.iter().flat_map(|signature| signature.0).collect()
    }

    /// Succeeds only if a quorum of distinct validators signed this digest, as the registry contract checks it.
    pub fn verify(&self, digest: B256, validators: &ValidatorSet) -> Result<(), CertificateError> {
        require_quorum(self.signatures.len(), validators)?;
        // So many cannot all be distinct, and need not be looked at.
        if self.signatures.len() > validators.len() {
            return Err(CertificateError::NotAscending);
        }
        let signer = |(index, signature): (usize, &Signature)| {
            let signer = signature.signer(digest).map_err(|_| CertificateError::MalformedSignature { index })?;
            validators.index_of(signer).ok_or(CertificateError::UnknownSigner(signer))
        };
        let signers = self.signatures.iter().enumerate().map(signer).collect::<Result<Vec<_>, _>>()?;
        require_ascending(signers)
    }
}
