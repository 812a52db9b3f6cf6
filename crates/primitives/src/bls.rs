//! BLS signatures over BLS12-381, which add up: keys are points of G2 and signatures points of G1, as in `Bls.sol`.
//!
//! Points are encoded as in EIP-2537. Whoever may add a key to those of others has to prove possession of its secret;
//! without that, a key could be made up that cancels others out (Ristenpart & Yilek, EUROCRYPT '07).

use std::fmt;

use alloy_primitives::{Address, B256, FixedBytes, U256, uint};
use blst::{BLST_ERROR, MultiPoint, min_sig};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::Domain;

/// Separates signatures of digests from everything else that is hashed to G1.
const SIGNATURE_TAG: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

/// Separates proofs of possession, so that none is ever a signature.
const POSSESSION_TAG: &[u8] = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

/// Bytes of a coordinate: an element of the field, behind [`ZEROS`].
const COORDINATE: usize = 64;

/// The order of the groups: secret keys are below it.
pub const GROUP_ORDER: U256 = uint!(0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001_U256);

/// Bits of [`GROUP_ORDER`].
const ORDER_BITS: usize = 255;

const ZEROS: [u8; 16] = [0; 16];

/// The places of the coordinates of G1 in what `blst` reads and writes.
const G1: [usize; 2] = [0, 1];

/// Those of G2: `blst` has the second half of each coordinate first.
const G2: [usize; 4] = [1, 0, 3, 2];

mod typed {
    alloy_sol_types::sol! {
        struct BlsKey { address account; bytes key; }
    }
}

/// Why a point or a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlsError {
    /// The bytes are of another length, a coordinate is not below the modulus, or the point is not on the curve, not in
    /// the group of prime order, or infinity, which is no key and nobody's signature.
    #[error("not a point of the group")]
    MalformedPoint,
    /// The signature is well formed, but not by this key over this message.
    #[error("the signature is not by this key")]
    WrongSigner,
}

/// Rearranges a point of EIP-2537 into what `blst` reads, without the zeros.
fn unpad(bytes: &[u8], places: &[usize]) -> Result<Vec<u8>, BlsError> {
    let (coordinates, rest) = bytes.as_chunks::<COORDINATE>();
    if coordinates.len() != places.len() || !rest.is_empty() {
        return Err(BlsError::MalformedPoint);
    }
    let unpadded: Option<Vec<_>> = places.iter().map(|place| coordinates[*place].strip_prefix(&ZEROS)).collect();
    // `blst` takes the highest bits of the first coordinate for flags: of compression, for which the point is too long,
    // and of infinity, which nobody takes. In all other coordinates they are part of a number above the modulus.
    Ok(unpadded.ok_or(BlsError::MalformedPoint)?.concat())
}

/// The reverse of [`unpad`].
fn pad<const N: usize>(point: &[u8], places: &[usize]) -> [u8; N] {
    let mut bytes = [0; N];
    let size = COORDINATE - ZEROS.len();
    for (coordinate, place) in bytes.chunks_exact_mut(COORDINATE).zip(places) {
        coordinate[ZEROS.len()..].copy_from_slice(&point[place * size..][..size]);
    }
    bytes
}

/// A BLS signing key. Never printed, and erased from memory when dropped.
#[derive(Clone)]
pub struct BlsSecretKey(min_sig::SecretKey);

impl BlsSecretKey {
    /// Derives a key from 32 secret random bytes by `KeyGen` (draft-irtf-cfrg-bls-signature-05, §2.3, no `key_info`).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(min_sig::SecretKey::key_gen(seed, &[]).expect("32 bytes are enough"))
    }

    /// A key that is a number, such as a point of a polynomial. `None` unless it is above 0 and below [`GROUP_ORDER`].
    pub fn from_scalar(scalar: U256) -> Option<Self> {
        min_sig::SecretKey::from_bytes(&scalar.to_be_bytes::<32>()).ok().map(Self)
    }

    /// The public half.
    pub fn public_key(&self) -> BlsPublicKey {
        BlsPublicKey(self.0.sk_to_pk())
    }

    /// Signs a 32-byte digest.
    pub fn sign(&self, digest: B256) -> BlsSignature {
        BlsSignature(self.0.sign(digest.as_slice(), SIGNATURE_TAG, &[]))
    }

    /// The proof of possession with which this account registers this key.
    pub fn prove_possession(&self, account: Address, domain: &Domain) -> BlsSignature {
        let digest = self.public_key().possession_digest(account, domain);
        BlsSignature(self.0.sign(digest.as_slice(), POSSESSION_TAG, &[]))
    }
}

impl fmt::Debug for BlsSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlsSecretKey").finish_non_exhaustive()
    }
}

/// A point of G2 other than infinity, verified to be one; 256 bytes on every wire, hex in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BlsPublicKey(min_sig::PublicKey);

impl BlsPublicKey {
    /// Reads the encoding of EIP-2537: `x.c0 ‖ x.c1 ‖ y.c0 ‖ y.c1`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlsError> {
        let key = min_sig::PublicKey::key_validate(&unpad(bytes, &G2)?);
        key.map(Self).map_err(|_| BlsError::MalformedPoint)
    }

    /// The encoding of EIP-2537.
    pub fn to_bytes(&self) -> [u8; 256] {
        pad(&self.0.serialize(), &G2)
    }

    /// Reads what [`BlsPublicKey::to_compressed`] writes.
    pub fn from_compressed(bytes: &[u8; 96]) -> Result<Self, BlsError> {
        let key = min_sig::PublicKey::uncompress(bytes).map_err(|_| BlsError::MalformedPoint)?;
        key.validate().map_err(|_| BlsError::MalformedPoint)?;
        Ok(Self(key))
    }

    /// The short encoding, as everybody else has it (draft-irtf-cfrg-pairing-friendly-curves-11, appendix C).
    pub fn to_compressed(&self) -> [u8; 96] {
        self.0.compress()
    }

    /// The EIP-712 digest of `BlsKey(address account,bytes key)`, which the key's holder signs for its account.
    pub fn possession_digest(&self, account: Address, domain: &Domain) -> B256 {
        domain.digest(&typed::BlsKey { account, key: self.to_bytes().into() })
    }

    /// Succeeds only if the holder of this key signed that it is the key of this account in this domain.
    pub fn verify_possession(&self, proof: &BlsSignature, account: Address, domain: &Domain) -> Result<(), BlsError> {
        proof.verify_tagged(self.possession_digest(account, domain), POSSESSION_TAG, self)
    }

    /// The sum of keys, each so many times, which are numbers below [`GROUP_ORDER`]: the key of the same sum of their secrets.
    /// `None` for none, and if they cancel each other out.
    pub fn weighted_sum(terms: &[(Self, U256)]) -> Option<Self> {
        if terms.is_empty() {
            return None;
        }
        let points: Vec<_> = terms.iter().map(|(key, _)| key.0).collect();
        let weights: Vec<u8> = terms.iter().flat_map(|(_, weight)| weight.to_le_bytes::<32>()).collect();
        let sum = points.mult(&weights, ORDER_BITS).to_public_key();
        sum.validate().ok()?;
        Some(Self(sum))
    }

    /// The sum of keys: what signatures of one digest by all of them, added up, are by. `None` for no keys.
    pub(crate) fn sum<'a>(keys: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let keys: Vec<_> = keys.into_iter().map(|key| &key.0).collect();
        Some(Self(min_sig::AggregatePublicKey::aggregate(&keys, false).ok()?.to_public_key()))
    }
}

impl fmt::Debug for BlsPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlsPublicKey({})", alloy_primitives::hex::encode_prefixed(self.to_bytes()))
    }
}

impl Serialize for BlsPublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FixedBytes(self.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BlsPublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = FixedBytes::<256>::deserialize(deserializer)?;
        Self::from_bytes(bytes.as_slice()).map_err(D::Error::custom)
    }
}

/// A point of G1 other than infinity, verified to be one: the signature of a key, or the sum of several over one
/// digest. 128 bytes on every wire, hex in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BlsSignature(min_sig::Signature);

impl BlsSignature {
    /// Reads the encoding of EIP-2537: `x ‖ y`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlsError> {
        let signature = min_sig::Signature::sig_validate(&unpad(bytes, &G1)?, true);
        signature.map(Self).map_err(|_| BlsError::MalformedPoint)
    }

    /// The encoding of EIP-2537.
    pub fn to_bytes(&self) -> [u8; 128] {
        pad(&self.0.serialize(), &G1)
    }

    /// Succeeds only if `key` signed `digest`.
    pub fn verify(&self, digest: B256, key: &BlsPublicKey) -> Result<(), BlsError> {
        self.verify_tagged(digest, SIGNATURE_TAG, key)
    }

    /// The groups of both points have been checked when they were read.
    fn verify_tagged(&self, digest: B256, tag: &[u8], key: &BlsPublicKey) -> Result<(), BlsError> {
        match self.0.verify(false, digest.as_slice(), tag, &[], &key.0, false) {
            BLST_ERROR::BLST_SUCCESS => Ok(()),
            _ => Err(BlsError::WrongSigner),
        }
    }

    /// The sum of signatures, each so many times, which are numbers below [`GROUP_ORDER`]. `None` for none, and if they
    /// cancel each other out.
    pub fn weighted_sum(terms: &[(Self, U256)]) -> Option<Self> {
        if terms.is_empty() {
            return None;
        }
        let points: Vec<_> = terms.iter().map(|(signature, _)| signature.0).collect();
        let weights: Vec<u8> = terms.iter().flat_map(|(_, weight)| weight.to_le_bytes::<32>()).collect();
        let sum = points.mult(&weights, ORDER_BITS).to_signature();
        sum.validate(true).ok()?;
        Some(Self(sum))
    }

    /// The sum of signatures. `None` for none, and if they cancel each other out.
    pub(crate) fn sum<'a>(signatures: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let signatures: Vec<_> = signatures.into_iter().map(|signature| &signature.0).collect();
        let sum = min_sig::AggregateSignature::aggregate(&signatures, false).ok()?.to_signature();
        sum.validate(true).ok()?;
        Some(Self(sum))
    }
}

impl fmt::Debug for BlsSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlsSignature({})", alloy_primitives::hex::encode_prefixed(self.to_bytes()))
    }
}

impl Serialize for BlsSignature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FixedBytes(self.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BlsSignature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = FixedBytes::<128>::deserialize(deserializer)?;
        Self::from_bytes(bytes.as_slice()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::{hex, keccak256};
    use proptest::prelude::*;

    use super::*;

    /// The modulus of the coordinates.
    const P: [u8; 48] =
        hex!("1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab");

    fn key(seed: u8) -> BlsSecretKey {
        BlsSecretKey::from_seed(&[seed; 32])
    }

    #[test]
    fn keys_are_generated_as_the_draft_has_it() {
        // EIP-2333, test cases 1 and 2: master keys are made by the same KeyGen.
        let cases = [
            (
                hex!("3141592653589793238462643383279502884197169399375105820974944592"),
                "29757020647961307431480504535336562678282505419141012933316116377660817309383",
            ),
            (
                hex!("0099ff991111002299dd7744ee3355bbdd8844115566cc55663355668888cc00"),
                "27580842291869792442942448775674722299803720648445448686099262467207037398656",
            ),
        ];
        for (seed, secret) in cases {
            assert_eq!(U256::from_be_bytes(BlsSecretKey::from_seed(&seed).0.to_bytes()).to_string(), secret);
        }
    }

    #[test]
    fn the_generator_is_encoded_as_the_contract_has_it() {
        let mut one = [0; 32];
        one[31] = 1;
        let generator = BlsSecretKey(min_sig::SecretKey::from_bytes(&one).unwrap()).public_key().to_bytes();
        let golden = hex!(
            "00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
            "0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
            "000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
            "000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be"
        );
        assert_eq!(generator, golden);
    }

    #[test]
    fn points_survive_the_round_trip_in_bytes_and_in_json() {
        let (key, signature) = (key(1).public_key(), key(1).sign(B256::ZERO));
        assert_eq!(BlsPublicKey::from_bytes(&key.to_bytes()), Ok(key));
        assert_eq!(BlsSignature::from_bytes(&signature.to_bytes()), Ok(signature));
        let bytes = crate::codec::encode(&(key, signature));
        assert_eq!(crate::codec::decode(&bytes, bytes.len()), Ok((key, signature)));
        let json = serde_json::to_string(&(key, signature)).unwrap();
        assert_eq!(serde_json::from_str::<(BlsPublicKey, BlsSignature)>(&json).unwrap(), (key, signature));
    }

    #[test]
    fn infinity_and_what_blst_writes_for_it_are_no_points() {
        for first in [0, 0x40, 0x80, 0xc0, 0x20] {
            let (mut key, mut signature) = ([0; 256], [0; 128]);
            (key[16], key[64 + 16], signature[16]) = (first, first, first);
            assert_eq!(BlsPublicKey::from_bytes(&key), Err(BlsError::MalformedPoint));
            assert_eq!(BlsSignature::from_bytes(&signature), Err(BlsError::MalformedPoint));
        }
    }

    #[test]
    fn points_outside_of_the_groups_are_refused() {
        // x = 4 is on the curve of G1, and the point's order is not that of the group. So it is for most small x in G2.
        let signature = hex!(
            "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000004"
            "000000000000000000000000000000000a989badd40d6212b33cffc3f3763e9bc760f988c9926b26da9dd85e928483446346b8ed00e1de5d5ea93e354abe706c"
        );
        min_sig::Signature::from_bytes(&unpad(&signature, &G1).unwrap()).expect("it is on the curve");
        assert_eq!(BlsSignature::from_bytes(&signature), Err(BlsError::MalformedPoint));
        let outside = (0..u8::MAX).find_map(|x| {
            let mut compressed = [0; 96];
            (compressed[0], compressed[95]) = (0x80, x);
            let point = min_sig::PublicKey::from_bytes(&compressed).ok()?;
            point.validate().is_err().then_some(point)
        });
        let bytes: [u8; 256] = pad(&outside.unwrap().serialize(), &G2);
        assert_eq!(BlsPublicKey::from_bytes(&bytes), Err(BlsError::MalformedPoint));
    }

    #[test]
    fn coordinates_are_below_the_modulus_behind_sixteen_zeros() {
        let good = key(1).sign(B256::ZERO).to_bytes();
        for at in (0..16).chain(64..80) {
            let mut padded = good;
            padded[at] = 1;
            assert_eq!(BlsSignature::from_bytes(&padded), Err(BlsError::MalformedPoint));
        }
        // The same number once more around: it still has 381 bits or so, and fits.
        for coordinate in [16..64, 80..128] {
            let mut around = good;
            let mut carry = 0;
            for (byte, p) in around[coordinate].iter_mut().zip(P).rev() {
                let sum = u16::from(*byte) + u16::from(p) + carry;
                (*byte, carry) = (sum as u8, sum >> 8);
            }
            assert_eq!(BlsSignature::from_bytes(&around), Err(BlsError::MalformedPoint));
        }
        for length in [0, 64, 96, 127, 129, 192, 256] {
            assert_eq!(BlsSignature::from_bytes(&vec![0; length]), Err(BlsError::MalformedPoint));
            assert_eq!(BlsPublicKey::from_bytes(&vec![0; length]), Err(BlsError::MalformedPoint));
        }
    }

    #[test]
    fn a_signature_is_by_one_key_over_one_digest() {
        let (digest, other) = (keccak256("digest"), keccak256("another"));
        let signature = key(1).sign(digest);
        assert_eq!(signature.verify(digest, &key(1).public_key()), Ok(()));
        assert_eq!(signature.verify(other, &key(1).public_key()), Err(BlsError::WrongSigner));
        assert_eq!(signature.verify(digest, &key(2).public_key()), Err(BlsError::WrongSigner));
    }

    #[test]
    fn a_possession_is_proven_for_one_account_network_and_chain_and_is_no_signature() {
        let (account, domain) = (Address::repeat_byte(1), Domain::new(B256::repeat_byte(1), 31337));
        let (proof, public) = (key(1).prove_possession(account, &domain), key(1).public_key());
        assert_eq!(public.verify_possession(&proof, account, &domain), Ok(()));
        let wrong = Err(BlsError::WrongSigner);
        assert_eq!(public.verify_possession(&proof, Address::repeat_byte(2), &domain), wrong);
        assert_eq!(key(2).public_key().verify_possession(&proof, account, &domain), wrong);
        for elsewhere in [Domain::new(B256::ZERO, 31337), Domain::new(domain.network_id, 1)] {
            assert_eq!(public.verify_possession(&proof, account, &elsewhere), wrong);
        }
        let digest = public.possession_digest(account, &domain);
        assert_eq!(proof.verify(digest, &public), wrong);
        assert_eq!(public.verify_possession(&key(1).sign(digest), account, &domain), wrong);
    }

    #[test]
    fn a_weighted_sum_of_keys_is_the_key_of_that_sum_of_secrets() {
        let secret = |number: u64| BlsSecretKey::from_scalar(U256::from(number)).unwrap();
        let keys = [secret(2), secret(3), secret(5)].map(|key| key.public_key());
        let weights = [U256::from(7), U256::ZERO, GROUP_ORDER - U256::ONE];
        let terms: Vec<_> = keys.into_iter().zip(weights).collect();
        assert_eq!(BlsPublicKey::weighted_sum(&terms), Some(secret(9).public_key()));
        assert_eq!(BlsPublicKey::weighted_sum(&[]), None);
        let cancelled = [(keys[0], U256::from(5)), (keys[2], GROUP_ORDER - U256::from(2))];
        assert_eq!(BlsPublicKey::weighted_sum(&cancelled), None);
    }

    #[test]
    fn a_key_has_a_short_encoding_and_what_is_no_point_of_the_group_is_none() {
        let key = BlsSecretKey::from_seed(&[7; 32]).public_key();
        let short = key.to_compressed();
        assert_eq!(BlsPublicKey::from_compressed(&short), Ok(key));
        let mut infinity = [0; 96];
        infinity[0] = 0xc0;
        let mut above = short;
        above[1..48].fill(0xff);
        for bytes in [infinity, above, [0; 96]] {
            assert_eq!(BlsPublicKey::from_compressed(&bytes), Err(BlsError::MalformedPoint));
        }
        // Half of all numbers are coordinates of points of the curve, of which next to none are in the group.
        let mut malformed = 0;
        for number in 0..16 {
            let mut bytes = short;
            bytes[95] = number;
            malformed += u32::from(BlsPublicKey::from_compressed(&bytes) == Err(BlsError::MalformedPoint));
        }
        assert!(malformed >= 15, "{malformed}");
    }

    #[test]
    fn the_sum_of_signatures_is_by_the_sum_of_keys_and_infinity_by_nobody() {
        let keys = [1, 2, 3].map(key);
        let sum = BlsSignature::sum(&keys.each_ref().map(|key| key.sign(B256::ZERO))).unwrap();
        let signer = BlsPublicKey::sum(&keys.each_ref().map(BlsSecretKey::public_key)).unwrap();
        assert_eq!(sum.verify(B256::ZERO, &signer), Ok(()));
        assert_eq!(BlsSignature::from_bytes(&sum.to_bytes()), Ok(sum));
        assert_eq!((BlsSignature::sum([]), BlsPublicKey::sum([])), (None, None));

        let good = keys[0].sign(B256::ZERO);
        let order = U256::from_be_bytes(hex!("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001"));
        let negative = order - U256::from_be_bytes(keys[0].0.to_bytes());
        let negative = BlsSecretKey(min_sig::SecretKey::from_bytes(&negative.to_be_bytes::<32>()).unwrap());
        assert_eq!(BlsSignature::sum([&good, &negative.sign(B256::ZERO)]), None);
        let nobody = BlsPublicKey::sum([&keys[0].public_key(), &negative.public_key()]).unwrap();
        assert_eq!(good.verify(B256::ZERO, &nobody), Err(BlsError::WrongSigner));
    }

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        assert_eq!(format!("{:?}", key(1)), "BlsSecretKey(..)");
    }

    proptest! {
        #[test]
        fn no_bytes_but_points_are_points(bytes in prop::collection::vec(any::<u8>(), 0..300), zeros in any::<bool>()) {
            let mut bytes = bytes;
            if zeros {
                bytes.resize(if bytes.len() < 150 { 128 } else { 256 }, 0);
                for coordinate in bytes.chunks_exact_mut(COORDINATE) {
                    coordinate[..ZEROS.len()].fill(0);
                    coordinate[ZEROS.len()] &= 0x1f;
                }
            }
            prop_assert_eq!(BlsPublicKey::from_bytes(&bytes), Err(BlsError::MalformedPoint));
            prop_assert_eq!(BlsSignature::from_bytes(&bytes), Err(BlsError::MalformedPoint));
        }

        #[test]
        fn no_byte_of_a_point_can_be_another(at in 0usize..256, flip in 1u8..) {
            let (mut key, mut signature) = (key(1).public_key().to_bytes(), key(1).sign(B256::ZERO).to_bytes());
            key[at] ^= flip;
            signature[at / 2] ^= flip;
            prop_assert_eq!(BlsPublicKey::from_bytes(&key), Err(BlsError::MalformedPoint));
            prop_assert_eq!(BlsSignature::from_bytes(&signature), Err(BlsError::MalformedPoint));
        }
    }
}
