//! Networks of peers in one process, over real sockets.

#![allow(clippy::unwrap_used)]

mod api;
mod cluster;
mod common;
mod engines;
mod liars;
mod lines;
mod lockstep;
mod proofs;
mod rounds;
mod standalone;
mod textbook;
mod training;
