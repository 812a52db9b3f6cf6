//! What validators certify on the settlement chain.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{
    Distribution, Domain, Epochs, KeyError, MAX_VALIDATORS, MIN_VALIDATORS, SecretKey, Signature, ValidatorIndex, Vote,
    VoteKind,
};

/// The typed structs of EIP-712, named and ordered as in `docs/reference/formats.md`.
mod typed {
    alloy_sol_types::sol! {
        struct Rotation { uint64 epoch; address[] validators; }
        struct Distribution { uint64 epoch; uint32 number; bytes32 distributionHash; }
        struct Resolution { uint64 epoch; bytes32 action; }
        struct Recovery { uint64 epoch; address[] validators; }
    }
}

/// A message of which the registry contract takes a certificate. All validators sign its one digest, each as it may:
/// by ECDSA or by BLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettlementMessage {
    /// A block is final. The signatures are those of the commit votes.
    Commit {
        /// The epoch of the signers.
        epoch: u64,
        /// The view of all votes.
        view: u64,
        /// The block's height.
        height: u64,
        /// The block's hash.
        block_hash: B256,
    },
    /// A validator set names the next one.
    Rotation(Rotation),
    /// A distribution states what was earned.
    Distribution {
        /// The epoch of the signers.
        epoch: u64,
        /// The distribution's number.
        number: u32,
        /// The distribution's hash.
        hash: B256,
    },
    /// The validators agree to something that a contract asks for.
    Resolution {
        /// The epoch of the signers.
        epoch: u64,
        /// The hash of what they agree to.
        action: B256,
    },
    /// Validators of a set whose lock was stolen or lost name others for it.
    Recovery(Rotation),
}

/// The validators of an epoch name those of the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rotation {
    /// The epoch of the signers, which ends.
    pub epoch: u64,
    /// The validators of the next epoch, in strictly ascending order of address.
    pub validators: Vec<Address>,
}

/// Why the registry would not take a rotation, whoever signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// Too few or too many validators.
    #[error("{0} validators; there must be {MIN_VALIDATORS} to {MAX_VALIDATORS}")]
    ValidatorCount(usize),
    /// A validator is zero, there twice, or out of order.
    #[error("validator {0} is zero or not in strictly ascending order of address")]
    NotAscending(Address),
}

impl Rotation {
    /// Checks the next validators as the registry does.
    pub fn validate(&self) -> Result<(), RotationError> {
        let count = self.validators.len();
        if !(MIN_VALIDATORS..=MAX_VALIDATORS).contains(&count) {
            return Err(RotationError::ValidatorCount(count));
        }
        let before = [Address::ZERO].into_iter().chain(self.validators.iter().copied());
        let descent = before.zip(&self.validators).find(|(before, validator)| before >= *validator);
        descent.map_or(Ok(()), |(_, validator)| Err(RotationError::NotAscending(*validator)))
    }
}

impl SettlementMessage {
    /// What the validators of an epoch sign for a distribution.
    pub fn of_distribution(epoch: u64, distribution: &Distribution) -> Self {
        Self::Distribution { epoch, number: distribution.number, hash: distribution.hash() }
    }

    /// The epoch of the signers.
    pub fn epoch(&self) -> u64 {
        match self {
            Self::Commit { epoch, .. } | Self::Distribution { epoch, .. } | Self::Resolution { epoch, .. } => *epoch,
            Self::Rotation(next) | Self::Recovery(next) => next.epoch,
        }
    }

    /// The EIP-712 digest that validators sign. Its type is part of it, so no message passes for another.
    pub fn digest(&self, domain: &Domain) -> B256 {
        match *self {
            Self::Commit { epoch, view, height, block_hash } => {
                Vote::digest(domain, VoteKind::Commit, (epoch, view, height), block_hash)
            }
            Self::Rotation(Rotation { epoch, ref validators }) => {
                domain.digest(&typed::Rotation { epoch, validators: validators.clone() })
            }
            Self::Distribution { epoch, number, hash } => {
                domain.digest(&typed::Distribution { epoch, number, distributionHash: hash })
            }
            Self::Resolution { epoch, action } => domain.digest(&typed::Resolution { epoch, action }),
            Self::Recovery(Rotation { epoch, ref validators }) => {
                domain.digest(&typed::Recovery { epoch, validators: validators.clone() })
            }
        }
    }

    /// A validator's signature.
    pub fn sign(&self, key: &SecretKey, domain: &Domain) -> Signature {
        key.sign(self.digest(domain))
    }

    /// Succeeds only if this validator of the message's epoch signed it, in this domain.
    pub fn verify(
        &self,
        signature: &Signature,
        validator: ValidatorIndex,
        domain: &Domain,
        epochs: &impl Epochs,
    ) -> Result<(), KeyError> {
        let validator = epochs.signer(self.epoch(), validator)?;
        signature.verify(self.digest(domain), validator.address)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::ValidatorSet;

    fn addresses(bytes: impl IntoIterator<Item = u8>) -> Vec<Address> {
        bytes.into_iter().map(Address::repeat_byte).collect()
    }

    #[test]
    fn a_rotation_names_4_to_255_validators_in_strictly_ascending_order() {
        let validate = |validators| Rotation { epoch: 0, validators }.validate();
        let many = |count: u16| (1..=count).map(|i| Address::with_last_byte(i as u8)).collect::<Vec<_>>();
        for count in [4, 5, 255] {
            assert_eq!(validate(many(count)), Ok(()), "{count}");
        }
        for count in [0, 3, 256] {
            assert_eq!(validate(many(count)), Err(RotationError::ValidatorCount(count.into())));
        }
        for (wrong, at) in [([0, 1, 2, 3], 0), ([1, 2, 2, 3], 2), ([1, 3, 2, 4], 2)] {
            assert_eq!(validate(addresses(wrong)), Err(RotationError::NotAscending(addresses(wrong)[at])));
        }
    }

    #[test]
    fn a_signature_is_for_one_message_of_one_validator_epoch_network_and_chain() {
        let keys: Vec<_> = (1..=4).map(|i| SecretKey::from_bytes(&[i; 32]).unwrap()).collect();
        let set = ValidatorSet::new(5, keys.iter().map(SecretKey::public_key));
        let domain = Domain::new(B256::repeat_byte(1), 31337);
        let validators = addresses(1..=4);
        let rotation =
            |epoch, validators: &[_]| SettlementMessage::Rotation(Rotation { epoch, validators: validators.to_vec() });
        let distribution =
            |epoch, number, hash| SettlementMessage::Distribution { epoch, number, hash: B256::repeat_byte(hash) };
        let commit =
            |epoch, height| SettlementMessage::Commit { epoch, view: 1, height, block_hash: B256::repeat_byte(1) };
        let messages = [
            rotation(5, &validators),
            rotation(5, &validators[1..]),
            distribution(5, 1, 1),
            distribution(5, 2, 1),
            distribution(5, 1, 2),
            commit(5, 1),
            commit(5, 2),
            SettlementMessage::Resolution { epoch: 5, action: B256::repeat_byte(1) },
            SettlementMessage::Recovery(Rotation { epoch: 5, validators: validators.clone() }),
        ];
        let place = set.index_of(keys[0].address()).unwrap();
        for message in &messages {
            let signature = message.sign(&keys[0], &domain);
            for other in &messages {
                assert_eq!(other.verify(&signature, place, &domain, &set).is_ok(), other == message);
            }
            for (other, _) in set.iter().filter(|(other, _)| *other != place) {
                message.verify(&signature, other, &domain, &set).unwrap_err();
            }
            for elsewhere in [Domain::new(B256::repeat_byte(2), 31337), Domain::new(domain.network_id, 1)] {
                message.verify(&signature, place, &elsewhere, &set).unwrap_err();
            }
        }
        for message in [rotation(4, &validators), distribution(4, 1, 1), commit(4, 1)] {
            let signature = message.sign(&keys[0], &domain);
            let unknown = KeyError::UnknownValidator { index: place.0, epoch: 4 };
            assert_eq!(message.verify(&signature, place, &domain, &set), Err(unknown), "another epoch");
        }
    }

    #[test]
    fn a_commit_is_what_the_commit_votes_sign() {
        let (key, domain) = (SecretKey::from_bytes(&[1; 32]).unwrap(), Domain::new(B256::ZERO, 1));
        let vote = Vote::sign(VoteKind::Commit, (0, 2, 9), B256::repeat_byte(7), ValidatorIndex(0), &key, &domain);
        let message = SettlementMessage::Commit { epoch: 0, view: 2, height: 9, block_hash: B256::repeat_byte(7) };
        assert_eq!(message.sign(&key, &domain), vote.signature);
    }
}
