//! `dtn-cli sim train`: training orders among accounts with strategies, and whether it pays to deviate.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use dtn_bench::threads;
use dtn_peer::files::{self, Access};
use dtn_report::Page;
use dtn_runs::{training, written};
use dtn_simulator::{
    Latency,
    training::{Setup, Stopped, Strategy, Tactic, play},
};

use crate::{failure::Coded, output};

/// Play training orders among accounts that do as they should, and others.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim train
  dtn-cli sim train --nodes 1000 --orders 1000 --deviate forger:0.05 --deviate lazy:0.05
  dtn-cli sim train --colluders 0.66 --unwatched --html run.html
  dtn-cli sim train scenarios/training/forger.toml --seed 7
  dtn-cli sim train --real --orders 100 --deviate thief:0.1
  dtn-cli sim train --best-reply --html best-reply.html
  dtn-cli sim train --sweep 10000

The accounts play by the rules that the ledger runs, in virtual time; every account is a validator, and each order has a
requester, workers and a committee by chance. After each order is checked that no wei is made or lost, that no honest account
has lost anything, that no forgery has won which somebody honest has looked at, and that nobody is paid for what it has copied.
Exit code 1 if one of these does not hold, with the seed. Payoffs are in parts of the reward.

Strategies, by role:
  worker      thief (a copied model), forger (one false segment), splicer (a copied end), test-trainer, withholder (no trace),
              claim-spammer (no model), grinder (the best of three), sybil (three claims)
  member      score-copier, lazy (no audit), liar (with others of its kind), idle
  requester   poisoner (rows that nobody gets right), row-withholder
  anybody     spammer (challenges of what is true)")]
pub(crate) struct Train {
    /// A scenario; options change what it says
    #[arg(value_name = "FILE", conflicts_with_all = ["best_reply", "sweep"])]
    scenario: Option<PathBuf>,
    /// Accounts, 6 to 1,000 [default: 100]
    #[arg(long)]
    nodes: Option<usize>,
    /// Orders [default: 1000]
    #[arg(long)]
    orders: Option<u64>,
    /// Decides all that is left to chance [default: 0]
    #[arg(long)]
    seed: Option<u64>,

    /// What a part of the accounts does: forger:0.05 (repeat)
    #[arg(long, value_name = "STRATEGY:PART", value_parser = parse_deviation, help_heading = "Accounts")]
    deviate: Vec<(Strategy, f64)>,
    /// The part that works together: its claims have a false segment, which its auditors pass [default: 0]
    #[arg(long, help_heading = "Accounts")]
    colluders: Option<f64>,
    /// What colluders do once an auditor is known who is none of them: hope, be late, or challenge themselves [default: stay]
    #[arg(long, value_name = "stay|quit|denounce", help_heading = "Accounts")]
    tactic: Option<Tactic>,
    /// Nobody honest looks on beside the committee
    #[arg(long, help_heading = "Accounts")]
    unwatched: bool,

    /// Train small models for all claims, of the digits that ship with it, in place of drawing how good they are: some 0.1 s an
    /// order
    #[arg(long, conflicts_with_all = ["best_reply", "sweep"], help_heading = "Terms")]
    real: bool,
    /// Auditors of each segment; 3 without, or as many members as there are
    #[arg(long, help_heading = "Terms")]
    redundancy: Option<u8>,
    /// What a worker stakes on a claim, in parts of the reward [default: 0.25]
    #[arg(long, help_heading = "Terms")]
    stake: Option<f64>,
    /// What a training costs, in parts of the reward [default: 0.03]
    #[arg(long, help_heading = "Terms")]
    run_cost: Option<f64>,
    /// How long a call is under way to the primary, as `dtn-cli sim pbft --latency` has it [default: 350ms]
    #[arg(long, help_heading = "Terms")]
    latency: Option<Latency>,
    /// The time between two blocks; windows are multiples of both [default: 1s]
    #[arg(long, value_parser = humantime::parse_duration, help_heading = "Terms")]
    block_interval: Option<Duration>,

    /// Play each strategy alone, and each of 36 coalitions, beside the closed form: takes some minutes
    #[arg(long, conflicts_with_all = ["deviate", "colluders", "tactic", "unwatched", "redundancy", "sweep"])]
    best_reply: bool,
    /// Play so many small networks instead, in which chance chooses everything
    #[arg(long, value_name = "SEEDS", conflicts_with_all = ["nodes", "orders", "deviate", "colluders", "html"])]
    sweep: Option<u64>,
    /// Threads of --best-reply and --sweep; all cores without
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Write a page with pictures
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

fn parse_deviation(text: &str) -> Result<(Strategy, f64)> {
    let (name, part) = text.split_once(':').context("write forger:0.05")?;
    Ok((name.trim().parse()?, part.trim().parse().map_err(|_| anyhow!("{part} is no part, as 0.05 is one"))?))
}

/// What cannot be played is the fault of an option.
fn named(stopped: Stopped) -> anyhow::Error {
    match stopped {
        Stopped::Unplayable(reason) => Coded::argument(reason).into(),
        broken @ Stopped::Broken { .. } => broken.into(),
    }
}

impl Train {
    fn setup(&self) -> Result<Setup> {
        let setup = match &self.scenario {
            Some(file) => written::training(file)?,
            None => Setup::default(),
        };
        let setup = self.nodes.map_or(setup.clone(), |nodes| setup.among(nodes));
        let mut deviations = setup.deviations.clone();
        deviations.retain(|(known, _)| !self.deviate.iter().any(|(given, _)| given == known));
        deviations.extend(&self.deviate);
        Ok(Setup {
            orders: self.orders.unwrap_or(setup.orders),
            seed: self.seed.unwrap_or(setup.seed),
            redundancy: self.redundancy.unwrap_or(setup.redundancy),
            stake: self.stake.unwrap_or(setup.stake),
            run_cost: self.run_cost.unwrap_or(setup.run_cost),
            deviations,
            colluders: self.colluders.unwrap_or(setup.colluders),
            tactic: self.tactic.unwrap_or(setup.tactic),
            watched: setup.watched && !self.unwatched,
            real: setup.real || self.real,
            latency: self.latency.unwrap_or(setup.latency),
            block_interval: self.block_interval.unwrap_or(setup.block_interval),
            ..setup
        })
    }

    fn write(&self, page: impl FnOnce() -> Page) -> Result<()> {
        let Some(path) = &self.html else { return Ok(()) };
        Ok(files::write(path, page().to_string().as_bytes(), Access::Shared)?)
    }
}

pub(crate) fn run(train: &Train) -> Result<()> {
    let (setup, threads, bars) = (train.setup()?, threads(train.threads), output::bars());
    if let Some(seeds) = train.sweep {
        let first = setup.seed;
        let end = first.checked_add(seeds).filter(|_| seeds > 0);
        let end = end.ok_or_else(|| Coded::argument(format_args!("--sweep {seeds}: from --seed {first}")))?;
        training::sweep(first..end, threads, &bars).map_err(named)?;
        let kept = serde_json::json!({ "seeds": seeds, "from": first, "broken": 0 });
        return if train.json {
            output::json(&kept)
        } else {
            output::line(format_args!("{seeds} seeds: all promises hold"))
        };
    }
    if train.best_reply {
        let found = training::best_reply(&setup, threads, &bars).map_err(named)?;
        train.write(|| found.page())?;
        return if train.json {
            output::json(&found)
        } else {
            output::line(format_args!("{}\n\n{}", found.alone(), found.together()))
        };
    }
    let economy = play(&setup).map_err(named)?;
    train.write(|| training::page(&economy))?;
    if train.json { output::json(&economy) } else { output::line(training::table(&economy)) }
}
