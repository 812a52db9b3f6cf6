//! What a run tells while it is played.

use std::time::Duration;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Duration,
    /// The number of the event, from 1; what follows from an event has its number.
    pub event: u64,
    /// What.
    pub what: What,
}

/// What can happen. Replicas are named by their number; a client's is one above theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message arrived.
    Delivered {
        /// Who sent it.
        from: u16,
        /// Who has it now.
        to: u16,
        /// What it is, as counters name it.
        kind: &'static str,
        /// Its length.
        bytes: usize,
        /// When it was sent.
        sent: Duration,
    },
    /// A message will not arrive: it is lost on its way, or nobody is there to receive it.
    Lost {
        /// Who sent it.
        from: u16,
        /// Who was to have it.
        to: u16,
        /// What it is.
        kind: &'static str,
        /// When it was sent.
        sent: Duration,
    },
    /// A timer expired.
    Timer {
        /// Whose.
        replica: u16,
        /// Which.
        timer: String,
    },
    /// A replica's power failed.
    Crashed(u16),
    /// A replica started, again or for the first time.
    Restarted(u16),
    /// A partition ended.
    Healed,
    /// A replica entered a view, or asks for it.
    View {
        /// Which replica.
        replica: u16,
        /// The view's number.
        view: u64,
    },
    /// A replica decided a block.
    Decided {
        /// Which replica.
        replica: u16,
        /// The block's height.
        height: u64,
        /// The first digits of its hash.
        block: String,
    },
    /// A client has the replies that convince it.
    Replied {
        /// The block's height.
        height: u64,
    },
    /// A replica that forgot what it said votes for no height below this one.
    Silent {
        /// Which replica.
        replica: u16,
        /// The first height for which it votes.
        until: u64,
    },
    /// A replica found the proof of work of a block.
    Found {
        /// Which replica.
        replica: u16,
        /// The block's height.
        height: u64,
        /// The first digits of its hash.
        block: String,
    },
    /// A replica left blocks for a chain with more work.
    Reorganized {
        /// Which replica.
        replica: u16,
        /// How many blocks it left.
        depth: u64,
    },
    /// A replica saw a chain that leaves out a final block, and did not follow it.
    BelowCheckpoint {
        /// Which replica.
        replica: u16,
        /// Who has that chain.
        from: u16,
        /// The height of its block in the place of the final one, or above it.
        height: u64,
    },
    /// A promise was broken.
    Violated(String),
}

/// Who is told what happens.
pub type Observer<'a> = &'a mut dyn FnMut(&Happening);
