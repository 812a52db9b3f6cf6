//! What a trainer and a scorer are asked, and what they answer.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use dtn_files::{FileError, read};
use dtn_primitives::B256;
use dtn_train::{Dataset, Evaluation, Fraction, MAX_MODEL_BYTES, MAX_PARAMETERS, Model, Outline, Recipe, Task as Kind};
use dtn_trainer::admit;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    ToolError,
    folder::Folder,
    layers::{MAX_JSON_BYTES, model_of_json},
    tool::Tool,
};

/// A tool at work: where, and for how long at most.
#[derive(Debug, Clone)]
pub struct Task {
    /// The program.
    pub tool: Tool,
    /// A folder that is made for it, and taken away afterwards.
    pub folder: PathBuf,
    /// How long it may take.
    pub time: Duration,
}

/// What a trainer is asked for, beside rows.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The order, if there is one.
    pub order: Option<B256>,
    /// How others train who have no trainer of their own.
    pub recipe: Recipe,
    /// What has to be reached, if anything.
    pub baseline: Option<Fraction>,
    /// The most multiplications that the model may take for a row.
    pub max_row_macs: u64,
}

fn description(of: &Dataset) -> Value {
    let outline = of.outline();
    let (task, classes) = match outline.task {
        Kind::Classes(classes) => ("classes", classes),
        Kind::Number => ("number", 0),
    };
    json!({ "task": task, "classes": classes, "outputs": outline.task.outputs(), "features": outline.features })
}

/// Has a trainer train: it finds task.json, data.csv and fold.csv in its folder, and leaves model.json or model.dtm
/// there. The model is one for these rows, and no
/// larger than asked for. Each line of its standard error is told to `said`.
pub async fn train(
    task: &Task,
    asked: &Asked,
    (data, fold): (Dataset, Dataset),
    said: impl FnMut(&str),
) -> Result<Model, ToolError> {
    let Asked { order, recipe, baseline, max_row_macs } = asked;
    let Outline { task: kind, features, .. } = data.outline();
    let mut description = description(&data);
    let details = json!({
        "order": order,
        "rows": data.rows(),
        "rows_of_the_fold": fold.rows(),
        "recipe": recipe,
        "baseline": baseline.map(|baseline| baseline.to_string()),
        "max_row_macs": max_row_macs,
        "max_parameters": MAX_PARAMETERS,
        "max_weight": 16,
        "seconds": task.time.as_secs(),
    });
    if let (Value::Object(description), Value::Object(details)) = (&mut description, details) {
        description.extend(details);
    }
    let fill = move |folder: &Folder| {
        folder.put_json("task.json", &description)?;
        folder.put_rows("data.csv", &data)?;
        Ok(folder.put_rows("fold.csv", &fold)?)
    };
    let (folder, _) = run(task, fill, said).await?;
    let program = task.tool.program().to_path_buf();
    let model = blocking(move || model_in(&folder, &program, kind)).await?;
    let unfit = |source| ToolError::Unfit { program: task.tool.program().into(), source };
    admit(&model, (kind, features), *max_row_macs).map_err(unfit)?;
    Ok(model)
}

/// Has a scorer say how good a model is on rows: it finds task.json, rows.csv and outputs.csv in its folder, and its last line on
/// the standard output is a number, which is better the larger it is.
pub async fn score(task: &Task, model: &Model, rows: Dataset, said: impl FnMut(&str)) -> Result<f64, ToolError> {
    let model = model.clone();
    let fill = move |folder: &Folder| {
        let evaluation = Evaluation::of(&model, &rows)?;
        folder.put_json("task.json", &description(&rows))?;
        folder.put_rows("rows.csv", &rows)?;
        Ok(folder.put_logits("outputs.csv", &evaluation.logits, rows.outline().task.outputs())?)
    };
    let (_, output) = run(task, fill, said).await?;
    let said = output.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let number = said.parse().ok().filter(|number: &f64| number.is_finite());
    let short = |said: &str| said.chars().take(80).collect();
    number.ok_or_else(|| ToolError::NoNumber { program: task.tool.program().into(), said: short(said) })
}

/// Fills a folder and runs a tool there. Gives the folder as the tool has left it, and what it has said.
async fn run(
    task: &Task,
    fill: impl FnOnce(&Folder) -> Result<(), ToolError> + Send + 'static,
    said: impl FnMut(&str),
) -> Result<(Folder, String), ToolError> {
    // Looked for again: it may have gone since it was named.
    let tool = Tool::find(task.tool.program())?;
    let path = task.folder.clone();
    let folder = blocking(move || {
        let folder = Folder::make(&path)?;
        fill(&folder)?;
        Ok(folder)
    });
    let folder = folder.await?;
    let output = tool.run(folder.path(), task.time, said).await?;
    Ok((folder, output))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    match spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// The model that a trainer has left: model.dtm, exactly, or else model.json.
fn model_in(folder: &Folder, program: &Path, kind: Kind) -> Result<Model, ToolError> {
    let program = program.to_path_buf();
    let bytes = |name: &str, most: u64| {
        let file = folder.path().join(name);
        // Not a pipe, which may never end.
        let is_there = file.metadata().is_ok_and(|metadata| metadata.is_file());
        is_there.then(|| read(&file, most).map_err(|source| FileError::Read { file, source })).transpose()
    };
    if let Some(bytes) = bytes("model.dtm", MAX_MODEL_BYTES as u64)? {
        return Model::decode(&bytes).map_err(|source| ToolError::Wire { program, source });
    }
    match bytes("model.json", MAX_JSON_BYTES)? {
        Some(bytes) => model_of_json(&bytes, kind).map_err(|source| ToolError::Layers { program, source }),
        None => Err(ToolError::NoModel(program)),
    }
}
