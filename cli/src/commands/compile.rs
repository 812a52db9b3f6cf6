//! `dtn-cli compile`: the contracts' artifacts.

use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;
use dtn_settlement::compile::{self, ARTIFACTS_DIR};
use serde_json::json;

use crate::{context::Context, output};

#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// Write nothing, and fail if the artifacts or this program differ from what the compiler gives
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(args: Compile, context: &Context) -> Result<()> {
    let root = compile::find_project(Path::new("."))?;
    let project = root.clone();
    let artifacts = tokio::task::spawn_blocking(move || compile::compile(&project)).await??;
    let stale = compile::embedded_drift(&artifacts);
    let changed = match args.check {
        true => compile::drifted(&root, &artifacts),
        false => compile::write(&root, &artifacts)?,
    };
    if args.check && !changed.is_empty() {
        bail!("{ARTIFACTS_DIR} differs from the sources in {}; run `dtn-cli compile`", changed.join(", "));
    }
    if args.check && !stale.is_empty() {
        bail!("this program embeds other versions of {}; build it again", stale.join(", "));
    }
    if context.json {
        return output::json(&json!({ "contracts": artifacts.keys().collect::<Vec<_>>(), "changed": changed }));
    }
    match changed.is_empty() {
        true => output::line(format!("{} artifacts are up to date", artifacts.len())),
        false => {
            output::line(format!("Wrote {} to {ARTIFACTS_DIR}; build dtn-cli again to use it", changed.join(", ")))
        }
    }
}
