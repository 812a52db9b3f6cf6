//! `dtn-cli compile`: the contracts' artifacts. What drives the compiler is a program of its own beside this one,
//! `dtn-compile`, so that only those build it who change contracts.

use std::process::{Command, Output};

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::Value;

use crate::{context::Context, failure::Coded, output};

/// Its name, beside this program.
const DRIVER: &str = "dtn-compile";

#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// Write nothing, and fail if the artifacts or what programs embed differ from what the compiler gives
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(args: Compile, context: &Context) -> Result<()> {
    let driver = std::env::current_exe()?.with_file_name(DRIVER);
    if !driver.is_file() {
        return Err(Coded::no_driver(&driver).into());
    }
    let mut command = Command::new(driver);
    command.args(args.check.then_some("--check"));
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(move || command.output()).await??;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        return Err(anyhow!("{}", said.trim().trim_start_matches("Error: ")));
    }
    let document: Value = serde_json::from_slice(&stdout)?;
    if context.json {
        return output::json(&document);
    }
    let names =
        |key: &str| document[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    match (names("changed"), names("contracts").len()) {
        (changed, count) if changed.is_empty() => output::line(format_args!("{count} artifacts are up to date")),
        (changed, _) => {
            let changed = changed.join(", ");
            output::line(format_args!("Wrote {changed} to contracts/artifacts; build dtn-cli again to use it"))
        }
    }
}
