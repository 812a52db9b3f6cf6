//! How fast a peer may make this one work: a token bucket.

use std::time::Duration;

use tokio::time::Instant;

/// Fills at a steady rate up to its capacity. What is taken beyond what is there is owed.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    rate: f64,
    capacity: f64,
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket that holds what flows in within `burst`.
    pub(crate) fn new(per_second: u64, burst: Duration, now: Instant) -> Self {
        let rate = per_second.max(1) as f64;
        let capacity = rate * burst.as_secs_f64();
        Self { rate, capacity, tokens: capacity, filled: now }
    }

    /// Takes tokens and tells how long to wait until none is owed.
    pub(crate) fn take(&mut self, tokens: usize, now: Instant) -> Duration {
        let flowed = now.saturating_duration_since(self.filled).as_secs_f64() * self.rate;
        self.filled = self.filled.max(now);
        self.tokens = (self.tokens + flowed).min(self.capacity) - tokens as f64;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / self.rate) }
    }

    /// Puts back what was taken and not used.
    pub(crate) fn put_back(&mut self, tokens: usize) {
        self.tokens = (self.tokens + tokens as f64).min(self.capacity);
    }

    /// Whether at least half of it is there: who keeps to the rate on average is soon here again.
    pub(crate) fn is_relaxed(&self) -> bool {
        self.tokens >= self.capacity / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_what_follows_waits_for_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(100, Duration::from_secs(2), start);
        assert_eq!(bucket.take(200, start), Duration::ZERO);
        assert_eq!(bucket.take(50, start), Duration::from_millis(500));
        assert!(!bucket.is_relaxed());
        // Half a second later nothing is owed; much later it is full, and not more than full.
        assert_eq!(bucket.take(0, start + Duration::from_millis(500)), Duration::ZERO);
        let later = start + Duration::from_secs(1_000);
        assert_eq!(bucket.take(0, later), Duration::ZERO);
        assert!(bucket.is_relaxed());
        assert_eq!(bucket.take(300, later), Duration::from_secs(1));
    }
}
