//! The longest chain without messages: who finds the next block is a matter of chance alone, so that millions of blocks take
//! a second, and what comes of it can be held to what is proven.
//!
//! Blocks are found by a Poisson process, one in a unit of time by everybody together; what an adversary with a part α of the
//! work gets is counted in batches, whose spread tells the error of the whole.

use std::collections::VecDeque;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;

use crate::property::Spread;

/// Parts of a run whose figures are compared.
const BATCHES: u64 = 20;

/// An adversary that is so far behind has lost its race: from there it catches up once in 10²⁰ times, or never.
const ODDS: f64 = 1e-20;

/// How many standard errors off is no accident.
const ERRORS: f64 = 5.0;

/// What was measured, beside what is proven.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// What was measured.
    pub measured: f64,
    /// Its standard error.
    pub error: f64,
    /// What is proven.
    pub exact: f64,
}

impl Estimate {
    fn of(exact: f64, batches: impl Iterator<Item = f64>) -> Self {
        let spread = Spread::of(batches).unwrap_or(Spread { min: 0.0, mean: 0.0, median: 0.0, max: 0.0, sd: 0.0 });
        Self { measured: spread.mean, error: spread.sd / (BATCHES as f64 - 1.0).sqrt(), exact }
    }

    /// By which part of what is proven it is off.
    pub fn off(&self) -> f64 {
        (self.measured - self.exact) / self.exact
    }

    /// Whether chance explains the difference.
    pub fn is_right(&self) -> bool {
        // What hardly ever happens may not have happened.
        (self.measured - self.exact).abs() <= ERRORS * self.error + 1e-6
    }
}

fn batches(seed: u64) -> impl Iterator<Item = StdRng> {
    (0..BATCHES).map(move |batch| StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ batch))
}

/// The part of the final blocks that a selfish miner has: with a part `alpha` of the work, below a half, and a part `gamma` of
/// the others on its block in a tie (Eyal & Sirer, "Majority is not Enough", Financial Cryptography 2014, equation 8).
pub fn selfish(alpha: f64, gamma: f64, blocks: u64, seed: u64) -> Estimate {
    let batch = |mut rng: StdRng| {
        let (mut lead, mut is_tie, mut own, mut others) = (0u64, false, 0u64, 0u64);
        for _ in 0..blocks.div_ceil(BATCHES) {
            let finds = rng.random_bool(alpha);
            match (finds, is_tie, lead) {
                (true, true, _) => (own, is_tie) = (own + 2, false),
                (true, false, _) => lead += 1,
                (false, true, _) if rng.random_bool(gamma) => {
                    (own, others, is_tie) = (own + 1, others + 1, false);
                }
                (false, true, _) => (others, is_tie) = (others + 2, false),
                (false, false, 0) => others += 1,
                (false, false, 1) => (lead, is_tie) = (0, true),
                (false, false, 2) => (own, lead) = (own + 2, 0),
                (false, false, _) => (own, lead) = (own + 1, lead - 1),
            }
        }
        own as f64 / (own + others).max(1) as f64
    };
    Estimate::of(selfish_share(alpha, gamma), batches(seed).map(batch))
}

/// The closed form of the same.
pub fn selfish_share(alpha: f64, gamma: f64) -> f64 {
    let honest = 1.0 - alpha;
    let won = alpha * honest.powi(2) * (4.0 * alpha + gamma * (1.0 - 2.0 * alpha)) - alpha.powi(3);
    won / (1.0 - alpha * (1.0 + (2.0 - alpha) * alpha))
}

/// The least part of the chain that is honest, whatever an adversary does: each of its blocks displaces one at most (Garay,
/// Kiayias & Leonardos, "The Bitcoin Backbone Protocol", Eurocrypt 2015, theorem 10).
pub fn least_quality(alpha: f64) -> f64 {
    1.0 - alpha / (1.0 - alpha)
}

/// How often a block with so many confirmations is undone by an adversary that has worked on a chain of its own since that
/// block was due, and goes on until it has caught up or has no hope (Grunspan & Pérez-Marco, "Double spend races",
/// IJTAF 21, 2018, theorem 1).
pub fn undone(alpha: f64, confirmations: u32, races: u64, seed: u64) -> Estimate {
    let hopeless = (ODDS.ln() / (alpha / (1.0 - alpha)).ln()).ceil() as i64;
    let race = |rng: &mut StdRng| {
        let (mut behind, mut left) = (0, confirmations);
        while left > 0 {
            let is_adversary = rng.random_bool(alpha);
            behind += if is_adversary { -1 } else { 1 };
            left -= u32::from(!is_adversary);
        }
        while 0 < behind && behind < hopeless {
            behind += if rng.random_bool(alpha) { -1 } else { 1 };
        }
        behind <= 0
    };
    let batch = |mut rng: StdRng| {
        let count = races.div_ceil(BATCHES);
        (0..count).filter(|_| race(&mut rng)).count() as f64 / count as f64
    };
    Estimate::of(undone_odds(alpha, confirmations), batches(seed).map(batch))
}

/// The closed form of the same.
pub fn undone_odds(alpha: f64, confirmations: u32) -> f64 {
    let (honest, z) = (1.0 - alpha, confirmations as i32);
    let (mut ways, mut kept) = (1.0, 0.0);
    for found in 0..z {
        kept += ways * (honest.powi(z) * alpha.powi(found) - alpha.powi(z) * honest.powi(found));
        ways *= f64::from(z + found) / f64::from(found + 1);
    }
    1.0 - kept
}

/// How many blocks the chain grows by in a unit of time, if an adversary with a part `alpha` of the work is silent and each block
/// reaches the others after a delay: λ/(1 + λΔ) of the honest rate λ (Pass, Seeman & Shelat, "Analysis of the Blockchain
/// Protocol in Asynchronous Networks", Eurocrypt 2017).
pub fn growth(alpha: f64, delay: f64, blocks: u64, seed: u64) -> Estimate {
    let rate = 1.0 - alpha;
    let batch = |mut rng: StdRng| {
        let (mut now, mut height, mut under_way) = (0.0, 0u64, VecDeque::new());
        for _ in 0..blocks.div_ceil(BATCHES) {
            now -= (1.0 - rng.random::<f64>()).ln() / rate;
            while under_way.front().is_some_and(|(arrives, _)| *arrives <= now) {
                height = under_way.pop_front().map_or(height, |(_, there)| height.max(there));
            }
            under_way.push_back((now + delay, height + 1));
        }
        height as f64 / now
    };
    Estimate::of(rate / (1.0 + rate * delay), batches(seed).map(batch))
}

/// The part of the work at which an adversary's chain grows as fast as that of the honest ones, whose blocks take a delay
/// (Dembo et al., "Everything is a Race and Nakamoto Always Wins", CCS 2020): with less it is always overtaken.
pub fn most_adversary(delay: f64) -> f64 {
    let (mut low, mut high) = (0.0, 0.5);
    for _ in 0..60 {
        let alpha = f64::midpoint(low, high);
        let grows = (1.0 - alpha) / (1.0 + (1.0 - alpha) * delay);
        if alpha < grows { low = alpha } else { high = alpha }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: u64 = 200_000;

    #[test]
    fn a_selfish_miner_gets_what_the_closed_form_says() {
        for (alpha, gamma) in [(0.1, 0.0), (0.25, 0.5), (0.33, 1.0), (0.4, 0.0), (0.45, 0.5)] {
            let share = selfish(alpha, gamma, BLOCKS, crate::seed_or(7));
            assert!(share.is_right() && share.off().abs() < 0.05, "α = {alpha}, γ = {gamma}: {share:?}");
            assert!(share.exact < alpha / (1.0 - alpha) && share.measured < 1.0 - least_quality(alpha) + 0.01);
        }
        // From a third on it pays whoever works on what in a tie, and from nothing on if all work on its block.
        assert!((selfish_share(1.0 / 3.0, 0.0) - 1.0 / 3.0).abs() < 1e-12);
        assert!(selfish_share(0.3, 0.0) < 0.3 && selfish_share(0.05, 1.0) > 0.05);
    }

    #[test]
    fn a_block_is_undone_as_often_as_the_closed_form_says() {
        for (alpha, confirmations) in [(0.1, 1), (0.1, 3), (0.3, 6), (0.45, 12)] {
            let odds = undone(alpha, confirmations, 20_000, crate::seed_or(7));
            assert!(odds.is_right(), "α = {alpha}, {confirmations}: {odds:?}");
        }
        // The table of Rosenfeld, "Analysis of Hashrate-Based Double Spending", arXiv 1402.2009.
        assert!((undone_odds(0.1, 6) - 0.000_591).abs() < 1e-6);
        assert!((undone_odds(0.3, 4) - 0.252_07).abs() < 1e-5, "{}", undone_odds(0.3, 4));
    }

    #[test]
    fn a_chain_grows_as_fast_as_its_blocks_arrive() {
        for (alpha, delay) in [(0.0, 0.0), (0.0, 1.0), (0.3, 0.1), (0.2, 5.0)] {
            let rate = growth(alpha, delay, BLOCKS, crate::seed_or(7));
            assert!(rate.is_right() && rate.off().abs() < 0.05, "α = {alpha}, Δ = {delay}: {rate:?}");
        }
        assert!((most_adversary(0.0) - 0.5).abs() < 1e-9 && most_adversary(1.0) < 0.4);
    }
}
