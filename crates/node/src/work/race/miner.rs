//! Runs this peer's part of the races ([`Races`]), one turn after the other.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

use dtn_pow::{Cancel, Ended, Puzzle, Races, Search, Solution, TurnLengths, mine};
use dtn_primitives::B256;
use tokio::sync::mpsc;

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
    order: B256,
    search: Search,
}

/// The races that this peer takes part in.
pub(crate) struct Miner {
    threads: NonZeroUsize,
    races: Races,
    /// When the first turn of each began: by the monotonic clock, and in microseconds since the Unix epoch.
    began: BTreeMap<B256, (Instant, u64)>,
    /// Ends the turn under way.
    cancel: Cancel,
    turns: mpsc::UnboundedSender<Turn>,
}

impl Miner {
    /// A miner that reports its turns to `turns`, at most one at a time. Each is to be given to [`Miner::ended`].
    pub(crate) fn new(threads: NonZeroUsize, turns: mpsc::UnboundedSender<Turn>) -> Self {
        let races = Races::new(TurnLengths::default());
        Self { threads, races, began: BTreeMap::new(), cancel: Cancel::new(), turns }
    }

    /// Enters the race for an order, which earns something if it is `paid`. A race that goes before the one under way
    /// takes its turn at once.
    pub(crate) fn enter(&mut self, puzzle: Puzzle, paid: bool) {
        if self.races.enter(puzzle, paid) {
            self.cancel.cancel();
        }
        self.start_next();
    }

    /// Leaves a race at once: it is over.
    pub(crate) fn leave(&mut self, order: B256) {
        self.began.remove(&order);
        if self.races.leave(order) {
            self.cancel.cancel();
        }
    }

    /// Leaves every race.
    pub(crate) fn leave_all(&mut self) {
        self.began.clear();
        if self.races.leave_all() {
            self.cancel.cancel();
        }
    }

    /// Somebody has claimed a race with this hash: only a lower one is worth searching for.
    pub(crate) fn outdo(&mut self, order: B256, hash: B256) {
        if self.races.outdo(order, hash) {
            self.cancel.cancel();
        }
    }

    /// Takes the end of a turn: gives the solution if it has one that still counts. The race goes on for a lower hash
    /// unless it was left. The next turn begins.
    pub(crate) fn ended(&mut self, Turn { order, search }: Turn) -> Option<Mined> {
        let Search { hashes_tried, solution, next_nonce, started_at_us, ended_at_us, duration_us } = search;
        let now = Instant::now();
        let known = self.began.remove(&order);
        let began = known.unwrap_or_else(|| (now - Duration::from_micros(duration_us), started_at_us));
        let solved = self.races.end(Ended { order, hashes_tried, solution, next_nonce });
        if self.races.contains(order) {
            self.began.insert(order, began);
        }
        self.start_next();
        solved.map(|(puzzle, solution)| Mined {
            puzzle,
            solution,
            started_at_us: began.1,
            ended_at_us: ended_at_us.max(began.1),
            duration_us: known.map_or(duration_us, |(started, _)| (now - started).as_micros() as u64),
        })
    }

    /// The race under way.
    pub(crate) fn running(&self) -> Option<B256> {
        self.races.running()
    }

    fn start_next(&mut self) {
        let Some(dtn_pow::Turn { puzzle, nonces }) = self.races.begin() else { return };
        self.cancel = Cancel::new();
        let (threads, cancel, turns) = (self.threads, self.cancel.clone(), self.turns.clone());
        thread::spawn(move || {
            let mut search = mine(&puzzle, nonces.clone(), threads, &cancel);
            // The turn is over, the nonces are not.
            search.next_nonce = search.next_nonce.or_else(|| nonces.end().checked_add(1));
            // Nobody listens only when the node has stopped.
            turns.send(Turn { order: puzzle.transaction(), search }).ok();
        });
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::{Address, U256};

    use super::*;

    fn puzzle(order: u64, expected_hashes: u64) -> Puzzle {
        let order = B256::from(U256::from(order));
        Puzzle::new(B256::ZERO, B256::ZERO, order, Address::ZERO, expected_hashes).unwrap()
    }

    /// The hashes of all turns that end until a race has a solution.
    fn hashes_until_solved(miner: &mut Miner, ended: &mut mpsc::UnboundedReceiver<Turn>, order: B256) -> u64 {
        let mut hashes = 0;
        loop {
            let turn = ended.blocking_recv().unwrap();
            hashes += turn.search.hashes_tried;
            if miner.ended(turn).is_some_and(|mined| mined.puzzle.transaction() == order) {
                return hashes;
            }
        }
    }

    /// The hashes that paid orders of a million take one after the other, beside so many lines that nobody can solve.
    fn hashes_of_orders(lines: u64) -> u64 {
        let (turns, mut ended) = mpsc::unbounded_channel();
        let mut miner = Miner::new(NonZeroUsize::MIN, turns);
        (0..lines).for_each(|line| miner.enter(puzzle(line, 1 << 40), false));
        let mut hashes = 0;
        for order in 20_000..20_008 {
            let order = puzzle(order, 1_000_000);
            miner.enter(order, true);
            if lines > 0 {
                // The turn under way ends at once; what it had tried before the order came does not count.
                assert!(miner.ended(ended.blocking_recv().unwrap()).is_none());
            }
            hashes += hashes_until_solved(&mut miner, &mut ended, order.transaction());
            miner.leave(order.transaction());
            miner.ended(ended.blocking_recv().unwrap());
        }
        hashes
    }

    #[test]
    fn a_paid_order_beside_sixteen_thousand_impossible_lines_takes_at_most_twice_the_hashes() {
        let (with, without) = (hashes_of_orders(16_384), hashes_of_orders(0));
        println!("{with} hashes beside the lines, {without} without");
        assert!(with <= 2 * without, "{with} hashes beside the lines, {without} without");
    }

    #[test]
    fn an_order_that_nobody_can_solve_does_not_keep_others_waiting() {
        let (turns, mut ended) = mpsc::unbounded_channel();
        let mut miner = Miner::new(NonZeroUsize::MIN, turns);
        miner.enter(puzzle(1, u64::MAX), true);
        miner.enter(puzzle(2, 1_000), false);
        hashes_until_solved(&mut miner, &mut ended, puzzle(2, 1).transaction());
        miner.leave(puzzle(2, 1).transaction());
        miner.leave(puzzle(1, 1).transaction());
        assert!(miner.ended(ended.blocking_recv().unwrap()).is_none());
        assert_eq!(miner.running(), None);
    }

    #[test]
    fn a_race_goes_on_for_lower_hashes_until_it_is_left() {
        let (turns, mut ended) = mpsc::unbounded_channel();
        let mut miner = Miner::new(NonZeroUsize::MIN, turns);
        miner.enter(puzzle(1, 100), false);
        let mut lowest = B256::repeat_byte(0xff);
        for _ in 0..3 {
            let mined = loop {
                if let Some(mined) = miner.ended(ended.blocking_recv().unwrap()) {
                    break mined;
                }
            };
            assert!(mined.solution.hash < lowest);
            assert_eq!(puzzle(1, 100).check(mined.solution.nonce, mined.solution.hash), Ok(()));
            lowest = mined.solution.hash;
        }
        miner.outdo(puzzle(1, 1).transaction(), B256::from(U256::from(1)));
        assert!(miner.ended(ended.blocking_recv().unwrap()).is_none(), "nothing is lower");
        assert_eq!(miner.running(), None);
    }
}
