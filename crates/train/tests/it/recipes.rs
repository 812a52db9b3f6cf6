//! What a recipe may be, and what it costs.

use dtn_train::{
    Dataset, Family, Fraction, Job, JobError, Limit, MAX_EVALUATION_MACS, MAX_MACS, MAX_PARAMETERS, MAX_POINTS,
    Outline, Recipe, RecipeError, Task, shipped,
};

use crate::{descent, trees};

const DIGITS: Outline = Outline { task: Task::Classes(10), features: 64, rows: 1438 };

fn refused(recipe: &Recipe, data: Outline) -> String {
    recipe.plan(data).unwrap_err().to_string()
}

#[test]
fn what_a_recipe_costs_is_counted_exactly() {
    let plan = descent(&[128], 40, 32, 32, "0.05", "0.001").plan(DIGITS).unwrap();
    // 44 steps an epoch; forward and gradient of (65·128 + 129·10) weights and back through 128·10, for 32 rows.
    assert_eq!((plan.epoch_steps, plan.steps, plan.segments), (44, 1760, 55));
    assert_eq!(plan.macs, 1760 * 32 * (2 * (65 * 128 + 129 * 10) + 1280));
    assert_eq!(plan.segment_macs, 32 * 32 * (2 * (65 * 128 + 129 * 10) + 1280));
    assert_eq!((plan.shape.parameters(), plan.state_bytes), (9610, 8 + 12 * 9610));
    let plan = trees(4, 40, 4, "0.3", "1").plan(DIGITS).unwrap();
    assert_eq!((plan.epoch_steps, plan.steps, plan.segments), (1, 40, 10));
    // 719 of 1,438 rows on four levels, and 15 nodes with 64 bins, for ten classes.
    assert_eq!(plan.macs, 40 * 10 * 64 * (719 * 4 + 15 * 64));
    assert_eq!(plan.shape.parameters(), 40 * 10 * 31);
}

#[test]
fn a_recipe_beyond_a_limit_is_refused_with_the_limit_and_by_how_much() {
    let error = |recipe: &Recipe, data| match recipe.plan(data) {
        Err(RecipeError::Above { limit, is }) => (limit, is),
        other => panic!("{other:?}"),
    };
    let wide = Outline { features: 4095, ..DIGITS };
    assert_eq!(error(&descent(&[40], 1, 32, 1, "0.1", "0"), wide), (Limit::Parameters, 4096 * 40 + 41 * 10));
    let said = refused(&descent(&[40], 1, 32, 1, "0.1", "0"), wide);
    let more = 4096 * 40 + 41 * 10 - MAX_PARAMETERS;
    assert!(said.contains("parameters") && said.contains(&format!("{more} more")), "{said}");
    let (limit, is) = error(&descent(&[128], 20_000, 32, 1000, "0.1", "0"), DIGITS);
    assert!(limit == Limit::Macs && is > MAX_MACS);
    assert_eq!(error(&descent(&[], 40, 32, 1, "0.1", "0"), DIGITS), (Limit::Segments, 1760));
    assert_eq!(error(&descent(&[128], 40, 32, 1700, "0.1", "0"), DIGITS).0, Limit::SegmentMacs);
    let states = Outline { features: 1000, ..DIGITS };
    assert_eq!(error(&descent(&[100], 40, 32, 20, "0.1", "0"), states).0, Limit::CheckpointBytes);
    let many = Outline { features: 1000, rows: 1_000_000, ..DIGITS };
    let (limit, is) = error(&descent(&[], 1, 4096, 1, "0.1", "0"), many);
    assert!(limit == Limit::EvaluationMacs && is > MAX_EVALUATION_MACS);
    assert_eq!(error(&trees(8, 100, 1, "0.1", "1"), DIGITS), (Limit::Parameters, 100 * 10 * 511));
}

#[test]
fn whatever_a_recipe_cannot_have_is_refused_by_its_name() {
    let mlp = || descent(&[8], 1, 32, 10, "0.1", "0");
    let gbdt = || trees(3, 5, 1, "0.1", "1");
    let with = |mut recipe: Recipe, change: &dyn Fn(&mut Recipe)| {
        change(&mut recipe);
        refused(&recipe, DIGITS)
    };
    let fractions = |count: u32| (1..=count).map(Fraction).collect::<Vec<_>>();
    let cases: Vec<(String, &str)> = vec![
        (with(mlp(), &|r| r.grid.learning_rate.clear()), "0 points"),
        (with(mlp(), &|r| r.grid.learning_rate = fractions(257)), "257 points"),
        (
            with(mlp(), &|r| {
                r.grid.learning_rate = fractions(u32::from(u16::MAX));
                r.grid.momentum = fractions(u32::from(u16::MAX));
                r.grid.l2 = fractions(u32::from(u16::MAX));
            }),
            "points",
        ),
        (with(mlp(), &|r| r.grid.learning_rate = vec![Fraction(0)]), "learning_rate = 0"),
        (with(mlp(), &|r| r.grid.learning_rate = vec![Fraction(65537)]), "learning_rate = 1.00002"),
        (with(mlp(), &|r| r.grid.momentum = vec![Fraction(65536)]), "momentum = 1"),
        (with(mlp(), &|r| r.grid.l2 = vec![Fraction(65537)]), "l2"),
        (with(mlp(), &|r| r.grid.sample = vec![Fraction(5)]), "sample is no hyperparameter"),
        (with(mlp(), &|r| r.grid.min_weight = vec![Fraction(5)]), "min_weight is no hyperparameter"),
        (with(gbdt(), &|r| r.grid.momentum = vec![Fraction(5)]), "momentum is no hyperparameter"),
        (with(gbdt(), &|r| r.grid.l2 = vec![Fraction(0)]), "l2 = 0"),
        (with(gbdt(), &|r| r.grid.l2.clear()), "l2 = 0"),
        (with(gbdt(), &|r| r.grid.sample.clear()), "sample = 0"),
        (with(gbdt(), &|r| r.grid.sample = vec![Fraction(65536)]), "sample = 1"),
        (with(gbdt(), &|r| r.grid.sample = vec![Fraction(1)]), "of 1438 rows"),
        (with(gbdt(), &|r| r.batch = 32), "batch = 32"),
        (with(gbdt(), &|r| r.family = Family::Gbdt { depth: 0, bins: 64 }), "depth = 0"),
        (with(gbdt(), &|r| r.family = Family::Gbdt { depth: 9, bins: 64 }), "depth = 9"),
        (with(gbdt(), &|r| r.family = Family::Gbdt { depth: 2, bins: 65 }), "bins = 65"),
        (with(gbdt(), &|r| r.family = Family::Gbdt { depth: 2, bins: 1 }), "bins = 1"),
        (with(mlp(), &|r| r.family = Family::Mlp { hidden: vec![] }), "hidden layers = 0"),
        (with(mlp(), &|r| r.family = Family::Mlp { hidden: vec![1; 4] }), "hidden layers = 4"),
        (with(mlp(), &|r| r.family = Family::Mlp { hidden: vec![0] }), "hidden units = 0"),
        (with(mlp(), &|r| r.family = Family::Mlp { hidden: vec![4096] }), "hidden units = 4096"),
        (with(mlp(), &|r| r.batch = 0), "batch = 0"),
        (with(mlp(), &|r| r.batch = 33), "batch = 33"),
        (with(mlp(), &|r| r.batch = 2048), "batch = 2048"),
        (with(mlp(), &|r| r.epochs = 0), "epochs = 0"),
        (with(mlp(), &|r| r.segment_steps = 0), "segment_steps = 0"),
    ];
    for (said, expected) in cases {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    for (data, expected) in [
        (Outline { features: 0, ..DIGITS }, "features = 0"),
        (Outline { features: 4096, ..DIGITS }, "features = 4096"),
        (Outline { rows: 0, ..DIGITS }, "rows = 0"),
        (Outline { rows: 1_000_001, ..DIGITS }, "rows = 1000001"),
        (Outline { task: Task::Classes(1), ..DIGITS }, "classes = 1"),
        (Outline { task: Task::Classes(257), ..DIGITS }, "classes = 257"),
    ] {
        assert!(refused(&mlp(), data).contains(expected), "{expected}");
    }
}

#[test]
fn the_points_of_a_grid_are_numbered_with_the_last_hyperparameter_fastest() {
    let mut recipe = descent(&[], 1, 32, 100, "0.1", "0");
    recipe.grid.learning_rate = vec![Fraction(1), Fraction(2)];
    recipe.grid.momentum = vec![Fraction(3)];
    recipe.grid.l2 = vec![Fraction(4), Fraction(5), Fraction(6)];
    let points: Vec<_> = (0..7).map(|number| recipe.grid.point(number)).collect();
    let values = |number: usize| points[number].map(|point| (point.learning_rate.0, point.momentum.0, point.l2.0));
    assert_eq!([0, 1, 5, 6].map(values), [Some((1, 3, 4)), Some((1, 3, 5)), Some((2, 3, 6)), None]);
    let data = shipped("iris").unwrap();
    let missing = Job::new(&recipe, 6, &data, Default::default()).unwrap_err();
    assert_eq!(missing, JobError::Point { point: 6, points: 6 });
    assert!(MAX_POINTS < usize::from(u16::MAX));
}

#[test]
fn a_recipe_reads_from_toml_and_has_one_encoding() {
    let text = "family = { mlp = { hidden = [128] } }
        epochs = 40
        batch = 32
        segment_steps = 32
        grid = { learning_rate = [0.05], momentum = [\"0.9\"], l2 = [0.001] }";
    let recipe: Recipe = toml::from_str(text).unwrap();
    assert_eq!(recipe, descent(&[128], 40, 32, 32, "0.05", "0.001"));
    assert_eq!(Recipe::decode(&recipe.encode()), Ok(recipe.clone()));
    assert!(Recipe::decode(&[&recipe.encode()[..], &[0]].concat()).is_err());
    let linear = text.replace("{ mlp = { hidden = [128] } }", "\"linear\"");
    assert_eq!(toml::from_str::<Recipe>(&linear).unwrap().family, Family::Linear);
    for wrong in [
        text.replace("[128]", "[-1]"),
        text.replace("mlp", "cnn"),
        text.replace("epochs", "epoch"),
        text.replace("0.05", "\"fast\""),
    ] {
        assert!(toml::from_str::<Recipe>(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_split_has_every_row_once_and_another_seed_another_split() {
    let data = shipped("iris").unwrap();
    let (rest, out) = data.split(30, [1; 32].into()).unwrap();
    assert_eq!((rest.rows(), out.rows()), (120, 30));
    let rows =
        |data: &Dataset| (0..data.rows()).map(|row| (data.features(row).to_vec(), data.label(row))).collect::<Vec<_>>();
    let (mut both, mut all) = ([rows(&rest), rows(&out)].concat(), rows(&data));
    both.sort();
    all.sort();
    assert_eq!(both, all);
    assert_ne!(data.split(30, [2; 32].into()).unwrap().1, out);
    assert!(data.split(150, [1; 32].into()).is_err() && data.split(0, [1; 32].into()).is_err());
}
