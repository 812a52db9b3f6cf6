//! Agreement protocols as deterministic state machines.
//!
//! A [`Protocol`] takes inputs and gives effects. It knows no clock, socket, disk or randomness of its own, so the same
//! type runs in the simulator, in a model checker and over libp2p. One that agrees on something that is no block is
//! [`Standalone`].

mod decision;
pub mod nakamoto;
pub mod pbft;
mod protocol;
pub mod quorum;
mod standalone;
pub mod tree;

pub use decision::Decision;
pub use dtn_primitives::Evidence;
pub use nakamoto::Nakamoto;
pub use pbft::{
    CHECKPOINT_INTERVAL, Fault, Greeting, LOG_WINDOW, Message, NewView, PIPELINE, PRE_PREPARE_WINDOW, Pbft, PbftConfig,
    PreparedCertificate, Record, SILENCE, STALE_WINDOW, STANDING, Timer, View, ViewChange, ViewChangeError, required,
};
pub use protocol::{Effect, Input, Memory, Protocol};
pub use standalone::Standalone;
