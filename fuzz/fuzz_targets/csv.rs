//! Reads a table as whoever orders a training has it, by each way of reading one.

#![no_main]

use dtn_train::{Import, LabelColumn, Scaling};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (ways, bytes) = input;
    let label = if ways & 1 == 0 { LabelColumn::Last } else { LabelColumn::Named("label".into()) };
    let scaling = if ways & 2 == 0 { Scaling::Standard } else { Scaling::MinMax };
    let import = Import { label, is_number: ways & 4 == 0, scaling, clip: ways & 8 == 0 };
    if let Ok(imported) = import.read(bytes) {
        assert_eq!(dtn_train::Dataset::decode(&imported.data.encode()), Ok(imported.data));
    }
});
