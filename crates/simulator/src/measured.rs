//! What a run took, counted where it happened.

use std::{collections::BTreeMap, time::Duration};

/// Messages and their bytes on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many.
    pub messages: u64,
    /// Their length.
    pub bytes: u64,
}

impl Traffic {
    fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

/// Counts of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// What was sent, by the kind of message.
    pub kinds: BTreeMap<&'static str, Traffic>,
    /// What each replica sent.
    pub sent: Vec<Traffic>,
    /// What each replica received.
    pub received: Vec<Traffic>,
    /// Bytes that were sent, by the second; seconds in which none were are left out.
    pub bytes_by_second: BTreeMap<u64, u64>,
    /// When each replica decided each height, in the order in which it happened.
    pub decisions: Vec<(Duration, u16, u64)>,
    /// When the client had the replies that convince it, by height.
    pub replies: BTreeMap<u64, Duration>,
    /// The highest view that a correct replica was in.
    pub view: u64,
}

impl Measured {
    pub(crate) fn new(n: usize) -> Self {
        Self { sent: vec![Traffic::default(); n], received: vec![Traffic::default(); n], ..Self::default() }
    }

    pub(crate) fn sent(&mut self, from: usize, kind: &'static str, bytes: usize, now: Duration) {
        self.kinds.entry(kind).or_default().add(bytes);
        if let Some(traffic) = self.sent.get_mut(from) {
            traffic.add(bytes);
        }
        *self.bytes_by_second.entry(now.as_secs()).or_default() += bytes as u64;
    }

    pub(crate) fn received(&mut self, to: usize, bytes: usize) {
        if let Some(traffic) = self.received.get_mut(to) {
            traffic.add(bytes);
        }
    }

    /// Everything that was sent.
    pub fn total(&self) -> Traffic {
        let mut total = Traffic::default();
        for Traffic { messages, bytes } in self.kinds.values() {
            total.messages += messages;
            total.bytes += bytes;
        }
        total
    }
}
