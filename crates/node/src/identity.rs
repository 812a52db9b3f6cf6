//! A validator's libp2p identity is its signing key: one secp256k1 key, one peer id.

use dtn_primitives::{PublicKey, SecretKey};
use libp2p::{PeerId, identity};

/// The libp2p key pair of a validator, with which its side of every Noise handshake is signed.
pub(crate) fn keypair(key: &SecretKey) -> identity::Keypair {
    let secret = identity::secp256k1::SecretKey::try_from_bytes(key.to_bytes())
        .expect("both types hold exactly the valid secp256k1 scalars");
    identity::secp256k1::Keypair::from(secret).into()
}

/// The peer id of a validator.
pub fn peer_id(key: &PublicKey) -> PeerId {
    let public = identity::secp256k1::PublicKey::try_from_bytes(&key.to_bytes())
        .expect("both types hold exactly the valid secp256k1 points");
    identity::PublicKey::from(public).to_peer_id()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_peer_id_of_the_public_key_is_that_of_the_key_pair() {
        let key = SecretKey::from_bytes(&[3; 32]).unwrap();
        assert_eq!(keypair(&key).public().to_peer_id(), peer_id(&key.public_key()));
    }
}
