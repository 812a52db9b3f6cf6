//! A fingerprint of everything that happened in a run.

use std::time::Duration;

use dtn_primitives::codec;
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

/// The hash of the events of a run, in their order: two runs are the same exactly if their digests are.
#[derive(Clone, Default)]
pub(crate) struct Trace {
    hasher: Xxh3,
    events: u64,
}

impl Trace {
    pub(crate) fn add<T: Serialize>(&mut self, event: &T) {
        self.hasher.update(&codec::encode(event));
        self.events += 1;
    }

    /// The most frequent event, of which a thousand replicas make millions.
    pub(crate) fn delivered(&mut self, kind: &'static str, now: Duration, from: u16, to: u16, content: u64) {
        self.hasher.update(kind.as_bytes());
        let (now, content) = ((now.as_micros() as u64).to_le_bytes(), content.to_le_bytes());
        let mut event = [0; 20];
        event[..8].copy_from_slice(&now);
        event[8..10].copy_from_slice(&from.to_le_bytes());
        event[10..12].copy_from_slice(&to.to_le_bytes());
        event[12..].copy_from_slice(&content);
        self.hasher.update(&event);
        self.events += 1;
    }

    pub(crate) fn digest(&self) -> u128 {
        self.hasher.digest128()
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }
}
