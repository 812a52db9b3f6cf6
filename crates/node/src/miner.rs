//! Runs this peer's part of the races: one search at a time, in the order in which the orders became final.

use std::{collections::VecDeque, num::NonZeroUsize, thread};

use dtn_pow::{Cancel, Puzzle, Search, mine};
use dtn_primitives::B256;
use tokio::sync::mpsc;

/// A search that ended: with a solution, or because its race closed.
#[derive(Debug)]
pub(crate) struct Mined {
    pub(crate) order: B256,
    pub(crate) search: Search,
}

/// The races that this peer takes part in.
pub(crate) struct Miner {
    threads: NonZeroUsize,
    waiting: VecDeque<Puzzle>,
    running: Option<(B256, Cancel)>,
    mined: mpsc::UnboundedSender<Mined>,
}

impl Miner {
    /// A miner that reports its searches to `mined`. At most one report is under way at a time.
    pub(crate) fn new(threads: NonZeroUsize, mined: mpsc::UnboundedSender<Mined>) -> Self {
        Self { threads, waiting: VecDeque::new(), running: None, mined }
    }

    /// Enters the race for an order, now or when those before it are over.
    pub(crate) fn enter(&mut self, puzzle: Puzzle) {
        let order = puzzle.order();
        let known = self.running.as_ref().is_some_and(|(running, _)| *running == order)
            || self.waiting.iter().any(|waiting| waiting.order() == order);
        if !known {
            self.waiting.push_back(puzzle);
            self.start_next();
        }
    }

    /// Leaves a race at once: it is won.
    pub(crate) fn leave(&mut self, order: B256) {
        self.waiting.retain(|puzzle| puzzle.order() != order);
        if let Some((_, cancel)) = self.running.as_ref().filter(|(running, _)| *running == order) {
            cancel.cancel();
        }
    }

    /// To be called for every [`Mined`]: the next race may begin.
    pub(crate) fn ended(&mut self) {
        self.running = None;
        self.start_next();
    }

    /// The race under way.
    pub(crate) fn running(&self) -> Option<B256> {
        self.running.as_ref().map(|(order, _)| *order)
    }

    fn start_next(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(puzzle) = self.waiting.pop_front() else { return };
        let (order, cancel) = (puzzle.order(), Cancel::new());
        self.running = Some((order, cancel.clone()));
        let (threads, mined) = (self.threads, self.mined.clone());
        thread::spawn(move || {
            let search = mine(&puzzle, 0..=u64::MAX, threads, &cancel);
            // Nobody listens only when the node has stopped.
            mined.send(Mined { order, search }).ok();
        });
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        if let Some((_, cancel)) = &self.running {
            cancel.cancel();
        }
    }
}
