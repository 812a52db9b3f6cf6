//! Agreement protocols as deterministic state machines.
//!
//! A [`Protocol`] takes inputs and gives effects. It knows no clock, socket, disk or randomness of its own, so the same
//! type runs in the simulator, in a model checker and over libp2p. One that agrees on something that is no block is
//! [`Standalone`]: of these there are [`broadcast`], [`dolev_strong`], [`agreement`] and [`common_subset`], from the textbook,
//! and rounds of events in [`lockstep`].

pub mod agreement;
pub mod broadcast;
pub mod chained;
mod checkpoints;
pub mod coin;
pub mod common_subset;
mod decision;
pub mod dolev_strong;
pub mod hotstuff2;
pub mod lockstep;
pub mod nakamoto;
mod party;
pub mod pbft;
mod protocol;
pub mod quorum;
pub mod sealed;
pub mod signature_chain;
pub mod simplex;
mod standalone;
pub mod streamlet;
pub mod tree;

pub use agreement::Agreement;
pub use broadcast::Broadcast;
pub use chained::{Chained, ChainedConfig};
pub use coin::Coin;
pub use common_subset::CommonSubset;
pub use decision::Decision;
pub use dolev_strong::DolevStrong;
pub use dtn_primitives::Evidence;
pub use hotstuff2::HotStuff2;
pub use lockstep::Lockstep;
pub use nakamoto::Nakamoto;

pub use party::{Party, Unmet};
pub use pbft::{
    CHECKPOINT_INTERVAL, Fault, Greeting, LOG_WINDOW, Message, NewView, PIPELINE, PRE_PREPARE_WINDOW, Pbft, PbftConfig,
    PreparedCertificate, Record, SILENCE, STALE_WINDOW, STANDING, Timer, View, ViewChange, ViewChangeError, required,
};
pub use protocol::{Effect, Input, Memory, Protocol};
pub use signature_chain::SignatureChain;
pub use simplex::Simplex;
pub use standalone::Standalone;
pub use streamlet::Streamlet;
