//! Agreement protocols as deterministic state machines.
//!
//! A [`Protocol`] takes inputs and gives effects. It knows no clock, socket, disk or randomness of its own, so the same
//! type runs in the simulator, in a model checker and over libp2p. One that agrees on something that is no block is
//! [`Standalone`]: of these there are [`broadcast`], [`dolev_strong`] and [`agreement`], from the textbook, and rounds of events
//! in [`lockstep`].

pub mod agreement;
pub mod broadcast;
pub mod coin;
mod decision;
pub mod dolev_strong;
pub mod lockstep;
pub mod nakamoto;
mod party;
pub mod pbft;
mod protocol;
pub mod quorum;
pub mod sealed;
pub mod signature_chain;
mod standalone;
pub mod tree;

pub use agreement::Agreement;
pub use broadcast::Broadcast;
pub use coin::Coin;
pub use decision::Decision;
pub use dolev_strong::DolevStrong;
pub use dtn_primitives::Evidence;
pub use lockstep::Lockstep;
pub use nakamoto::Nakamoto;
pub use party::{Party, Unmet};
pub use pbft::{
    CHECKPOINT_INTERVAL, Fault, Greeting, LOG_WINDOW, Message, NewView, PIPELINE, PRE_PREPARE_WINDOW, Pbft, PbftConfig,
    PreparedCertificate, Record, SILENCE, STALE_WINDOW, STANDING, Timer, View, ViewChange, ViewChangeError, required,
};
pub use protocol::{Effect, Input, Memory, Protocol};
pub use signature_chain::SignatureChain;
pub use standalone::Standalone;
