//! `dtn-cli train score`: how good a model is.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use dtn_primitives::{B256, keccak256};
use dtn_report::{Table, left};
use dtn_train::{Evaluation, MAX_MODEL_BYTES, Model, Score};
use serde::Serialize;

use super::data::{DataOptions, Parts, read};
use crate::output;

/// Evaluate a model.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train score model.dtm digits
  dtn-cli train score model.dtm digits --rows training
  dtn-cli train score model.dtm other.csv --label class --rows all --json

What peers compare is exact: the rows that are right, then the loss, as integers; and the hash of all logits.")]
pub(crate) struct Evaluate {
    /// A file that `train run` has written
    model: PathBuf,
    #[command(flatten)]
    data: DataOptions,
    /// Which rows
    #[arg(long, value_enum, default_value_t = Rows::Holdout)]
    rows: Rows,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which rows of the data.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rows {
    /// Those that are kept from training
    Holdout,
    /// Those that are trained on
    Training,
    /// All of them
    All,
}

/// How good a model is.
#[derive(Debug, Serialize)]
struct Scored {
    model_root: B256,
    score: Score,
    summary: f64,
    logits: B256,
}

pub(super) fn run(options: &Evaluate) -> Result<()> {
    let bytes = read(&options.model, MAX_MODEL_BYTES)?;
    let model = Model::decode(&bytes).with_context(|| format!("{} is no model", options.model.display()))?;
    let rows = match options.rows {
        Rows::All => options.data.all()?,
        part => {
            let Parts { training, holdout } = options.data.parts()?;
            if matches!(part, Rows::Training) { training } else { holdout }
        }
    };
    let evaluation = Evaluation::of(&model, &rows)?;
    let logits: Vec<u8> = evaluation.logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    let (score, summary) = (evaluation.score, evaluation.score.summary());
    let scored = Scored { model_root: model.root(), score, summary, logits: keccak256(logits) };
    if options.json { output::json(&scored) } else { output::line(scored.table()) }
}

impl Scored {
    fn table(&self) -> Table {
        let mut table = Table::new("Score", [left("figure"), left("value")]);
        table.row(["score".to_string(), in_words(&self.score)]);
        table.row(["hash of the logits".to_string(), self.logits.to_string()]);
        table.row(["model root".to_string(), self.model_root.to_string()]);
        table
    }
}

/// A score for people.
pub(super) fn in_words(score: &Score) -> String {
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
