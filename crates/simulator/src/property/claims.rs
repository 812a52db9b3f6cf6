//! Who has proven what.

use serde::Serialize;

use super::{Property, Textbook};

/// A row of the table: a promise, whose theorem it is, and what that assumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Whose promise.
    pub protocol: Textbook,
    /// What it promises.
    pub property: Property,
    /// Where it is proven.
    pub theorem: &'static str,
    /// What the proof assumes.
    pub assumes: &'static str,
    /// By when it is kept, where that is bounded.
    pub bound: &'static str,
}

const fn claim(
    (protocol, property): (Textbook, Property),
    theorem: &'static str,
    assumes: &'static str,
    bound: &'static str,
) -> Claim {
    Claim { protocol, property, theorem, assumes, bound }
}

const BRACHA: &str = "Bracha 1987";
const LOCK_STEP: &str = "Dolev & Strong 1983";
const STREAMLET: &str = "Chan & Shi 2020";
const SIMPLEX: &str = "Chan & Pass 2023";
const HOTSTUFF: &str = "Malkhi & Nayak 2023";
const PARTIAL: &str = "n > 3f, and messages take less than a bound from some time on";
const BINDING: &str = "Abraham, Ben-David & Yandamuri 2022";
const FORENSICS: &str = "Sheng et al. 2021";
const CORRECT: &str = "fewer liars than a quorum";
const WITNESSES: &str = "fewer liars than a quorum, and what all others heard and said";
const SUBSET: &str = "Ben-Or, Kelmer & Rabin 1994";
const EVENTS: &str = "Baughman & Levine 2001";
const WAITS: &str = "waits for all; or n > 2f, and messages take less than an eighth of a deadline";
const ENDS: &str = "nobody lies; or n > 2f, and messages take less than an eighth of a deadline";
const COMMITS: &str = "commitments";
const THIRD: &str = "n > 3f";
const COIN: &str = "n > 3f, and a common coin that n - f toss";
/// What is assumed where a promise is kept whatever happens: no case is beyond that.
pub(super) const NOTHING: &str = "nothing";
const DELTA: &str = "n > f, messages take less than a round, and all begin together";

/// What the textbook's protocols promise. A property that a protocol has no row for is not promised.
pub const CLAIMS: [Claim; 39] = [
    claim((Textbook::Broadcast, Property::Agreement), BRACHA, THIRD, ""),
    claim((Textbook::Broadcast, Property::Validity), BRACHA, THIRD, ""),
    claim((Textbook::Broadcast, Property::Totality), BRACHA, THIRD, ""),
    claim((Textbook::Broadcast, Property::Termination), BRACHA, "n > 3f, and a correct sender", "3 causal rounds"),
    claim((Textbook::Broadcast, Property::Innocence), BRACHA, NOTHING, ""),
    claim((Textbook::DolevStrong, Property::Agreement), LOCK_STEP, DELTA, ""),
    claim((Textbook::DolevStrong, Property::Validity), LOCK_STEP, DELTA, ""),
    claim((Textbook::DolevStrong, Property::Termination), LOCK_STEP, DELTA, "f + 1 rounds"),
    claim((Textbook::DolevStrong, Property::Innocence), LOCK_STEP, NOTHING, ""),
    claim((Textbook::Agreement, Property::Agreement), BINDING, COIN, ""),
    claim((Textbook::Agreement, Property::Validity), BINDING, COIN, ""),
    claim((Textbook::Agreement, Property::Termination), BINDING, COIN, "4 rounds on average"),
    claim((Textbook::Agreement, Property::Binding), BINDING, THIRD, ""),
    claim((Textbook::Agreement, Property::Innocence), BINDING, NOTHING, ""),
    claim((Textbook::CommonSubset, Property::Agreement), SUBSET, COIN, ""),
    claim((Textbook::CommonSubset, Property::Validity), SUBSET, COIN, "n - f values"),
    claim((Textbook::CommonSubset, Property::Termination), SUBSET, COIN, "4 rounds on average of each agreement"),
    claim((Textbook::CommonSubset, Property::Innocence), SUBSET, NOTHING, ""),
    claim((Textbook::Lockstep, Property::Agreement), EVENTS, WAITS, ""),
    claim((Textbook::Lockstep, Property::Validity), EVENTS, WAITS, ""),
    claim((Textbook::Lockstep, Property::Termination), EVENTS, ENDS, ""),
    claim((Textbook::Lockstep, Property::Secrecy), EVENTS, COMMITS, ""),
    claim((Textbook::Lockstep, Property::Innocence), EVENTS, NOTHING, ""),
    claim((Textbook::Pbft, Property::Accountability), FORENSICS, WITNESSES, "f + 1 of those who lie"),
    claim((Textbook::Streamlet, Property::Agreement), STREAMLET, THIRD, ""),
    claim((Textbook::Streamlet, Property::Validity), STREAMLET, NOTHING, ""),
    claim((Textbook::Streamlet, Property::Termination), STREAMLET, PARTIAL, "five epochs with correct leaders"),
    claim((Textbook::Streamlet, Property::Innocence), STREAMLET, NOTHING, ""),
    claim((Textbook::Streamlet, Property::Accountability), FORENSICS, CORRECT, "f + 1 of those who lie"),
    claim((Textbook::Simplex, Property::Agreement), SIMPLEX, THIRD, ""),
    claim((Textbook::Simplex, Property::Validity), SIMPLEX, NOTHING, ""),
    claim((Textbook::Simplex, Property::Termination), SIMPLEX, PARTIAL, "a view with a correct leader"),
    claim((Textbook::Simplex, Property::Innocence), SIMPLEX, NOTHING, ""),
    claim((Textbook::Simplex, Property::Accountability), FORENSICS, WITNESSES, "f + 1 of those who lie"),
    claim((Textbook::HotStuff2, Property::Agreement), HOTSTUFF, THIRD, ""),
    claim((Textbook::HotStuff2, Property::Validity), HOTSTUFF, NOTHING, ""),
    claim((Textbook::HotStuff2, Property::Termination), HOTSTUFF, PARTIAL, "a view with a correct leader"),
    claim((Textbook::HotStuff2, Property::Innocence), HOTSTUFF, NOTHING, ""),
    claim((Textbook::HotStuff2, Property::Accountability), FORENSICS, WITNESSES, "f + 1 of those who lie"),
];

impl Claim {
    /// Whether there is anything beyond what it assumes.
    pub fn has_beyond(&self) -> bool {
        self.assumes != NOTHING
    }
}

/// The promises of one protocol.
pub fn claims(protocol: Textbook) -> impl Iterator<Item = &'static Claim> {
    CLAIMS.iter().filter(move |claim| claim.protocol == protocol)
}
