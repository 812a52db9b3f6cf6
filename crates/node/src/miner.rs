//! Runs this peer's part of the races, one turn after the other: what is paid first, then what is expected to take the
//! fewest hashes. A part of all turns goes to whichever race has waited longest, so that none waits for ever.
//!
//! Who has found a solution goes on for a lower hash until the race is over: a peer's share of the wins is its share of
//! the hash rate, whoever is first.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

use dtn_pow::{Cancel, Puzzle, Search, Solution, mine};
use dtn_primitives::{B256, U256};
use tokio::sync::mpsc;

/// How many nonces a search tries before the next one has its turn: some tenths of a second on one thread.
const TURN: u64 = 8 * 1024 * 1024;

/// How many the race that has waited longest tries in its turn.
const FAIR_TURN: u64 = 256 * 1024;

/// Of so many hashes one is for the races that have waited longest.
const FAIR_SHARE: u64 = 4;

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
    puzzle: Puzzle,
    search: Search,
}

/// A race and how far this peer is in it.
#[derive(Debug, Clone, Copy)]
struct Race {
    puzzle: Puzzle,
    paid: bool,
    next_nonce: u64,
    /// When the first turn began: by the monotonic clock, and in microseconds since the Unix epoch.
    began: Option<(Instant, u64)>,
    /// Counts turns: when its last one began, or when it came.
    served: u64,
}

impl Race {
    /// The lowest goes first.
    fn rank(&self) -> (bool, u64, u64, B256) {
        (!self.paid, self.puzzle.target().expected_hashes(), self.served, self.puzzle.transaction())
    }
}

/// The races that this peer takes part in.
pub(crate) struct Miner {
    threads: NonZeroUsize,
    /// All of them, by their orders.
    races: BTreeMap<B256, Race>,
    /// Those that wait, by rank.
    ranked: BTreeSet<(bool, u64, u64, B256)>,
    /// Those that wait, by when they had their last turn.
    longest: BTreeSet<(u64, B256)>,
    running: Option<(B256, Cancel)>,
    /// Counts turns.
    turn: u64,
    /// How many hashes are owed to the races that have waited longest.
    owed: u64,
    turns: mpsc::UnboundedSender<Turn>,
}

impl Miner {
    /// A miner that reports its turns to `turns`, at most one at a time. Each is to be given to [`Miner::ended`].
    pub(crate) fn new(threads: NonZeroUsize, turns: mpsc::UnboundedSender<Turn>) -> Self {
        let (races, ranked, longest) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { threads, races, ranked, longest, running: None, turn: 0, owed: 0, turns }
    }

    /// Enters the race for an order, which earns something if it is `paid`. A race that goes before the one under way
    /// takes its turn at once.
    pub(crate) fn enter(&mut self, puzzle: Puzzle, paid: bool) {
        let order = puzzle.transaction();
        if self.races.contains_key(&order) {
            return;
        }
        let race = Race { puzzle, paid, next_nonce: 0, began: None, served: self.turn };
        self.races.insert(order, race);
        self.wait(order);
        if let Some((running, cancel)) = &self.running
            && self.races.get(running).is_some_and(|running| race.rank() < running.rank())
        {
            cancel.cancel();
        }
        self.start_next();
    }

    /// Leaves a race at once: it is over.
    pub(crate) fn leave(&mut self, order: B256) {
        if let Some(race) = self.races.remove(&order) {
            self.ranked.remove(&race.rank());
            self.longest.remove(&(race.served, order));
        }
        if let Some((_, cancel)) = self.running.as_ref().filter(|(running, _)| *running == order) {
            cancel.cancel();
        }
    }

    /// Leaves every race.
    pub(crate) fn leave_all(&mut self) {
        let all: Vec<_> = self.races.keys().copied().collect();
        all.into_iter().for_each(|order| self.leave(order));
    }

    /// Somebody has claimed a race with this hash: only a lower one is worth searching for.
    pub(crate) fn outdo(&mut self, order: B256, hash: B256) {
        let Some(race) = self.races.get(&order).copied().filter(|race| race.puzzle.target().is_met_by(hash)) else {
            return;
        };
        let harder = harder(&race.puzzle, hash);
        let is_running = self.running.as_ref().is_some_and(|(running, _)| *running == order);
        self.ranked.remove(&race.rank());
        self.longest.remove(&(race.served, order));
        match harder {
            Some(puzzle) => _ = self.races.insert(order, Race { puzzle, ..race }),
            None => _ = self.races.remove(&order),
        }
        match &self.running {
            Some((_, cancel)) if is_running => cancel.cancel(),
            _ => self.wait(order),
        }
    }

    /// Takes the end of a turn: gives the solution if it has one that still counts. The race goes on for a lower hash
    /// unless it was left. The next turn begins.
    pub(crate) fn ended(&mut self, Turn { puzzle, search }: Turn) -> Option<Mined> {
        self.running = None;
        let order = puzzle.transaction();
        self.owed = (self.owed + search.hashes_tried / FAIR_SHARE).min(FAIR_TURN);
        let mined = self.races.get(&order).copied().and_then(|race| self.take(race, &search));
        self.wait(order);
        self.start_next();
        mined
    }

    fn take(&mut self, race: Race, search: &Search) -> Option<Mined> {
        let (now, order) = (Instant::now(), race.puzzle.transaction());
        let began =
            race.began.unwrap_or_else(|| (now - Duration::from_micros(search.duration_us), search.started_at_us));
        let next_nonce = match (&search.solution, search.next_nonce) {
            (Some(solution), _) => solution.nonce.checked_add(1),
            (None, next) => next,
        };
        let solution = search.solution.filter(|solution| race.puzzle.target().is_met_by(solution.hash));
        let puzzle = match &solution {
            Some(solution) => harder(&race.puzzle, solution.hash),
            None => Some(race.puzzle),
        };
        match puzzle.zip(next_nonce) {
            Some((puzzle, next_nonce)) => {
                _ = self.races.insert(order, Race { puzzle, next_nonce, began: Some(began), ..race });
            }
            None => _ = self.races.remove(&order),
        }
        solution.map(|solution| Mined {
            puzzle: race.puzzle,
            solution,
            started_at_us: began.1,
            ended_at_us: search.ended_at_us.max(began.1),
            duration_us: match race.began {
                None => search.duration_us,
                Some((started, _)) => (now - started).as_micros() as u64,
            },
        })
    }

    /// The race under way.
    pub(crate) fn running(&self) -> Option<B256> {
        self.running.as_ref().map(|(order, _)| *order)
    }

    /// Has a race wait for its turn.
    fn wait(&mut self, order: B256) {
        if let Some(race) = self.races.get(&order) {
            self.ranked.insert(race.rank());
            self.longest.insert((race.served, order));
        }
    }

    /// Whose turn it is, and for how many nonces.
    fn next(&self) -> Option<(B256, u64)> {
        let (first, longest) = (self.ranked.first()?.3, self.longest.first()?.1);
        let (order, nonces) = if self.owed >= FAIR_TURN { (longest, FAIR_TURN) } else { (first, TURN) };
        Some((order, if order == first { TURN } else { nonces }))
    }

    fn start_next(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some((order, count)) = self.next() else { return };
        let Some(mut race) = self.races.get(&order).copied() else { return };
        self.ranked.remove(&race.rank());
        self.longest.remove(&(race.served, order));
        self.turn += 1;
        race.served = self.turn;
        self.races.insert(order, race);
        let is_fair = count == FAIR_TURN;
        if is_fair {
            self.owed -= FAIR_TURN;
        }
        let cancel = Cancel::new();
        self.running = Some((order, cancel.clone()));
        let (threads, turns) = (self.threads, self.turns.clone());
        thread::spawn(move || {
            let nonces = race.next_nonce..=race.next_nonce.saturating_add(count - 1);
            let mut search = mine(&race.puzzle, nonces.clone(), threads, &cancel);
            // The turn is over, the nonces are not.
            search.next_nonce = search.next_nonce.or_else(|| nonces.end().checked_add(1));
            // Nobody listens only when the node has stopped.
            turns.send(Turn { puzzle: race.puzzle, search }).ok();
        });
    }
}

/// The puzzle that only a hash below this one solves; nothing if there is none.
fn harder(puzzle: &Puzzle, hash: B256) -> Option<Puzzle> {
    // 2^256 / hash, rounded up: what wins is below 2^256 / expected hashes.
    let expected = U256::MAX.checked_div(hash.into())?.saturating_add(U256::ONE);
    let expected = u64::try_from(expected).ok()?;
    Puzzle::new(puzzle.network_id(), puzzle.race(), puzzle.transaction(), puzzle.miner(), expected).ok()
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
