//! How a group goes on, and within which bounds.

use std::time::Duration;

use dtn_primitives::{B256, codec, keccak256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Event;
use crate::Unmet;

/// Rounds that a peer may be ahead of another, and how many of its own it can say again.
pub const AHEAD: u64 = 64;

/// The most rounds that may be under way at once.
pub const MAX_PIPELINE: u64 = 32;

/// How many times as long as a deadline a step of the broadcast takes by which an exclusion is agreed.
const STEPS_A_DEADLINE: u32 = 2;

/// The most bytes of all reveals of a round where peers may be excluded: they have to fit into one report.
const MAX_REPORT: usize = 60_000;

/// What a signed reveal takes beside its events.
const REVEAL_OVERHEAD: usize = 160;

/// What a peer may cause in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many events.
    pub events: usize,
    /// How many bytes each.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 16, bytes: 256 }
    }
}

/// For whom a round waits, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For all, however long that takes (Baughman & Levine 2001).
    Strict,
    /// For all until a deadline, which is at least eight times as long as a message takes. Then a peer may be excluded.
    Timed {
        /// How long for commitments; twice as long for reveals.
        deadline: Duration,
    },
    /// For nobody: a round begins with each tick and is over a fixed time later with whatever has come; what comes later is
    /// dropped (Gautier & Diot 1998). There are no commitments, so nothing keeps others from looking ahead.
    Bucket {
        /// How often a round begins.
        tick: Duration,
        /// How long after its beginning it is over.
        delay: Duration,
    },
    /// For those only on whom a peer depends (Baughman & Levine 2001, asynchronous synchronization).
    Async,
}

impl Mode {
    /// How long a step of the broadcast takes by which an exclusion is agreed.
    pub(super) fn step(self) -> Duration {
        if let Self::Timed { deadline } = self { deadline / STEPS_A_DEADLINE } else { Duration::ZERO }
    }

    pub(super) fn is_bucket(self) -> bool {
        matches!(self, Self::Bucket { .. })
    }
}

/// How a group goes on. All of its peers have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// For whom a round waits.
    pub mode: Mode,
    /// How many rounds may be under way at once (Lee et al. 2002), 1 to [`MAX_PIPELINE`].
    pub pipeline: u64,
    /// What a peer may cause in a round.
    pub limits: Limits,
    /// The last round; it goes on for ever with `u64::MAX`.
    pub rounds: u64,
}

impl Config {
    /// One round at a time, for ever.
    pub fn new(mode: Mode) -> Self {
        Self { mode, pipeline: 1, limits: Limits::default(), rounds: u64::MAX }
    }

    /// Whether it promises anything among so many.
    pub fn assumes(&self, n: usize, faulty: usize) -> Result<(), Unmet> {
        let unmet = |theorem, condition| Err(Unmet { protocol: "lockstep", n, faulty, theorem, condition });
        let needed = n * (self.limits.events * (self.limits.bytes + 3) + REVEAL_OVERHEAD);
        match self.mode {
            _ if !(1..=MAX_PIPELINE).contains(&self.pipeline) => unmet("Lee et al. 2002", "1 to 32 rounds under way"),
            _ if n <= faulty => unmet("Baughman & Levine 2001", "one peer more than faulty ones"),
            Mode::Timed { .. } if n <= 2 * faulty => {
                unmet("Dolev & Strong 1983", "more than twice as many peers as faulty ones")
            }
            Mode::Timed { .. } if self.pipeline > 1 => unmet("Dolev & Strong 1983", "one round at a time"),
            Mode::Timed { .. } if needed > MAX_REPORT => {
                unmet("Dolev & Strong 1983", "no more than 60000 bytes of events a round, of all together")
            }
            Mode::Bucket { .. } => unmet("Baughman & Levine 2001", "commitments, which buckets do without"),
            _ => Ok(()),
        }
    }
}

/// What events change: the same events in the same order have to lead to the same digest.
pub trait State: Clone + std::fmt::Debug + Serialize + DeserializeOwned {
    /// Has the events of a round happen.
    fn apply(&mut self, round: u64, events: &[Event]);

    /// What tells this state from any other.
    fn digest(&self) -> B256;
}

/// A state that is nothing but all events that have happened, as the hash of a chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History(B256);

impl State for History {
    fn apply(&mut self, round: u64, events: &[Event]) {
        self.0 = keccak256(codec::encode(&(self.0, round, events)));
    }

    fn digest(&self) -> B256 {
        self.0
    }
}
