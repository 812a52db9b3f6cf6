//! The transactions of a run, signed before its clock starts.

use std::collections::HashMap;

use dtn_primitives::{
    B256, Bytes, Domain, MAX_DATA_ITEMS, MAX_TRANSACTION_BYTES, Payload, SecretKey, Transaction, codec,
};
use rand::RngCore;

use crate::{BenchError, Result, machine};

/// What a transaction takes beside its items, at most.
pub(crate) const OVERHEAD: usize = 128;

/// The most bytes of signed transactions that are held in memory.
pub(crate) const MAX_BYTES: usize = 4 << 30;

/// What each transaction is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Items in a transaction.
    pub(crate) items: usize,
    /// Bytes of an item, or of the whole transaction where it has one item and a signature of its own.
    pub(crate) size: usize,
    pub(crate) opaque: bool,
}

impl Shape {
    /// Transactions of `size` bytes, each with its own signature.
    pub(crate) fn signed(size: usize) -> Result<Self> {
        match (OVERHEAD..=MAX_TRANSACTION_BYTES).contains(&size) {
            true => Ok(Self { items: 1, size, opaque: false }),
            false => Err(BenchError::Size(size)),
        }
    }

    /// Items of `size` bytes that share a signature, as many as fit unless it is said how many.
    pub(crate) fn opaque(size: usize, items: Option<usize>) -> Result<Self> {
        let room = MAX_TRANSACTION_BYTES - OVERHEAD;
        if !(1..=room - 3).contains(&size) {
            return Err(BenchError::ItemSize { most: room - 3, size });
        }
        let most = (room / (size + 3)).min(MAX_DATA_ITEMS);
        let items = items.unwrap_or(most);
        match (1..=most).contains(&items) {
            true => Ok(Self { items, size, opaque: true }),
            false => Err(BenchError::Items { most, size, items }),
        }
    }

    /// The encoded size of a transaction, nearly.
    pub(crate) fn transaction_bytes(&self) -> usize {
        if self.opaque { self.items * (self.size + 2) + 100 } else { self.size }
    }
}

/// A transaction of random bytes.
pub(crate) fn transaction(shape: &Shape, nonce: u64, key: &SecretKey, domain: &Domain) -> Transaction {
    let random = |length: usize| {
        let mut bytes = vec![0; length];
        rand::rng().fill_bytes(&mut bytes);
        Bytes::from(bytes)
    };
    let items = if shape.opaque {
        (0..shape.items).map(|_| random(shape.size)).collect()
    } else {
        // What an item of n bytes makes of the whole: the rest does not depend on the bytes, only on their number.
        let total =
            |length| 21 + codec::encode(&Payload::Data { nonce, items: vec![vec![0; length]].into() }).len() + 66;
        let mut length = shape.size.saturating_sub(total(shape.size) - shape.size).max(1);
        // A shorter item may take a shorter length before it.
        while total(length + 1) <= shape.size {
            length += 1;
        }
        vec![random(length)].into()
    };
    Transaction::sign(Payload::Data { nonce, items }, key, domain)
}

/// Encoded transactions in the order of their sending. Of `senders` senders, number s sends every s-th, and each account
/// belongs to one of them.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) transactions: Vec<Box<[u8]>>,
    /// The place of a transaction by its hash.
    pub(crate) places: HashMap<B256, u32>,
}

impl Workload {
    /// Signs `count` transactions of `accounts` new accounts on all cores.
    pub(crate) fn sign(
        shape: &Shape,
        count: usize,
        accounts: usize,
        domain: &Domain,
        signed: impl Fn() + Sync,
    ) -> Result<Self> {
        let bytes = shape.transaction_bytes();
        if count.saturating_mul(bytes) > MAX_BYTES || u32::try_from(count).is_err() {
            return Err(BenchError::TooMuch { count, bytes });
        }
        let keys: Vec<_> = (0..accounts).map(|_| new_key()).collect();
        let share = count.div_ceil(machine::threads(None)).max(1);
        let sign = |place: usize| {
            let nonce = (place / accounts) as u64;
            let transaction = transaction(shape, nonce, &keys[place % accounts], domain);
            signed();
            (transaction.hash(domain), codec::encode(&transaction).into_boxed_slice())
        };
        let parts: Vec<Vec<_>> = std::thread::scope(|scope| {
            let sign = &sign;
            let work = |first: usize| move || (first..(first + share).min(count)).map(sign).collect();
            let threads: Vec<_> = (0..count).step_by(share).map(|first| scope.spawn(work(first))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
        });
        let (mut transactions, mut places) = (Vec::with_capacity(count), HashMap::with_capacity(count));
        for (hash, encoded) in parts.into_iter().flatten() {
            places.insert(hash, transactions.len() as u32);
            transactions.push(encoded);
        }
        match places.len() == count {
            true => Ok(Self { transactions, places }),
            false => Err(BenchError::Missing("signing failed")),
        }
    }

    /// Several transactions in the encoding of a list of them.
    pub(crate) fn batch(&self, places: &[u32]) -> Bytes {
        let mut bytes = codec::encode(&places.len());
        places.iter().for_each(|place| bytes.extend_from_slice(&self.transactions[*place as usize]));
        bytes.into()
    }
}

fn new_key() -> SecretKey {
    loop {
        // All but a few of 2^256 numbers are keys.
        if let Ok(key) = SecretKey::from_bytes(&rand::random()) {
            return key;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn domain() -> Domain {
        Domain::new(B256::repeat_byte(1), 1)
    }

    #[test]
    fn a_signed_transaction_has_the_size_that_was_asked_for_and_is_valid() {
        let key = new_key();
        for (size, nonce) in [(200, 0), (512, 0), (512, 127), (512, 128), (512, 100_000), (1_000, 1), (16_384, 1)] {
            let shape = Shape::signed(size).unwrap();
            let transaction = transaction(&shape, nonce, &key, &domain());
            transaction.validate(&domain()).unwrap();
            assert_eq!(codec::encode(&transaction).len(), size, "nonce {nonce}");
        }
        assert!(Shape::signed(10).is_err() && Shape::signed(MAX_TRANSACTION_BYTES + 1).is_err());
    }

    #[test]
    fn as_many_items_as_fit_share_a_signature() {
        let key = new_key();
        for size in [1, 32, 127, 128, 512, 5_000, 16_000] {
            let shape = Shape::opaque(size, None).unwrap();
            let transaction = transaction(&shape, u64::MAX - 1, &key, &domain());
            transaction.validate(&domain()).unwrap();
            let encoded = codec::encode(&transaction).len();
            assert!(encoded <= MAX_TRANSACTION_BYTES, "{} items of {size}: {encoded}", shape.items);
        }
        assert_eq!(Shape::opaque(512, None).unwrap().items, 31);
        assert!(Shape::opaque(512, Some(32)).is_err() && Shape::opaque(512, Some(0)).is_err());
        assert!(Shape::opaque(0, None).is_err() && Shape::opaque(usize::MAX, None).is_err());
    }

    #[test]
    fn a_batch_is_the_encoding_of_its_transactions_and_nonces_run_by_account() {
        let shape = Shape::signed(200).unwrap();
        let load = Workload::sign(&shape, 10, 4, &domain(), || ()).unwrap();
        let batch: Vec<Transaction> = codec::decode(&load.batch(&[1, 5, 9]), usize::MAX).unwrap();
        assert_eq!(
            batch.iter().map(|transaction| transaction.payload.nonce()).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(2)]
        );
        assert!(batch.iter().all(|transaction| transaction.sender == batch[0].sender));
        assert_eq!(load.places[&batch[1].hash(&domain())], 5);
    }
}
