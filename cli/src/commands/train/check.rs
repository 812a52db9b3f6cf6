//! `dtn-cli train check`: a training, repeated and compared.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_documents::training::{Checked, CheckedSegment};
use dtn_train::{Fault, Job, MAX_CHECKPOINT_BYTES, MAX_MANIFEST_BYTES, MAX_MODEL_BYTES, Manifest, Run};

use super::{
    data::{DataOptions, read},
    run::checkpoint,
};
use crate::output;

/// Train what a trace is of again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train check model.trace digits
  dtn-cli train check model.trace digits --model model.dtm
  dtn-cli train check model.trace digits --segment 3 --segment 17 --checkpoints states

The data and its options have to be those of the training; the root in the trace says whether they are. A segment is trained
from the state that it begins with: from a checkpoint, or without one by training up to there. Its witness is what only the
work shows.

Exit code 1 if anything differs, with the first segment that does; of segments that are asked for, with each that does.")]
pub(crate) struct Check {
    /// A trace that `train run` has written
    trace: PathBuf,
    #[command(flatten)]
    data: DataOptions,
    /// Only these segments, from 0
    #[arg(long, value_name = "NUMBER")]
    segment: Vec<u32>,
    /// The folder in which `train run --checkpoints` has kept states
    #[arg(long, value_name = "FOLDER", requires = "segment")]
    checkpoints: Option<PathBuf>,
    /// A model that has to be the one of the trace
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

pub(super) fn run(check: &Check, json: bool) -> Result<()> {
    let bytes = read(&check.trace, MAX_MANIFEST_BYTES)?;
    let manifest = Manifest::decode(&bytes).with_context(|| format!("{} is no trace", check.trace.display()))?;
    let training = check.data.parts()?.training;
    if let Some(file) = &check.model {
        let model = dtn_train::Model::decode(&read(file, MAX_MODEL_BYTES)?);
        let root = model.with_context(|| format!("{} is no model", file.display()))?.root();
        ensure!(root == manifest.model, "{} is model {root}, the trace is of {}", file.display(), manifest.model);
    }
    let job = manifest.job(&training)?;
    let segments = job.plan().segments;
    let began = Instant::now();
    let checked = if check.segment.is_empty() {
        let bar = output::progress(segments.into(), "segments");
        let model = manifest.check(&training, |progress| {
            bar.set_position(progress.done.into());
            ControlFlow::Continue(())
        });
        bar.finish_and_clear();
        model?;
        Vec::new()
    } else {
        let one = |segment: &u32| one(&manifest, &job, *segment, check.checkpoints.as_deref());
        check.segment.iter().map(one).collect::<Result<Vec<_>>>()?
    };
    let checked = Checked {
        holds: checked.iter().all(|segment| segment.fault.is_none()),
        segments,
        model_root: manifest.model,
        trace_root: manifest.trace_root(),
        check_ms: milliseconds(began),
        checked,
    };
    if json {
        output::json(&checked)?
    } else {
        output::line(checked.table())?
    }
    let wrong = checked.checked.iter().filter(|segment| segment.fault.is_some()).count();
    let asked = checked.checked.len();
    ensure!(wrong == 0, "{wrong} of {asked} segments do not lead to the states that the trace names");
    Ok(())
}

fn one(manifest: &Manifest, job: &Job<'_>, segment: u32, checkpoints: Option<&Path>) -> Result<CheckedSegment> {
    let segments = job.plan().segments;
    if segment >= segments {
        return Err(Fault::NoSegment { segment, segments }.into());
    }
    let state = match checkpoints {
        Some(folder) => read(&checkpoint(folder, segment), MAX_CHECKPOINT_BYTES as usize)?,
        None => Run::up_to(job, segment).state(),
    };
    let began = Instant::now();
    let witness = manifest.check_segment(job, segment, Some(&state));
    let check_ms = milliseconds(began);
    let (witness, fault) = match witness {
        Ok(witness) => (Some(witness), None),
        Err(fault) => (None, Some(fault.to_string())),
    };
    Ok(CheckedSegment { segment, witness, fault, check_ms })
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
