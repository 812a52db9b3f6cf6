//! Strangers at the peer port.

use std::time::Duration;

use tokio::time::Instant;

/// That strangers crowd the peer port is logged this often.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// How often strangers had to make room on the peer port.
#[derive(Debug, Default)]
pub(super) struct Crowding {
    unreported: u64,
    reported: Option<Instant>,
}

impl Crowding {
    /// Counts one and says so in the log, but not each time.
    pub(super) fn count(&mut self, now: Instant) {
        self.unreported += 1;
        if self.reported.is_none_or(|reported| now.duration_since(reported) >= WARNING_INTERVAL) {
            tracing::warn!(
                connections = self.unreported,
                "strangers crowd the peer port: connections that did not say who they are made room for others"
            );
            *self = Self { unreported: 0, reported: Some(now) };
        }
    }
}
