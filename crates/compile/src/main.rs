//! `dtn-compile`: writes or checks the artifacts, and prints one JSON document. It is a program of its own because only
//! those who change contracts need a compiler, and what drives it is as large as all else that talks to a chain.

use std::path::Path;

use anyhow::{Result, bail};
use clap::Parser;
use dtn_compile::ARTIFACTS_DIR;
use serde_json::json;

/// Compile the contracts into the artifacts that programs embed, and print what changed; `dtn-cli compile` calls it
#[derive(Debug, Parser)]
#[command(name = "dtn-compile", version)]
struct Arguments {
    /// Write nothing, and fail if the artifacts or what programs embed differ from what the compiler gives
    #[arg(long)]
    check: bool,
}

fn main() -> Result<()> {
    let Arguments { check } = Arguments::parse();
    let root = dtn_compile::find_project(Path::new("."))?;
    let artifacts = dtn_compile::compile(&root)?;
    let changed = match check {
        true => dtn_compile::drifted(&root, &artifacts),
        false => dtn_compile::write(&root, &artifacts)?,
    };
    let stale = dtn_compile::embedded_drift(&artifacts);
    if check && !changed.is_empty() {
        bail!("{ARTIFACTS_DIR} differs from the sources in {}; run `dtn-cli compile`", changed.join(", "));
    }
    if check && !stale.is_empty() {
        bail!("programs embed other versions of {}; build them again", stale.join(", "));
    }
    println!("{:#}", json!({ "contracts": artifacts.keys().collect::<Vec<_>>(), "changed": changed }));
    Ok(())
}
