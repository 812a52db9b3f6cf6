//! What waits to be sent over a link, bounded in frames and bytes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::wire::{Class, EncodedFrame};

/// Consensus messages up to here are votes and the like. Longer ones bring blocks, behind which no vote is to wait.
const SMALL_MESSAGE: usize = 16 * 1024;

/// What overtakes what in the queue: votes blocks, and both the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Vote,
    Block,
    Bulk,
}

impl Rank {
    /// In the order in which they are sent.
    pub(crate) const ALL: [Self; 3] = [Self::Vote, Self::Block, Self::Bulk];

    fn of(frame: &EncodedFrame) -> Self {
        match frame.class {
            Class::Consensus if frame.bytes.len() <= SMALL_MESSAGE => Self::Vote,
            Class::Consensus => Self::Block,
            // Hello is to be the first.
            Class::Link => Self::Vote,
            Class::Height | Class::Transactions | Class::Addresses | Class::Evidence => Self::Bulk,
        }
    }

    /// As metrics name a frame that found no room.
    pub(crate) fn dropped(self) -> &'static str {
        match self {
            Self::Vote => "queue_full_votes",
            Self::Block => "queue_full_blocks",
            Self::Bulk => "queue_full_bulk",
        }
    }
}

/// How many frames found no room, by rank.
pub(crate) type Dropped = [usize; Rank::ALL.len()];

/// What is still to be sent. When there is no room, the oldest of the lowest rank goes, and none goes for one of a lower
/// rank. What waits already is not queued again. Whatever is dropped, protocols say again what may have been lost.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    max_frames: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    ranks: [VecDeque<Bytes>; Rank::ALL.len()],
    bytes: usize,
    closed: bool,
}

impl Waiting {
    fn pop(&mut self) -> Option<Bytes> {
        let frame = self.ranks.iter_mut().find_map(VecDeque::pop_front)?;
        self.bytes -= frame.len();
        Some(frame)
    }

    fn frames(&self) -> usize {
        self.ranks.iter().map(VecDeque::len).sum()
    }
}

impl Queue {
    /// Holds so many frames of so many bytes together.
    pub(crate) fn new(max_frames: usize, max_bytes: usize) -> Self {
        Self { waiting: Mutex::default(), changed: Notify::new(), max_frames, max_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame, and tells what was dropped for it, or that it was itself.
    pub(crate) fn push(&self, frame: EncodedFrame) -> Dropped {
        let (rank, frame) = (Rank::of(&frame), frame.bytes);
        let mut dropped = Dropped::default();
        if frame.len() > self.max_bytes {
            // It would clear the queue and still not fit.
            dropped[rank as usize] += 1;
            return dropped;
        }
        let mut waiting = self.lock();
        if waiting.ranks[rank as usize].contains(&frame) {
            return dropped;
        }
        while waiting.frames() >= self.max_frames || waiting.bytes + frame.len() > self.max_bytes {
            // Of one rank the newest counts: it is what would be said again.
            let lowest = Rank::ALL.into_iter().rev().take_while(|lowest| *lowest >= rank);
            let lowest = lowest.map(|lowest| lowest as usize).find(|lowest| !waiting.ranks[*lowest].is_empty());
            let Some((lowest, oldest)) = lowest.and_then(|lowest| Some((lowest, waiting.ranks[lowest].pop_front()?)))
            else {
                dropped[rank as usize] += 1;
                return dropped;
            };
            dropped[lowest] += 1;
            waiting.bytes -= oldest.len();
        }
        waiting.bytes += frame.len();
        waiting.ranks[rank as usize].push_back(frame);
        drop(waiting);
        self.changed.notify_one();
        dropped
    }

    /// The next frame to send; `None` once it is closed.
    pub(crate) async fn pop(&self) -> Option<Bytes> {
        loop {
            {
                let mut waiting = self.lock();
                if waiting.closed {
                    return None;
                }
                if let Some(frame) = waiting.pop() {
                    return Some(frame);
                }
            }
            self.changed.notified().await;
        }
    }

    /// The next frame to send, if one is there already.
    pub(crate) fn try_pop(&self) -> Option<Bytes> {
        self.lock().pop()
    }

    /// Ends the wait of whoever sends.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any of these tests queues.
    const FRAMES: usize = 1_000;
    const BYTES: usize = 1024 * 1024;

    fn frame(class: Class, byte: u8, length: usize) -> EncodedFrame {
        EncodedFrame { class, bytes: vec![byte; length].into() }
    }

    fn waiting(queue: &Queue) -> Vec<u8> {
        let mut waiting = queue.lock();
        std::iter::from_fn(|| waiting.pop()).map(|frame| frame[0]).collect()
    }

    #[test]
    fn what_is_urgent_overtakes_and_the_oldest_of_the_rest_makes_room() {
        let queue = Queue::new(4, BYTES);
        let nothing = Dropped::default();
        for byte in [1, 2] {
            assert_eq!(queue.push(frame(Class::Transactions, byte, 10)), nothing);
        }
        assert_eq!(queue.push(frame(Class::Consensus, 11, 10)), nothing);
        assert_eq!(queue.push(frame(Class::Height, 3, 10)), nothing);
        assert_eq!(queue.push(frame(Class::Consensus, 12, 10)), [0, 0, 1]);
        assert_eq!(queue.push(frame(Class::Transactions, 4, 10)), [0, 0, 1]);
        assert_eq!(waiting(&queue), [11, 12, 3, 4]);

        // With nothing else to drop, what is urgent makes room for what is urgent, and the rest finds none.
        for byte in 11..=14 {
            assert_eq!(queue.push(frame(Class::Consensus, byte, 10)), nothing);
        }
        assert_eq!(queue.push(frame(Class::Transactions, 1, 10)), [0, 0, 1]);
        assert_eq!(queue.push(frame(Class::Consensus, 15, 10)), [1, 0, 0]);
        assert_eq!(waiting(&queue), [12, 13, 14, 15]);
    }

    #[test]
    fn votes_overtake_blocks_and_are_never_dropped_for_one() {
        let queue = Queue::new(FRAMES, 5 * SMALL_MESSAGE);
        let nothing = Dropped::default();
        let block = |byte| frame(Class::Consensus, byte, 2 * SMALL_MESSAGE);
        assert_eq!(queue.push(block(21)), nothing);
        assert_eq!(queue.push(frame(Class::Height, 31, 10)), nothing);
        assert_eq!(queue.push(frame(Class::Consensus, 11, 10)), nothing);
        assert_eq!(queue.push(block(22)), nothing);
        assert_eq!(queue.push(block(23)), [0, 1, 1], "the oldest block goes for the newest");
        assert_eq!(waiting(&queue), [11, 22, 23]);
        for byte in 0..5 {
            assert_eq!(queue.push(frame(Class::Consensus, byte, SMALL_MESSAGE)), nothing);
        }
        assert_eq!(queue.push(block(21)), [0, 1, 0]);
        assert_eq!(waiting(&queue), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn what_waits_already_is_not_queued_again() {
        let queue = Queue::new(FRAMES, BYTES);
        for _ in 0..3 {
            for byte in [1, 2] {
                assert_eq!(queue.push(frame(Class::Consensus, byte, 10)), Dropped::default());
                assert_eq!(queue.push(frame(Class::Transactions, byte, 10)), Dropped::default());
            }
        }
        assert_eq!(waiting(&queue), [1, 2, 1, 2]);
        // Once it has left it may be said again.
        queue.push(frame(Class::Consensus, 1, 10));
        assert_eq!(waiting(&queue), [1]);
    }

    #[test]
    fn the_queue_never_holds_more_bytes_than_it_may() {
        let queue = Queue::new(FRAMES, 1000);
        let mut dropped = 0;
        for round in 0..100usize {
            let class = if round % 3 == 0 { Class::Consensus } else { Class::Transactions };
            dropped += queue.push(frame(class, 1, 50 + round * 7)).iter().sum::<usize>();
            let waiting = queue.lock();
            let actual: usize = waiting.ranks.iter().flatten().map(Bytes::len).sum();
            assert_eq!(actual, waiting.bytes);
            assert!(waiting.bytes <= 1000, "{} bytes wait", waiting.bytes);
        }
        assert!(dropped > 80, "{dropped} were dropped");
        let before = queue.lock().frames();
        assert_eq!(queue.push(frame(Class::Consensus, 1, 1001)), [1, 0, 0]);
        assert_eq!(queue.lock().frames(), before, "what never fits drives nothing out");
    }
}
