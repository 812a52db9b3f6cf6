//! Golden vectors of the puzzle.

#![allow(clippy::unwrap_used)]

mod seed;
mod vectors;
