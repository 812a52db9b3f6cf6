//! Decodes a `Vote`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dtn_fuzz::decode::<dtn_primitives::Vote>(bytes));
