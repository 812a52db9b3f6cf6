//! Certificates as the registry contract takes them: what passes and what does not, whatever the bytes.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "bls")]

use std::collections::BTreeMap;

use dtn_primitives::*;
use proptest::prelude::*;

/// A message that is to be certified.
const DIGEST: B256 = B256::repeat_byte(0xd1);

/// The keys of seven validators, of whom five are a quorum, in ascending order of address.
fn keys() -> Vec<SecretKey> {
    let mut keys: Vec<_> = (1..=7).map(|i| SecretKey::from_bytes(&[i; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::address);
    keys
}

fn validators() -> ValidatorSet {
    ValidatorSet::new(0, keys().iter().map(SecretKey::public_key))
}

/// The signatures of the validators at these places.
fn ecdsa(places: &[usize]) -> EcdsaCertificate {
    let keys = keys();
    EcdsaCertificate::new(places.iter().map(|place| keys[*place].sign(DIGEST)))
}

#[test]
fn a_quorum_of_ecdsa_signatures_in_order_is_a_certificate_whoever_signs() {
    for certificate in [ecdsa(&[0, 1, 2, 3, 4]), ecdsa(&[0, 2, 3, 5, 6]), ecdsa(&[0, 1, 2, 3, 4, 5, 6])] {
        assert_eq!(certificate.verify(DIGEST, &validators()), Ok(()));
        assert_eq!(EcdsaCertificate::from_bytes(&certificate.to_bytes()), Ok(certificate));
    }
}

#[test]
fn an_ecdsa_certificate_is_refused_for_what_is_wrong_with_it() {
    let verify = |certificate: EcdsaCertificate| certificate.verify(DIGEST, &validators());
    assert_eq!(verify(ecdsa(&[0, 1, 2, 3])), Err(CertificateError::BelowQuorum { have: 4, need: 5 }));
    assert_eq!(verify(ecdsa(&[])), Err(CertificateError::BelowQuorum { have: 0, need: 5 }));
    for twice_or_out_of_order in [&[0, 1, 2, 3, 3][..], &[0, 1, 3, 2, 4], &[0, 1, 2, 3, 4, 5, 6, 6], &[4; 300]] {
        assert_eq!(verify(ecdsa(twice_or_out_of_order)), Err(CertificateError::NotAscending));
    }
    let good: Vec<_> = keys().iter().map(|key| key.sign(DIGEST)).collect();
    let with_last = |last| EcdsaCertificate::new(good[..4].iter().copied().chain([last]));
    let stranger = SecretKey::from_bytes(&[8; 32]).unwrap();
    assert_eq!(verify(with_last(stranger.sign(DIGEST))), Err(CertificateError::UnknownSigner(stranger.address())));
    let of_another_message = with_last(keys()[6].sign(B256::ZERO));
    assert!(matches!(verify(of_another_message), Err(CertificateError::UnknownSigner(_))));
    assert_eq!(verify(with_last(Signature([0; 65]))), Err(CertificateError::MalformedSignature { index: 4 }));
    for length in [1, 64, 66, 324] {
        assert_eq!(EcdsaCertificate::from_bytes(&vec![0; length]), Err(CertificateError::Length(length)));
    }
}

/// The BLS key of the validator at a place.
fn bls_key(place: u16) -> BlsSecretKey {
    BlsSecretKey::from_seed(&[place as u8; 32])
}

/// The BLS keys of all validators.
fn bls_keys() -> Vec<Option<BlsPublicKey>> {
    (0..7).map(|place| Some(bls_key(place).public_key())).collect()
}

/// The sum of the BLS signatures of the validators at these places.
fn bls(places: &[u16]) -> BlsCertificate {
    let signatures = places.iter().map(|place| (ValidatorIndex(*place), bls_key(*place).sign(DIGEST)));
    BlsCertificate::aggregate(&signatures.collect()).unwrap()
}

/// An aggregate certificate with other signers stated than have signed.
fn stating(signers: U256, certificate: BlsCertificate) -> BlsCertificate {
    let mut bytes = certificate.to_bytes();
    bytes[..32].copy_from_slice(&signers.to_be_bytes::<32>());
    BlsCertificate::from_bytes(&bytes).unwrap()
}

#[test]
fn a_quorum_that_signs_together_is_a_certificate_whoever_signs() {
    for signers in [&[0, 1, 2, 3, 4][..], &[0, 2, 3, 5, 6], &[0, 1, 2, 3, 4, 5, 6]] {
        let certificate = bls(signers);
        assert_eq!(certificate.verify(DIGEST, &validators(), &bls_keys()), Ok(()));
        assert!(certificate.signers().map(|place| place.0).eq(signers.iter().copied()));
        let signers = signers.iter().fold(0, |bits, place| bits | 1 << place);
        assert_eq!(certificate.to_bytes()[..32], U256::from(signers).to_be_bytes::<32>());
    }
}

#[test]
fn an_aggregate_certificate_is_refused_for_what_is_wrong_with_it() {
    let verify = |certificate: BlsCertificate| certificate.verify(DIGEST, &validators(), &bls_keys());
    assert_eq!(verify(bls(&[0, 1, 2, 3])), Err(CertificateError::BelowQuorum { have: 4, need: 5 }));
    for place in [7, 8, 255] {
        let beyond = bls(&[0, 1, 2, 3, 4, place]);
        assert_eq!(verify(beyond), Err(CertificateError::NoValidator { place: ValidatorIndex(place) }));
    }
    let good = bls(&[0, 2, 3, 5, 6]);
    assert_eq!(good.verify(B256::ZERO, &validators(), &bls_keys()), Err(CertificateError::InvalidAggregate));
    for others in [0b110_1111u64, 0b111_1101, 0b001_1111] {
        assert_eq!(verify(stating(U256::from(others), good)), Err(CertificateError::InvalidAggregate), "{others:b}");
    }
    let more_signed = stating(U256::from(0b110_1101), bls(&[0, 2, 3, 4, 5, 6]));
    assert_eq!(verify(more_signed), Err(CertificateError::InvalidAggregate));

    let mut keys = bls_keys();
    keys.truncate(6);
    let no_key = |place| Err(CertificateError::NoKey { validator: ValidatorIndex(place) });
    assert_eq!(good.verify(DIGEST, &validators(), &keys), no_key(6));
    keys[2] = None;
    assert_eq!(good.verify(DIGEST, &validators(), &keys), no_key(2));
    assert_eq!(bls(&[0, 1, 3, 4, 5]).verify(DIGEST, &validators(), &keys), Ok(()), "the others still sign");
    assert_eq!(good.verify(DIGEST, &validators(), &[]), no_key(0));
}

#[test]
fn proofs_of_possession_are_no_certificate() {
    let domain = Domain::new(B256::ZERO, 1);
    let (account, public) = (Address::ZERO, bls_key(1).public_key());
    let digest = public.possession_digest(account, &domain);
    let keys = vec![Some(public); 7];
    let proof = bls_key(1).prove_possession(account, &domain);
    let of = |signature| (0..5).map(|place| (ValidatorIndex(place), signature)).collect::<BTreeMap<_, _>>();
    let verify = |signature| BlsCertificate::aggregate(&of(signature)).unwrap().verify(digest, &validators(), &keys);
    assert_eq!(verify(bls_key(1).sign(digest)), Ok(()));
    assert_eq!(verify(proof), Err(CertificateError::InvalidAggregate));
}

#[test]
fn an_aggregate_has_a_signer_and_a_bit_for_each() {
    let one = |place| BTreeMap::from([(ValidatorIndex(place), bls_key(0).sign(DIGEST))]);
    assert_eq!(BlsCertificate::aggregate(&BTreeMap::new()), None);
    assert!(BlsCertificate::aggregate(&one(255)).is_some());
    assert_eq!(BlsCertificate::aggregate(&one(256)), None);
}

#[test]
fn certificates_are_told_apart_by_their_length() {
    let (ecdsa, bls) = (ecdsa(&[0, 1, 2, 3, 4]), bls(&[0, 1, 2, 3, 4]));
    for certificate in [SettlementCertificate::from(ecdsa), SettlementCertificate::from(bls)] {
        assert_eq!(certificate.verify(DIGEST, &validators(), &bls_keys()), Ok(()));
        assert_eq!(SettlementCertificate::from_bytes(&certificate.to_bytes()).as_ref(), Ok(&certificate));
        let encoded = codec::encode(&certificate);
        assert_eq!(codec::decode(&encoded, encoded.len()).as_ref(), Ok(&certificate));
    }
    let kind = |length| SettlementCertificate::from_bytes(&vec![0; length]);
    assert_eq!(kind(160), Err(CertificateError::MalformedAggregate));
    for length in [1, 159, 161] {
        assert_eq!(kind(length), Err(CertificateError::Length(length)));
    }
    assert!(matches!(kind(0), Ok(SettlementCertificate::Ecdsa(_))), "of no signature, and below any quorum");
}

#[test]
fn the_certificate_of_a_block_is_one_for_the_registry() {
    let (keys, domain) = (keys(), Domain::new(B256::repeat_byte(1), 31337));
    let vote = |place: u16| {
        let key = &keys[usize::from(place)];
        Vote::sign(VoteKind::Commit, (0, 2, 9), B256::ZERO, ValidatorIndex(place), key, &domain)
    };
    let certificate = Certificate::from_votes(&[6, 0, 2, 5, 3].map(vote)).unwrap();
    let message = SettlementMessage::Commit { epoch: 0, view: 2, height: 9, block_hash: B256::ZERO };
    assert_eq!(certificate.ecdsa().verify(message.digest(&domain), &validators()), Ok(()));
    assert_eq!(certificate.ecdsa().to_bytes(), certificate.signature_bytes());
}

proptest! {
    #[test]
    fn no_bytes_but_signatures_are_a_certificate(
        bytes in prop::collection::vec(any::<u8>(), 0..800),
        length in prop::sample::select(vec![65, 160, 325, 455, 1000]),
    ) {
        let mut bytes = bytes;
        bytes.truncate(length);
        if let Ok(certificate) = SettlementCertificate::from_bytes(&bytes) {
            prop_assert!(certificate.verify(DIGEST, &validators(), &bls_keys()).is_err());
            prop_assert_eq!(certificate.to_bytes(), bytes);
        }
    }

    #[test]
    fn no_byte_of_an_ecdsa_certificate_can_be_another(at in 0usize..5 * 65, flip in 1u8..) {
        let mut bytes = ecdsa(&[0, 2, 3, 5, 6]).to_bytes();
        bytes[at] ^= flip;
        prop_assert!(EcdsaCertificate::from_bytes(&bytes).unwrap().verify(DIGEST, &validators()).is_err());
    }

    #[test]
    fn no_byte_of_an_aggregate_certificate_can_be_another(at in 0usize..160, flip in 1u8..) {
        let mut bytes = bls(&[0, 2, 3, 5, 6]).to_bytes();
        bytes[at] ^= flip;
        let certificate = SettlementCertificate::from_bytes(&bytes);
        let verdict = certificate.and_then(|it| it.verify(DIGEST, &validators(), &bls_keys()));
        prop_assert!(verdict.is_err());
    }

    #[test]
    fn a_spoiled_certificate_is_refused_whole_or_cut_or_with_more_behind_it(
        aggregate in any::<bool>(), keep in 0usize..400, more in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let good = if aggregate { bls(&[0, 2, 3, 5, 6]).to_bytes().into() } else { ecdsa(&[0, 2, 3, 5, 6]).to_bytes() };
        let spoiled = [&good[..keep.min(good.len())], &more].concat();
        prop_assume!(spoiled != good);
        let certificate = SettlementCertificate::from_bytes(&spoiled);
        let verdict = certificate.and_then(|it| it.verify(DIGEST, &validators(), &bls_keys()));
        prop_assert!(verdict.is_err());
    }
}
