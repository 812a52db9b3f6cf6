//! Decodes a `NewView`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dtn_fuzz::decode::<dtn_consensus::NewView>(bytes));
