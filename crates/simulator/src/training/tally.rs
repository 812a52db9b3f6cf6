//! What a run adds up to: who earned what, by strategy.

use std::collections::BTreeMap;

use serde::Serialize;

use super::strategy::{Role, Strategy};

/// The mean of values, and how sure it is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean {
    count: u64,
    mean: f64,
    squares: f64,
}

/// Of a normal distribution, 95 % are within so many standard deviations.
const CONFIDENCE: f64 = 1.96;

impl Mean {
    /// Of these values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut mean = Self::default();
        values.into_iter().for_each(|value| mean.add(value));
        mean
    }

    /// One value more, by Welford's method.
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        let off = value - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (value - self.mean);
    }

    /// How many values.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; 0 of none.
    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// The true mean is no farther away, with 95 % confidence; not known of fewer than two values.
    pub(super) fn within(&self) -> f64 {
        match self.count {
            0 | 1 => f64::INFINITY,
            count => CONFIDENCE * (self.squares / (count - 1) as f64 / count as f64).sqrt(),
        }
    }
}

/// What a strategy came to in a role. Money is in parts of the reward.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Line {
    /// The role.
    pub role: Role,
    /// What it did there.
    pub strategy: Strategy,
    /// Whether the accounts were of the coalition.
    pub colludes: bool,
    /// How often: a claim, a seat in a committee, an order.
    pub times: u64,
    /// What each time brought, less what computing cost.
    pub payoff: f64,
    /// The mean is no farther away, with 95 % confidence.
    pub within: f64,
    /// The part of times in which something was lost for it.
    pub caught: f64,
    /// The part of times in which the prize was won.
    pub won: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    payoff: Mean,
    caught: u64,
    won: u64,
}

/// Sums by role and strategy.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(BTreeMap<(Role, bool, Strategy), Sums>);

impl Tally {
    pub(super) fn add(&mut self, key: (Role, bool, Strategy), payoff: f64, caught: bool, won: bool) {
        let sums = self.0.entry(key).or_default();
        sums.payoff.add(payoff);
        sums.caught += u64::from(caught);
        sums.won += u64::from(won);
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        let line = |((role, colludes, strategy), sums): (&(Role, bool, Strategy), &Sums)| {
            let times = sums.payoff.count();
            let part = |count: u64| count as f64 / times.max(1) as f64;
            Line {
                role: *role,
                strategy: *strategy,
                colludes: *colludes,
                times,
                payoff: sums.payoff.mean(),
                within: sums.payoff.within(),
                caught: part(sums.caught),
                won: part(sums.won),
            }
        };
        self.0.iter().map(line).collect()
    }
}
