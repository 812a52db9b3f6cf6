//! How far something is that takes its time.

/// How far something is, for whoever waits for it: it has stages, one after the other.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// A stage begins, which has so many parts.
    Stage {
        /// What the parts are.
        what: &'static str,
        /// How many there are.
        parts: u64,
    },
    /// One more part of the stage is done.
    Part,
    /// So many parts of it are.
    Parts(u64),
    /// What the next part is about.
    About(&'static str),
    /// The stage is over.
    Over,
}

/// Who is told how far something is, from any thread.
pub type Tell<'a> = &'a (dyn Fn(Progress) + Sync);
