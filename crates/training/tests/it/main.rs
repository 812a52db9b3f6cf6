//! The life cycle of a training order as its hosts see it.

#![allow(clippy::unwrap_used)]

mod admission;
mod adversaries;
mod every_order;
mod lives;
mod promises;
mod strategies;
mod vectors;
mod world;
