//! `dtn-cli train score`: how good a model is.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use dtn_documents::training::Scored;
use dtn_train::{Evaluation, MAX_MODEL_BYTES, Model};

use super::{
    data::{DataOptions, Parts, read},
    tools,
};
use crate::output;

/// Evaluate a model.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train score model.dtm digits
  dtn-cli train score model.dtm digits --rows training
  dtn-cli train score model.dtm other.csv --label class --rows all --json
  dtn-cli train score model.dtm digits --scorer examples/trainer/score.py

What peers compare is exact: the rows that are right, then the loss, as integers; and the hash of all logits.")]
pub(crate) struct Evaluate {
    /// A file that `train run` has written
    model: PathBuf,
    #[command(flatten)]
    data: DataOptions,
    /// A program that says what the model is worth by a measure of its own: run with a folder that has task.json, rows.csv and
    /// outputs.csv, it prints a number. Peers know nothing of it
    #[arg(long, value_name = "FILE")]
    scorer: Option<PathBuf>,
    /// Which rows
    #[arg(long, value_enum, default_value_t = Rows::Holdout)]
    rows: Rows,
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

pub(super) async fn run(options: &Evaluate, json: bool) -> Result<()> {
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
    let mut scored = Scored::of(&model, &evaluation);
    if let Some(scorer) = &options.scorer {
        scored.by_scorer = Some(tools::score(scorer, &model, rows).await?);
    }
    if json { output::json(&scored) } else { output::line(scored.table()) }
}
