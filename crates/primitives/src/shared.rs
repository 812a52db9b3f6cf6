//! What two keys have in common: a point that whoever has the secret of either computes (Diffie & Hellman, IEEE Trans. Inf.
//! Theory 22, 1976), and nobody else, until one of them shows it.

use alloy_primitives::{B256, keccak256};
use k256::{
    AffinePoint, FieldBytes, ProjectivePoint, Scalar, U256,
    ecdsa::VerifyingKey,
    elliptic_curve::{PrimeField, ops::Reduce, sec1::ToEncodedPoint},
};
use serde::{Deserialize, Serialize};

use crate::{KeyError, PublicKey, SecretKey};

/// Shows that a point is what a key has in common with another one, and of the key's secret nothing else: that both
/// points have the same logarithm, one to the generator and one to the other key (Chaum & Pedersen, CRYPTO '92, §3.2), made
/// without a dialogue (Fiat & Shamir, CRYPTO '86).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedProof {
    challenge: B256,
    response: B256,
}

impl SecretKey {
    /// The point that this key has in common with another. Its bytes are no key by themselves: hash them with what they are
    /// used for.
    pub fn shared(&self, other: &PublicKey) -> PublicKey {
        let point = (point(other) * self.scalar()).to_affine();
        PublicKey(VerifyingKey::from_affine(point).expect("the group's order is prime, and neither factor is zero"))
    }

    /// The proof that [`SecretKey::shared`] is that. It is good in this context and no other.
    pub fn prove_shared(&self, other: &PublicKey, context: B256) -> SharedProof {
        let shared = self.shared(other);
        // Known to nobody else, and another one for each statement, as in RFC 6979.
        let secret = keccak256([&b"DTN/shared/nonce"[..], &self.to_bytes(), &context.0, &other.to_bytes()].concat());
        let nonce = <Scalar as Reduce<U256>>::reduce_bytes(&FieldBytes::from(secret.0));
        let commitments = [ProjectivePoint::GENERATOR * nonce, point(other) * nonce];
        let challenge = challenge(context, [&self.public_key(), other, &shared], commitments);
        let response = nonce + scalar(challenge) * self.scalar();
        SharedProof { challenge, response: B256::from_slice(&response.to_bytes()) }
    }
}

impl SharedProof {
    /// Succeeds only if `shared` is what the key of `one` has in common with `other`.
    pub fn verify(
        &self,
        one: &PublicKey,
        other: &PublicKey,
        shared: &PublicKey,
        context: B256,
    ) -> Result<(), KeyError> {
        let response: Option<Scalar> = Scalar::from_repr(FieldBytes::from(self.response.0)).into();
        let (response, challenged) = (response.ok_or(KeyError::MalformedSignature)?, scalar(self.challenge));
        let commitments = [
            ProjectivePoint::GENERATOR * response - point(one) * challenged,
            point(other) * response - point(shared) * challenged,
        ];
        let holds = challenge(context, [one, other, shared], commitments) == self.challenge;
        if holds { Ok(()) } else { Err(KeyError::WrongSigner(one.address())) }
    }
}

fn point(key: &PublicKey) -> ProjectivePoint {
    ProjectivePoint::from(*key.0.as_affine())
}

/// The curve's order is so close to 2^256 that what this favours nobody notices.
fn scalar(hash: B256) -> Scalar {
    <Scalar as Reduce<U256>>::reduce_bytes(&FieldBytes::from(hash.0))
}

fn challenge(context: B256, statement: [&PublicKey; 3], commitments: [ProjectivePoint; 2]) -> B256 {
    let mut said = [&b"DTN/shared/proof"[..], &context.0].concat();
    statement.iter().for_each(|key| said.extend(key.to_bytes()));
    commitments.iter().for_each(|point| said.extend(bytes(&point.to_affine())));
    keccak256(said)
}

/// Infinity, which has a form of its own, included.
fn bytes(point: &AffinePoint) -> Vec<u8> {
    point.to_encoded_point(true).as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_bytes(&[seed; 32]).expect("a valid scalar")
    }

    #[test]
    fn two_keys_have_one_point_in_common_and_others_have_another() {
        let (one, other, third) = (key(1), key(2), key(3));
        assert_eq!(one.shared(&other.public_key()), other.shared(&one.public_key()));
        assert_ne!(one.shared(&other.public_key()), third.shared(&other.public_key()));
        // The secret 2 doubles, as is known of the generator (SEC 2, §2.4.1).
        let mut two = [0; 32];
        two[31] = 2;
        let two = SecretKey::from_bytes(&two).expect("a valid scalar");
        let mut four = [0; 32];
        four[31] = 4;
        let four = SecretKey::from_bytes(&four).expect("a valid scalar");
        assert_eq!(two.shared(&two.public_key()), four.public_key());
    }

    #[test]
    fn a_shared_point_is_proven_by_either_and_no_other_point_is() {
        let (one, other, context) = (key(1), key(2), B256::repeat_byte(9));
        let shared = one.shared(&other.public_key());
        let proof = one.prove_shared(&other.public_key(), context);
        let verify = |proof: &SharedProof, one: &SecretKey, other: &SecretKey, shared: &PublicKey, context| {
            proof.verify(&one.public_key(), &other.public_key(), shared, context)
        };
        assert_eq!(verify(&proof, &one, &other, &shared, context), Ok(()));
        let by_other = other.prove_shared(&one.public_key(), context);
        assert_eq!(verify(&by_other, &other, &one, &shared, context), Ok(()));

        let refused = Err(KeyError::WrongSigner(one.address()));
        assert_eq!(verify(&proof, &one, &other, &shared, B256::ZERO), refused, "another context");
        assert_eq!(verify(&proof, &one, &key(3), &shared, context), refused, "another key");
        assert_eq!(verify(&by_other, &one, &other, &shared, context), refused, "the other one's proof");
        assert_eq!(verify(&proof, &one, &other, &key(3).public_key(), context), refused, "another point");
        // A point that a liar would have: a proof by another key of what that has in common.
        let lie = key(3).prove_shared(&other.public_key(), context);
        assert_eq!(verify(&lie, &one, &other, &key(3).shared(&other.public_key()), context), refused);
        for bit in 0..512 {
            let mut changed = proof;
            let part = if bit < 256 { &mut changed.challenge } else { &mut changed.response };
            part.0[bit % 256 / 8] ^= 1 << (bit % 8);
            assert!(verify(&changed, &one, &other, &shared, context).is_err(), "bit {bit}");
        }
        let above = SharedProof { response: B256::repeat_byte(0xff), ..proof };
        assert_eq!(verify(&above, &one, &other, &shared, context), Err(KeyError::MalformedSignature));
    }
}
