//! A client of the L1, for programs: it believes what f + 1 validators say alike, or what a quorum has signed, and nothing
//! else.
//!
//! [`Client`] hands in transactions and reads. [`Blocks`] gives final blocks, each verified, and [`Follower`] those that
//! come. [`Races`] finds the races in them, and [`ledger`] writes these down so that anyone can check them.

mod blocks;
mod client;
mod coin;
mod compare;
mod error;
mod follow;
pub mod ledger;
mod money;
mod races;
mod results;
mod verify;

pub use blocks::{Blocks, FinalBlock};
pub use client::{Accepted, Client, Event, Read, connect};
pub use coin::CoinDealing;
pub use compare::{Comparison, NodeResult, compare};
pub use error::ClientError;
pub use follow::{FollowError, Follower, News};
pub use races::{Part, Race, RaceError, Races};
pub use verify::{Verifier, VerifyError};
