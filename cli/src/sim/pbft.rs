//! `dtn-cli sim pbft`: a client hands in transactions, and the replicas decide them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_report::{Table, left, right, units};
use dtn_simulator::Scenario;

use super::{
    options::{self, Setup},
    outcome::{Outcome, play, virtual_time},
    page::{self, Picture},
};
use crate::output;

/// Have a client's transactions decided.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim pbft --nodes 10 --region frankfurt:7 --region sydney:3@10mbps
  dtn-cli sim pbft --nodes 100 --transactions 1000 --latency 350ms --bandwidth 30mbps
  dtn-cli sim pbft --nodes 10 --byzantine 3 --behaviour equivocate --blocks 20
  dtn-cli sim pbft --nodes 7 --blocks 50 --every 100ms --crash 0@1s+2s --html run.html
  dtn-cli sim pbft scenarios/sydney.toml scenarios/calm.toml --html comparison.html
  dtn-cli sim pbft --nodes 7 --scheduler target-primary --synchrony asynchronous --stop-after 1h

The replicas are the ones that `dtn-cli l1` runs, in virtual time: the same scenario and seed give the same run, and its
digest, on every machine. Options change what a file says; --print-scenario shows the file that says the same. Exit code 1
if the replicas do not decide, or not alike.")]
pub(crate) struct Simulate {
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

pub(crate) fn run(simulate: &Simulate) -> Result<()> {
    let scenarios = simulate.scenarios()?;
    if simulate.print_scenario {
        return scenarios.iter().try_for_each(|(_, scenario)| output::line(scenario.to_toml()));
    }
    ensure!(simulate.record.is_none() || scenarios.len() == 1, "--record takes one scenario, not {}", scenarios.len());
    // What cannot be written is told before anything is played.
    let created = [&simulate.html, &simulate.record].into_iter().flatten();
    for path in created {
        std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
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
        let page = page::page(&pictures).to_string();
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let (Some(path), [(_, scenario)], [(_, outcome)]) = (&simulate.record, &scenarios[..], &outcomes[..]) {
        options::write(path, &Scenario { recorded: Some(outcome.recorded()), ..scenario.clone() })?;
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

impl Simulate {
    /// With their names: those of their files.
    fn scenarios(&self) -> Result<Vec<(String, Scenario)>> {
        if self.files.is_empty() {
            return Ok(vec![(String::new(), self.setup.scenario(None, self.seed)?)]);
        }
        let several = self.files.len() > 1;
        let named = |path: &PathBuf| {
            let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            Ok((if several { stem } else { String::new() }, self.setup.scenario(Some(path), self.seed)?))
        };
        self.files.iter().map(named).collect()
    }
}

fn told(name: &str, outcome: &Outcome) -> String {
    if name.is_empty() { outcome.summary() } else { format!("{name}: {}", outcome.summary()) }
}

/// Several runs side by side.
pub(crate) fn comparison(runs: &[(String, Outcome)]) -> Table {
    let figures = ["nodes", "all decide", "p50", "p99", "view changes", "messages", "bytes"];
    let columns = [left("scenario"), left("verdict")].into_iter().chain(figures.map(right));
    let mut table = Table::new("Runs", columns);
    for (name, outcome) in runs {
        let time = |value: Option<f64>| value.map_or_else(|| units::NONE.into(), virtual_time);
        table.row([
            name.clone(),
            outcome.verdict.clone(),
            units::thousands(outcome.nodes),
            time(outcome.decided_all_ms),
            time(outcome.decision_ms.map(|of| of.p50)),
            time(outcome.decision_ms.map(|of| of.p99)),
            units::thousands(outcome.view_changes),
            units::thousands(outcome.messages),
            units::bytes(outcome.bytes),
        ]);
    }
    table
}
