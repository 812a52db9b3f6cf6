//! The timers that a protocol has set: of each the last setting counts.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// When each expires.
#[derive(Debug)]
pub(crate) struct Timers<T>(BTreeMap<T, Instant>);

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Copy + Ord> Timers<T> {
    pub(crate) fn set(&mut self, timer: T, after: Duration) {
        self.0.insert(timer, Instant::now() + after);
    }

    pub(crate) fn cancel(&mut self, timer: T) {
        self.0.remove(&timer);
    }

    /// When the next one expires.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().copied().min()
    }

    /// Those that have expired, which run no more.
    pub(crate) fn expired(&mut self) -> Vec<T> {
        let now = Instant::now();
        let due = self.0.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        self.0.retain(|_, at| *at > now);
        due
    }
}

/// Waits until then; for ever, if there is nothing to wait for.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_each_timer_the_last_setting_counts_and_it_expires_once() {
        let mut timers = Timers::default();
        let now = Instant::now();
        for (timer, after) in [('a', 5), ('b', 20), ('a', 60_000), ('c', 20)] {
            timers.set(timer, Duration::from_millis(after));
        }
        timers.cancel('c');
        sleep_until(timers.next()).await;
        assert!(now.elapsed() >= Duration::from_millis(20));
        assert_eq!((timers.expired(), timers.expired()), (vec!['b'], vec![]));
        assert!(timers.next().is_some_and(|next| next >= now + Duration::from_secs(60)));
    }
}
