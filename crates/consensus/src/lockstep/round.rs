//! One round, as one peer knows it, and what comes of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dtn_primitives::{B256, Bytes, ValidatorIndex, codec, keccak256};
use serde::{Deserialize, Serialize};

use super::words::{Commit, Reveal};
use crate::sealed::Opening;

/// Reveals of one peer that are kept: it says another one after an exclusion.
const REVEALS: usize = 2;

/// An event in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Who has caused it.
    pub by: ValidatorIndex,
    /// Which of its events of the round.
    pub index: u32,
    /// What it is.
    pub data: Bytes,
}

/// What all have come to in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The round.
    pub round: u64,
    /// The hash of all reveals, which nobody knows before the last commitment.
    pub beacon: B256,
    /// All events in the order in which they happen.
    pub events: Vec<Event>,
    /// The digest of the state after them.
    pub state: B256,
}

/// What has been heard and said in a round.
#[derive(Debug, Clone, Default)]
pub(super) struct Round {
    pub(super) commits: BTreeMap<ValidatorIndex, Commit>,
    pub(super) reveals: BTreeMap<ValidatorIndex, VecDeque<Reveal>>,
    /// Its own events, once it has committed to them.
    pub(super) opening: Option<Opening>,
    /// What it has revealed with: it stands by it, also after a restart.
    pub(super) view: Option<B256>,
    /// Who has given proof that it lies.
    pub(super) proven: BTreeSet<ValidatorIndex>,
    /// It has told its commitments, because somebody has others.
    pub(super) has_shown: bool,
    /// Whom it has asked for what it misses.
    pub(super) asked: BTreeSet<ValidatorIndex>,
    /// How often it has told each what that asked for.
    pub(super) answers: BTreeMap<ValidatorIndex, u8>,
}

impl Round {
    pub(super) fn keep(&mut self, reveal: Reveal) {
        let kept = self.reveals.entry(reveal.by).or_default();
        kept.push_back(reveal);
        if kept.len() > REVEALS {
            kept.pop_front();
        }
    }

    pub(super) fn has(&self, reveal: &Reveal) -> bool {
        self.reveals.get(&reveal.by).is_some_and(|kept| kept.contains(reveal))
    }

    /// The hash of the seals of these, once all of them are there.
    pub(super) fn seals(&self, of: &BTreeSet<ValidatorIndex>) -> Option<B256> {
        let seals = of.iter().map(|by| Some((*by, self.commits.get(by)?.seal)));
        Some(view(&seals.collect::<Option<Vec<_>>>()?))
    }

    /// A reveal of this peer that is as `fits` has it.
    pub(super) fn of(&self, by: ValidatorIndex, fits: impl Fn(&Reveal) -> bool) -> Option<&Reveal> {
        self.reveals.get(&by)?.iter().find(|reveal| fits(reveal))
    }
}

/// What a reveal says of the commitments that its peer holds: the hash of their seals, by peer.
pub fn view(seals: &[(ValidatorIndex, B256)]) -> B256 {
    keccak256(codec::encode(&("view", seals)))
}

/// All events of these reveals, which are in the order of their peers, and the beacon. Each event's place is the hash of the
/// beacon and of what it is; or, without that rule, that of its peer.
pub(super) fn ordered(reveals: &[&Reveal], by_beacon: bool) -> (B256, Vec<Event>) {
    let openings: Vec<_> = reveals.iter().map(|reveal| (reveal.by, &reveal.opening)).collect();
    let beacon = keccak256(codec::encode(&openings));
    let event = |reveal: &&Reveal| {
        let by = reveal.by;
        let items = reveal.opening.items.clone().into_iter();
        (0..).zip(items).map(move |(index, data)| Event { by, index, data })
    };
    let mut events: Vec<_> = reveals.iter().flat_map(event).collect();
    if by_beacon {
        events.sort_by_cached_key(|event| place(beacon, event.by, event.index));
    }
    (beacon, events)
}

/// The place of an event: keccak(beacon ‖ peer ‖ index), the numbers big-endian.
pub fn place(beacon: B256, by: ValidatorIndex, index: u32) -> B256 {
    keccak256([&beacon[..], &by.0.to_be_bytes(), &index.to_be_bytes()].concat())
}
