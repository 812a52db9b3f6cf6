//! Who takes part in one instance of a protocol, and what the protocol can promise with so many.

use std::time::Duration;

use dtn_primitives::{B256, SecretKey, Signature, ValidatorIndex, ValidatorSet, codec, keccak256};
use serde::Serialize;

/// After how long what may have been lost is said again for the first time.
const FIRST_RESEND: Duration = Duration::from_secs(1);

/// The longest pause between two times that it is.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One replica in one instance of a protocol, and all the others as it knows them.
#[derive(Debug, Clone)]
pub struct Party {
    /// Which of the validators it is.
    pub me: ValidatorIndex,
    /// What it signs with.
    pub key: SecretKey,
    /// Everyone.
    pub validators: ValidatorSet,
    /// The network that signatures are for.
    pub network: B256,
    /// Tells the instances of a network apart: what is signed in one is noise in every other.
    pub instance: u64,
    /// How many may be faulty, f.
    pub faulty: usize,
    /// How many are waited for: n − f, since no more are sure to say anything.
    pub quorum: usize,
}

impl Party {
    /// A replica among those that tolerate as many faulty ones as n > 3f allows.
    pub fn new(me: ValidatorIndex, key: SecretKey, validators: ValidatorSet, network: B256, instance: u64) -> Self {
        let faulty = validators.max_faulty();
        Self { me, key, validators, network, instance, faulty, quorum: 0 }.tolerating(faulty)
    }

    /// The same where so many may be faulty. Whether a protocol keeps its promises then, [`Unmet`] says.
    #[must_use]
    pub fn tolerating(self, faulty: usize) -> Self {
        Self { faulty, quorum: self.n().saturating_sub(faulty), ..self }
    }

    /// The number of replicas, n.
    pub fn n(&self) -> usize {
        self.validators.len()
    }

    /// Whether no more than so many can be waited for.
    pub fn is_quorum(&self, distinct: usize) -> bool {
        distinct >= self.quorum
    }

    /// Whether one of so many must be correct.
    pub fn has_correct(&self, distinct: usize) -> bool {
        distinct > self.faulty
    }

    /// What is signed to say this in a protocol of that name, in this instance.
    pub fn digest<T: Serialize>(&self, protocol: &str, said: &T) -> B256 {
        keccak256(codec::encode(&(protocol, self.network, self.validators.epoch(), self.instance, said)))
    }

    /// Whether it is this validator's signature.
    pub fn is_genuine(&self, by: ValidatorIndex, signature: &Signature, digest: B256) -> bool {
        self.validators.get(by).is_some_and(|signer| signature.verify(digest, signer.address).is_ok())
    }
}

/// What a protocol needs and does not have: it promises nothing then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{protocol} promises nothing with n = {n} and f = {faulty}: {theorem} needs {condition}")]
pub struct Unmet {
    /// The protocol.
    pub protocol: &'static str,
    /// How many replicas there are.
    pub n: usize,
    /// How many of them may be faulty.
    pub faulty: usize,
    /// Who has proven what it promises.
    pub theorem: &'static str,
    /// What the proof assumes, in words.
    pub condition: &'static str,
}

/// When what may have been lost is said again: each time after twice as long.
#[derive(Debug, Clone)]
pub(crate) struct Resend(Duration);

impl Default for Resend {
    fn default() -> Self {
        Self(FIRST_RESEND)
    }
}

impl Resend {
    /// The pause until the next time.
    pub(crate) fn pause(&mut self) -> Duration {
        let next = (self.0 * 2).min(LONGEST_PAUSE);
        std::mem::replace(&mut self.0, next)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The replicas of a network of n, in their order.
    pub(crate) fn parties(n: u8) -> Vec<Party> {
        let mut keys: Vec<_> =
            (1..=n).map(|seed| SecretKey::from_bytes(&[seed; 32]).expect("small numbers are keys")).collect();
        keys.sort_by_key(SecretKey::address);
        let validators = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key));
        let party = |(me, key)| Party::new(ValidatorIndex(me), key, validators.clone(), B256::repeat_byte(7), 1);
        (0..).zip(keys).map(party).collect()
    }

    #[test]
    fn what_is_said_in_one_instance_or_protocol_is_noise_in_every_other() {
        let party = parties(4).swap_remove(0);
        let other = Party { instance: 2, ..party.clone() };
        let abroad = Party { network: B256::ZERO, ..party.clone() };
        let digests = [party.digest("a", &1), party.digest("b", &1), other.digest("a", &1), abroad.digest("a", &1)];
        assert!((0..4).all(|i| (0..i).all(|j| digests[i] != digests[j])), "{digests:?}");
        let signature = party.key.sign(digests[0]);
        assert!(party.is_genuine(party.me, &signature, digests[0]));
        assert!(!party.is_genuine(party.me, &signature, digests[2]));
        assert!(!party.is_genuine(ValidatorIndex(1), &signature, digests[0]));
        assert!(!party.is_genuine(ValidatorIndex(9), &signature, digests[0]), "there is no such validator");
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let mut resend = Resend::default();
        let pauses: Vec<_> = (0..8).map(|_| resend.pause().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
