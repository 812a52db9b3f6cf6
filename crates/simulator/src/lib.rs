//! A deterministic network for the protocols of the `consensus` crate: virtual time, faults and adversaries.
//!
//! [`play`] plays one [`Scenario`] of the engine that it names, [`run`] of any protocol that is a [`Subject`], unchanged, and
//! judges it: replicas with disks
//! that lose power, links that delay, lose, repeat and part, and adversaries among the replicas. A run is a function of
//! its scenario, and a scenario one of its seed, so a verdict is replayed by its seed and made smaller by [`shrink()`].
//! [`twins`] is the same idea in rounds instead of time, thousands of times faster. [`standalone`] does it with protocols
//! without blocks, those of strangers included; [`property`] holds the textbook's to what they promise, and to what they cost.

mod above;
mod agenda;
mod books;
mod chain;
mod chained;
mod check;
mod disk;
mod engines;
mod file;
mod filling;
mod following;
mod forensics;
mod happening;
mod host;
mod liars;
mod links;
pub mod longest_chain;
mod lots;
mod measured;
mod members;
mod mined;
mod miners;
mod nakamoto;
mod network;
mod oracle;
mod packet;
mod pbft;
mod pool;
mod port;
pub mod property;
mod random;
mod regions;
mod scenario;
mod shrink;
pub mod standalone;
mod subject;
mod trace;
pub mod training;
pub mod twins;
mod work;
mod works;
mod world;

pub use dtn_adversary as adversary;

pub use chain::Chain;
pub use check::{Impossible, MAX_LATENCY, MAX_NODES, MIN_NODES};
pub use disk::Survival;
pub use engines::{Engine, play, watch};
pub use file::FileError;
pub use forensics::{Conviction, Signed};
pub use happening::{Happening, Observer, What};
pub use host::Durability;
pub use links::{Latency, Rate};
pub use lots::{Lots, lots};
pub use measured::{Measured, Requested, Traffic};
pub use members::Members;
pub use mined::{Final, Found, Mined};
pub use miners::{Miners, RateChange};
pub use oracle::Violation;
pub use regions::{REGIONS, round_trip};
pub use scenario::{
    Crash, DiskAfter, Group, Links, Load, Model, Pace, Partition, Recorded, Region, Route, Scenario, Scheduler,
    Sharing, Signatures, Source, Start, Stop, Strangers, Synchrony, When,
};
pub use shrink::shrink;
pub use subject::{Notice, Progress, Reply, Request, Statement, Subject};
pub use work::Work;
pub use world::{Offence, Report, Verdict, observe, run};

/// The seed of a test: `DTN_SEED` if it is set, to replay a failure, and `default` otherwise.
pub fn seed_or(default: u64) -> u64 {
    std::env::var("DTN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(default)
}
