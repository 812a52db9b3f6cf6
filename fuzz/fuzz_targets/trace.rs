//! Decodes what a worker says of its run: what it gives encodes to the same bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = dtn_train::Manifest::decode(bytes) {
        assert_eq!(manifest.encode(), bytes);
    }
});
