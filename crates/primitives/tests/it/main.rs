//! Formats and certificates.

#![allow(clippy::unwrap_used)]

mod certificates;
mod genesis;
mod golden;
