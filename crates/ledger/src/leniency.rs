//! How much slower than it should be a validator takes its network to be.
//!
//! Fairness rests on when a validator heard of what. Where messages take longer than [`crate::DELIVERY_MS`], because
//! links or machines are overloaded, blocks of honest primaries look unfair, and waiting for each would slow the network
//! further. Who was slow is not told apart from who lies; but liars are few. So once blocks of more primaries than may lie
//! have looked unfair within a minute, it is the network: what counts as late is that much later, until it recovers.

use std::collections::BTreeSet;

use dtn_primitives::Address;

/// The first step, in milliseconds. Each further one is four times as long.
const FIRST_MS: u64 = 200;

/// The most steps: 200, 800 and 3,200 ms.
const MAX_STEPS: u32 = 3;

/// How long a network has to be better for before a step is taken back, and for how long a block that looked unfair
/// counts, in milliseconds.
const REST_MS: u64 = 60_000;

/// What is forgiven at present.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leniency {
    steps: u32,
    /// Whose blocks have looked unfair since the last step.
    unfair: BTreeSet<Address>,
    /// When the last of them did, or the last step was taken.
    since_ms: u64,
}

impl Leniency {
    /// By how much later something may have come, in milliseconds.
    pub(crate) fn allowance_ms(&mut self, now_ms: u64) -> u64 {
        if now_ms.saturating_sub(self.since_ms) > REST_MS {
            self.steps = self.steps.saturating_sub(1);
            self.unfair.clear();
            self.since_ms = now_ms;
        }
        self.steps.checked_sub(1).map_or(0, |step| FIRST_MS << (2 * step))
    }

    /// A block of this primary looked unfair, in a network in which so many may lie.
    pub(crate) fn looked_unfair(&mut self, primary: Address, now_ms: u64, max_faulty: usize) {
        self.unfair.insert(primary);
        self.since_ms = now_ms;
        if self.unfair.len() > max_faulty && self.steps < MAX_STEPS {
            self.steps += 1;
            self.unfair.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    #[test]
    fn a_liar_alone_is_forgiven_nothing_however_often_it_tries() {
        let mut leniency = Leniency::default();
        for now_ms in 0..1_000 {
            leniency.looked_unfair(primary(1), now_ms, 1);
        }
        assert_eq!(leniency.allowance_ms(1_000), 0);
    }

    #[test]
    fn what_many_primaries_do_is_the_network_and_is_forgiven_until_it_recovers() {
        let mut leniency = Leniency::default();
        let mut seen = Vec::new();
        for round in 0..5 {
            leniency.looked_unfair(primary(1), round, 1);
            leniency.looked_unfair(primary(2), round, 1);
            seen.push(leniency.allowance_ms(round));
        }
        assert_eq!(seen, [200, 800, 3_200, 3_200, 3_200]);
        let recovered = (1..=4).map(|rests| leniency.allowance_ms(5 + rests * (REST_MS + 1)));
        assert_eq!(recovered.collect::<Vec<_>>(), [800, 200, 0, 0]);
    }

    #[test]
    fn blocks_that_looked_unfair_long_ago_count_for_nothing() {
        let mut leniency = Leniency::default();
        leniency.looked_unfair(primary(1), 0, 1);
        assert_eq!(leniency.allowance_ms(REST_MS + 1), 0);
        leniency.looked_unfair(primary(2), REST_MS + 1, 1);
        assert_eq!(leniency.allowance_ms(REST_MS + 1), 0);
    }
}
