//! What protocols promise, checked: the textbook's protocols under everything that their theorems allow, and beyond.
//!
//! A [`Case`] is a protocol, who lies in it and how, and which of its rules is left out, if any: a [`Mutant`]. Playing it says
//! which [`Property`] is broken. Inside the assumptions of the theorem ([`Case::assumes`]) that is a bug; beyond them it is
//! to be expected. The checker is checked itself: each property of each protocol is broken by a case beyond
//! ([`beyond`]) and by a mutant inside ([`matrix`]). [`bounds`] plays what no protocol can escape.
//! [`complexity`](measure) holds what a decision costs against closed forms.

mod beyond;
mod bounds;
mod case;
mod chains;
mod claims;
mod coins;
mod complexity;
mod liars;
pub mod lockstep;
mod matrix;
mod mutant;
mod names;
mod play;
mod schedule;
mod subset;
mod watch;

use std::fmt;

use serde::Serialize;

pub use beyond::{Beyond, beyond};
pub use bounds::{Bound, Bounds, bounds};
pub use case::{Case, Scheduled};
pub use claims::{CLAIMS, Claim, claims};
pub use coins::Ideal;
pub use complexity::{CoinKind, Measured, Spread, exponent, measure};
pub use liars::Lie;
pub use matrix::{Caught, CoinReader, Matrix, matrix, read_coin};
pub use mutant::Mutant;
pub use names::UnknownName;
pub use play::Played;
pub use schedule::{Bivalent, Course, bivalent};

/// A protocol of the textbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Textbook {
    /// Bracha's reliable broadcast.
    Broadcast,
    /// Authenticated broadcast in lock step.
    DolevStrong,
    /// Binary agreement with binding crusader agreement and a common coin.
    Agreement,
    /// A common subset, of n broadcasts and n binary agreements.
    CommonSubset,
    /// Rounds of events with commitments.
    Lockstep,
    /// Streamlet.
    Streamlet,
    /// Simplex.
    Simplex,
    /// HotStuff-2.
    HotStuff2,
    /// PBFT, whose decisions are measured beside the others'.
    Pbft,
}

impl Textbook {
    /// Those without blocks.
    pub const ALL: [Self; 5] =
        [Self::Broadcast, Self::DolevStrong, Self::Agreement, Self::CommonSubset, Self::Lockstep];

    /// Those that chain blocks.
    pub const CHAINS: [Self; 3] = [Self::Streamlet, Self::Simplex, Self::HotStuff2];

    /// Those that agree on blocks.
    pub const BLOCKS: [Self; 4] = [Self::Pbft, Self::Streamlet, Self::Simplex, Self::HotStuff2];

    /// Every one.
    pub const EVERY: [Self; 9] = [
        Self::Broadcast,
        Self::DolevStrong,
        Self::Agreement,
        Self::CommonSubset,
        Self::Lockstep,
        Self::Streamlet,
        Self::Simplex,
        Self::HotStuff2,
        Self::Pbft,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast",
            Self::DolevStrong => "dolev-strong",
            Self::Agreement => "agreement",
            Self::CommonSubset => "common-subset",
            Self::Lockstep => "lockstep",
            Self::Streamlet => "streamlet",
            Self::Simplex => "simplex",
            Self::HotStuff2 => "hotstuff2",
            Self::Pbft => "pbft",
        }
    }
}

impl fmt::Display for Textbook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that a protocol promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// No two correct replicas come to different things.
    Agreement,
    /// What they come to is what correct ones began with.
    Validity,
    /// If one correct replica comes to something, all do.
    Totality,
    /// All come to something, by the theorem's bound where it has one.
    Termination,
    /// When the first correct replica has come to something, only one value is left.
    Binding,
    /// Nobody knows what another has chosen before it has chosen itself.
    Secrecy,
    /// No correct replica accuses another.
    Innocence,
    /// If correct replicas come to different things, what they have heard and said convicts f + 1 by their signatures.
    Accountability,
}

impl Property {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Agreement,
        Self::Validity,
        Self::Totality,
        Self::Termination,
        Self::Binding,
        Self::Secrecy,
        Self::Innocence,
        Self::Accountability,
    ];
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agreement => "agreement",
            Self::Validity => "validity",
            Self::Totality => "totality",
            Self::Termination => "termination",
            Self::Binding => "binding",
            Self::Secrecy => "secrecy",
            Self::Innocence => "innocence",
            Self::Accountability => "accountability",
        })
    }
}

/// What a played case says of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was not broken.
    Holds,
    /// It was, and its theorem says that it cannot be: a bug.
    BrokenInside,
    /// It was, where its theorem says nothing: to be expected.
    BrokenBeyond,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::BrokenInside => "broken inside the assumptions",
            Self::BrokenBeyond => "broken beyond the assumptions",
        })
    }
}
