//! `dtn-cli aow sync`: peers that keep in step by rounds of sequential work, each verifying all others.

use std::{ops::ControlFlow, path::PathBuf};

use alloy_primitives::Address;
use anyhow::{Error, Result, ensure};
use clap::Args;
use dtn_bench::rounds::{Outcome, Plan, Simulation, measure};
use dtn_report::{RoundEntry, round_table, round_totals_table};
use dtn_simulator::Latency;
use dtn_testbed::OwnNetwork;

use super::rounds::Asked;
use crate::{interruption, output};

/// Run rounds among real peers and print what each took.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow sync --peers 4 --rounds 3
  dtn-cli aow sync --peers 5 --rounds 1 --half-work 4     the last peer claims half of its work as all of it
  dtn-cli aow sync --rounds 2 --steps 100000 --json
  dtn-cli aow sync --simulated --delay uniform:100ms..500ms --seed 1

Starts a network of its own: a process for each peer, keys and stores in a temporary folder. In each round every peer works
its steps, proves them, and verifies the proofs of all others before it votes. Exit code 1 if a round is not completed by
every peer that does its work, or somebody accepts what is not work.

With --simulated there are no processes: work, proofs and verification are real and timed one after the other, while
messages and agreement take what the delays make of them in virtual time.")]
pub(crate) struct Sync {
    /// How many peers
    #[arg(long, default_value_t = 4)]
    peers: usize,
    /// How many rounds
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    #[command(flatten)]
    asked: Asked,
    /// Have a peer claim half of its work as all of it, by its number; several with commas
    #[arg(long, value_delimiter = ',', value_name = "PEER")]
    half_work: Vec<usize>,
    /// Simulate the network between the peers in place of running one
    #[arg(long, conflicts_with_all = ["half_work", "home"])]
    simulated: bool,
    /// How long simulated messages are under way, as `dtn-cli sim pbft --latency` has it
    #[arg(long, requires = "simulated", default_value = "uniform:100ms..500ms")]
    delay: Latency,
    /// Decides the simulated delays
    #[arg(long, requires = "simulated", default_value_t = 0)]
    seed: u64,
    /// The folder of the network, which must hold none yet and is kept; a temporary one without it
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints rounds as they end, unless all are printed as JSON.
struct Shown {
    json: bool,
    failed: Option<Error>,
}

impl Shown {
    fn round(&mut self, round: &RoundEntry, names: &[(Address, String)]) -> ControlFlow<()> {
        if !self.json {
            self.failed = output::line(format_args!("{}\n", round_table(round, names))).err();
        }
        if self.failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// What came of the rounds; where a round could not be printed, that.
    fn end(self, outcome: Result<Outcome, dtn_bench::BenchError>) -> Result<Outcome> {
        self.failed.map_or_else(|| outcome.map_err(Error::from), Err)
    }
}

pub(crate) async fn run(sync: Sync) -> Result<()> {
    let Sync { peers, rounds, ref asked, ref half_work, json, .. } = sync;
    let plan = Plan { peers, rounds, steps: asked.steps, deadline: asked.deadline, half_work: half_work.clone() };
    plan.check()?;
    if sync.simulated {
        return simulate(&sync);
    }
    let network = OwnNetwork::at(sync.home.as_deref(), |what| output::note(what))?;
    dtn_testbed::ensure_vacant(network.home())?;
    let (mut shown, bars) = (Shown { json, failed: None }, output::bars());
    let measured = async { Ok(measure(&plan, network.home(), |round, names| shown.round(round, names), &bars).await) };
    let outcome = interruption::unless_asked(measured).await;
    let outcome = outcome.and_then(|outcome| shown.end(outcome));
    network.end(outcome.is_err(), |what| output::note(what)).await?;
    let outcome = outcome?;
    if json {
        output::json(&outcome)?;
    } else {
        output::line(round_totals_table(&outcome.totals))?;
    }
    Ok(outcome.check(peers - half_work.len())?)
}

fn simulate(sync: &Sync) -> Result<()> {
    ensure!(
        sync.delay != Latency::Regions,
        "--delay is between peers without regions: give constant, uniform or normal"
    );
    let Sync { peers, rounds, asked: Asked { steps, .. }, delay, seed, .. } = *sync;
    let simulation = Simulation { peers, rounds, steps, delay, seed };
    let names: Vec<_> =
        simulation.nodes().into_iter().enumerate().map(|(index, node)| (node, format!("{index} simulated"))).collect();
    let mut shown = Shown { json: sync.json, failed: None };
    let outcome = simulation.play(|round| shown.round(round, &names));
    let outcome = shown.end(outcome)?;
    if sync.json {
        output::json(&outcome)?;
    } else {
        let mut table = round_totals_table(&outcome.totals);
        table.note(format!("messages were under way for {delay}, in virtual time"));
        output::line(table)?;
    }
    Ok(outcome.check(peers)?)
}
