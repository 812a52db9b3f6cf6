//! Decodes a model: what it gives encodes to the same bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(model) = dtn_train::Model::decode(bytes) {
        assert_eq!(model.encode(), bytes);
    }
});
