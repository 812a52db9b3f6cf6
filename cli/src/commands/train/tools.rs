//! A trainer and a scorer of one's own, alone on this machine.

use std::{env, path::Path, process, time::Duration};

use anyhow::Result;
use dtn_documents::training::Scored;
use dtn_participant::custom::{Asked, Task, Tool, score as score_by, train as train_by};
use dtn_primitives::B256;
use dtn_train::{Dataset, Evaluation, Model, Recipe};

use super::data::{Parts, write};
use crate::{interruption, output};

/// How long a tool may take that nobody waits for but who has started it.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The part of the rows that a trainer is given to score by: one of so many.
const FOLD: u32 = 7;

/// A tool's work, in a folder that is gone afterwards.
fn at_work(tool: &Path) -> Result<Task> {
    let folder = env::temp_dir().join(format!("dtn-tool-{}", process::id()));
    Ok(Task { tool: Tool::find(tool)?, folder, time: PATIENCE })
}

fn said(line: &str) {
    output::note(line);
}

/// Has a trainer train, writes its model, and shows how good that is on the rows that were kept from it.
pub(super) async fn train(
    tool: &Path,
    recipe: Recipe,
    max_row_macs: u64,
    Parts { training, holdout }: Parts,
    out: &Path,
    json: bool,
) -> Result<()> {
    let task = at_work(tool)?;
    let rows = training.split((training.rows() as u32 / FOLD).max(1), B256::ZERO)?;
    let asked = Asked { order: None, recipe, baseline: None, max_row_macs };
    let model = async { Ok(train_by(&task, &asked, rows, said).await?) };
    let model = interruption::unless_asked(model).await?;
    write(out, &model.encode())?;
    let scored = Scored::of(&model, &Evaluation::of(&model, &holdout)?);
    if json { output::json(&scored) } else { output::line(scored.table()) }
}

/// What a scorer says of a model on rows.
pub(super) async fn score(tool: &Path, model: &Model, rows: Dataset) -> Result<f64> {
    let task = at_work(tool)?;
    let number = async { Ok(score_by(&task, model, rows, said).await?) };
    interruption::unless_asked(number).await
}
