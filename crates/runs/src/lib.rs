//! Runs of simulated networks: what came of one, in figures, tables and pictures, of several side by side, and of one network
//! under thousands of seeds. And what strategies came to that play training orders.
//!
//! The simulator plays; this says what there was to see. Nothing here prints.

pub mod longest_chain;
pub mod lots;
mod mining;
mod outcome;
mod page;
#[cfg(feature = "parquet")]
mod parquet;
pub mod pot_table;
pub mod regions;
pub mod replay;
pub mod sweep;
pub mod textbook;
pub mod training;
pub mod written;

pub use mining::{Miner, Mining};
pub use outcome::{Kinds, Outcome, Place, Quantiles, Replica, comparison, ms, play, virtual_time, watch};
pub use page::{Picture, page};
