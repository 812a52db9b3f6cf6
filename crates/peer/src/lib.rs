//! One peer with its settlement, as a library: its folder and configuration, the files that tell who runs there, its log,
//! and how it runs.

mod codes;
pub mod config;
pub mod files;
pub mod hold;
pub mod log;
mod run;
mod signals;

pub use config::{ConfigError, PeerConfig, PeerHome, Setting, SettlementConfig, read_genesis};
pub use run::{RunError, run};
pub use signals::StopSignals;
