//! A fingerprint of everything that happened in a run.

use dtn_primitives::{B256, codec, keccak256};
use serde::Serialize;

/// The hash chain over the events of a run: two runs are the same exactly if their digests are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    digest: B256,
    events: u64,
}

impl Trace {
    pub(crate) fn add<T: Serialize>(&mut self, event: &T) {
        let encoded = codec::encode(event);
        self.digest = keccak256([self.digest.as_slice(), &encoded].concat());
        self.events += 1;
    }

    pub(crate) fn digest(&self) -> B256 {
        self.digest
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }
}
