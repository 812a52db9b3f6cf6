//! Calls that wait for a transaction to become final. They wait outside the thread that makes it so: that one looks up
//! the hashes of each block it commits, and no call makes it do more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dtn_primitives::B256;
use tokio::sync::oneshot;

use crate::NodeError;

/// Calls that wait at a time.
const MAX_WAITERS: usize = 10_000;

/// Calls that wait for one transaction.
const MAX_PER_TRANSACTION: usize = 64;

/// The block that made a transaction final: its height and hash.
pub(crate) type Place = (u64, B256);

/// Those who wait, by transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waiters(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    by_transaction: HashMap<B256, Vec<(u64, oneshot::Sender<Place>)>>,
    count: usize,
    next: u64,
}

impl Waiters {
    /// Waits from here on. What becomes final before is not seen: look for it after this call.
    pub(crate) fn wait_for(&self, transaction: B256) -> Result<Waiter, NodeError> {
        let waiting = &mut *self.lock();
        let same = waiting.by_transaction.get(&transaction).map_or(0, Vec::len);
        if waiting.count >= MAX_WAITERS || same >= MAX_PER_TRANSACTION {
            return Err(NodeError::Busy("too many calls wait for a reply"));
        }
        let (sender, place) = oneshot::channel();
        let id = waiting.next;
        (waiting.next, waiting.count) = (id + 1, waiting.count + 1);
        waiting.by_transaction.entry(transaction).or_default().push((id, sender));
        Ok(Waiter { transaction, id, place, waiters: self.clone() })
    }

    /// Tells who waits for these transactions that a block has made them final.
    pub(crate) fn wake(&self, transactions: &[B256], place: Place) {
        let waiting = &mut *self.lock();
        if waiting.count == 0 {
            return;
        }
        for transaction in transactions {
            for (_, waiter) in waiting.by_transaction.remove(transaction).into_iter().flatten() {
                waiting.count -= 1;
                // Who has just left needs no answer.
                waiter.send(place).ok();
            }
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits. Whoever drops it leaves the list, at the cost of its own entry.
#[derive(Debug)]
pub(crate) struct Waiter {
    transaction: B256,
    id: u64,
    place: oneshot::Receiver<Place>,
    waiters: Waiters,
}

impl Waiter {
    /// Where the transaction became final; never if it does not.
    pub(crate) async fn place(&mut self) -> Option<Place> {
        (&mut self.place).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let waiting = &mut *self.waiters.lock();
        let Some(same) = waiting.by_transaction.get_mut(&self.transaction) else { return };
        let before = same.len();
        same.retain(|(id, _)| *id != self.id);
        waiting.count -= before - same.len();
        if same.is_empty() {
            waiting.by_transaction.remove(&self.transaction);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn hash(index: u64) -> B256 {
        B256::left_padding_from(&index.to_be_bytes())
    }

    #[tokio::test]
    async fn who_waits_is_told_once_and_who_leaves_makes_room() {
        let waiters = Waiters::default();
        let (mut one, mut other) = (waiters.wait_for(hash(1)).unwrap(), waiters.wait_for(hash(1)).unwrap());
        let elsewhere = waiters.wait_for(hash(2)).unwrap();
        waiters.wake(&[hash(1), hash(3)], (7, hash(9)));
        assert_eq!((one.place().await, other.place().await), (Some((7, hash(9))), Some((7, hash(9)))));
        assert_eq!(waiters.len(), 1);
        drop((one, other, elsewhere));
        assert_eq!(waiters.len(), 0);
        assert!(waiters.lock().by_transaction.is_empty(), "nothing is left behind");
    }

    #[test]
    fn waiters_are_bounded_by_transaction_and_altogether() {
        let waiters = Waiters::default();
        let same: Vec<_> = (0..MAX_PER_TRANSACTION).map(|_| waiters.wait_for(hash(0)).unwrap()).collect();
        assert!(matches!(waiters.wait_for(hash(0)), Err(NodeError::Busy(_))));
        let mut others: Vec<_> =
            (same.len()..MAX_WAITERS).map(|index| waiters.wait_for(hash(index as u64)).unwrap()).collect();
        assert!(matches!(waiters.wait_for(hash(1 << 40)), Err(NodeError::Busy(_))));
        others.pop();
        waiters.wait_for(hash(1 << 40)).unwrap();
    }
}
