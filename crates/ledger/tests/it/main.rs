//! What a ledger holds to, with its store on disk.

#![allow(clippy::unwrap_used)]

mod checkpoints;
mod common;
mod cost;
mod custom;
mod durability;
mod earnings;
mod execution;
mod lines;
mod memory;
mod mempool;
mod rounds;
mod solutions;
mod speculation;
mod training;
mod versions;
mod windows;
