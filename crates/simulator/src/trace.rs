//! A fingerprint of everything that happened in a run.

use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

/// The hash of the events of a run, in their order: two runs are the same exactly if their digests are.
#[derive(Clone, Default)]
pub(crate) struct Trace {
    hasher: Xxh3,
}

impl Trace {
    /// An event at a replica, and what there is to say about it.
    pub(crate) fn add(&mut self, name: &str, now: Duration, replica: usize, content: &[u8]) {
        self.event(name, now, [replica as u16, 0], content);
    }

    /// A message arrived, whose content has this hash.
    pub(crate) fn delivered(&mut self, kind: &str, now: Duration, [from, to]: [u16; 2], content: u64) {
        self.event(kind, now, [from, to], &content.to_le_bytes());
    }

    fn event(&mut self, name: &str, now: Duration, [from, to]: [u16; 2], content: &[u8]) {
        // Of fixed length, and the two that follow it are told apart by theirs.
        let mut head = [0; 14];
        head[..8].copy_from_slice(&(now.as_micros() as u64).to_le_bytes());
        head[8..10].copy_from_slice(&from.to_le_bytes());
        head[10..12].copy_from_slice(&to.to_le_bytes());
        (head[12], head[13]) = (name.len() as u8, content.len() as u8);
        self.hasher.update(&head);
        self.hasher.update(name.as_bytes());
        self.hasher.update(content);
    }

    pub(crate) fn digest(&self) -> u128 {
        self.hasher.digest128()
    }
}
