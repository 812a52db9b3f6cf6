//! Networks of processes under faults that a nemesis makes. A binary of its own: other tests beside it would be faults too.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod nemesis;
mod outage;
