//! What the protocols hold to, over networks in memory.

#![allow(clippy::unwrap_used)]

mod nakamoto;
mod pbft;
