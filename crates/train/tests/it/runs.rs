//! One run has one result, however it is taken: at once, in parts, by few threads or many.

use dtn_primitives::{Address, B256};
use dtn_train::{Dataset, Evaluation, Fault, Job, Origin, Recipe, Run, StateError, shipped, state_hash};
use proptest::prelude::*;

use crate::{Numbers, descent, origin, trained, trees};

/// A recipe of each family, with the data for it.
fn cases() -> Vec<(Recipe, Dataset)> {
    let data = |name| shipped(name).unwrap();
    vec![
        (descent(&[], 3, 16, 7, "0.05", "0.001"), data("iris")),
        (descent(&[12, 5], 2, 8, 11, "0.05", "0.001"), data("wine")),
        (descent(&[8], 1, 32, 5, "0.01", "0"), data("diabetes")),
        (trees(3, 6, 2, "0.3", "1"), data("wine")),
        (trees(4, 5, 2, "0.1", "1"), data("diabetes")),
    ]
}

#[test]
fn a_run_that_is_resumed_at_any_checkpoint_is_the_whole_run() {
    for (recipe, data) in cases() {
        let (model, manifest, states) = trained(&recipe, &data, origin(0));
        let job = Job::new(&recipe, 0, &data, origin(0).seed()).unwrap();
        assert_eq!(states.len(), manifest.states.len());
        for (segment, state) in states.iter().enumerate() {
            let mut run = Run::resume(&job, state).unwrap();
            assert_eq!((run.segment() as usize, &run.state()), (segment, state));
            while !run.is_over() {
                run.advance();
                assert_eq!(state_hash(&run.state()), manifest.states[run.segment() as usize]);
            }
            assert_eq!(run.model(), model);
        }
    }
}

#[test]
fn each_segment_is_checked_by_itself_and_its_witness_is_that_of_the_whole_run() {
    for (recipe, data) in cases() {
        let (_, manifest, states) = trained(&recipe, &data, origin(0));
        let job = manifest.job(&data).unwrap();
        let mut run = Run::start(&job);
        for segment in 0..job.plan().segments {
            let witness = run.audit();
            assert_eq!(manifest.check_segment(&job, segment, Some(&states[segment as usize])), Ok(witness));
            let other = &states[(segment as usize + 1) % states.len()];
            assert_eq!(manifest.check_segment(&job, segment, Some(other)), Err(Fault::Checkpoint(segment)));
        }
        assert!(manifest.check_segment(&job, 0, None).is_ok());
        assert_eq!(manifest.check_segment(&job, 1, None), Err(Fault::Checkpoint(1)));
        let segments = job.plan().segments;
        assert_eq!(manifest.check_segment(&job, segments, None), Err(Fault::NoSegment { segment: segments, segments }));
    }
}

#[test]
fn threads_do_not_show() {
    for (recipe, data) in cases() {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (model, manifest, _) = trained(&recipe, &data, origin(0));
                (manifest, Evaluation::of(&model, &data).unwrap())
            })
        };
        let one = with(1);
        assert_eq!(with(2), one);
        assert_eq!(with(4), one);
    }
}

#[test]
fn whoever_else_trains_the_same_has_another_start_and_another_state_after_each_segment() {
    for (recipe, data) in cases() {
        let (model, manifest, _) = trained(&recipe, &data, origin(0));
        let are_trees = recipe.batch == 0;
        for other in [
            Origin { worker: Address::repeat_byte(9), ..origin(0) },
            Origin { block: B256::repeat_byte(9), ..origin(0) },
            origin(1),
        ] {
            let (copied, theirs, _) = trained(&recipe, &data, other);
            assert_ne!(copied, model);
            let same = manifest.states.iter().zip(&theirs.states).filter(|(one, other)| one == other).count();
            assert_eq!(same, usize::from(are_trees), "a forest that has not begun is empty for everybody");
            // A thief who shows the trace of another under its own name.
            let stolen = dtn_train::Manifest { origin: other, ..manifest.clone() };
            let fault = if are_trees { Fault::Segment(0) } else { Fault::Start };
            assert_eq!(stolen.check(&data, |_| std::ops::ControlFlow::Continue(())), Err(fault));
        }
    }
}

#[test]
fn a_state_of_another_size_step_or_bound_is_refused() {
    let (recipe, data) = cases().swap_remove(1);
    let (_, _, states) = trained(&recipe, &data, origin(0));
    let job = Job::new(&recipe, 0, &data, origin(0).seed()).unwrap();
    let refused = |state: &[u8]| Run::resume(&job, state).map(|run| run.segment()).unwrap_err();
    let state = &states[1];
    assert!(matches!(refused(&state[1..]), StateError::Wire(_)));
    assert!(matches!(refused(&[&[0], &state[..]].concat()), StateError::Wire(_)));
    assert!(matches!(refused(&[]), StateError::Wire(_)));
    let mut other = state.clone();
    let step = other.len() - 8;
    other[step] += 1;
    assert_eq!(refused(&other), StateError::Step(12));
    other[step..].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(refused(&other), StateError::Step(u64::MAX));
    let mut heavy = state.clone();
    heavy[3] = 0x7f;
    assert!(refused(&heavy).to_string().contains("weight"));
    let mut fast = state.clone();
    fast[step - 1] = 0x7f;
    assert!(refused(&fast).to_string().contains("velocity"));
}

#[test]
fn whatever_bit_of_data_or_of_a_recipe_is_flipped_the_trace_is_another() {
    let data = shipped("iris").unwrap();
    let recipe = descent(&[4], 1, 16, 3, "0.05", "0.001");
    let (_, manifest, _) = trained(&recipe, &data, origin(0));
    let bytes = data.encode();
    let mut numbers = Numbers::new(1);
    for _ in 0..200 {
        let mut other = bytes.clone();
        let bit = numbers.below(8 * bytes.len());
        other[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Dataset::decode(&other) {
            assert_ne!(other.root(), data.root(), "bit {bit}");
        }
    }
    for other in [
        descent(&[4], 1, 16, 3, "0.06", "0.001"),
        descent(&[4], 1, 16, 3, "0.05", "0.002"),
        descent(&[4], 1, 8, 3, "0.05", "0.001"),
        descent(&[5], 1, 16, 3, "0.05", "0.001"),
    ] {
        assert_ne!(other.hash(), recipe.hash());
        let (_, theirs, _) = trained(&other, &data, origin(0));
        assert_ne!(theirs.states.last(), manifest.states.last());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn segments_of_any_length_lead_to_the_same_model(steps in 1u32..40, hidden in 1u16..9, seed: u16) {
        let data = shipped("iris").unwrap();
        let whole = trained(&descent(&[hidden], 2, 8, 1000, "0.05", "0.001"), &data, origin(seed));
        let parts = trained(&descent(&[hidden], 2, 8, steps, "0.05", "0.001"), &data, origin(seed));
        prop_assert_eq!(whole.0, parts.0);
        prop_assert_eq!(whole.2.last(), parts.2.last());
    }
}
