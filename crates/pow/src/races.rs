//! Which race a miner works on, one turn after the other: what is paid first, then what is expected to take the fewest
//! hashes. A part of all hashes goes to whichever race has waited longest, so that none waits for ever.
//!
//! Who has found a solution goes on for a lower hash until the race is over: a miner's share of the wins is its share of
//! the hash rate, whoever is first.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use alloy_primitives::{B256, U256};

use crate::{Puzzle, Solution};

/// Of so many hashes one is for the races that have waited longest.
const FAIR_SHARE: u64 = 4;

/// How many nonces a race tries before the next one has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnLengths {
    /// In its turn by rank.
    pub ranked: u64,
    /// In its turn because it has waited longest.
    pub fair: u64,
}

impl Default for TurnLengths {
    /// Some tenths of a second on one thread, and a fraction of that.
    fn default() -> Self {
        Self { ranked: 8 * 1024 * 1024, fair: 256 * 1024 }
    }
}

/// The nonces that a race tries in its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What is to be solved.
    pub puzzle: Puzzle,
    /// With one of these.
    pub nonces: RangeInclusive<u64>,
}

/// What a turn has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Whose it was.
    pub order: B256,
    /// How many nonces were tried.
    pub hashes_tried: u64,
    /// What was found.
    pub solution: Option<Solution>,
    /// Where its race is to go on if nothing was found; it is over if no nonce is left.
    pub next_nonce: Option<u64>,
}

/// A race and how far this miner is in it.
#[derive(Debug, Clone, Copy)]
struct Race {
    puzzle: Puzzle,
    paid: bool,
    next_nonce: u64,
    /// Counts turns: when its last one began, or when it came.
    served: u64,
}

/// The lowest goes first.
type Rank = (bool, u64, u64, B256);

impl Race {
    fn rank(&self) -> Rank {
        (!self.paid, self.puzzle.target().expected_hashes(), self.served, self.puzzle.transaction())
    }
}

/// The races that a miner takes part in. It hashes nothing itself: whoever owns it has one turn at a time hashed, from
/// [`Races::begin`] to [`Races::end`].
#[derive(Debug, Default)]
pub struct Races {
    lengths: TurnLengths,
    /// All of them, by their orders.
    races: BTreeMap<B256, Race>,
    /// Those that wait, by rank.
    ranked: BTreeSet<Rank>,
    /// Those that wait, by when they had their last turn.
    longest: BTreeSet<(u64, B256)>,
    running: Option<B256>,
    /// Counts turns.
    turn: u64,
    /// How many hashes are owed to the races that have waited longest.
    owed: u64,
}

impl Races {
    /// No races yet.
    pub fn new(lengths: TurnLengths) -> Self {
        Self { lengths, ..Self::default() }
    }

    /// Enters the race for an order, which earns something if it is `paid`. Whether the turn under way has to end now,
    /// because this race goes before its.
    pub fn enter(&mut self, puzzle: Puzzle, paid: bool) -> bool {
        let order = puzzle.transaction();
        if self.races.contains_key(&order) {
            return false;
        }
        let race = Race { puzzle, paid, next_nonce: 0, served: self.turn };
        self.races.insert(order, race);
        self.wait(order);
        let running = self.running.and_then(|running| self.races.get(&running));
        running.is_some_and(|running| race.rank() < running.rank())
    }

    /// Leaves a race: it is over. Whether the turn under way has to end now, because it is this race's.
    pub fn leave(&mut self, order: B256) -> bool {
        if let Some(race) = self.races.remove(&order) {
            self.stop_waiting(&race);
        }
        self.running == Some(order)
    }

    /// Leaves every race.
    pub fn leave_all(&mut self) -> bool {
        (self.races, self.ranked, self.longest) = <_>::default();
        self.running.is_some()
    }

    /// Somebody has claimed a race with this hash: only a lower one is worth searching for. Whether the turn under way has
    /// to end now, because it is this race's.
    pub fn outdo(&mut self, order: B256, hash: B256) -> bool {
        let Some(race) = self.races.get(&order).copied().filter(|race| race.puzzle.target().is_met_by(hash)) else {
            return false;
        };
        self.stop_waiting(&race);
        match harder(&race.puzzle, hash) {
            Some(puzzle) => _ = self.races.insert(order, Race { puzzle, ..race }),
            None => _ = self.races.remove(&order),
        }
        let is_running = self.running == Some(order);
        if !is_running {
            self.wait(order);
        }
        is_running
    }

    /// Begins the next turn; nothing if one is under way or there is no race.
    pub fn begin(&mut self) -> Option<Turn> {
        if self.running.is_some() {
            return None;
        }
        let (first, longest) = (self.ranked.first()?.3, self.longest.first()?.1);
        let TurnLengths { ranked, fair } = self.lengths;
        let is_fair = self.owed >= fair && longest != first;
        let (order, count) = if is_fair { (longest, fair) } else { (first, ranked) };
        let race = *self.races.get(&order)?;
        self.stop_waiting(&race);
        self.turn += 1;
        self.races.insert(order, Race { served: self.turn, ..race });
        if is_fair {
            self.owed -= fair;
        }
        self.running = Some(order);
        let nonces = race.next_nonce..=race.next_nonce.saturating_add(count - 1);
        Some(Turn { puzzle: race.puzzle, nonces })
    }

    /// Ends the turn under way: gives the solution if that still counts, with what it solves. The race goes on for a lower
    /// hash unless it was left.
    pub fn end(&mut self, ended: Ended) -> Option<(Puzzle, Solution)> {
        let Ended { order, hashes_tried, solution, next_nonce } = ended;
        self.running = None;
        self.owed = (self.owed + hashes_tried / FAIR_SHARE).min(self.lengths.fair);
        let race = self.races.get(&order).copied()?;
        // It waits already if it was left and entered again meanwhile.
        self.stop_waiting(&race);
        let next_nonce = solution.map_or(next_nonce, |solution| solution.nonce.checked_add(1));
        let solution = solution.filter(|solution| race.puzzle.target().is_met_by(solution.hash));
        let puzzle = solution.map_or(Some(race.puzzle), |solution| harder(&race.puzzle, solution.hash));
        match puzzle.zip(next_nonce) {
            Some((puzzle, next_nonce)) => _ = self.races.insert(order, Race { puzzle, next_nonce, ..race }),
            None => _ = self.races.remove(&order),
        }
        self.wait(order);
        solution.map(|solution| (race.puzzle, solution))
    }

    /// The race whose turn is under way.
    pub fn running(&self) -> Option<B256> {
        self.running
    }

    /// Whether it takes part in the race for an order.
    pub fn contains(&self, order: B256) -> bool {
        self.races.contains_key(&order)
    }

    /// Has a race wait for its turn.
    fn wait(&mut self, order: B256) {
        if let Some(race) = self.races.get(&order) {
            self.ranked.insert(race.rank());
            self.longest.insert((race.served, order));
        }
    }

    fn stop_waiting(&mut self, race: &Race) {
        self.ranked.remove(&race.rank());
        self.longest.remove(&(race.served, race.puzzle.transaction()));
    }
}

/// The puzzle that only a hash below this one solves; nothing if there is none.
fn harder(puzzle: &Puzzle, hash: B256) -> Option<Puzzle> {
    // 2^256 / hash, rounded up: what wins is below 2^256 / expected hashes.
    let expected = U256::MAX.checked_div(hash.into())?.saturating_add(U256::ONE);
    let expected = u64::try_from(expected).ok()?;
    Puzzle::new(puzzle.network_id(), puzzle.race(), puzzle.transaction(), puzzle.miner(), expected).ok()
}
