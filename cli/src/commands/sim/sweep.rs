//! `dtn-cli sim sweep`: one network under many seeds.

use std::{num::NonZeroUsize, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use dtn_bench::threads;
use dtn_runs::{
    sweep::{self, Network, Summary},
    written,
};

use super::options::Setup;
use crate::{commands::l1::engine::Engine, failure::Coded, output};

/// The most seeds of a sweep.
pub(super) const MAX_SEEDS: u64 = 10_000_000;

/// The same network under many seeds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim sweep --seeds 1000 --nodes 7 --byzantine 2 --behaviour equivocate --blocks 5
  dtn-cli sim sweep --seeds 10000 --nodes 10 --loss 0.1 --gst 5s --csv runs.csv
  dtn-cli sim sweep --seeds 10000 --random
  dtn-cli sim sweep --seeds 1000 --random --engine nakamoto
  dtn-cli sim sweep --seeds 10000 --random --engine simplex
  dtn-cli sim sweep --seeds 100 scenarios/partition.toml

With --csv each run is written down when it is done, and a sweep that was stopped goes on where it stopped. Exit code 1 if
a run fails; the first that does is made as small as it gets and written to a file for `dtn-cli sim replay`.")]
pub(crate) struct Sweep {
    /// A scenario file
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    setup: Setup,
    /// Let chance choose everything: power cuts, losses, partitions and liars among 4 to 7 replicas
    #[arg(long, conflicts_with_all = ["file", "Setup"])]
    random: bool,
    /// What decides which blocks become final; what the scenario names, or pbft, without
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads; all cores without
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Append each run to this file, and skip the seeds that are in it
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Write all runs to this file once they are done; for a program that was built with `--features parquet`
    #[arg(long)]
    parquet: Option<PathBuf>,
    /// Where to write a run that fails
    #[arg(long, value_name = "FILE", default_value = "failed.toml")]
    failed: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One seed is the least that there is to play.
pub(super) fn check_seeds(seeds: u64, most: u64) -> Result<()> {
    ensure!((1..=most).contains(&seeds), Coded::argument(format_args!("--seeds {seeds}: give 1 to {most}")));
    Ok(())
}

pub(crate) fn run(sweep: &Sweep) -> Result<()> {
    check_seeds(sweep.seeds, MAX_SEEDS)?;
    ensure!(
        sweep.parquet.is_none() || cfg!(feature = "parquet"),
        Coded::argument("this program was built without Parquet: build it with `--features parquet`, or take --csv")
    );
    let end = sweep.from.checked_add(sweep.seeds).context("--from and --seeds go beyond the last seed")?;
    let bars = output::bars();
    let mut runs = sweep::Sweep::new(sweep.network()?, sweep.from..end, sweep.csv.as_deref())?;
    let rows = runs.play(threads(sweep.threads).min(sweep.seeds as usize), &bars)?;
    #[cfg(feature = "parquet")]
    if let Some(path) = &sweep.parquet {
        sweep::write_parquet(path, rows)?;
    }
    let summary = Summary::of(rows);
    if sweep.json {
        output::json(&summary)?;
    } else {
        output::line(summary.table())?;
    }
    let Some(seed) = summary.failed.first() else { return Ok(()) };
    let (smallest, outcome) = runs.smallest(*seed, &bars);
    let (summary, file) = (outcome.summary(), sweep.failed.display());
    written::write(&sweep.failed, &smallest).with_context(|| format!("seed {seed} fails, {summary}"))?;
    bail!("seed {seed} fails; as small as it gets, {summary}\n`dtn-cli sim replay {file}` shows it")
}

impl Sweep {
    fn network(&self) -> Result<Network> {
        match (self.random, self.engine) {
            (false, engine) => {
                let scenario = self.setup.scenario(self.file.as_deref(), Some(0), &|_, scenario| {
                    scenario.engine = engine.map(Into::into).or(scenario.engine);
                    Ok(())
                })?;
                Ok(Network::Chosen(Box::new(scenario)))
            }
            (true, None | Some(Engine::Pbft)) => Ok(Network::Random),
            (true, Some(Engine::Nakamoto)) => Ok(Network::RandomMiners),
            (true, Some(engine)) => Ok(Network::RandomChained(engine.into())),
        }
    }
}
