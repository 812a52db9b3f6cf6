//! Which lines open a race, and which are copies of one that is known: who sends a line to several validators' ports at
//! once means one transaction, and who sends it twice to the same port means two.

use std::collections::BTreeMap;

use dtn_primitives::{Address, B256, Line, Payload};
use serde::{Deserialize, Serialize};

use super::Execution;
use crate::rules::{Refusal, Rules};

/// How long copies of a line are matched from the first of them on, in milliseconds of the blocks' timestamps.
pub const LINE_WINDOW_MS: u64 = 60_000;

/// The copies of one line, by who took them in. As many races are open or over as the busiest validator has taken in copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// The timestamp of the first copy's block.
    first_ms: u64,
    by_sender: BTreeMap<Address, u32>,
}

impl Copies {
    /// No copies of a line whose first comes in a block with this timestamp, in milliseconds since the Unix epoch.
    pub fn new(first_ms: u64) -> Self {
        Self { first_ms, by_sender: BTreeMap::new() }
    }

    /// Takes another copy, and says whether it opens a race: whether nobody has taken in so many.
    pub fn add(&mut self, sender: Address) -> bool {
        let races = self.races();
        let copies = self.by_sender.entry(sender).or_default();
        *copies = copies.saturating_add(1);
        *copies > races
    }

    /// How many races they have opened.
    pub fn races(&self) -> u32 {
        self.by_sender.values().copied().max().unwrap_or_default()
    }

    /// Whether a copy in a block with this timestamp is another line.
    pub fn is_over(&self, timestamp_ms: u64) -> bool {
        timestamp_ms.saturating_sub(self.first_ms) > LINE_WINDOW_MS
    }
}

impl Rules {
    /// Whether the sender may take in a line.
    pub(crate) fn allow_line(&self, sender: Address) -> Result<(), Refusal> {
        self.validators().index_of(sender).map(|_| ()).ok_or(Refusal::NotValidator(sender))
    }
}

impl Execution<'_> {
    pub(super) fn apply_line(&mut self, sender: Address, line: &Line, hash: B256) -> Result<(), Refusal> {
        self.rules.allow_line(sender)?;
        let (content, timestamp_ms) = (line.content(), self.timestamp_ms);
        let of_parent = || self.parent.line(content).filter(|copies| !copies.is_over(timestamp_ms)).cloned();
        let known = self.changes.lines.get(&content).cloned().unwrap_or_else(of_parent);
        let mut copies = known.unwrap_or_else(|| Copies::new(timestamp_ms));
        if copies.add(sender) {
            self.open(sender, Payload::Line(line.clone()), hash)?;
        }
        // The first line of a block has those forgotten that are over.
        if self.changes.lines.is_empty() {
            self.changes.lines.extend(self.parent.lines_over(timestamp_ms).into_iter().map(|over| (over, None)));
        }
        self.changes.lines.insert(content, Some(copies));
        Ok(())
    }
}
