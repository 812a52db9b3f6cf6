//! What people and programs read: tables that fit the terminal, amounts in units, the JSON document of a run,
//! and pages with charts.
//!
//! Nothing here prints: a caller decides where the text goes. No output carries colour codes, so that a pipe, a log
//! and a terminal show the same.

mod bars;
mod cells;
mod chart;
mod distribution;
mod document;
mod gas;
mod map;
mod page;
mod palette;
mod pictures;
mod plot;
mod progress;
mod rounds;
mod run;
mod sequence;
mod steps;
mod table;
pub mod text;
mod training;
pub mod units;

pub use bars::Bars;
pub use cells::Cells;
pub use chart::Chart;
pub use distribution::Distribution;
pub use document::{
    Agreement, CertificateEntry, ClaimEntry, GasEntry, Payout, RunReport, Settlement, SlashEntry, WorkEntry,
};
pub use gas::gas_table;
pub use map::{NetworkMap, Sign};
pub use page::{Figure, Page};
pub use pictures::Pictures;
pub use progress::{Progress, Tell};
pub use rounds::{CompletionEntry, RoundEntry, RoundTotals, VerificationEntry, round_table, round_totals_table};
pub use run::{agreement_table, claims_table, settlement_table, work_table};
pub use sequence::Sequence;
pub use steps::Steps;
pub use table::{Align, Column, Table, left, right};
pub use training::{EarnedEntry, TrainingEntry, TrainingPart, earned_table, training_table};
