//! A deterministic network for the protocols of the `consensus` crate: virtual time, faults and adversaries.
