//! Settlement against real chains.

#![allow(clippy::unwrap_used)]

mod anvil;
mod aow;
