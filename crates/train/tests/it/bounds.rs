//! Every bound, driven to its extreme: nothing overflows, and nothing leaves its range.

use dtn_train::{
    Dataset, Evaluation, Family, Fraction, Grid, Job, MAX_ACTIVATION, MAX_VELOCITY, MAX_WEIGHT, ONE, Recipe, Run,
    Score, Task,
};
use proptest::prelude::*;

use crate::{origin, trained, trees};

/// Everything that drives weights away: the fastest steps, nearly all of the velocity kept.
fn fastest(family: Family, batch: u16, epochs: u32) -> Recipe {
    let one = ONE as u32;
    let grid = Grid {
        learning_rate: vec![Fraction(one)],
        momentum: vec![Fraction(one - 1)],
        l2: vec![Fraction(0)],
        ..Grid::default()
    };
    Recipe { family, grid, epochs, batch, segment_steps: 1 }
}

/// The weights and velocities of a state.
fn numbers(state: &[u8], parameters: usize) -> (Vec<i32>, Vec<i64>) {
    let (weights, rest) = state.split_at(4 * parameters);
    let velocities = &rest[..8 * parameters];
    (
        weights.chunks(4).map(|four| i32::from_le_bytes(four.try_into().unwrap())).collect(),
        velocities.chunks(8).map(|eight| i64::from_le_bytes(eight.try_into().unwrap())).collect(),
    )
}

#[test]
fn the_widest_layers_with_the_largest_features_and_the_fastest_steps_stay_within_their_bounds() {
    let features = 4095;
    let row = |value| vec![value; features];
    let values = [row(i16::MIN), row(i16::MAX)].concat();
    let labels = vec![MAX_ACTIVATION, -MAX_ACTIVATION];
    let data = Dataset::new(Task::Number, features as u16, values, labels).unwrap();
    let recipe = fastest(Family::Mlp { hidden: vec![15] }, 1, 20);
    let (model, _, states) = trained(&recipe, &data, origin(0));
    let parameters = model.shape().parameters() as usize;
    let (mut heaviest, mut fastest) = (0, 0);
    for state in &states {
        let (weights, velocities) = numbers(state, parameters);
        heaviest = weights.iter().map(|weight| weight.abs()).max().unwrap().max(heaviest);
        fastest = velocities.iter().map(|velocity| velocity.abs()).max().unwrap().max(fastest);
    }
    assert_eq!((heaviest, fastest), (MAX_WEIGHT, MAX_VELOCITY), "both bounds are reached");
    let evaluation = Evaluation::of(&model, &data).unwrap();
    assert!(evaluation.logits.iter().all(|logit| logit.abs() <= MAX_ACTIVATION));
}

#[test]
fn trees_of_the_largest_errors_stay_within_their_bounds() {
    let rows = 2000;
    let values = (0..rows).map(|row| row as i16).collect();
    let labels = (0..rows).map(|row| if row % 3 == 0 { MAX_ACTIVATION } else { -MAX_ACTIVATION }).collect();
    let data = Dataset::new(Task::Number, 1, values, labels).unwrap();
    let mut recipe = trees(8, 30, 1, "1", "0.00002");
    recipe.grid.sample = vec![Fraction(ONE as u32 - 1)];
    let (model, _, _) = trained(&recipe, &data, origin(0));
    let evaluation = Evaluation::of(&model, &data).unwrap();
    assert!(evaluation.logits.iter().all(|logit| logit.abs() <= MAX_ACTIVATION));
    let Score::Number { squared_error, .. } = evaluation.score else { panic!("numbers") };
    assert!(squared_error < rows as u64 * (MAX_ACTIVATION as u64).pow(2));
}

#[test]
fn squared_errors_of_the_most_rows_fit() {
    assert!((dtn_train::data::MAX_ROWS as u64).checked_mul((MAX_ACTIVATION as u64).pow(2)).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_the_data_and_the_hyperparameters_weights_and_velocities_keep_their_bounds(
        values in prop::collection::vec(prop_oneof![Just(i16::MIN), Just(i16::MAX), any::<i16>()], 24),
        labels in prop::collection::vec(0i32..3, 8),
        rate in 1u32..=ONE as u32, momentum in 0u32..ONE as u32, l2 in 0u32..=ONE as u32,
        hidden in prop::collection::vec(1u16..6, 0..3), batch in prop_oneof![Just(1u16), Just(2), Just(8)],
        is_number: bool,
    ) {
        let (task, labels) = if is_number {
            (Task::Number, labels.into_iter().map(|label| (label - 1) * MAX_ACTIVATION).collect())
        } else {
            (Task::Classes(3), labels)
        };
        let data = Dataset::new(task, 3, values, labels).unwrap();
        let family = if hidden.is_empty() { Family::Linear } else { Family::Mlp { hidden } };
        let mut recipe = fastest(family, batch, 6);
        let fraction = |value| vec![Fraction(value)];
        recipe.grid = Grid {
            learning_rate: fraction(rate), momentum: fraction(momentum), l2: fraction(l2), ..Grid::default()
        };
        let job = Job::new(&recipe, 0, &data, origin(7).seed()).unwrap();
        let mut run = Run::start(&job);
        while !run.is_over() {
            run.advance();
            // A state within its bounds reads; one beyond is refused.
            prop_assert!(Run::resume(&job, &run.state()).is_ok());
        }
    }
}
