//! One peer of the L1: consensus, ledger and mining behind libp2p and a JSON-RPC interface.
//!
//! One synchronous thread owns all state: [`core`] at a validator, [`observer`] at a peer that only follows. Around it,
//! tokio tasks carry bytes: [`network`] between peers, `api` to clients. They meet in bounded channels, so neither can
//! flood the other. What is only read is answered by [`reader`] from the store, and never by the thread that votes.
//!
//! A protocol that agrees on something that is no block needs none of the ledger: [`standalone`] runs any such.

mod admission;
mod api;
mod backfill;
mod board;
mod boot;
mod bucket;
mod core;
mod descriptors;
mod evidence;
mod faults;
mod feed;
mod follow;
mod handshakes;
mod host;
mod identity;
mod inbox;
mod link;
mod metrics;
mod money;
mod monitoring;
mod network;
mod node;
mod observer;
mod queue;
mod reader;
mod serve;
pub mod standalone;
mod sync;
mod timers;
mod transport;
mod waiters;
mod wire;
mod work;

pub use identity::peer_id;
pub use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
pub use node::{DEVELOPMENT_CHAIN, Node, NodeConfig, NodeError, NodeHandle, Role};
pub use work::{line::port::LinesConfig, round::prover::ROUND_SECURITY};

/// The version of this program, as peers tell it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
