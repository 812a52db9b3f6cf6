//! Why a store failed, and how what redb says becomes that.

use std::{
    cell::Cell,
    fmt, io,
    panic::{self, AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Once, OnceLock},
};

use dtn_primitives::{Address, B256, VERSION};

/// Why the store failed. Every message names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store {store} is in use by another process: stop that peer, or give this one another directory")]
    Locked {
        /// The file.
        store: String,
    },
    /// It belongs to another network.
    #[error("the store {store} is of network {have}, not {need}: use another directory for this network")]
    OtherNetwork {
        /// The file.
        store: String,
        /// Its network id.
        have: B256,
        /// The genesis's.
        need: B256,
    },
    /// It belongs to another peer.
    #[error(
        "the store {store} is of the peer {have}, and this is the peer {need}: a store keeps what one peer has said, and is \
         no other's; without one, a peer takes over what it needs from the others"
    )]
    OtherPeer {
        /// The file.
        store: String,
        /// Its peer.
        have: Address,
        /// The peer that it is to be for.
        need: Address,
    },
    /// It was written by another version of this program.
    #[error("the store {store} is of version {have}, and this program is of version {need}: {}", other_version(*have))]
    OtherVersion {
        /// The file.
        store: String,
        /// Its version.
        have: u32,
        /// This program's.
        need: u32,
    },
    /// It is damaged, or no store at all.
    #[error("the store {store} is corrupt ({reason}): move it away and start again; the peer will catch up")]
    Corrupt {
        /// The file.
        store: String,
        /// What was found.
        reason: String,
    },
    /// What is to be made is there already.
    #[error("{file} is there already: move it away first")]
    Exists {
        /// The file.
        file: String,
    },
    /// A peer that has run is said to have never voted.
    #[error("the peer of {store} may have voted: {file} is there")]
    HasVoted {
        /// The store.
        store: String,
        /// What shows it.
        file: String,
    },
    /// Its disk is full.
    #[error(
        "there is no room for the store {store} ({reason}): free space on its disk and start the peer again; it goes on \
         where it stopped"
    )]
    Full {
        /// The file.
        store: String,
        /// What the system says.
        reason: String,
    },
    /// The system refused to read or write it.
    #[error("the store {store}: {reason}")]
    Io {
        /// The file.
        store: String,
        /// What the system says.
        reason: String,
    },
}

/// What to do about a store of another version.
fn other_version(have: u32) -> &'static str {
    if have < VERSION {
        "bring it here with `dtn-cli l1 migrate` and the peer's folder"
    } else {
        "run the program that wrote it, or a newer one"
    }
}

impl StoreError {
    /// What the system says about a file.
    pub(super) fn io(file: &Path, error: io::Error) -> Self {
        Self::of_io(file.display().to_string(), &error)
    }

    /// A file that is not what it should be.
    pub(super) fn corrupt(file: &Path, reason: &str) -> Self {
        Self::Corrupt { store: file.display().to_string(), reason: reason.into() }
    }

    fn of_io(store: String, error: &io::Error) -> Self {
        let reason = error.to_string();
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Corrupt { store, reason },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { store, reason },
            _ => Self::Io { store, reason },
        }
    }
}

/// What messages call a store, and what broke it. redb says that once, to the thread that was there; whoever comes after
/// is told that something had happened before.
#[derive(Debug)]
pub(super) struct Label {
    name: String,
    broken_by: OnceLock<StoreError>,
}

impl Label {
    pub(super) fn new(name: impl fmt::Display) -> Self {
        Self { name: name.to_string(), broken_by: OnceLock::new() }
    }

    /// Does something with redb; errors and panics name the store and say what to do.
    pub(super) fn guard<T>(&self, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let store = self.name.clone();
        let outcome = quietly(|| catch_unwind(AssertUnwindSafe(work)));
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(redb::Error::DatabaseAlreadyOpen)) => Err(StoreError::Locked { store }),
            Ok(Err(redb::Error::Io(error))) => {
                let error = StoreError::of_io(store, &error);
                self.broken_by.get_or_init(|| error.clone());
                Err(error)
            }
            Ok(Err(error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed))) => {
                let unknown = || StoreError::Io { store, reason: error.to_string() };
                Err(self.broken_by.get().cloned().unwrap_or_else(unknown))
            }
            Ok(Err(error)) => Err(StoreError::Corrupt { store, reason: error.to_string() }),
            Err(_) => Err(StoreError::Corrupt { store, reason: "its structure is broken".into() }),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

thread_local! {
    /// Whether a panic of this thread is about to become an error.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the panics of `work`, which are caught, from being printed as if the program had failed.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let value = work();
    QUIET.set(outer);
    value
}

pub(super) fn corrupt(reason: &str) -> redb::Error {
    redb::Error::Corrupted(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_after_the_one_whose_disk_was_full_is_told_that_it_is_full() {
        let label = Label::new("ledger.redb");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let first = label.guard(|| Err::<(), _>(redb::Error::Io(full))).expect_err("it is full");
        assert!(matches!(first, StoreError::Full { .. }), "{first}");
        for later in [redb::Error::PreviousIo, redb::Error::DatabaseClosed] {
            assert_eq!(label.guard(|| Err::<(), _>(later)), Err(first.clone()));
        }
    }
}
