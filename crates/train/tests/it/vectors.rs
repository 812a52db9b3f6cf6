//! Golden vectors: `vectors.json` was written by `reference.py`, which is Python from the page on the kernel.

use dtn_primitives::{Address, B256};
use dtn_train::{Evaluation, Job, Origin, Recipe, Run, Score, audit_statement, shipped};
use serde::Deserialize;

use crate::trained;

#[derive(Deserialize)]
struct Vector {
    data: String,
    recipe: Recipe,
    origin: Origin,
    seed: B256,
    data_root: B256,
    states: Vec<B256>,
    witnesses: Vec<B256>,
    trace_root: B256,
    model_root: B256,
    score: Score,
    score_statement: B256,
    audit_statement: B256,
}

#[test]
fn states_witnesses_roots_and_scores_are_those_of_an_independent_implementation() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../vectors.json")).unwrap();
    assert_eq!(vectors.len(), 9);
    for vector in vectors {
        let data = shipped(&vector.data).unwrap();
        let said = format!("{} {:?}", vector.data, vector.recipe.family);
        assert_eq!(vector.origin.seed(), vector.seed, "{said}");
        assert_eq!(data.root(), vector.data_root, "{said}");
        let (model, manifest, _) = trained(&vector.recipe, &data, vector.origin);
        assert_eq!(manifest.states, vector.states, "{said}");
        assert_eq!((manifest.model, manifest.trace_root()), (vector.model_root, vector.trace_root), "{said}");
        let job = Job::new(&vector.recipe, 0, &data, vector.seed).unwrap();
        let mut run = Run::start(&job);
        let witnesses: Vec<_> = vector.witnesses.iter().map(|_| run.audit()).collect();
        assert_eq!(witnesses, vector.witnesses, "{said}");
        let (order, claim, validator) = (B256::repeat_byte(3), B256::repeat_byte(5), Address::repeat_byte(6));
        let evaluation = Evaluation::of(&model, &data).unwrap();
        assert_eq!(evaluation.score, vector.score, "{said}");
        assert_eq!(evaluation.statement(order, claim, validator), vector.score_statement, "{said}");
        assert_eq!(audit_statement(order, claim, validator, 0, witnesses[0]), vector.audit_statement, "{said}");
    }
}
