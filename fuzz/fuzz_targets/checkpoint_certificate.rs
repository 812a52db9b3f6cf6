//! Decodes a `CheckpointCertificate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dtn_fuzz::decode::<dtn_primitives::CheckpointCertificate>(bytes));
