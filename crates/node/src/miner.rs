//! Runs this peer's part of the races: the searches take turns, so that a hard puzzle does not keep the others waiting.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

use dtn_pow::{Cancel, Puzzle, Search, Solution, mine};
use dtn_primitives::B256;
use tokio::sync::mpsc;

/// How many nonces a search tries before the next one has its turn: some tenths of a second on one thread.
const TURN: u64 = 8 * 1024 * 1024;

/// A solution that this peer found, with the times that it states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mined {
    pub(crate) puzzle: Puzzle,
    pub(crate) solution: Solution,
    pub(crate) started_at_us: u64,
    pub(crate) ended_at_us: u64,
    pub(crate) duration_us: u64,
}

/// One turn of a search that ended.
#[derive(Debug)]
pub(crate) struct Turn {
    race: Race,
    search: Search,
}

/// A race and how far this peer is in it.
#[derive(Debug, Clone, Copy)]
struct Race {
    puzzle: Puzzle,
    next_nonce: u64,
    /// When the first turn began: by the monotonic clock, and in microseconds since the Unix epoch.
    began: Option<(Instant, u64)>,
}

/// The races that this peer takes part in.
pub(crate) struct Miner {
    threads: NonZeroUsize,
    waiting: VecDeque<Race>,
    running: Option<(B256, Cancel)>,
    turns: mpsc::UnboundedSender<Turn>,
}

impl Miner {
    /// A miner that reports its turns to `turns`, at most one at a time. Each is to be given to [`Miner::ended`].
    pub(crate) fn new(threads: NonZeroUsize, turns: mpsc::UnboundedSender<Turn>) -> Self {
        Self { threads, waiting: VecDeque::new(), running: None, turns }
    }

    /// Enters the race for an order.
    pub(crate) fn enter(&mut self, puzzle: Puzzle) {
        let order = puzzle.transaction();
        let known = self.running.as_ref().is_some_and(|(running, _)| *running == order)
            || self.waiting.iter().any(|race| race.puzzle.transaction() == order);
        if !known {
            self.waiting.push_back(Race { puzzle, next_nonce: 0, began: None });
            self.start_next();
        }
    }

    /// Leaves a race at once: it is won.
    pub(crate) fn leave(&mut self, order: B256) {
        self.waiting.retain(|race| race.puzzle.transaction() != order);
        if let Some((_, cancel)) = self.running.as_ref().filter(|(running, _)| *running == order) {
            cancel.cancel();
        }
    }

    /// Leaves every race.
    pub(crate) fn leave_all(&mut self) {
        self.waiting.clear();
        if let Some((_, cancel)) = &self.running {
            cancel.cancel();
        }
    }

    /// Takes the end of a turn: gives the solution if it has one, else the race waits for its next turn unless it was
    /// left. The next race begins.
    pub(crate) fn ended(&mut self, Turn { race, search }: Turn) -> Option<Mined> {
        let left = self.running.take().is_none_or(|(_, cancel)| cancel.is_cancelled());
        let now = Instant::now();
        let began =
            race.began.unwrap_or_else(|| (now - Duration::from_micros(search.duration_us), search.started_at_us));
        let (started, started_at_us) = began;
        let mined = search.solution.map(|solution| Mined {
            puzzle: race.puzzle,
            solution,
            started_at_us,
            ended_at_us: search.ended_at_us.max(started_at_us),
            duration_us: match race.began {
                None => search.duration_us,
                Some(_) => (now - started).as_micros() as u64,
            },
        });
        if let (None, false, Some(next_nonce)) = (&mined, left, search.next_nonce) {
            self.waiting.push_back(Race { next_nonce, began: Some(began), ..race });
        }
        self.start_next();
        mined
    }

    /// The race under way.
    pub(crate) fn running(&self) -> Option<B256> {
        self.running.as_ref().map(|(order, _)| *order)
    }

    fn start_next(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(race) = self.waiting.pop_front() else { return };
        let cancel = Cancel::new();
        self.running = Some((race.puzzle.transaction(), cancel.clone()));
        let (threads, turns) = (self.threads, self.turns.clone());
        thread::spawn(move || {
            let nonces = race.next_nonce..=race.next_nonce.saturating_add(TURN - 1);
            let mut search = mine(&race.puzzle, nonces.clone(), threads, &cancel);
            // The turn is over, the nonces are not.
            search.next_nonce = search.next_nonce.or_else(|| nonces.end().checked_add(1));
            // Nobody listens only when the node has stopped.
            turns.send(Turn { race, search }).ok();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::Address;

    use super::*;

    fn puzzle(order: u8, expected_hashes: u64) -> Puzzle {
        Puzzle::new(B256::ZERO, B256::ZERO, B256::repeat_byte(order), Address::ZERO, expected_hashes).unwrap()
    }

    #[test]
    fn an_order_that_nobody_can_solve_does_not_keep_others_waiting() {
        let (turns, mut ended) = mpsc::unbounded_channel();
        let mut miner = Miner::new(NonZeroUsize::MIN, turns);
        miner.enter(puzzle(1, u64::MAX));
        miner.enter(puzzle(2, 1_000));
        let mined = loop {
            if let Some(mined) = miner.ended(ended.blocking_recv().unwrap()) {
                break mined;
            }
        };
        assert_eq!(mined.puzzle.transaction(), B256::repeat_byte(2));
        assert!(mined.ended_at_us >= mined.started_at_us);
        assert_eq!(miner.running(), Some(B256::repeat_byte(1)), "it goes on with the hard one");
        miner.leave(B256::repeat_byte(1));
        assert!(miner.ended(ended.blocking_recv().unwrap()).is_none());
        assert_eq!(miner.running(), None);
    }
}
