//! Why the main job was not done, or was done wrong.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use dtn_chain::connection::ReadError;
use dtn_client::{ClientError, RaceError};
use dtn_report::{VerificationEntry, units};

use crate::{TestbedError, account::AccountError};

/// Why the job was not done, or was done wrong.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The network.
    #[error("{0}")]
    Testbed(#[from] TestbedError),
    /// What its peers answer.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// What the contracts answer.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// What is gathered of it.
    #[error("{0}")]
    Account(#[from] AccountError),
    /// A race without a winner.
    #[error("{0}")]
    Race(#[from] RaceError),
    /// The development chain's key is missing.
    #[error("anvil's first development key")]
    NoKey,
    /// The payouts stand still.
    #[error(
        "no progress for {patience:?}: {won} of {races} races are won, {unpaid} of {rewards} rewards are unpaid, and the \
         false claim is {}slashed",
        if *slashed { "" } else { "not " }
    )]
    NoProgress {
        /// For how long.
        patience: Duration,
        /// Races that are won.
        won: usize,
        /// Of so many.
        races: usize,
        /// Rewards that are not paid.
        unpaid: usize,
        /// Of so many.
        rewards: usize,
        /// Whether the false claim is slashed.
        slashed: bool,
    },
    /// A reward was paid again.
    #[error("{0} was paid twice")]
    PaidTwice(B256),
    /// Rewards are missing, or there are others.
    #[error("the rewards that were paid are not those that were offered")]
    OtherRewards,
    /// Races are missing, or there are others.
    #[error("the races that were won are not those that were asked for")]
    OtherRaces,
    /// A reward went to somebody else.
    #[error("not the winner of {race} was paid, whose payee is {payee}")]
    Astray {
        /// The race.
        race: B256,
        /// Who should have been paid.
        payee: Address,
    },
    /// A claim was slashed that is right, or is not that is false.
    #[error("the claim of {0} was judged wrongly")]
    MisjudgedClaim(Address),
    /// A peer took false work for right, or right for false.
    #[error("a completion was judged wrongly: {:?}", Some(.0))]
    MisjudgedCompletion(VerificationEntry),
    /// A payee's balance has not grown by what it earned.
    #[error(
        "the balance of {payee} went from {old} to {new} wei; it should have grown by {}",
        units::ether(*owed, "ETH")
    )]
    Balance {
        /// The payee.
        payee: Address,
        /// What it had.
        old: U256,
        /// What it has.
        new: U256,
        /// What it earned.
        owed: U256,
    },
    /// Somebody was paid who is nobody's payee.
    #[error("somebody else than the payees was paid: {0}")]
    Others(String),
}
