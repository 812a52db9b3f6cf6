//! AOW: sequential work by an iterated map, which anyone checks for much less than it costs.
//!
//! - [`Map`] is the map of the published prototype, x ↦ xᵈ + α over a prime field. It is as fast to run as to check, and it
//!   can be run backwards by taking roots: nothing rests on it but what a proof says of it.
//! - [`Delay`] turns that around over one field of 128 bits: a step takes a cube root, some 140 multiplications one after
//!   the other, and is checked by cubing, two of them.
//!
//! # What is claimed, and what is not
//!
//! Claimed: the result of T steps from a start that nobody chose is *sequential work with cheap verification and
//! integrity*: who has it has run the steps, or has broken a proof.
//!
//! Not claimed: that this is a verifiable delay function, or one-way. Steps that are roots lose their latency to massive
//! parallelism (ePrint 2024/873, on Sloth++, VeeDo and MinRoot), and whoever may choose a start can choose the result instead
//! and go back by cubing. So a start is hashed, and every verifier hashes it
//! again ([`Start`]).

mod air;
pub mod attack;
pub mod chain;
mod constraints;
mod delay;
mod element;
mod extension;
mod field;
pub mod files;
mod hashing;
mod map;
pub mod mutation;
mod proof;
mod security;
mod start;
mod transform;
mod wire;

pub use delay::Delay;
pub use element::{Element, NoElement};
pub use map::{Map, MapError, hash_to_field};
pub use proof::{MAX_PROOF_BYTES, MAX_REPLAYED_STEPS, MAX_STEPS, ProofError, Statement, Trace, verify};
pub use security::{Parameters, Security, UnknownSecurity};
pub use start::{Bound, Expected, OtherStatement, Start};

/// The guide's code is compiled and run with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/protocols/aow.md")]
struct Guide;
