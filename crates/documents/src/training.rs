//! Trainings on one machine: what came of one, of repeating it, and how good its model is.

use std::path::{Path, PathBuf};

use dtn_primitives::{B256, keccak256};
use dtn_report::{Table, left, right, units};
use dtn_train::{Evaluation, Model, Score};
use serde::Serialize;

/// What came of a training.
#[derive(Debug, Serialize)]
pub struct Trained {
    /// What the data is called.
    pub data: String,
    /// The rows that were trained on.
    pub training_rows: usize,
    /// Their root.
    pub data_root: B256,
    /// The numbers of the model.
    pub parameters: u64,
    /// How many multiplications the training takes.
    pub multiplications: u64,
    /// How many steps.
    pub steps: u32,
    /// How many segments.
    pub segments: u32,
    /// How long it took, in milliseconds.
    pub train_ms: f64,
    /// The root of the model.
    pub model_root: B256,
    /// What stands for all states.
    pub trace_root: B256,
    /// How good it is on the rows that it was trained on.
    pub on_training: Score,
    /// How good it is on those that were kept from it.
    pub on_holdout: Score,
    /// The file of the model.
    pub model: PathBuf,
    /// Its length.
    pub model_bytes: usize,
    /// The file of the trace.
    pub trace: PathBuf,
    /// Its length.
    pub trace_bytes: usize,
}

impl Trained {
    /// For people.
    pub fn table(&self) -> Table {
        let title = format!("{} parameters, trained on {} rows", units::thousands(self.parameters), self.training_rows);
        let mut table = Table::new(title, [left("figure"), left("value")]);
        let took = units::duration((self.train_ms * 1e3) as u64);
        table.row(["training took".to_string(), took]);
        table.row(["multiplications".to_string(), units::thousands(self.multiplications)]);
        table.row(["steps".to_string(), format!("{} in {} segments", units::thousands(self.steps), self.segments)]);
        table.row(["on the rows it was trained on".to_string(), in_words(&self.on_training)]);
        table.row(["on the holdout".to_string(), in_words(&self.on_holdout)]);
        table.row(["data root".to_string(), self.data_root.to_string()]);
        table.row(["model root".to_string(), self.model_root.to_string()]);
        table.row(["trace root".to_string(), self.trace_root.to_string()]);
        let file = |path: &Path, bytes| format!("{}, {}", path.display(), units::bytes(bytes as u64));
        table.row(["model".to_string(), file(&self.model, self.model_bytes)]);
        table.row(["trace".to_string(), file(&self.trace, self.trace_bytes)]);
        table
    }
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// Whether nothing differs.
    pub holds: bool,
    /// How many segments there are.
    pub segments: u32,
    /// The root of the model.
    pub model_root: B256,
    /// What stands for all states.
    pub trace_root: B256,
    /// How long it took, in milliseconds.
    pub check_ms: f64,
    /// Of segments that were asked for.
    pub checked: Vec<CheckedSegment>,
}

/// What came of one segment.
#[derive(Debug, Serialize)]
pub struct CheckedSegment {
    /// Its number, from 0.
    pub segment: u32,
    /// What only the work shows, if it holds.
    pub witness: Option<B256>,
    /// What is wrong with it otherwise.
    pub fault: Option<String>,
    /// How long it took, in milliseconds.
    pub check_ms: f64,
}

impl Checked {
    /// For people.
    pub fn table(&self) -> Table {
        if self.checked.is_empty() {
            let mut table = Table::new("The trace holds", [left("figure"), left("value")]);
            table.row(["segments".to_string(), format!("{}, each trained again", units::thousands(self.segments))]);
            table.row(["took".to_string(), units::duration((self.check_ms * 1e3) as u64)]);
            table.row(["model root".to_string(), self.model_root.to_string()]);
            table.row(["trace root".to_string(), self.trace_root.to_string()]);
            return table;
        }
        let columns = [right("segment"), left("holds"), right("took"), left("witness, or what is wrong")];
        let mut table = Table::new(format!("{} segments", self.segments), columns);
        for CheckedSegment { segment, witness, fault, check_ms } in &self.checked {
            let holds = if fault.is_none() { "yes" } else { "no" };
            let said = witness.map_or_else(|| fault.clone().unwrap_or_default(), |witness| witness.to_string());
            let took = units::duration((check_ms * 1e3) as u64);
            table.row([segment.to_string(), holds.to_string(), took, said]);
        }
        table
    }
}

/// How good a model is.
#[derive(Debug, Serialize)]
pub struct Scored {
    /// The root of the model.
    pub model_root: B256,
    /// What peers compare.
    pub score: Score,
    /// The part of the rows that is right, or the mean squared error.
    pub summary: f64,
    /// The hash of all logits.
    pub logits: B256,
    /// What a scorer of one's own says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_scorer: Option<f64>,
}

impl Scored {
    /// What a model says of rows.
    pub fn of(model: &Model, evaluation: &Evaluation) -> Self {
        let logits: Vec<u8> = evaluation.logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        let (score, summary) = (evaluation.score, evaluation.score.summary());
        Self { model_root: model.root(), score, summary, logits: keccak256(logits), by_scorer: None }
    }

    /// For people.
    pub fn table(&self) -> Table {
        let mut table = Table::new("Score", [left("figure"), left("value")]);
        table.row(["score".to_string(), in_words(&self.score)]);
        if let Some(number) = self.by_scorer {
            table.row(["by the scorer".to_string(), number.to_string()]);
        }
        table.row(["hash of the logits".to_string(), self.logits.to_string()]);
        table.row(["model root".to_string(), self.model_root.to_string()]);
        table
    }
}

/// A score for people.
fn in_words(score: &Score) -> String {
    match score {
        Score::Classes { rows, correct, loss } => {
            let bits = *loss as f64 / 65536.0 / f64::from(*rows);
            format!("{correct} of {rows} right, {:.2} %, loss {bits:.4} bits a row", 100.0 * score.summary())
        }
        Score::Number { rows, .. } => {
            format!("mean squared error {:.4} of a variance of about 1, {rows} rows", score.summary())
        }
    }
}
