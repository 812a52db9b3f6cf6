//! How long a replica waits for a primary, and how often it says things again.

use std::time::Duration;

use dtn_primitives::{B256, TURN, ValidatorIndex};

use super::{Effects, PIPELINE, Pbft, Timer, slot::Slot};
use crate::{protocol::Effect, quorum::is_quorum};

/// The timeout of a view doubles at most this many times while nothing is decided.
const MAX_DOUBLINGS: u32 = 10;

/// The timeout is halved with each turn that a primary has failed, this many times at most.
const MAX_FAILURES: u32 = 3;

/// The same for one of whom nothing has been heard for a while.
const MAX_FAILURES_OF_ABSENT: u32 = 6;

/// A replica of which nothing was heard for so many heights is taken for absent.
const ABSENT_AFTER: u64 = 2 * TURN;

/// While nothing changes, things are said again after 1, 2, 4 and 8 looks at the clock, and then after each 8 more: a link
/// on which they wait is not made faster by repetitions.
const MAX_REPEAT: u32 = 8;

/// What the view's timer runs for: with another of these it begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Awaited {
    view: u64,
    changing: bool,
    primary: ValidatorIndex,
    /// The request that waits longest, or the block that is under way where none waits.
    what: Option<B256>,
}

/// What a replica remembers of how the others did as primaries.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    /// Turns that each has failed since it last succeeded.
    failures: Vec<u32>,
    /// The last decided height when something was last heard of each.
    heard: Vec<u64>,
}

impl Patience {
    pub(super) fn new(n: usize) -> Self {
        Self { failures: vec![0; n], heard: vec![0; n] }
    }

    pub(super) fn hears(&mut self, of: ValidatorIndex, decided: u64) {
        self.heard.get_mut(of.as_usize()).into_iter().for_each(|heard| *heard = decided);
    }

    /// Heights have passed in which this replica heard nothing of anybody.
    pub(super) fn skips_to(&mut self, decided: u64) {
        self.heard.fill(decided);
    }

    pub(super) fn failed(&mut self, primary: ValidatorIndex) {
        let failures = self.failures.get_mut(primary.as_usize());
        failures.into_iter().for_each(|failures| *failures = (*failures + 1).min(MAX_FAILURES_OF_ABSENT));
    }

    pub(super) fn succeeded(&mut self, primary: ValidatorIndex) {
        let failures = self.failures.get_mut(primary.as_usize());
        failures.into_iter().for_each(|failures| *failures = failures.saturating_sub(1));
    }

    /// How often the timeout is halved for a primary.
    fn halvings(&self, primary: ValidatorIndex, decided: u64) -> u32 {
        let of = |list: &[u64]| list.get(primary.as_usize()).copied().unwrap_or_default();
        let absent = decided.saturating_sub(of(&self.heard)) >= ABSENT_AFTER;
        let failures = self.failures.get(primary.as_usize()).copied().unwrap_or_default();
        failures.min(if absent { MAX_FAILURES_OF_ABSENT } else { MAX_FAILURES })
    }
}

impl Pbft {
    /// Keeps the view's timer running exactly while something waits to be decided and a view is there to be given up. It
    /// runs for the request that waits longest: no decision of anything else begins it anew (§4.4), but the next primary's
    /// turn does.
    pub(super) fn watch(&mut self, effects: &mut Effects) {
        let asking = self.view_changes.values().filter(|change| change.view >= self.view.number).count();
        let begun = self.slots.get(&(self.decided + 1)).filter(|slot| slot.is_begun()).and_then(Slot::accepted_hash);
        let wanted = match self.view.changing {
            _ if self.is_silent() => false,
            // A replica alone would run away from the others: the timer waits for a quorum to ask for the view.
            true => is_quorum(asking, &self.config.validators),
            false => self.waiting.is_some() || begun.is_some() || self.heals(),
        };
        let (view, changing, primary) = (self.view.number, self.view.changing, self.primary());
        let what = self.waiting.or(begun).filter(|_| !changing);
        let awaited = wanted.then_some(Awaited { view, changing, primary, what });
        if awaited == self.awaited {
            return;
        }
        match awaited {
            Some(_) => effects.push(Effect::SetTimer { timer: Timer::ViewChange, after: self.timeout() }),
            None => effects.push(Effect::CancelTimer(Timer::ViewChange)),
        }
        self.awaited = awaited;
    }

    fn timeout(&self) -> Duration {
        let halvings = if self.view.changing { 0 } else { self.patience.halvings(self.primary(), self.decided) };
        let timeout = self.config.view_timeout / 2u32.pow(halvings);
        timeout.saturating_mul(2u32.pow(self.doublings.min(MAX_DOUBLINGS))).max(Duration::from_millis(1))
    }

    /// Whether a look at the clock is one at which things are said again.
    pub(super) fn repeats(&self) -> bool {
        self.quiet.is_power_of_two() || self.quiet.is_multiple_of(MAX_REPEAT)
    }

    /// A block was decided that had been under way for so many looks at the clock: where that takes long, fewer blocks are
    /// under way at a time, so that the first of them does not wait for the others' bytes.
    pub(super) fn pace(&mut self, looks: u64) {
        self.window = if looks >= 2 { (self.window / 2).max(1) } else { (self.window + 1).min(PIPELINE) };
    }
}
