//! `dtn-cli sim`: the production protocol in a simulated network, in virtual time.

mod network;
mod pbft;
mod pot_table;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Have a client's transactions decided in a network of so many replicas
    Pbft(pbft::Simulate),
    /// Reproduce the table that the Proof of Training prototype published
    PotTable(pot_table::PotTable),
}

/// Runs a `sim` command.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Pbft(simulate) => pbft::run(&simulate),
        Command::PotTable(table) => pot_table::run(&table),
    }
}
