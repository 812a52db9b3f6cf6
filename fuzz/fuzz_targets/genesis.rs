//! Reads a genesis and derives what peers agree on from it.

#![no_main]

use dtn_primitives::Genesis;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(genesis) = serde_json::from_slice::<Genesis>(bytes) {
        genesis.network_id();
        genesis.validator_set().ok();
    }
});
