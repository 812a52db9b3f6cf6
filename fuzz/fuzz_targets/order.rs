//! Decodes what orders of training are made of: calls, opened rows, and an order as the ledger keeps it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(call) = dtn_training::Call::decode(bytes) {
        assert_eq!(dtn_training::Call::decode(&call.encode()), Ok(call));
    }
    if let Ok(opening) = dtn_trainer::Opening::decode(bytes) {
        assert_eq!(dtn_trainer::Opening::decode(&opening.encode()), Ok(opening));
    }
    drop(dtn_training::TrainingOrder::decode(bytes));
});
