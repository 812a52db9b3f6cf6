//! `dtn-cli bench`: how fast it is, measured on real processes.

mod document;
mod follow;
mod gas;
mod l1;
mod load;
mod machine;
mod primitives;
mod sim;
mod workload;

use anyhow::Result;
use clap::Subcommand;
pub(crate) use machine::{Machine, peak_memory};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load a network of peers on this machine and measure it
    L1(l1::L1),
    /// Measure what everything else rests on: signatures, hashes and forced writes
    Primitives(primitives::Measure),
    /// Measure what each step costs on chain, beside Safe
    Gas(gas::Gas),
    /// Measure the simulator on one thread
    Sim(sim::Sim),
}

/// Runs a `bench` command.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::L1(bench) => l1::run(bench).await,
        Command::Primitives(measure) => primitives::run(measure),
        Command::Gas(bench) => gas::run(bench).await,
        Command::Sim(bench) => sim::run(&bench),
    }
}
