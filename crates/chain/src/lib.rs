//! A chain: networks by name, connections that are checked before anything is signed, and accounts that send.
//!
//! Reading goes through [`Chain`], which has checked the chain id; sending goes through [`Account`], which simulates,
//! prices, writes down and sends. What is sent, and what for, is not known here.

pub mod amount;
pub mod asked;
pub mod codes;
pub mod connection;
pub mod endpoints;
pub mod gas_ledger;
mod logs;
pub mod networks;
pub mod preflight;
pub mod sender;
pub mod shown;
pub mod signer;

pub use connection::Chain;
pub use networks::{Network, Networks};
pub use sender::{Account, Call, SendError};
