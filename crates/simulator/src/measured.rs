//! What a run took, counted where it happened.

use std::{collections::BTreeMap, time::Duration};

use crate::Mined;

/// Messages and their bytes on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many.
    pub messages: u64,
    /// Their length.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, messages: u64, bytes: usize) {
        self.messages += messages;
        self.bytes += messages * bytes as u64;
    }
}

/// A request that a client handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    /// The client's number.
    pub client: u64,
    /// When it was handed in.
    pub at: Duration,
    /// When f + 1 correct replicas had decided it.
    pub done: Option<Duration>,
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
    /// Bytes that left their senders, by the number of the [`Measured::BUCKET`] in which they did, where there are any.
    pub bytes_over_time: BTreeMap<u64, u64>,
    /// When each replica decided each height, in the order in which it happened.
    pub decisions: Vec<(Duration, u16, u64)>,
    /// When the client had the replies that convince it, by height.
    pub replies: BTreeMap<u64, Duration>,
    /// When the client had handed in what fills each height.
    pub submitted: BTreeMap<u64, Duration>,
    /// Rounds of messages until each height was decided: the length of the chain of them that ended with a decision, of
    /// which each led to the next; the longest of any replica.
    pub rounds: BTreeMap<u64, u32>,
    /// The highest view in which a correct replica decided something.
    pub view: u64,
    /// How often a correct replica left a view.
    pub view_changes: u64,
    /// What became of each request, where each is a transaction of its own, in the order in which they were handed in.
    pub requests: Vec<Requested>,
    /// What miners did, if there are any.
    pub mined: Mined,
}

impl Measured {
    /// A stretch of time in which bytes are counted together.
    pub const BUCKET: Duration = Duration::from_millis(10);

    pub(crate) fn new(n: usize) -> Self {
        Self { sent: vec![Traffic::default(); n], received: vec![Traffic::default(); n], ..Self::default() }
    }

    /// Counts a message of `bytes` that is sent to so many.
    pub(crate) fn sent(&mut self, from: usize, kind: &'static str, receivers: u64, bytes: usize) {
        self.kinds.entry(kind).or_default().add(receivers, bytes);
        if let Some(traffic) = self.sent.get_mut(from) {
            traffic.add(receivers, bytes);
        }
    }

    /// Counts bytes that leave a sender now.
    pub(crate) fn left(&mut self, bytes: u64, now: Duration) {
        let bucket = (now.as_micros() / Self::BUCKET.as_micros()) as u64;
        *self.bytes_over_time.entry(bucket).or_default() += bytes;
    }

    pub(crate) fn received(&mut self, to: usize, bytes: usize) {
        if let Some(traffic) = self.received.get_mut(to) {
            traffic.add(1, bytes);
        }
    }

    /// How long each correct replica took to decide each block since it was handed in or found: the replica, and that.
    pub fn decision_latencies(&self) -> impl Iterator<Item = (u16, Duration)> {
        self.decisions.iter().map(|(at, replica, height)| {
            let found = self.mined.finals.get(height).map(|of| of.found.at);
            let submitted = || self.submitted.range(height..).next().map(|(_, at)| *at);
            (*replica, at.saturating_sub(found.or_else(submitted).unwrap_or_default()))
        })
    }

    /// How long requests of a client, or of all, took from handing in until they were final; none if one is not.
    pub fn request_latencies(&self, client: Option<u64>) -> Option<Vec<Duration>> {
        let of = |requested: &&Requested| client.is_none_or(|client| client == requested.client);
        let latency = |requested: &Requested| requested.done.map(|done| done.saturating_sub(requested.at));
        self.requests.iter().filter(of).map(latency).collect()
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
