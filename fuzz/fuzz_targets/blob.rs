//! Looks at bytes that are said to be a blob of each kind.

#![no_main]

use dtn_primitives::B256;
use dtn_trainer::Blob;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for kind in ["data", "rows", "model", "trace", "state"] {
        if let Some(blob) = Blob::named(kind, B256::ZERO) {
            assert!(blob.check(bytes).is_err(), "nothing has the hash zero");
        }
    }
});
