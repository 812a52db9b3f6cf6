//! Scenarios from files and options, played one after the other.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_peer::files::{self, Access};
use dtn_runs::{Outcome, Picture, comparison, page, play, written};
use dtn_simulator::Scenario;

use super::options::Setup;
use crate::{failure::Coded, output};

// What to play, and what to write of it. No doc comment: it would become the command's description.
#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Scenario files; several are compared
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    setup: Setup,
    /// Decides all that is left to chance
    #[arg(long)]
    seed: Option<u64>,
    /// Write a page with pictures of the runs
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,
    /// Write the scenario and the digest of its run, for `dtn-cli sim replay`
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    record: Option<PathBuf>,
    /// Print the scenario as a file has it, and play nothing
    #[arg(long, help_heading = "Output")]
    print_scenario: bool,
    /// Print JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Changes a scenario after its file and common options, before it is checked.
pub(crate) type Change<'a> = &'a dyn Fn(&Path, &mut Scenario) -> Result<()>;

/// Plays what is asked for, as a command changes it.
pub(crate) fn play_all(simulate: &Runs, change: Change<'_>) -> Result<()> {
    let scenarios = simulate.scenarios(change)?;
    if simulate.print_scenario {
        return scenarios.iter().try_for_each(|(_, scenario)| output::line(scenario.to_toml()));
    }
    let count = scenarios.len();
    ensure!(
        simulate.record.is_none() || count == 1,
        Coded::argument(format_args!("--record takes one scenario, not {count}"))
    );
    // What cannot be written is told before anything is played.
    let created = [&simulate.html, &simulate.record].into_iter().flatten();
    for path in created {
        // What is in it stays until there is something to write.
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
        opened.with_context(|| format!("cannot write {}", path.display()))?;
    }
    let bar = output::progress(scenarios.len() as u64, "runs");
    let (mut outcomes, mut pictures) = (Vec::new(), Vec::new());
    for (name, scenario) in &scenarios {
        let outcome = if simulate.html.is_some() {
            let picture = Picture::of(name, scenario);
            let outcome = picture.outcome.clone();
            pictures.push(picture);
            outcome
        } else {
            play(scenario).0
        };
        outcomes.push((name.clone(), outcome));
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(path) = &simulate.html {
        let page = page(&pictures).to_string();
        files::write(path, page.as_bytes(), Access::Shared)?;
    }
    if let (Some(path), [(_, scenario)], [(_, outcome)]) = (&simulate.record, &scenarios[..], &outcomes[..]) {
        written::write(path, &Scenario { recorded: Some(outcome.recorded()), ..scenario.clone() })?;
    }
    match &outcomes[..] {
        [(_, outcome)] if simulate.json => output::json(outcome)?,
        [(_, outcome)] => output::line(outcome.tables())?,
        several if simulate.json => output::json(&several.iter().map(|(_, outcome)| outcome).collect::<Vec<_>>())?,
        several => output::line(comparison(several))?,
    }
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.passes()).collect();
    ensure!(
        failed.is_empty(),
        "{}",
        failed.iter().map(|(name, outcome)| told(name, outcome)).collect::<Vec<_>>().join("\n")
    );
    Ok(())
}

impl Runs {
    /// Whether an option says how many blocks there are.
    pub(crate) fn says_blocks(&self) -> bool {
        self.setup.blocks.is_some()
    }

    /// With their names: those of their files.
    fn scenarios(&self, change: Change<'_>) -> Result<Vec<(String, Scenario)>> {
        if self.files.is_empty() {
            return Ok(vec![(String::new(), self.setup.scenario(None, self.seed, change)?)]);
        }
        let several = self.files.len() > 1;
        let named = |path: &PathBuf| {
            let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            Ok((if several { stem } else { String::new() }, self.setup.scenario(Some(path), self.seed, change)?))
        };
        self.files.iter().map(named).collect()
    }
}

fn told(name: &str, outcome: &Outcome) -> String {
    if name.is_empty() { outcome.summary() } else { format!("{name}: {}", outcome.summary()) }
}
