//! What a protocol has said and heard.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use dtn_primitives::ValidatorIndex;

/// Messages, and their bytes as they are encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many.
    pub messages: u64,
    /// Their length.
    pub bytes: u64,
}

/// What a peer has counted since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// What it sent, once for each receiver that it was linked to.
    pub sent: BTreeMap<&'static str, Traffic>,
    /// What it heard.
    pub received: BTreeMap<&'static str, Traffic>,
    /// What no correct peer sends, by who sent it.
    pub faults: BTreeMap<ValidatorIndex, u64>,
}

/// Counts while others read.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Counts>);

impl Counters {
    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        // Nothing panics under the lock.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn read(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Traffic {
    pub(super) fn add(&mut self, messages: usize, bytes: usize) {
        self.messages += messages as u64;
        self.bytes += (messages * bytes) as u64;
    }
}
