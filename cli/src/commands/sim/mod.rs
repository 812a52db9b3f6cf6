//! `dtn-cli sim`: the production protocol in a simulated network, in virtual time; and training orders among simulated accounts.

mod nakamoto;
mod options;
mod pbft;
mod pot_table;
mod regions;
mod replay;
mod runs;
mod sweep;
mod train;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Have a client's transactions decided in a network of so many replicas
    Pbft(Box<pbft::Simulate>),
    /// Have miners extend a chain, and validators make it final
    Nakamoto(Box<nakamoto::Simulate>),
    /// Play one network under many seeds, on all cores
    Sweep(Box<sweep::Sweep>),
    /// Have accounts with strategies play training orders, and see who earns what
    Train(Box<train::Train>),
    /// Show a recorded run, message by message
    Replay(replay::Replay),
    /// List the regions in which replicas may be
    Regions(regions::Regions),
    /// Reproduce the table that the Proof of Training prototype published
    PotTable(pot_table::PotTable),
}

/// Runs a `sim` command.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Pbft(simulate) => pbft::run(&simulate),
        Command::Nakamoto(simulate) => nakamoto::run(&simulate),
        Command::Sweep(sweep) => sweep::run(&sweep),
        Command::Train(train) => train::run(&train),
        Command::Replay(replay) => replay::run(&replay),
        Command::Regions(regions) => regions::run(&regions),
        Command::PotTable(table) => pot_table::run(&table),
    }
}
