//! `dtn-cli sim replay`: a recorded run, message by message.

use std::{collections::VecDeque, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_runs::{
    replay::{Filter, as_json, as_text},
    watch, written,
};
use serde_json::json;

use crate::output;

/// Show a recorded run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim pbft --nodes 7 --byzantine 2 --behaviour equivocate --record run.toml
  dtn-cli sim replay run.toml
  dtn-cli sim replay failed.toml --last 50
  dtn-cli sim replay run.toml --replica 3 --kind commit --json

The file is a scenario with what came of its run. The run is played again; if it is another one than was recorded, because
the file or the program has changed, the command says so and exits with code 1.")]
pub(crate) struct Replay {
    /// The file of `--record`, or of a sweep's failure
    file: PathBuf,
    /// Only what this replica sends, receives or does
    #[arg(long)]
    replica: Option<u16>,
    /// Only messages of this kind, such as pre_prepare, prepare, commit, view_change
    #[arg(long)]
    kind: Option<String>,
    /// Only the last so many lines
    #[arg(long)]
    last: Option<usize>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(replay: &Replay) -> Result<()> {
    let scenario = written::read(&replay.file)?;
    let name = replay.file.display();
    let recorded = scenario.recorded.clone().with_context(|| {
        format!("{name} has no [recorded] part: `dtn-cli sim pbft {name} --record FILE` writes a file that has")
    })?;
    let filter = Filter { replica: replay.replica, kind: replay.kind.clone() };
    let (mut shown, mut failed) = (VecDeque::new(), None);
    let (outcome, _) = watch(&scenario, &mut |happening| {
        if failed.is_some() || !filter.shows(happening) {
            return;
        }
        let line = if replay.json { as_json(happening).to_string() } else { as_text(happening, scenario.n) };
        match replay.last {
            None => failed = replay.print(line).err(),
            Some(last) => {
                shown.push_back(line);
                if shown.len() > last {
                    shown.pop_front();
                }
            }
        }
    });
    failed.map_or(Ok(()), Err)?;
    shown.into_iter().try_for_each(|line| replay.print(line))?;
    if replay.json {
        output::json_line(&json!({ "ended": { "offence": outcome.offence, "run": outcome.recorded() } }))?;
    } else {
        output::line(format!("{} ({} events, digest {})", outcome.summary(), outcome.events, outcome.digest))?;
    }
    ensure!(
        outcome.recorded() == recorded,
        "{name} records another run: {} in {} events with digest {}; the file or the program has changed",
        recorded.verdict,
        recorded.events,
        recorded.digest
    );
    Ok(())
}

impl Replay {
    fn print(&self, line: String) -> Result<()> {
        if self.json { output::exact(line + "\n") } else { output::line(line) }
    }
}
