//! What a peer does at its settlement chain: pass after pass, each decided anew from what is there, so that it can be ended and
//! begun at any time.

use std::{convert::Infallible, fmt::Display, time::Duration};

/// The longest wait after passes that failed.
pub(crate) const FAILED_PAUSE: Duration = Duration::from_secs(30);

/// Somebody's passes.
pub(crate) trait Passes: Send {
    /// What they are for, as the log names it.
    const WHAT: &'static str;
    /// Why one fails.
    type Error: Display + Send;

    /// How long it takes from one to the next where nothing is to be done.
    fn poll(&self) -> Duration;

    /// Looks at everything once and takes the steps that are due. Whether the next one is due at once.
    fn pass(&mut self) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// Works until it is dropped, through any failure of the chain, the ledger and other peers.
pub(crate) async fn forever<P: Passes>(mut work: P) -> Infallible {
    let mut failures = 0u32;
    loop {
        let pause = match work.pass().await {
            Ok(progress) => {
                if failures > 0 {
                    tracing::info!("{} again", P::WHAT);
                }
                failures = 0;
                if progress { Duration::ZERO } else { work.poll() }
            }
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%error, "{} is interrupted", P::WHAT);
                }
                failures = failures.saturating_add(1);
                backoff(work.poll(), failures, FAILED_PAUSE)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// The wait after so many failures in a row: twice as long each time, up to a limit.
pub(crate) fn backoff(start: Duration, failures: u32, limit: Duration) -> Duration {
    start.saturating_mul(2u32.saturating_pow(failures)).min(limit).max(start)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    #[test]
    fn waiting_grows_and_ends_somewhere() {
        let poll = Duration::from_millis(100);
        assert_eq!(backoff(poll, 1, FAILED_PAUSE), Duration::from_millis(200));
        assert_eq!(backoff(poll, 5, FAILED_PAUSE), Duration::from_millis(3_200));
        assert_eq!(backoff(poll, u32::MAX, FAILED_PAUSE), FAILED_PAUSE);
        let start = Duration::from_secs(60);
        assert_eq!(backoff(start, 1, FAILED_PAUSE), start, "never sooner than the first time");
    }

    /// Ends as it is told, and tells how often it was called.
    struct Told {
        ends: Vec<Result<bool, &'static str>>,
        done: Arc<Notify>,
    }

    impl Passes for Told {
        const WHAT: &'static str = "telling";
        type Error = &'static str;

        fn poll(&self) -> Duration {
            Duration::from_millis(1)
        }

        async fn pass(&mut self) -> Result<bool, &'static str> {
            match self.ends.is_empty() {
                true => {
                    self.done.notify_one();
                    std::future::pending().await
                }
                false => self.ends.remove(0),
            }
        }
    }

    #[tokio::test]
    async fn passes_go_on_whether_they_fail_or_have_nothing_to_do() {
        let done = Arc::new(Notify::new());
        let ends = vec![Ok(true), Ok(false), Err("a"), Err("b"), Ok(false), Err("c")];
        tokio::select! {
            never = forever(Told { ends, done: done.clone() }) => match never {},
            () = done.notified() => {}
        }
    }
}
