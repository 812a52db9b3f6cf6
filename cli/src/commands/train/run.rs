//! `dtn-cli train run`: a training, alone.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use alloy_primitives::Address;
use anyhow::{Context, Result};
use clap::Args;
use dtn_documents::training::Trained;
use dtn_primitives::B256;
use dtn_train::{Evaluation, Origin, train};

use super::{
    data::{DataOptions, Parts, write},
    recipe::RecipeOptions,
    tools,
};
use crate::output;

/// Train a model.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train run digits --mlp 128 --out model.dtm
  dtn-cli train run wine --gbdt 3 --epochs 30 --out model.dtm
  dtn-cli train run diabetes --linear --holdout 100 --out model.dtm
  dtn-cli train run houses.csv --label price --number --mlp 64,32 --epochs 100 --out model.dtm
  dtn-cli train run digits --mlp 128 --trainer examples/trainer/train.py --out model.dtm
  dtn-cli train run digits --recipe digits.toml --point 3 --worker 0x1111111111111111111111111111111111111111 --out model.dtm

Beside the model a trace is written, model.trace: what it was trained from, by whom, and the hash of the state at the end of
each segment. `train check` trains it again and compares. The worker, the order and the block are in the seed of the weights
and of the order of the rows, so that a trace fits nobody else; alone, they may be left out.

A recipe in TOML:
  family = { mlp = { hidden = [128] } }        # or \"linear\", or { gbdt = { depth = 4, bins = 64 } }
  epochs = 40
  batch = 32                                   # not of gbdt
  segment_steps = 32
  grid = { learning_rate = [0.05, 0.1], momentum = [0.9], l2 = [0.001] }   # of gbdt: learning_rate, l2, sample")]
pub(crate) struct Train {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    recipe: RecipeOptions,
    /// Which point of the grid; the last hyperparameter changes fastest
    #[arg(long, default_value_t = 0)]
    point: u16,
    #[command(flatten)]
    origin: OriginOptions,
    /// A program that trains in place of what is built in, as `train claim --trainer` runs it; of the recipe only the size of its
    /// model counts
    #[arg(long, value_name = "FILE", conflicts_with_all = ["point", "trace", "checkpoints", "save_data"])]
    trainer: Option<PathBuf>,
    /// Where to write the model
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where to write the trace; beside the model without
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Keep the state at the beginning of each segment in this folder, so that segments can be checked one by one
    #[arg(long, value_name = "FOLDER")]
    checkpoints: Option<PathBuf>,
    /// Write the rows that were trained on
    #[arg(long, value_name = "FILE")]
    save_data: Option<PathBuf>,
}

/// Who trains, for what. On a network all of it is given; alone nothing has to be.
#[derive(Debug, Args)]
#[command(next_help_heading = "Seed")]
struct OriginOptions {
    /// The network of the order
    #[arg(long, default_value_t, hide_default_value = true, value_name = "ID")]
    network_id: B256,
    /// The hash of the block that opened the order
    #[arg(long, default_value_t, hide_default_value = true, value_name = "HASH")]
    block_hash: B256,
    /// The order
    #[arg(long, default_value_t, hide_default_value = true, value_name = "HASH")]
    order: B256,
    /// Who trains
    #[arg(value_parser = dtn_primitives::parse_address, long, default_value_t, hide_default_value = true, value_name = "ADDRESS")]
    worker: Address,
    /// Which of the worker's tries it is
    #[arg(long, default_value_t = 0)]
    attempt: u16,
}

pub(super) async fn run(options: &Train, json: bool) -> Result<()> {
    let recipe = options.recipe.recipe()?;
    let parts = options.data.parts()?;
    let plan = recipe.plan(parts.training.outline())?;
    if let Some(trainer) = &options.trainer {
        return tools::train(trainer, recipe, plan.shape.row_macs(), parts, &options.out, json).await;
    }
    let Parts { training, holdout } = parts;
    let OriginOptions { network_id: network, block_hash: block, order, worker, attempt } = options.origin;
    let origin = Origin { network, block, order, worker, attempt };
    if let Some(folder) = &options.checkpoints {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let bar = output::progress(plan.segments.into(), "segments");
    let began = Instant::now();
    let mut kept = Ok(());
    let trained = train(&recipe, options.point, &training, origin, |progress, state| {
        bar.set_position(progress.done.into());
        if let Some(folder) = &options.checkpoints {
            kept = write(&checkpoint(folder, progress.done), state);
        }
        if kept.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let train_ms = began.elapsed().as_secs_f64() * 1e3;
    bar.finish_and_clear();
    kept?;
    let (model, manifest) = trained.context("the training was broken off")?;
    let trace = options.trace.clone().unwrap_or_else(|| options.out.with_extension("trace"));
    let (model_bytes, trace_bytes) = (model.encode(), manifest.encode());
    write(&options.out, &model_bytes)?;
    write(&trace, &trace_bytes)?;
    if let Some(file) = &options.save_data {
        write(file, &training.encode())?;
    }
    let trained = Trained {
        data: options.data.name().into(),
        training_rows: training.rows(),
        data_root: manifest.data,
        parameters: plan.shape.parameters(),
        multiplications: plan.macs,
        steps: plan.steps,
        segments: plan.segments,
        train_ms,
        model_root: manifest.model,
        trace_root: manifest.trace_root(),
        on_training: Evaluation::of(&model, &training)?.score,
        on_holdout: Evaluation::of(&model, &holdout)?.score,
        model: options.out.clone(),
        model_bytes: model_bytes.len(),
        trace,
        trace_bytes: trace_bytes.len(),
    };
    if json { output::json(&trained) } else { output::line(trained.table()) }
}

/// The file of the state at the beginning of a segment.
pub(super) fn checkpoint(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("{segment:04}.state"))
}
