//! Contract bindings, networks, wallets, the multisig client, the relayer and gas accounting.
//!
//! Reading goes through [`Chain`], which has checked the chain id; sending goes through [`Account`], which simulates,
//! prices, writes down and sends; [`relayer`] composes them into what a peer does with its finalized results, and
//! [`watcher`] into what it does about sequential work.

pub mod abi;
pub mod action;
pub mod amount;
pub mod aow;
pub mod bls_keys;
pub mod calls;
pub mod codes;
pub mod connection;
pub mod contracts;
pub mod deploy;
pub mod endpoints;
pub mod evidence;
pub mod execution;
pub mod gas_ledger;
pub mod guard;
pub mod held;
mod logs;
pub mod message;
pub mod multisig;
pub mod networks;
pub mod payment;
pub mod payouts;
pub mod preflight;
pub mod proofs;
pub mod relayer;
pub mod reporter;
pub mod rewards;
pub mod sender;
pub mod shown;
pub mod signer;
pub mod watcher;

pub use connection::Chain;
pub use contracts::ContractAddresses;
pub use networks::{Network, Networks};
pub use sender::{Account, Call, SendError};
