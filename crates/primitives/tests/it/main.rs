//! Formats and certificates.

#![allow(clippy::unwrap_used)]

mod certificates;
mod golden;
