//! Decodes a `Message`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dtn_fuzz::decode::<dtn_consensus::nakamoto::Message>(bytes));
