//! What people and programs read: tables that fit the terminal, amounts in units, and the JSON document of a run.
//!
//! Nothing here prints: a caller decides where the text goes. No output carries colour codes, so that a pipe, a log
//! and a terminal show the same.

mod chart;
mod document;
mod gas;
mod page;
mod run;
mod table;
pub mod units;

pub use chart::Chart;
pub use document::{Agreement, CertificateEntry, GasEntry, Payout, RunReport, Settlement, WorkEntry};
pub use gas::gas_table;
pub use page::Page;
pub use run::{agreement_table, settlement_table, work_table};
pub use table::{Align, Column, Table, left, right};
