//! Recoverable ECDSA over secp256k1, twice: libsecp256k1, and pure Rust where no C compiler is at hand.
//!
//! Peers of one network may use either, so both sign the same bytes and refuse the same signatures. Which one is in
//! use is decided here and nowhere else.

#[cfg(feature = "native")]
mod native;
#[cfg(any(test, not(feature = "native")))]
mod portable;

#[cfg(feature = "native")]
pub(crate) use native::{recover, sign};
#[cfg(not(feature = "native"))]
pub(crate) use portable::{recover, sign};

/// A signature that is out of range, has a high `s` or an unknown recovery byte, or recovers to no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The two halves of an uncompressed public key.
pub(crate) type Point = [u8; 64];

#[cfg(all(test, feature = "native"))]
mod tests {
    use k256::ecdsa::SigningKey;
    use proptest::prelude::*;

    use super::*;

    /// The order of the curve's group.
    const N: [u8; 32] = alloy_primitives::hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");

    /// The largest `s` that EIP-2 allows.
    const HALF: [u8; 32] = alloy_primitives::hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

    fn same(signature: &[u8; 65], digest: &[u8; 32]) -> Result<Point, Malformed> {
        let (native, portable) = (native::recover(signature, digest), portable::recover(signature, digest));
        assert_eq!(native, portable, "signature {signature:02x?} over {digest:02x?}");
        native
    }

    /// `bytes` with one added or taken away at the end, for numbers just beside a limit.
    fn beside(bytes: [u8; 32], by: i8) -> [u8; 32] {
        let mut beside = bytes;
        beside[31] = beside[31].checked_add_signed(by).expect("no limit ends in 00 or ff");
        beside
    }

    /// Numbers of which a signature or a digest may consist, with what is special about the curve among them.
    fn number() -> impl Strategy<Value = [u8; 32]> {
        let zero_one = [[0; 32], beside([0; 32], 1), [0xff; 32]];
        let limits = [N, beside(N, -1), beside(N, 1), HALF, beside(HALF, -1), beside(HALF, 1)];
        let special: Vec<_> = zero_one.into_iter().chain(limits).collect();
        prop_oneof![3 => any::<[u8; 32]>(), 1 => prop::sample::select(special)]
    }

    fn key() -> impl Strategy<Value = SigningKey> {
        number().prop_filter_map("a scalar", |bytes| SigningKey::from_slice(&bytes).ok())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn both_sign_the_same_bytes_and_recover_the_signer(key in key(), digest in number()) {
            let signature = native::sign(&key, &digest);
            prop_assert_eq!(signature, portable::sign(&key, &digest));
            prop_assert!(matches!(signature[64], 27 | 28) && signature[32..64] <= HALF[..]);
            let point = key.verifying_key().to_encoded_point(false);
            prop_assert_eq!(&same(&signature, &digest).expect("a good signature")[..], &point.as_bytes()[1..]);
        }

        #[test]
        fn both_give_the_same_verdict_on_a_spoiled_signature(
            key in key(), digest in number(), other in number(), at in 0usize..65, flip in 1u8..=255,
        ) {
            let good = native::sign(&key, &digest);
            let mut spoiled = good;
            spoiled[at] ^= flip;
            same(&spoiled, &digest).ok();
            same(&good, &other).ok();
            for recovery in 0..=u8::MAX {
                let mut relabelled = good;
                relabelled[64] = recovery;
                prop_assert_eq!(same(&relabelled, &digest).is_ok(), matches!(recovery, 27 | 28));
            }
        }

        #[test]
        fn both_give_the_same_verdict_on_any_numbers(
            r in number(), s in number(), recovery in 26u8..=29, digest in number(),
        ) {
            let mut signature = [0; 65];
            signature[..32].copy_from_slice(&r);
            signature[32..64].copy_from_slice(&s);
            signature[64] = recovery;
            let verdict = same(&signature, &digest);
            let in_range = |number: &[u8; 32]| *number > [0; 32] && *number < N;
            if !in_range(&r) || !in_range(&s) || s > HALF || !matches!(recovery, 27 | 28) {
                prop_assert_eq!(verdict, Err(Malformed));
            }
        }

        #[test]
        fn both_refuse_the_twin_with_high_s(key in key(), digest in number()) {
            let good = native::sign(&key, &digest);
            let parsed = k256::ecdsa::Signature::from_slice(&good[..64]).expect("well formed");
            let twin = k256::ecdsa::Signature::from_scalars(parsed.r().to_bytes(), (-*parsed.s()).to_bytes());
            let mut bytes = [0; 65];
            bytes[..64].copy_from_slice(&twin.expect("in range").to_bytes());
            bytes[64] = 55 - good[64];
            prop_assert_eq!(same(&bytes, &digest), Err(Malformed));
        }
    }
}
