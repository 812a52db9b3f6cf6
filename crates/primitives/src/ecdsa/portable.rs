//! With `k256`, in Rust alone.

use k256::{
    Scalar, U256,
    ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey},
    elliptic_curve::ops::Reduce,
};

use super::{Malformed, Point};

/// Signs deterministically (RFC 6979), with low `s` and `v` 27 or 28.
pub(crate) fn sign(key: &SigningKey, digest: &[u8; 32]) -> [u8; 65] {
    // RFC 6979, §3.2 d, derives the nonce from the digest modulo the order, which `k256` leaves to its caller.
    let reduced = <Scalar as Reduce<U256>>::reduce_bytes(digest.into()).to_bytes();
    let (signature, recovery) =
        key.sign_prehash_recoverable(&reduced).expect("RFC 6979 signing of a 32-byte digest does not fail");
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&signature.to_bytes());
    bytes[64] = 27 + recovery.to_byte();
    bytes
}

/// The key that signed.
pub(crate) fn recover(signature: &[u8; 65], digest: &[u8; 32]) -> Result<Point, Malformed> {
    let recovery = match signature[64] {
        27 => RecoveryId::new(false, false),
        28 => RecoveryId::new(true, false),
        _ => return Err(Malformed),
    };
    let signature = Signature::from_slice(&signature[..64]).map_err(|_| Malformed)?;
    if signature.normalize_s().is_some() {
        return Err(Malformed);
    }
    let key = VerifyingKey::recover_from_prehash(digest, &signature, recovery).map_err(|_| Malformed)?;
    let mut point = [0; 64];
    point.copy_from_slice(&key.to_encoded_point(false).as_bytes()[1..]);
    Ok(point)
}
