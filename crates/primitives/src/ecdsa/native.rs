//! With libsecp256k1: recovery, which every vote and every transaction costs, is four to five times as fast.

use std::sync::LazyLock;

use k256::ecdsa::SigningKey;
use secp256k1::{
    All, Message, Secp256k1, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};

use super::{Malformed, Point};

static CONTEXT: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// Signs deterministically (RFC 6979), with low `s` and `v` 27 or 28.
pub(crate) fn sign(key: &SigningKey, digest: &[u8; 32]) -> [u8; 65] {
    let mut key = SecretKey::from_byte_array(key.to_bytes().into()).expect("both know the same scalars");
    let signature = CONTEXT.sign_ecdsa_recoverable(Message::from_digest(*digest), &key);
    key.non_secure_erase();
    let (recovery, compact) = signature.serialize_compact();
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&compact);
    // 0 or 1 but for one signature in 2^127: none was ever seen.
    bytes[64] = 27 + i32::from(recovery) as u8;
    bytes
}

/// The key that signed.
pub(crate) fn recover(signature: &[u8; 65], digest: &[u8; 32]) -> Result<Point, Malformed> {
    let recovery = match signature[64] {
        27 => RecoveryId::Zero,
        28 => RecoveryId::One,
        _ => return Err(Malformed),
    };
    let signature = RecoverableSignature::from_compact(&signature[..64], recovery).map_err(|_| Malformed)?;
    let mut normalized = signature.to_standard();
    normalized.normalize_s();
    if normalized != signature.to_standard() {
        return Err(Malformed);
    }
    let key = CONTEXT.recover_ecdsa(Message::from_digest(*digest), &signature).map_err(|_| Malformed)?;
    let mut point = [0; 64];
    point.copy_from_slice(&key.serialize_uncompressed()[1..]);
    Ok(point)
}
