//! Protocols under the simulator's worlds and attacks.

#![allow(clippy::unwrap_used)]

mod adversaries;
mod attacks;
mod chained;
mod lockstep;
mod model;
mod mutation;
mod nakamoto;
mod normal_case;
mod power_cuts;
mod scenarios;
mod standalone;
mod textbook;
mod twins;
