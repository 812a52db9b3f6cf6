//! Small networks whose accounts do whatever chance says, for promises to be broken in.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::{
    Stopped, play,
    setup::Setup,
    strategy::{Strategy, Tactic},
};
use crate::Latency;

/// Orders of a seed: enough for each of its accounts to have several roles.
const ORDERS: u64 = 3;
/// The most accounts.
const MOST: usize = 20;

impl Setup {
    /// The setup of a seed: strategies of all kinds, and a coalition of fewer than a third.
    pub fn adversarial(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let accounts = rng.random_range(super::MIN_ACCOUNTS..=MOST);
        let claims = rng.random_range(1..=accounts / 2) as u8;
        let room = accounts - 1 - usize::from(claims);
        let committee = rng.random_range(1..=room.min(7)) as u8;
        let deviations: Vec<_> = Strategy::deviations().collect();
        let part = 1.0 / accounts as f64;
        let colluders = rng.random_range(0..=(accounts - 1) / 3);
        let left = (accounts - colluders) / 2;
        let deviate = |_| deviations.choose(&mut rng).map(|strategy| (*strategy, part));
        let deviations = (0..left).filter_map(deviate).collect();
        let latency_ms = rng.random_range(1..=1_000);
        Self {
            accounts,
            orders: ORDERS,
            seed,
            claims,
            committee,
            redundancy: rng.random_range(1..=committee.min(4)),
            stake: rng.random_range(0.1..1.0),
            run_cost: rng.random_range(0.001..0.01),
            deviations,
            colluders: colluders as f64 * part,
            tactic: *Tactic::ALL.choose(&mut rng).unwrap_or(&Tactic::Stay),
            watched: rng.random(),
            real: false,
            about: String::new(),
            latency: Latency::up_to(Duration::from_millis(latency_ms)),
            block_interval: Duration::from_millis(rng.random_range(50..=3_000)),
        }
    }
}

/// Plays the orders of a seed. An error is a promise that was broken.
pub fn adversarial(seed: u64) -> Result<(), Stopped> {
    play(&Setup::adversarial(seed)).map(|_| ())
}
