//! What a host without a store makes of what the others tell it.
//!
//! As the peers of `l1` have it: a replica that may have voted and does not know on what says nothing until it knows how
//! far the others are, and then nothing before that is past whatever it may have said.

use dtn_consensus::PIPELINE;

use crate::following::Following;

/// Whether a host knows from which height on its replica may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recall {
    /// The replica remembers.
    Whole,
    /// The others have not told enough.
    Unknown,
    /// From the height that it was told.
    Told,
}

impl Recall {
    /// The height from which on the replica votes, once enough others have told theirs; `quorum` includes this host.
    pub(crate) fn hear(&mut self, following: &Following, quorum: usize) -> Option<u64> {
        let (heard, highest) = (following.heights().count(), following.heights().max().unwrap_or_default());
        // A new network begins with a quorum, this host included.
        let needed = quorum - usize::from(highest == 0);
        if *self != Self::Unknown || heard < needed {
            return None;
        }
        *self = if highest == 0 { Self::Whole } else { Self::Told };
        Some(if highest == 0 { 0 } else { highest.saturating_add(2 * PIPELINE + 1) })
    }
}
