//! What is settled: deployments, the multisig client, payments and claims, the relayer and the watcher of a peer.
//!
//! [`relayer`] composes reading and sending, which `dtn_chain` does, into what a peer does with its finalized results,
//! [`watcher`] into what it does about sequential work, and [`reporter`] into what it does about contradictions.

pub mod action;
pub mod aow;
pub mod bls_keys;
pub mod calls;
pub mod claims;
pub mod codes;
pub mod deploy;
pub mod deposits;
pub mod earnings;
pub mod evidence;
pub mod execution;
pub mod guard;
pub mod held;
pub mod message;
pub mod multisig;
mod passes;
pub mod payment;
pub mod payouts;
mod plan;
pub mod proofs;
pub mod relayer;
pub mod reporter;
pub mod rewards;
pub mod watcher;
