//! What a simulation does with signatures: it counts them, and may have them stand in for real ones.
//!
//! A thousand simulated replicas check millions of signatures on one thread. Who wants to know how their protocol
//! behaves, and not how fast this machine is, gives each signature a price in virtual time and has nobody compute it.

use std::{cell::Cell, marker::PhantomData};

use alloy_primitives::{Address, B256};

use crate::{KeyError, Signature};

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { made: 0, checked: 0 }) };
    static STANDING_IN: Cell<bool> = const { Cell::new(false) };
}

/// The recovery byte of what stands in for a signature, which none has: it passes nowhere else.
const STAND_IN: u8 = 0;

/// Signatures that a thread has dealt with, remembered or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many it has made.
    pub made: u64,
    /// Of how many it has looked for the signer.
    pub checked: u64,
}

/// What this thread has dealt with since it began.
pub fn counts() -> Counts {
    COUNTS.get()
}

/// Has this thread sign without arithmetic until it is dropped.
#[derive(Debug)]
pub struct StandIn {
    before: bool,
    /// It belongs to its thread.
    not_send: PhantomData<*const ()>,
}

/// From now on until the guard is dropped, what this thread signs names its signer and its digest, and no more. This
/// thread accepts that where both are right, besides real signatures; every other thread refuses it.
#[must_use = "signatures are real again as soon as the guard is dropped"]
pub fn stand_in() -> StandIn {
    StandIn { before: STANDING_IN.replace(true), not_send: PhantomData }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        STANDING_IN.set(self.before);
    }
}

/// Counts a signature that is to be made, and gives what stands in for it, if anything does.
pub(crate) fn make(signer: Address, digest: B256) -> Option<Signature> {
    let counts = COUNTS.get();
    COUNTS.set(Counts { made: counts.made + 1, ..counts });
    STANDING_IN.get().then(|| {
        let mut bytes = [0; 65];
        bytes[..20].copy_from_slice(signer.as_slice());
        bytes[32..64].copy_from_slice(digest.as_slice());
        bytes[64] = STAND_IN;
        Signature(bytes)
    })
}

/// Counts a signature that is to be checked, and gives the signer of one that stands in for another.
pub(crate) fn check(signature: &Signature, digest: B256) -> Option<Result<Address, KeyError>> {
    let counts = COUNTS.get();
    COUNTS.set(Counts { checked: counts.checked + 1, ..counts });
    let bytes = &signature.0;
    (bytes[64] == STAND_IN && STANDING_IN.get()).then(|| {
        let right = bytes[32..64] == digest[..] && bytes[20..32] == [0; 12];
        if right { Ok(Address::from_slice(&bytes[..20])) } else { Err(KeyError::MalformedSignature) }
    })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;
    use crate::SecretKey;

    #[test]
    fn what_stands_in_is_refused_as_soon_as_signatures_are_real_and_by_every_other_thread() {
        let key = SecretKey::from_bytes(&[1; 32]).expect("a scalar");
        let (digest, other) = (keccak256("digest"), keccak256("another"));
        let real = key.sign(digest);
        let fake = {
            let _standing_in = stand_in();
            let fake = key.sign(digest);
            assert_eq!(fake.verify(digest, key.address()), Ok(()));
            assert_eq!(real.verify(digest, key.address()), Ok(()), "real ones are computed");
            assert_eq!(fake.signer(other), Err(KeyError::MalformedSignature));
            assert_eq!(fake.verify(digest, Address::ZERO), Err(KeyError::WrongSigner(Address::ZERO)));
            let elsewhere = std::thread::spawn(move || (fake.signer(digest), SecretKey::from_bytes(&[1; 32])));
            let (refused, key) = elsewhere.join().expect("no panic");
            assert_eq!(refused, Err(KeyError::MalformedSignature));
            assert_eq!(key.map(|key| key.sign(digest)), Ok(fake), "this thread still signs without arithmetic");
            fake
        };
        assert_ne!(fake, real);
        assert_eq!(fake.signer(digest), Err(KeyError::MalformedSignature));
        assert_eq!(key.sign(digest), real);
    }

    #[test]
    fn signatures_are_counted_whether_they_are_computed_remembered_or_stood_in_for() {
        let key = SecretKey::from_bytes(&[1; 32]).expect("a scalar");
        let sign_and_check = || {
            let before = counts();
            let signature = key.sign(B256::ZERO);
            signature.signer(B256::ZERO).ok();
            signature.signer(B256::ZERO).ok();
            (counts().made - before.made, counts().checked - before.checked)
        };
        assert_eq!(sign_and_check(), (1, 2));
        let _remembering = crate::memo::remember(8);
        assert_eq!((sign_and_check(), sign_and_check()), ((1, 2), (1, 2)));
        let _standing_in = stand_in();
        assert_eq!(sign_and_check(), (1, 2));
    }
}
