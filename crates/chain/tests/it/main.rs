//! Reading and sending against real development chains, directly and through a proxy that does what nodes do to clients.
#![allow(clippy::unwrap_used)]

mod faults;
mod logs;
mod proxy;
