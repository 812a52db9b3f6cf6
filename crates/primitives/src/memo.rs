//! A memo of signatures, for threads that meet the same ones again: a peer, which assembles certificates from votes that
//! it has just checked, and simulators and model checkers, in which replicas replay one schedule after another.
//!
//! Signing and recovering a signer are pure functions, so remembering what they gave, errors included, changes no
//! answer. It is off unless a thread turns it on for itself. Its size is bounded: whoever floods it with new signatures
//! makes a peer forget older ones and check them again.

use std::{cell::RefCell, marker::PhantomData};

use alloy_primitives::{Address, B256, map::HashMap};

use crate::{Domain, KeyError, Signature, VoteKind};

thread_local! {
    static MEMO: RefCell<Option<Memo>> = const { RefCell::new(None) };
}

#[derive(Debug)]
struct Memo {
    signed: Cache<(Address, B256), Signature>,
    recovered: Cache<(Signature, B256), Result<Address, KeyError>>,
    /// The votes of a phase are over one digest.
    digests: Cache<Said, B256>,
}

/// What a vote says: its domain, kind, epoch, view, height and block.
pub(crate) type Said = (Domain, VoteKind, (u64, u64, u64), B256);

/// Answers in two generations: when the younger is full, the older is forgotten.
#[derive(Debug)]
struct Cache<K, V> {
    generation: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: std::hash::Hash + Eq, V: Copy> Cache<K, V> {
    fn new(capacity: usize) -> Self {
        Self { generation: capacity / 2, young: HashMap::default(), old: HashMap::default() }
    }

    fn get(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() == self.generation {
            self.old = std::mem::take(&mut self.young);
        }
        if self.generation > 0 {
            self.young.insert(key, value);
        }
    }
}

/// Keeps the memo of this thread until it is dropped; then the thread is as it was before.
#[derive(Debug)]
pub struct Remembering {
    before: Option<Memo>,
    /// It belongs to its thread.
    not_send: PhantomData<*const ()>,
}

/// Remembers up to `capacity` signatures made and as many signers found by this thread, at least the last half of each,
/// from now on until the guard is dropped.
#[must_use = "the memo lasts as long as the guard"]
pub fn remember(capacity: usize) -> Remembering {
    let memo = Memo { signed: Cache::new(capacity), recovered: Cache::new(capacity), digests: Cache::new(capacity) };
    Remembering { before: MEMO.replace(Some(memo)), not_send: PhantomData }
}

/// Whether this thread remembers signatures.
pub fn is_remembering() -> bool {
    MEMO.with_borrow(Option::is_some)
}

impl Drop for Remembering {
    fn drop(&mut self) {
        MEMO.set(self.before.take());
    }
}

/// The signature of `signer` over a digest, which `sign` makes.
pub(crate) fn signature(signer: Address, digest: B256, sign: impl FnOnce() -> Signature) -> Signature {
    recall(|memo| &mut memo.signed, (signer, digest), sign)
}

/// Who signed a digest, which `recover` finds out.
pub(crate) fn signer(
    signature: &Signature,
    digest: B256,
    recover: impl FnOnce() -> Result<Address, KeyError>,
) -> Result<Address, KeyError> {
    recall(|memo| &mut memo.recovered, (*signature, digest), recover)
}

/// The digest of what a vote says.
pub(crate) fn digest(said: Said, compute: impl FnOnce() -> B256) -> B256 {
    recall(|memo| &mut memo.digests, said, compute)
}

fn recall<K: std::hash::Hash + Eq, V: Copy>(
    cache: impl Fn(&mut Memo) -> &mut Cache<K, V>,
    key: K,
    compute: impl FnOnce() -> V,
) -> V {
    MEMO.with_borrow_mut(|memo| {
        let Some(memo) = memo else { return compute() };
        let cache = cache(memo);
        cache.get(&key).unwrap_or_else(|| {
            let value = compute();
            cache.insert(key, value);
            value
        })
    })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;
    use crate::SecretKey;

    fn key(number: u8) -> SecretKey {
        SecretKey::from_bytes(&[number; 32]).expect("a scalar")
    }

    /// What a thread finds out about keys, digests, and signatures good and bad.
    fn answers() -> Vec<(Signature, Result<Address, KeyError>)> {
        let mut answers = Vec::new();
        for (number, digest) in (1..=3).flat_map(|number| (0..5u8).map(move |i| (number, keccak256([i])))) {
            let good = key(number).sign(digest);
            let mut bad = good;
            bad.0[64] = 99;
            let mut foreign = good;
            foreign.0[40] ^= 1;
            answers.extend([good, bad, foreign].map(|signature| (signature, signature.signer(digest))));
        }
        answers
    }

    #[test]
    fn no_answer_changes_whatever_the_memo_holds() {
        let plain = answers();
        for capacity in [0, 1, 2, 7, 1_000] {
            let _remembering = remember(capacity);
            for _ in 0..3 {
                assert_eq!(answers(), plain, "with room for {capacity}");
            }
        }
    }

    #[test]
    fn what_is_remembered_is_computed_once_errors_included_and_only_while_the_guard_lives() {
        let (address, digest) = (key(1).address(), keccak256("digest"));
        let bad = Signature([0; 65]);
        let first = || Err(KeyError::MalformedSignature);
        let again = || Ok(Address::ZERO);
        {
            let _remembering = remember(8);
            assert_eq!(signer(&bad, digest, first), first());
            assert_eq!(signer(&bad, digest, again), first(), "an error is remembered");
            assert_eq!(signature(address, digest, || bad), bad);
            assert_eq!(signature(address, digest, || panic!("computed again")), bad);
            {
                let _inner = remember(8);
                assert_eq!(signer(&bad, digest, again), again(), "a new memo begins empty");
            }
            assert_eq!(signer(&bad, digest, again), first(), "the outer one is as it was");
            let elsewhere = std::thread::spawn(move || signer(&bad, digest, || Ok(Address::ZERO)));
            assert_eq!(elsewhere.join().expect("no panic"), again(), "another thread remembers nothing");
        }
        assert_eq!(signer(&bad, digest, again), again());
    }

    #[test]
    fn a_memo_never_holds_more_than_its_capacity() {
        for capacity in [0, 1, 2, 3, 10] {
            let mut cache = Cache::new(capacity);
            for number in 0..100 {
                cache.insert(number, number);
                assert!(cache.young.len() + cache.old.len() <= capacity, "capacity {capacity}");
            }
            assert_eq!(cache.get(&99), (capacity > 1).then_some(99), "capacity {capacity}: the last is remembered");
        }
    }
}
