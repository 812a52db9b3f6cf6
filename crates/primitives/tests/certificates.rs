//! Certificates as the registry contract takes them: what passes and what does not, whatever the bytes.

#![allow(clippy::unwrap_used)]

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

#[test]
fn the_certificate_of_a_block_is_one_for_the_registry() {
    let (keys, domain) = (keys(), Domain::new(B256::repeat_byte(1), 31337));
    let vote = |place: u16| {
        let key = &keys[usize::from(place)];
        Vote::sign(VoteKind::Commit, (0, 2, 9), B256::ZERO, ValidatorIndex(place), key, &domain)
    };
    let certificate = Certificate::from_votes(&[6, 0, 2, 5, 3].map(vote)).unwrap();
    let statement = Statement::Commit { epoch: 0, view: 2, height: 9, block_hash: B256::ZERO };
    assert_eq!(certificate.ecdsa().verify(statement.digest(&domain), &validators()), Ok(()));
    assert_eq!(certificate.ecdsa().to_bytes(), certificate.signature_bytes());
}

proptest! {
    #[test]
    fn no_bytes_but_signatures_are_an_ecdsa_certificate(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
        if let Ok(certificate) = EcdsaCertificate::from_bytes(&bytes) {
            prop_assert!(certificate.verify(DIGEST, &validators()).is_err());
            prop_assert_eq!(certificate.to_bytes(), bytes);
        }
    }

    #[test]
    fn no_byte_of_an_ecdsa_certificate_can_be_another(at in 0usize..5 * 65, flip in 1u8..) {
        let mut bytes = ecdsa(&[0, 2, 3, 5, 6]).to_bytes();
        bytes[at] ^= flip;
        prop_assert!(EcdsaCertificate::from_bytes(&bytes).unwrap().verify(DIGEST, &validators()).is_err());
    }
}
