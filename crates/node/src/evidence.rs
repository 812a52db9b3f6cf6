//! The evidence that this peer knows: verified, durable, and bounded.

use std::collections::BTreeMap;

use dtn_ledger::{Store, StoreError};
use dtn_primitives::{Domain, Evidence, EvidenceError, Membership, ValidatorIndex, VoteKind};

/// Why evidence was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EvidenceRefusal {
    /// It proves nothing. No correct peer passes it on.
    #[error(transparent)]
    Invalid(#[from] EvidenceError),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// At most one piece of evidence for each validator and kind of vote, so that validators that contradict themselves
/// all the time fill nobody's disk: one is enough to bar them.
#[derive(Debug)]
pub(crate) struct EvidencePool {
    domain: Domain,
    membership: Membership,
    store: Store,
    known: BTreeMap<(ValidatorIndex, VoteKind), Evidence>,
}

impl EvidencePool {
    /// Takes up what the store has.
    pub(crate) fn open(store: Store, domain: Domain, membership: Membership) -> Result<Self, StoreError> {
        let known = store.evidence()?.into_iter().map(|evidence| (slot(&evidence), evidence)).collect();
        Ok(Self { domain, membership, store, known })
    }

    /// Verifies and stores evidence. Whether it was news; it is durable when this returns.
    pub(crate) fn add(&mut self, evidence: &Evidence) -> Result<bool, EvidenceRefusal> {
        let known = self.known.get(&slot(evidence));
        // The same again costs no signature check.
        if known == Some(evidence) {
            return Ok(false);
        }
        evidence.verify(&self.domain, &self.membership)?;
        if known.is_some() {
            return Ok(false);
        }
        self.store.add_evidence(evidence)?;
        self.known.insert(slot(evidence), evidence.clone());
        Ok(true)
    }

    /// All of it, by validator and kind.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Evidence> {
        self.known.values()
    }

    /// The validators that are proven to have contradicted themselves, ascending.
    pub(crate) fn validators(&self) -> Vec<u16> {
        let mut validators: Vec<_> = self.known.keys().map(|(validator, _)| validator.0).collect();
        validators.dedup();
        validators
    }
}

fn slot(evidence: &Evidence) -> (ValidatorIndex, VoteKind) {
    (evidence.validator(), evidence.kind())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_ledger::Ledger;
    use dtn_primitives::{B256, Genesis, SecretKey, Vote, codec};

    use super::*;

    fn keys() -> Vec<SecretKey> {
        let mut keys: Vec<_> = (1..=4).map(|i| SecretKey::from_bytes(&[i; 32]).unwrap()).collect();
        keys.sort_by_key(SecretKey::address);
        keys
    }

    fn genesis() -> Genesis {
        Genesis {
            version: dtn_primitives::VERSION,
            name: "evidence".into(),
            chain_id: 31337,
            timestamp: 1,
            max_block_bytes: 1 << 20,
            validators: keys().iter().map(SecretKey::public_key).collect(),
            requesters: Vec::new(),
            engine: dtn_primitives::Engine::Pbft,
            kinds: Vec::new(),
            training: None,
        }
    }

    fn pool(ledger: &Ledger) -> EvidencePool {
        EvidencePool::open(ledger.store().clone(), *ledger.domain(), ledger.membership().clone()).unwrap()
    }

    fn evidence(validator: u16, kind: VoteKind, height: u64) -> Evidence {
        let vote = |hash| vote_of(validator, kind, (0, 0, height), B256::repeat_byte(hash));
        Evidence::new(&vote(1), &vote(2))
    }

    fn vote_of(validator: u16, kind: VoteKind, slot: (u64, u64, u64), hash: B256) -> Vote {
        let key = &keys()[usize::from(validator)];
        Vote::sign(kind, slot, hash, ValidatorIndex(validator), key, &genesis().domain())
    }

    /// Votes in a view, which have no height.
    fn notarized_twice(validator: u16, view: u64) -> Evidence {
        let notarize = |hash| vote_of(validator, VoteKind::Notarize, (0, view, 0), B256::repeat_byte(hash));
        Evidence::new(&notarize(1), &notarize(2))
    }

    /// A commit in a view that was given up.
    fn given_up(validator: u16, view: u64) -> Evidence {
        let nullify = vote_of(validator, VoteKind::Nullify, (0, view, 0), B256::ZERO);
        Evidence::new(&vote_of(validator, VoteKind::Commit, (0, view, 7), B256::repeat_byte(1)), &nullify)
    }

    #[test]
    fn evidence_is_news_once_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Ledger::open(folder.path().join("store"), genesis()).unwrap();
        let (first, second) = (evidence(2, VoteKind::Commit, 1), evidence(0, VoteKind::Checkpoint, 128));
        {
            let ledger = open();
            let mut pool = pool(&ledger);
            assert_eq!(pool.add(&first), Ok(true));
            assert_eq!(pool.add(&first), Ok(false));
            assert_eq!(pool.add(&second), Ok(true));
        }
        let ledger = open();
        let mut pool = pool(&ledger);
        assert_eq!(pool.all().collect::<Vec<_>>(), [&second, &first]);
        assert_eq!(pool.validators(), [0, 2]);
        assert_eq!(pool.add(&first), Ok(false));
    }

    #[test]
    fn one_piece_is_kept_for_each_validator_and_kind() {
        let ledger = Ledger::in_memory(genesis()).unwrap();
        let mut pool = pool(&ledger);
        let kinds = [VoteKind::PrePrepare, VoteKind::Prepare, VoteKind::Commit, VoteKind::Checkpoint];
        for height in 1..20 {
            for kind in kinds {
                assert_eq!(pool.add(&evidence(3, kind, height)), Ok(height == 1));
            }
            assert_eq!(pool.add(&notarized_twice(3, height)), Ok(height == 1));
            assert_eq!(pool.add(&given_up(3, height)), Ok(height == 1));
        }
        assert_eq!((pool.all().count(), ledger.store().evidence().unwrap().len()), (6, 6));
        assert_eq!(pool.validators(), [3]);
    }

    #[test]
    fn what_proves_nothing_is_refused_and_not_kept() {
        let ledger = Ledger::in_memory(genesis()).unwrap();
        let mut pool = pool(&ledger);
        let good = evidence(1, VoteKind::Prepare, 1);
        let same = Evidence::new(&good.first, &good.first);
        assert_eq!(pool.add(&same), Err(EvidenceError::NoContradiction.into()));
        // Nor is it where there is true evidence of its kind already.
        for known in [false, true] {
            assert!(!known || pool.add(&good).unwrap());
            let mut forged = good.clone();
            forged.second.signature = forged.first.signature;
            assert!(matches!(pool.add(&forged), Err(EvidenceRefusal::Invalid(_))));
            assert_eq!(pool.all().count(), usize::from(known));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let ledger = Ledger::in_memory(genesis()).unwrap();
        let mut pool = pool(&ledger);
        for evidence in [evidence(1, VoteKind::Commit, 7), notarized_twice(1, 7), given_up(1, 7)] {
            let bytes = codec::encode(&evidence);
            for length in 0..bytes.len() {
                assert!(codec::decode::<Evidence>(&bytes[..length], bytes.len()).is_err());
            }
            for bit in 0..8 * bytes.len() {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Ok(evidence) = codec::decode::<Evidence>(&flipped, flipped.len()) {
                    assert!(pool.add(&evidence).is_err(), "bit {bit}");
                }
            }
        }
        assert_eq!(pool.all().count(), 0);
    }
}
