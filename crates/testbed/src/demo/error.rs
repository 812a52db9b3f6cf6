//! Why the main job was not done, or was done wrong.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use dtn_chain::{connection::ReadError, sender::SendError};
use dtn_client::{ClientError, RaceError};
use dtn_participant::ParticipantError;
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
    /// What takes part in training orders.
    #[error("{0}")]
    Participant(#[from] ParticipantError),
    /// The data that ships is not there.
    #[error("the data that ships with this program cannot be read")]
    NoData,
    /// A deposit was not sent.
    #[error("a deposit was not sent")]
    Deposit(#[source] SendError),
    /// A deposit is on chain, and not in the ledger.
    #[error("what {0} has deposited is not in the ledger")]
    NoDeposit(Address),
    /// A training order goes on for too long.
    #[error("training order {order} is not over: it is {phase}")]
    OrderOpen {
        /// The order.
        order: B256,
        /// Where it is.
        phase: String,
    },
    /// A training order was to have a winner.
    #[error("training order {0} has no winner")]
    NoWinner(B256),
    /// The thief was paid.
    #[error("training order {0} was won by the thief")]
    ThiefWon(B256),
    /// A cheat got away.
    #[error("{account} has stated what it has not worked for in training order {order}, and kept its stake")]
    NotCaught {
        /// The order.
        order: B256,
        /// Who.
        account: Address,
    },
    /// What was earned in the ledger has not reached the chain, or too much has.
    #[error("{account} has earned {} in the ledger, and its balance grew by {}", units::ether(*earned, "ETH"), units::ether(*delta, "ETH"))]
    Unpaid {
        /// Who.
        account: Address,
        /// What it has earned.
        earned: U256,
        /// By how much its balance grew.
        delta: U256,
    },
    /// Somebody was paid who is nobody's payee.
    #[error("somebody else than the payees was paid: {0}")]
    Others(String),
}
