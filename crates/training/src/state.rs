//! What is known of an order: its phase, its claims, its committee, and what is disputed.

use std::fmt;

use dtn_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{
    call::{Reveal, Subject},
    grade::Grades,
    terms::{Deal, Work},
};

/// Who calls, as the host knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Who has signed.
    pub account: Address,
    /// What of its balance is not locked, in wei.
    pub free: u128,
    /// Whether it is a validator.
    pub validator: bool,
}

/// Where an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It takes claims.
    Claiming,
    /// It waits for the beacon.
    Drawing {
        /// The last moment at which a claim was taken.
        claims_ms: u64,
    },
    /// It waits for the drawn rows.
    Opening,
    /// It takes reveals.
    Revealing,
    /// It takes scores.
    Scoring,
    /// It takes challenges: of scores, or where there is a leader of its audits.
    Challenging,
    /// It waits for rulings on what is open.
    Ruling,
    /// It waits for the leader's trace.
    Tracing,
    /// It takes audits.
    Auditing,
    /// It is over, and all its money is assigned.
    Ended(Ending),
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// A claim has won.
    Final {
        /// Which.
        claim: u8,
    },
    /// Nobody has.
    Void(Void),
}

/// Why nobody has won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Void {
    /// Nobody has claimed.
    NoClaim,
    /// No beacon came.
    NoBeacon,
    /// There were fewer candidates for the committee than a segment has auditors.
    FewMembers,
    /// The requester has withheld the drawn rows, and there are no others.
    NoRows,
    /// Nobody has revealed.
    NoReveal,
    /// No claim that stands reaches the baseline.
    NoneGood,
    /// What was open was not ruled on, so that more validators are silent than may be.
    NoRuling,
}

/// Why the requester's deposit is lost, and the rows that everybody knows decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forfeit {
    /// The drawn rows were not opened in time.
    Withheld,
    /// A model whose trace holds is far worse on them than on the rows that everybody knows.
    Poisoned,
}

/// What an account was found to have stated falsely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// A segment of its trace does not lead where it says.
    Forged {
        /// The segment.
        segment: u16,
    },
    /// A claim is not worth what it stated.
    FalseScore {
        /// The claim.
        claim: u8,
    },
    /// A segment that it has stated to hold does not.
    FalseAudit {
        /// The claim.
        claim: u8,
        /// The segment.
        segment: u16,
    },
    /// A statement shows none of the work that it is about.
    NoWork {
        /// The claim.
        claim: u8,
        /// The segment, or none if it is about a score.
        segment: Option<u16>,
    },
}

/// That an account has lost its stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Out {
    /// Why.
    pub fault: Fault,
    /// Who has challenged it; nobody if members contradicted each other, or a segment was without an audit.
    pub by: Option<Address>,
}

/// What is known of the run behind a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Its commitment.
    Committed(B256),
    /// All of it.
    Revealed(Reveal),
}

/// What some members say that a claim is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// What they say.
    pub grades: Grades,
    /// Who they are: bit i for member i.
    pub members: u16,
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who has trained.
    pub worker: Address,
    /// What is known of it.
    pub stage: Stage,
    /// What members say that it is worth, until that is settled.
    pub opinions: Vec<Opinion>,
    /// What it is worth, once that is settled.
    pub grades: Option<Grades>,
    /// Whether all segments were audited and hold.
    pub audited: bool,
    /// Whether it was not revealed in time, or its trace not shown.
    pub late: bool,
    /// Whether it was found to be false.
    pub out: Option<Out>,
}

/// A member of the committee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which validator.
    pub account: Address,
    /// The root of its statements about scores.
    pub scores: Option<B256>,
    /// The root of its statements about the leader's segments.
    pub audit: Option<B256>,
    /// Multiplications behind statements that have stood.
    pub macs: u64,
    /// How many statements were due and did not come.
    pub late: u8,
    /// Whether it was found to have stated what is false.
    pub out: Option<Out>,
}

/// A subject on which somebody has staked a bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// What.
    pub subject: Subject,
    /// Who.
    pub by: Address,
}

/// An order, from its escrow to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub(crate) id: B256,
    pub(crate) requester: Address,
    pub(crate) deal: Deal,
    pub(crate) work: Work,
    pub(crate) phase: Phase,
    pub(crate) deadline_ms: u64,
    pub(crate) claims: Vec<Claim>,
    pub(crate) beacon: B256,
    pub(crate) committee: Vec<Member>,
    pub(crate) rows: Option<B256>,
    pub(crate) forfeit: Option<Forfeit>,
    pub(crate) leader: Option<u8>,
    /// Segments of the leader of which a ruling says that they hold: bit i of byte i / 8.
    pub(crate) held: Vec<u8>,
    pub(crate) challenges: Vec<Challenge>,
    /// Who has lost a bond.
    pub(crate) wrong: Vec<Address>,
    /// Who was right, once for each challenge.
    pub(crate) right: Vec<Address>,
}

impl Order {
    /// Its hash.
    pub fn id(&self) -> B256 {
        self.id
    }

    /// Who pays.
    pub fn requester(&self) -> Address {
        self.requester
    }

    /// What was agreed.
    pub fn deal(&self) -> &Deal {
        &self.deal
    }

    /// How much there is to check.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The last moment of the phase.
    pub fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// The claims, in the order in which they were made.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The committee, in the order in which it was drawn.
    pub fn committee(&self) -> &[Member] {
        &self.committee
    }

    /// The claim whose trace is, or was, to be audited.
    pub fn leader(&self) -> Option<u8> {
        self.leader
    }

    /// The hash of the drawn rows, once they are opened.
    pub fn rows(&self) -> Option<B256> {
        self.rows
    }

    /// What somebody has staked a bond on and nobody has ruled on.
    pub fn challenges(&self) -> &[Challenge] {
        &self.challenges
    }

    /// Who was right to challenge, once for each challenge.
    pub fn right(&self) -> &[Address] {
        &self.right
    }

    /// Who has lost a bond, once for each.
    pub fn wrong(&self) -> &[Address] {
        &self.wrong
    }

    /// What draws rows and members, once it is known; zeros before.
    pub fn beacon(&self) -> B256 {
        self.beacon
    }

    /// Why the requester has lost its deposit, if it has.
    pub fn forfeit(&self) -> Option<Forfeit> {
        self.forfeit
    }

    /// What a claim has revealed.
    pub fn revealed(&self, claim: u8) -> Option<Reveal> {
        match self.claims.get(usize::from(claim))?.stage {
            Stage::Revealed(reveal) => Some(reveal),
            Stage::Committed(_) => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claiming => "taking claims",
            Self::Drawing { .. } => "waiting for its beacon",
            Self::Opening => "waiting for the drawn rows",
            Self::Revealing => "taking reveals",
            Self::Scoring => "taking scores",
            Self::Challenging => "taking challenges",
            Self::Ruling => "waiting for rulings",
            Self::Tracing => "waiting for the leader's trace",
            Self::Auditing => "taking audits",
            Self::Ended(_) => "over",
        })
    }
}
