//! Whatever is changed in a trace or a model, nobody accepts it.

use std::ops::ControlFlow;

use dtn_train::{Dataset, Job, Manifest, Model, Recipe, Run, shipped};

use crate::{Numbers, descent, origin, trained, trees};

/// How often each is changed.
const TIMES: usize = 1500;

fn cases() -> Vec<(Recipe, Dataset)> {
    vec![
        (descent(&[5], 2, 16, 4, "0.05", "0.001"), shipped("iris").unwrap()),
        (trees(2, 4, 1, "0.3", "1"), shipped("iris").unwrap()),
    ]
}

/// A change of some bytes: a bit, a byte, a cut, more at the end, or two parts exchanged.
fn changed(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut other = bytes.to_vec();
    let at = numbers.below(bytes.len());
    match numbers.below(8) {
        0..4 => other[at] ^= 1 << numbers.below(8),
        4 => other[at] = numbers.below(256) as u8,
        5 => other.truncate(at),
        6 => other.extend((0..1 + numbers.below(40)).map(|byte| byte as u8)),
        _ => {
            let length = 1 + numbers.below(32);
            let to = numbers.below(bytes.len());
            for offset in 0..length.min(bytes.len() - at.max(to)) {
                other.swap(at + offset, to + offset);
            }
        }
    }
    other
}

#[test]
fn no_trace_that_was_changed_is_accepted() {
    let mut numbers = Numbers::new(2);
    for (recipe, data) in cases() {
        let (_, manifest, _) = trained(&recipe, &data, origin(0));
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest));
        assert!(manifest.check(&data, |_| ControlFlow::Continue(())).unwrap().is_some());
        let mut read = 0;
        for time in 0..TIMES {
            let other = changed(&bytes, &mut numbers);
            if other == bytes {
                continue;
            }
            if let Ok(other) = Manifest::decode(&other) {
                read += 1;
                let found = other.check(&data, |_| ControlFlow::Continue(()));
                // A grid that has more points than the one that was trained is another recipe, with the same run.
                let is_accepted = found.is_ok_and(|model| model.is_some()) && other.recipe == manifest.recipe;
                assert!(!is_accepted, "change {time}");
            }
        }
        assert!(read > TIMES / 4, "{read} of the changes read as a trace");
    }
}

#[test]
fn a_segment_is_not_accepted_from_or_to_a_state_that_was_changed() {
    let mut numbers = Numbers::new(3);
    for (recipe, data) in cases() {
        let (_, manifest, states) = trained(&recipe, &data, origin(0));
        let job = manifest.job(&data).unwrap();
        for time in 0..TIMES {
            let segment = numbers.below(states.len() - 1);
            let forged = changed(&states[segment], &mut numbers);
            if forged == states[segment] {
                continue;
            }
            let refused = manifest.check_segment(&job, segment as u32, Some(&forged));
            assert!(refused.is_err(), "change {time} of the state before segment {segment}");
            // With its hash in the trace, it does not lead on, or no segment leads to it.
            let mut spliced = manifest.clone();
            spliced.states[segment] = dtn_train::state_hash(&forged);
            let after = spliced.check_segment(&job, segment as u32, Some(&forged));
            let before = segment.checked_sub(1).map(|at| spliced.check_segment(&job, at as u32, Some(&states[at])));
            let start = spliced.check_segment(&job, 0, None);
            assert!(
                after.is_err() || before.is_some_and(|before| before.is_err()) || segment == 0 && start.is_err(),
                "change {time} of the state before segment {segment}, spliced"
            );
        }
    }
}

#[test]
fn a_model_that_was_changed_has_another_root_or_is_none() {
    let mut numbers = Numbers::new(4);
    for (recipe, data) in cases() {
        let (model, manifest, _) = trained(&recipe, &data, origin(0));
        let bytes = model.encode();
        assert_eq!(Model::decode(&bytes).as_ref(), Ok(&model));
        let mut read = 0;
        for time in 0..2 * TIMES {
            let other = changed(&bytes, &mut numbers);
            if other != bytes
                && let Ok(model) = Model::decode(&other)
            {
                read += 1;
                assert_ne!(model.root(), manifest.model, "change {time}");
                assert_eq!(model.encode(), other, "there is one file of a model");
            }
        }
        assert!(read > TIMES / 2, "{read} of the changes read as a model");
    }
}

#[test]
fn a_model_file_with_more_bytes_another_shape_or_a_weight_beyond_its_bound_is_refused() {
    let (recipe, data) = cases().remove(0);
    let (model, _, _) = trained(&recipe, &data, origin(0));
    let bytes = model.encode();
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut other = bytes.clone();
        change(&mut other);
        Model::decode(&other).unwrap_err().to_string()
    };
    for (said, expected) in [
        (refused(&|bytes| bytes.push(0)), "its size asks for"),
        (refused(&|bytes| bytes.truncate(bytes.len() - 1)), "its size asks for"),
        (refused(&|bytes| bytes.truncate(20)), "its size asks for"),
        (refused(&|bytes| bytes[0] = b'X'), "begins with other bytes"),
        (refused(&|bytes| bytes[7] = 2), "begins with other bytes"),
        (refused(&|bytes| bytes[8] = 1), "number of classes"),
        (refused(&|bytes| bytes[10..12].fill(0)), "number of features"),
        (refused(&|bytes| bytes[10] = 5), "its size asks for"),
        (refused(&|bytes| bytes[12] = 2), "form of the model"),
        (refused(&|bytes| bytes[13] = 4), "form of the model"),
        (refused(&|bytes| bytes[14..16].fill(0)), "hidden units"),
        (refused(&|bytes| bytes[31] = 1), "rest of the header"),
        (refused(&|bytes| bytes[32..36].copy_from_slice(&((1 << 28) + 1i32).to_le_bytes())), "a weight"),
        (refused(&|bytes| bytes[32..36].copy_from_slice(&i32::MIN.to_le_bytes())), "a weight"),
        (refused(&|bytes| bytes.resize(1 << 20, 0)), "are allowed"),
        (
            refused(&|bytes| {
                bytes[10..12].copy_from_slice(&4095u16.to_le_bytes());
                bytes[14..16].copy_from_slice(&4095u16.to_le_bytes());
            }),
            "number of parameters",
        ),
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let (recipe, data) = cases().remove(1);
    let (model, _, _) = trained(&recipe, &data, origin(0));
    let mut other = model.encode();
    other[32] = 200;
    assert!(Model::decode(&other).unwrap_err().to_string().contains("feature of a node"));
    let job = Job::new(&recipe, 0, &data, origin(0).seed()).unwrap();
    assert_ne!(Run::start(&job).model(), model);
}
