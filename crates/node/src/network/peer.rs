//! What the network knows of another peer.

use std::time::Duration;

use libp2p::Multiaddr;
use tokio::time::Instant;

use super::Remote;
use crate::{bucket::TokenBucket, link::Link};

/// After a connection that failed.
pub(super) const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// After how long without a link a validator dials one that should dial it: the way there may be blocked in one direction.
const OVERDUE: Duration = Duration::from_millis(500);

/// Addresses of one validator that are remembered beside the configured one.
const MAX_LEARNED_ADDRESSES: usize = 4;

/// Bytes of responses that one peer gets in a second. What exceeds it waits.
const SERVED_BYTES_PER_SECOND: u64 = 64 * 1024 * 1024;

/// The same for an observer.
const SERVED_BYTES_PER_SECOND_TO_OBSERVERS: u64 = 8 * 1024 * 1024;

/// Links that one peer may open in a second, on average.
const LINKS_PER_SECOND: u64 = 5;

/// Where a peer is, and how it is reached at present.
pub(super) struct Peer {
    pub(super) remote: Remote,
    /// From the configuration.
    pub(super) address: Option<Multiaddr>,
    /// From others; the last is the latest.
    pub(super) learned: Vec<Multiaddr>,
    pub(super) link: Option<Link>,
    /// Of this pair this peer is to open the link: if both do, this peer's stays.
    pub(super) opens: bool,
    /// It opened the link that there is.
    pub(super) opened_here: bool,
    pub(super) dialing: bool,
    pub(super) backoff: Duration,
    pub(super) dial_at: Instant,
    pub(super) unanswered: usize,
    /// The latest starts of its process, the last one last.
    pub(super) boots: Vec<u64>,
    pub(super) served: TokenBucket,
    pub(super) links: TokenBucket,
}

impl Peer {
    pub(super) fn new(remote: Remote, address: Option<Multiaddr>, opens: bool) -> Self {
        let now = Instant::now();
        let served = match remote {
            Remote::Validator(_) => SERVED_BYTES_PER_SECOND,
            Remote::Observer(_) => SERVED_BYTES_PER_SECOND_TO_OBSERVERS,
        };
        Self {
            remote,
            address,
            learned: Vec::new(),
            link: None,
            opens,
            dialing: false,
            backoff: MIN_BACKOFF,
            opened_here: false,
            dial_at: if opens || remote.validator().is_none() { now } else { now + MIN_BACKOFF },
            unanswered: 0,
            boots: Vec::new(),
            served: TokenBucket::new(served, Duration::from_secs(1), now),
            links: TokenBucket::new(LINKS_PER_SECOND, Duration::from_secs(4), now),
        }
    }

    pub(super) fn addresses(&self) -> Vec<Multiaddr> {
        self.address.iter().chain(&self.learned).cloned().collect()
    }

    pub(super) fn learn(&mut self, address: Multiaddr) {
        if self.address.as_ref() != Some(&address) && !self.learned.contains(&address) {
            if self.learned.len() >= MAX_LEARNED_ADDRESSES {
                self.learned.remove(0);
            }
            self.learned.push(address);
        }
    }

    /// Waits longer each time before it is dialed again.
    pub(super) fn back_off(&mut self, now: Instant) {
        self.dialing = false;
        let wait = if self.opens { self.backoff } else { self.backoff.max(OVERDUE) };
        self.dial_at = self.dial_at.max(now + wait);
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
    }
}
