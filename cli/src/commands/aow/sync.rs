//! `dtn-cli aow sync`: peers that keep in step by rounds of sequential work, each verifying all others.

use std::{ops::ControlFlow, path::PathBuf};

use alloy_primitives::U256;
use anyhow::{Result, ensure};
use clap::Args;
use dtn_report::{RoundEntry, RoundTotals, round_table, round_totals_table};
use dtn_settlement::networks::LOCAL_CHAIN_ID;
use dtn_simulator::Latency;
use dtn_testbed::{Home, OwnNetwork, Plan};
use serde::Serialize;

use super::{
    rounds::{self, Asked},
    simulated::Simulation,
};
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

/// All rounds, and what they took.
#[derive(Debug, Serialize)]
struct Outcome {
    peers: usize,
    steps: u64,
    rounds: Vec<RoundEntry>,
    totals: RoundTotals,
}

pub(crate) async fn run(sync: Sync) -> Result<()> {
    ensure!(sync.rounds > 0, "--rounds is 1 or more");
    let unknown = sync.half_work.iter().find(|peer| **peer >= sync.peers);
    ensure!(unknown.is_none(), "there is no peer {}: they are 0 to {}", unknown.unwrap_or(&0), sync.peers.max(1) - 1);
    let faulty = dtn_primitives::max_faulty(sync.peers);
    let cheats = sync.half_work.len();
    ensure!(cheats <= faulty, "{} peers tolerate {faulty} that cheat, not {cheats}", sync.peers);
    // What the peers would refuse is told before there are any.
    sync.asked.order(0, 1, U256::ZERO)?;
    if sync.simulated {
        return simulate(&sync);
    }
    let network = OwnNetwork::at(sync.home.as_deref(), |what| output::note(what))?;
    dtn_testbed::ensure_vacant(network.home())?;
    let outcome = interruption::unless_asked(perform(&sync, network.home())).await;
    network.end(outcome.is_err(), |what| output::note(what)).await?;
    let outcome = outcome?;
    if sync.json {
        output::json(&outcome)?;
    } else {
        output::line(round_totals_table(&outcome.totals))?;
    }
    check(&outcome, sync.peers - cheats)
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
    let show = |round: &RoundEntry| {
        if sync.json { Ok(()) } else { output::line(format_args!("{}\n", round_table(round, &names))) }
    };
    let rounds = simulation.play(show)?;
    let totals = RoundTotals::of(&rounds);
    let outcome = Outcome { peers, steps, rounds, totals };
    if sync.json {
        output::json(&outcome)?;
    } else {
        let mut table = round_totals_table(&totals);
        table.note(format!("messages were under way for {delay}, in virtual time"));
        output::line(table)?;
    }
    check(&outcome, peers)
}

async fn perform(sync: &Sync, home: &Home) -> Result<Outcome> {
    let plan = Plan { nodes: sync.peers, ..Plan::new("aow", LOCAL_CHAIN_ID) };
    let bar = output::progress(2 * sync.peers as u64 + 1, "keys");
    tokio::task::block_in_place(|| {
        dtn_testbed::init(home, &plan, || {
            bar.inc(1);
            ControlFlow::Continue(())
        })
    })?;
    bar.finish_and_clear();
    for peer in &sync.half_work {
        dtn_testbed::set_half_work(home, *peer)?;
    }
    let bar = output::progress(sync.peers as u64, "peers");
    dtn_testbed::up_all(home, |ready| bar.set_position(ready as u64)).await?;
    bar.finish_and_clear();
    let client = dtn_testbed::client(home)?;
    let quorum = (sync.peers - sync.half_work.len()) as u16;
    let mut rounds = Vec::new();
    for _ in 0..sync.rounds {
        let entry = rounds::perform(&client, home, &sync.asked, quorum, U256::ZERO).await?;
        if !sync.json {
            output::line(format_args!("{}\n", round_table(&entry, &rounds::names(&client))))?;
        }
        rounds.push(entry);
    }
    let totals = RoundTotals::of(&rounds);
    Ok(Outcome { peers: sync.peers, steps: sync.asked.steps, rounds, totals })
}

/// Whether everyone who worked was accepted by everyone, and nobody else by anybody.
fn check(outcome: &Outcome, workers: usize) -> Result<()> {
    for round in &outcome.rounds {
        let number = round.round;
        let completed = round.completions.len();
        ensure!(completed == workers, "round {number} was completed by {completed} peers, and {workers} work");
        for it in &round.verifications {
            let works = !round.missing.contains(&it.node);
            ensure!(it.valid == works, "round {number}: {} was judged wrongly by {}", it.node, it.verifier);
        }
        let expected = workers * (outcome.peers - 1);
        let valid = round.verifications.iter().filter(|it| it.valid).count();
        ensure!(valid == expected, "round {number}: {valid} verifications succeeded, and {expected} should have");
    }
    Ok(())
}
