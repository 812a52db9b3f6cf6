//! Networks of processes on one machine: what their folders hold, how they are made, started, stopped and examined.

mod access;
pub mod account;
mod chain;
pub mod demo;
pub mod doctor;
mod error;
mod home;
mod init;
pub mod lines;
pub mod lockstep;
mod own;
mod processes;
pub mod rounds;
mod service;
mod survey;
pub mod training;

pub use access::{blocks, client, client_key};
pub use chain::{settle_on, start_chain};
pub use error::TestbedError;
pub use home::{ClientConfig, Home};
pub use init::{
    Plan, Ports, Transport, change, ensure_vacant, init, init_and_tell, ports, set_half_work, set_lie, set_settlement,
    settlements,
};
pub use own::OwnNetwork;
pub use processes::{Up, any_peer_runs, down, up, up_all};
pub use service::{Service, stop};
pub use survey::{Found, Survey};

/// What may fail with a [`TestbedError`].
pub type Result<T, E = TestbedError> = std::result::Result<T, E>;
