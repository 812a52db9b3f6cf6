//! `dtn-cli sim pbft`: a client hands in transactions, and the replicas decide them.

use anyhow::{Result, ensure};
use clap::Args;

use super::runs::{Runs, play_all};
use crate::{commands::l1::engine::Engine, failure::Coded};

/// Have a client's transactions decided.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim pbft --nodes 10 --region frankfurt:7 --region sydney:3@10mbps
  dtn-cli sim pbft --nodes 100 --transactions 1000 --latency 350ms --bandwidth 30mbps
  dtn-cli sim pbft --nodes 10 --byzantine 3 --behaviour equivocate --blocks 20
  dtn-cli sim pbft --nodes 7 --blocks 50 --every 100ms --crash 0@1s+2s --html run.html
  dtn-cli sim run --engine simplex --nodes 7 --blocks 20
  dtn-cli sim pbft scenarios/sydney.toml scenarios/calm.toml --html comparison.html
  dtn-cli sim pbft --nodes 7 --scheduler target-primary --synchrony asynchronous --stop-after 1h

The replicas are the ones that `dtn-cli l1` runs, in virtual time: the same scenario and seed give the same run, and its
digest, on every machine. Options change what a file says; --print-scenario shows the file that says the same. Exit code 1
if the replicas do not decide, or not alike.")]
pub(crate) struct Simulate {
    /// What decides which blocks become final; what the scenario names, or pbft, without
    #[arg(long, value_enum, help_heading = "Replicas")]
    engine: Option<Engine>,
    #[command(flatten)]
    runs: Runs,
}

pub(crate) fn run(simulate: &Simulate) -> Result<()> {
    play_all(&simulate.runs, &|path, scenario| {
        let name = path.display();
        let other = format_args!("{name} has a [mining] part: `dtn-cli sim nakamoto {name}` plays it");
        ensure!(scenario.mining.is_none(), Coded::argument(other));
        scenario.engine = simulate.engine.map(Into::into).or(scenario.engine);
        Ok(())
    })
}
