//! Contract bindings, networks, wallets, the multisig client, the relayer and gas accounting.

pub mod abi;
pub mod amount;
pub mod connection;
pub mod contracts;
pub mod dev_keys;
pub mod gas_ledger;
pub mod multisig;
pub mod networks;
pub mod payouts;
pub mod relayer;
pub mod sender;

pub use connection::Chain;
pub use sender::{Account, Call, SendError};
