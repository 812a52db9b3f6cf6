//! Formats and certificates.

#![allow(clippy::unwrap_used)]

mod certificates;
mod earnings;
mod evidence;
mod genesis;
mod golden;
mod messages;
