//! Decodes rows of data: what it gives encodes to the same bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(data) = dtn_train::Dataset::decode(bytes) {
        assert_eq!(data.encode(), bytes);
    }
});
