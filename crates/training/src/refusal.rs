//! Why an order or a call is not taken.

use dtn_primitives::{Address, B256};
use dtn_train::{Fraction, RecipeError};

use crate::{
    call::Subject,
    state::Phase,
    terms::{MAX_AMOUNT, MAX_CHALLENGES},
};

/// Why an order or a call is not taken. Nothing has changed then, and nothing is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The recipe is none, or costs too much.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A number is out of its range.
    #[error("{is} {what}: give {least} to {most}")]
    Range {
        /// Of what.
        what: &'static str,
        /// The number.
        is: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// No model can reach it.
    #[error("a baseline of {0}: give the part of rows that is right, at most 1")]
    Baseline(Fraction),
    /// An amount does not cover what it is for.
    #[error("a {what} of {is} wei: give {least} to {MAX_AMOUNT}")]
    Amount {
        /// Which.
        what: &'static str,
        /// How much it is.
        is: u128,
        /// The least that does.
        least: u128,
    },
    /// A window is so short that one primary could keep everybody out.
    #[error("{is_ms} ms for the window {window}: give at least {least_ms}")]
    Window {
        /// Which.
        window: &'static str,
        /// How long it is.
        is_ms: u64,
        /// The least.
        least_ms: u64,
    },
    /// All windows together are too long.
    #[error("the order may last {is_ms} ms, {} more than the {most_ms} that are allowed", .is_ms - .most_ms)]
    Life {
        /// How long it may last.
        is_ms: u64,
        /// The most.
        most_ms: u64,
    },
    /// So many claims and members take more memory than an order may.
    #[error("the order may take {is} bytes, {} more than the {most} that are allowed", .is - .most)]
    State {
        /// How many it may take.
        is: usize,
        /// The most.
        most: usize,
    },
    /// It is not the time for it.
    #[error("no {call} is taken now: the order is {phase}")]
    NotNow {
        /// What was called.
        call: &'static str,
        /// Where the order is.
        phase: Phase,
    },
    /// There is not enough free money for what is staked.
    #[error("{account} has {free} wei free, and {needed} are needed")]
    Short {
        /// Whose.
        account: Address,
        /// What is free.
        free: u128,
        /// What is needed.
        needed: u128,
    },
    /// It is not this account's to do.
    #[error("{account} is not the order's {role}")]
    NotYours {
        /// Who called.
        account: Address,
        /// Who may.
        role: &'static str,
    },
    /// Who pays does not compete for it.
    #[error("the requester does not claim its own order")]
    OwnOrder,
    /// The same worker has committed to the same before.
    #[error("commitment {0} is there already")]
    CommittedBefore(B256),
    /// The beacon could have been known, or chosen, before the last claim.
    #[error("the beacon was begun at {begun_ms}, and claims were taken until {claims_ms}")]
    EarlyBeacon {
        /// When what it comes from was begun.
        begun_ms: u64,
        /// Until when claims were taken.
        claims_ms: u64,
    },
    /// There is no such claim, member or segment, or none that it can be about.
    #[error("there is no {what} {number} that this can be about")]
    Unknown {
        /// What.
        what: &'static str,
        /// Its number.
        number: u16,
    },
    /// What is revealed is not what was committed to.
    #[error("what is revealed has the commitment {is}, and claim {claim} has {committed}")]
    OtherCommitment {
        /// The claim.
        claim: u8,
        /// What it opens.
        is: B256,
        /// What was committed to.
        committed: B256,
    },
    /// A prize would be nobody's.
    #[error("the payee is the zero address")]
    NoPayee,
    /// It has been said already.
    #[error("{account} has done this before")]
    Repeated {
        /// Who called.
        account: Address,
    },
    /// A list has too few or too many entries.
    #[error("{is} {what} where there have to be {expected}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        is: usize,
        /// How many there have to be.
        expected: usize,
    },
    /// No model can be worth that on these rows.
    #[error("claim {0} cannot be worth that on these rows")]
    Grades(u8),
    /// Statements are bound to who makes them, and these are another's.
    #[error("these statements are those of {0}")]
    Copied(Address),
    /// The statement is not among those that the member has made.
    #[error("member {member} has not stated that")]
    NotStated {
        /// The member.
        member: u8,
    },
    /// It is open already.
    #[error("{0:?} is disputed already")]
    AlreadyOpen(Subject),
    /// It is settled.
    #[error("{0:?} was ruled on")]
    Settled(Subject),
    /// Nobody disputes it.
    #[error("{0:?} is not disputed")]
    NotOpen(Subject),
    /// The verdict is on something else.
    #[error("this is no verdict on {0:?}")]
    OtherVerdict(Subject),
    /// So many bonds were lost that there is no more room.
    #[error("{MAX_CHALLENGES} challenges are open or were wrong")]
    TooManyChallenges,
}
