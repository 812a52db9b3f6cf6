//! Evidence: which two votes of one validator contradict each other, and which a correct one casts together.

use dtn_primitives::*;

use crate::golden::{CHAIN_ID, KINDS, contradiction, genesis, keys, vote};

#[test]
fn two_votes_of_one_kind_for_one_slot_and_two_hashes_are_evidence() {
    let (domain, validators) = (genesis().domain(), genesis().validator_set().unwrap());
    let mut ids = std::collections::BTreeSet::new();
    for kind in KINDS {
        for validator in 0..4 {
            let evidence = contradiction(kind, validator);
            assert_eq!(evidence.verify(&domain, &validators), Ok(()));
            assert_eq!((evidence.kind(), evidence.validator()), (kind, ValidatorIndex(validator)));
            let turned = Evidence::new(&evidence.second, &evidence.first);
            assert_eq!(turned, evidence, "one contradiction has one form");
            let bytes = codec::encode(&evidence);
            assert_eq!(codec::decode::<Evidence>(&bytes, bytes.len()).as_ref(), Ok(&evidence));
            ids.insert(evidence.id());
        }
    }
    assert_eq!(ids.len(), 24, "other contradictions have other identities");
}

#[test]
fn two_notarizations_of_one_view_are_evidence_at_whatever_heights_their_blocks_are() {
    let (domain, validators) = (genesis().domain(), genesis().validator_set().unwrap());
    let notarize = |height, view| {
        // The height is in the header, so the hash says it and nothing else does.
        let hash = keccak256(u64::to_be_bytes(height));
        Vote::sign(VoteKind::Notarize, (0, view, 0), hash, ValidatorIndex(1), &keys()[1], &domain)
    };
    for height in [5, 6, 900u64] {
        let evidence = Evidence::new(&notarize(4, 7), &notarize(height, 7));
        assert_eq!(evidence.verify(&domain, &validators), Ok(()));
        assert_eq!((evidence.kind(), evidence.first.height), (VoteKind::Notarize, 0));
    }
    let next = Evidence::new(&notarize(4, 7), &notarize(5, 8));
    assert_eq!(next.verify(&domain, &validators), Err(EvidenceError::DifferentSlots), "a vote a view is what it casts");
}

#[test]
fn who_has_given_a_view_up_and_commits_in_it_is_accused_whatever_came_first() {
    let (keys, domain, validators) = (keys(), genesis().domain(), genesis().validator_set().unwrap());
    let sign =
        |kind, slot, hash, by: u16| Vote::sign(kind, slot, hash, ValidatorIndex(by), &keys[usize::from(by)], &domain);
    let hash = B256::repeat_byte(1);
    let nullify = sign(VoteKind::Nullify, (0, 2, 0), B256::ZERO, 1);
    let commit = sign(VoteKind::Commit, (0, 2, 9), hash, 1);
    let evidence = Evidence::new(&nullify, &commit);
    assert_eq!(evidence, Evidence::new(&commit, &nullify), "one contradiction has one form");
    assert_eq!(evidence.verify(&domain, &validators), Ok(()));
    assert_eq!((evidence.kind(), evidence.validator()), (VoteKind::Nullify, ValidatorIndex(1)));
    let elsewhere = Evidence::new(&nullify, &sign(VoteKind::Commit, (0, 2, 10), hash, 1));
    assert_eq!(elsewhere.verify(&domain, &validators), Ok(()), "at whatever height");
    assert_ne!(elsewhere.id(), evidence.id());

    let refused = |one: &Vote, other: &Vote| Evidence::new(one, other).verify(&domain, &validators).unwrap_err();
    for other in [
        sign(VoteKind::Commit, (0, 3, 9), hash, 1),
        sign(VoteKind::Commit, (1, 2, 9), hash, 1),
        sign(VoteKind::Commit, (0, 2, 9), hash, 2),
        sign(VoteKind::Notarize, (0, 2, 0), hash, 1),
        sign(VoteKind::Prepare, (0, 2, 9), hash, 1),
        sign(VoteKind::PrePrepare, (0, 2, 9), hash, 1),
        sign(VoteKind::Checkpoint, (0, 0, 9), hash, 1),
    ] {
        assert_eq!(refused(&nullify, &other), EvidenceError::DifferentSlots, "{:?}", other.kind);
    }
    let notarize = sign(VoteKind::Notarize, (0, 2, 0), hash, 1);
    assert_eq!(refused(&notarize, &commit), EvidenceError::DifferentSlots, "who commits has notarized");
    assert_eq!(refused(&nullify, &nullify), EvidenceError::NoContradiction);
    let nothing = sign(VoteKind::Commit, (0, 2, 9), B256::ZERO, 1);
    for (one, other) in [(&nullify, &nothing), (&nothing, &nullify)] {
        assert!(Evidence::new(one, other).verify(&domain, &validators).is_err(), "no block has this hash");
    }
    let mut turned = evidence;
    std::mem::swap(&mut turned.first, &mut turned.second);
    assert_eq!(turned.verify(&domain, &validators), Err(EvidenceError::DifferentSlots));
}

#[test]
fn what_a_vote_does_not_sign_cannot_be_varied() {
    let (domain, validators) = (genesis().domain(), genesis().validator_set().unwrap());
    let refused = |vote: Vote| vote.verify(&domain, &validators) == Err(KeyError::MalformedSignature);
    for kind in [VoteKind::Notarize, VoteKind::Nullify] {
        let good = vote(kind, 1, 5);
        assert_eq!(good.verify(&domain, &validators), Ok(()));
        assert!(refused(Vote { height: 1, ..good.clone() }), "{kind:?} at a height");
        let other = Vote { view: 3, ..good };
        assert!(other.verify(&domain, &validators).is_err(), "{kind:?} in another view");
    }
    assert!(refused(Vote { block_hash: B256::repeat_byte(1), ..vote(VoteKind::Nullify, 1, 0) }), "nothing has a hash");
    // So two nullifications never contradict each other.
    let dressed = |hash| Vote { block_hash: B256::repeat_byte(hash), ..vote(VoteKind::Nullify, 1, 0) };
    assert!(Evidence::new(&dressed(0), &dressed(1)).verify(&domain, &validators).is_err());
}

#[test]
fn votes_that_a_correct_validator_casts_together_are_no_evidence() {
    let (keys, domain, validators) = (keys(), genesis().domain(), genesis().validator_set().unwrap());
    let refused = |one: Vote, other| Evidence::new(&one, &other).verify(&domain, &validators).unwrap_err();
    let sign = |kind, slot, hash| Vote::sign(kind, slot, B256::repeat_byte(hash), ValidatorIndex(1), &keys[1], &domain);
    let commit = sign(VoteKind::Commit, (0, 2, 9), 1);
    for other in [
        sign(VoteKind::Prepare, (0, 2, 9), 2),
        sign(VoteKind::Commit, (1, 2, 9), 2),
        sign(VoteKind::Commit, (0, 3, 9), 2),
        sign(VoteKind::Commit, (0, 2, 8), 2),
        Vote::sign(VoteKind::Commit, (0, 2, 9), B256::repeat_byte(2), ValidatorIndex(2), &keys[2], &domain),
    ] {
        assert_eq!(refused(commit.clone(), other), EvidenceError::DifferentSlots);
    }
    assert_eq!(refused(commit.clone(), commit.clone()), EvidenceError::NoContradiction);
    let second = sign(VoteKind::Commit, (0, 2, 9), 2);
    let mut turned = Evidence::new(&commit, &second);
    std::mem::swap(&mut turned.first, &mut turned.second);
    assert_eq!(turned.verify(&domain, &validators), Err(EvidenceError::NoContradiction));

    let is_signature = |error| matches!(error, EvidenceError::Signature { .. });
    let unsigned = Vote { signature: commit.signature, ..second.clone() };
    assert!(is_signature(refused(commit.clone(), unsigned)), "the second vote is forged");
    let unsigned = Vote { signature: second.signature, ..commit.clone() };
    assert!(is_signature(refused(unsigned, second.clone())), "the first vote is forged");
    let accused = |vote: &Vote, index| Vote { validator: ValidatorIndex(index), ..vote.clone() };
    for index in [0, 2, 4, u16::MAX] {
        assert!(is_signature(refused(accused(&commit, index), accused(&second, index))), "{index} said nothing");
    }
    let evidence = Evidence::new(&commit, &second);
    for elsewhere in [Domain::new(B256::repeat_byte(9), CHAIN_ID), Domain::new(domain.network_id, 97)] {
        assert!(is_signature(evidence.verify(&elsewhere, &validators).unwrap_err()));
    }
    let later = ValidatorSet::new(1, genesis().validators);
    assert!(is_signature(evidence.verify(&domain, &later).unwrap_err()), "another epoch");

    let in_view = |vote| Vote { view: 1, ..vote };
    let (one, other) = (vote(VoteKind::Checkpoint, 1, 1), vote(VoteKind::Checkpoint, 1, 2));
    assert!(is_signature(refused(in_view(one), in_view(other))), "a checkpoint has no view");
}
