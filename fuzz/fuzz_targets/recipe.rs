//! Decodes a recipe and plans what it means for data, which takes no training and no memory.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(recipe) = dtn_train::Recipe::decode(bytes) else { return };
    assert_eq!(dtn_train::Recipe::decode(&recipe.encode()).as_ref(), Ok(&recipe));
    for (task, features, rows) in [(dtn_train::Task::Classes(10), 64, 1_437), (dtn_train::Task::Number, 10, 400)] {
        drop(recipe.plan(dtn_train::Outline { task, features, rows }));
    }
});
