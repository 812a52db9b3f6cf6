//! Decodes a `Certificate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dtn_fuzz::decode::<dtn_primitives::Certificate>(bytes));
