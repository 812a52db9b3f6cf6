//! Proof of work in virtual time.
//!
//! A replica's search is real, and the nonces that it would have tried by the end of the next stretch of time are tried
//! at once: so nothing is hashed that would not have been, whenever a search is given up.

use std::{num::NonZeroUsize, time::Duration};

use dtn_consensus::{nakamoto, pbft};
use dtn_pow::{Cancel, Puzzle, mine};
use dtn_primitives::ValidatorIndex;
use rand::Rng;

use super::{Event, World};
use crate::{Found, Miners, Notice, Reply, Subject, Violation, What, host::Arrival};

/// The parts of a block interval in which searches are looked after.
const STRETCHES: u32 = 4;

/// What a replica searches for.
struct Search {
    puzzle: Puzzle,
    height: u64,
    /// The first nonce that it has not tried.
    next: u64,
    /// The part of the present hash that was done before, for a search begins in the middle of one.
    ahead: f64,
}

/// What all replicas search for.
pub(super) struct Searches {
    miners: Miners,
    running: Vec<Option<Search>>,
    /// Counts each replica's searches, so that what was scheduled for an earlier one is recognized.
    numbers: Vec<u64>,
}

impl Searches {
    pub(super) fn new(miners: Miners, n: usize) -> Self {
        Self { miners, running: (0..n).map(|_| None).collect(), numbers: vec![0; n] }
    }

    /// A replica gives up its search.
    pub(super) fn stop(&mut self, host: usize) {
        self.numbers[host] += 1;
        self.running[host] = None;
    }
}

impl<P: Subject> World<'_, P> {
    /// A replica begins to search for the proof of work of its block of this height, and for nothing else.
    pub(super) fn search(&mut self, host: usize, puzzle: Puzzle, height: u64) {
        self.searches.stop(host);
        let ahead = self.rng.random::<f64>();
        self.searches.running[host] = Some(Search { puzzle, height, next: 0, ahead });
        self.go_on(host, self.searches.numbers[host]);
    }

    /// A replica goes on with its search for a stretch of time.
    pub(super) fn go_on(&mut self, host: usize, number: u64) {
        let n = self.hosts.len();
        let Searches { miners, running, numbers } = &mut self.searches;
        let rate = miners.rate(host, n, self.now);
        let stretch = (miners.block_interval / STRETCHES).max(Duration::from_micros(1));
        let Some(search) = running[host].as_mut().filter(|_| numbers[host] == number) else { return };
        if rate <= 0.0 {
            // It may have some later.
            return self.schedule(stretch, Event::Search { host, number });
        }
        let tries = (rate * stretch.as_secs_f64()).ceil().max(1.0);
        let last = search.next.saturating_add(tries as u64 - 1);
        let found = mine(&search.puzzle, search.next..=last, NonZeroUsize::MIN, &Cancel::new()).solution;
        let tried = found.map_or(last, |found| found.nonce) - search.next + 1;
        let after = Duration::from_secs_f64((tried as f64 - std::mem::take(&mut search.ahead)) / rate);
        search.next = last.saturating_add(1);
        match found {
            Some(found) => self.schedule(after, Event::Found { host, number, nonce: found.nonce }),
            None => self.schedule(after, Event::Search { host, number }),
        }
    }

    /// A correct replica has something to tell its operator.
    pub(super) fn notice(&mut self, me: ValidatorIndex, notice: &Notice) -> Result<(), Violation> {
        use {nakamoto::Notice as OfChain, pbft::Notice as OfFinality};
        let replica = me.0;
        if let Notice::Chain(notice) = notice {
            self.measured.mined.notices(notice);
        }
        let what = match *notice {
            Notice::Finality(OfFinality::Silent { until }) => What::Silent { replica, until },
            Notice::Finality(OfFinality::Forgot { .. }) => return self.oracle.doubts(me),
            Notice::Chain(OfChain::Reorganized { depth, .. }) => What::Reorganized { replica, depth },
            Notice::Chain(OfChain::BelowCheckpoint { from, height, .. }) => {
                What::BelowCheckpoint { replica, from: from.0, height }
            }
            // What is simulated is whole, or refused before it is executed.
            Notice::Chain(OfChain::InvalidBlock { .. }) => return Ok(()),
        };
        self.tell(|| what);
        Ok(())
    }

    /// A replica's search has come to its end.
    pub(super) fn found(&mut self, host: usize, number: u64, nonce: u64) {
        if self.searches.numbers[host] != number {
            return;
        }
        let Some(Search { puzzle, height, .. }) = self.searches.running[host].take() else { return };
        let (hash, work) = (puzzle.transaction(), puzzle.target().expected_hashes());
        self.trace.add("found", self.now, host, &hash[..]);
        self.tell(|| What::Found { replica: host as u16, height, block: hash.to_string()[2..10].into() });
        self.measured.mined.finds(Found { at: self.now, miner: host as u16, height, hash, work });
        self.arrive(host, Arrival::Reply(Reply::Mined { block_hash: hash, nonce }));
    }
}
