//! The commands, one module a verb or a family of verbs.

pub(crate) mod anvil;
pub(crate) mod aow;
pub(crate) mod bench;
pub(crate) mod bls;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod deploy;
pub(crate) mod desk;
pub(crate) mod gas;
pub(crate) mod keys;
pub(crate) mod l1;
pub(crate) mod messages;
pub(crate) mod money;
pub(crate) mod multisig;
pub(crate) mod network;
pub(crate) mod pow;
pub(crate) mod registry;
pub(crate) mod rewards;
pub(crate) mod settle;
pub(crate) mod signatures;
pub(crate) mod sim;
pub(crate) mod stake;
pub(crate) mod train;
pub(crate) mod tx;
pub(crate) mod verify_certificate;
