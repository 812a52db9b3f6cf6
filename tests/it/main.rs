//! The command line, with real processes.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../desk/mod.rs"]
mod desk;
#[path = "../../crates/chain/tests/it/proxy/mod.rs"]
mod proxy;

mod aow;
mod bench;
mod chain;
mod codes;
mod coin;
mod errors;
mod guard;
mod guide;
mod hostile;
mod interruption;
mod l1;
mod money;
mod nakamoto;
mod operation;
mod operators;
mod pow;
mod races;
mod records;
mod reference;
mod reports;
mod rewards;
mod secrets;
mod sim;
mod survival;
mod train;
mod training;
mod wallet;
