//! `dtn-cli sim`: the production protocol in a simulated network, in virtual time; and training orders among simulated accounts.

mod bounds;
mod lots;
mod mining;
mod mutants;
mod nakamoto;
mod options;
mod pbft;
mod pot_table;
mod properties;
mod regions;
mod replay;
mod runs;
mod sweep;
mod train;

use anyhow::{Result, anyhow};
use clap::Subcommand;
use dtn_simulator::property::Textbook;

use crate::failure::Coded;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Have a client's transactions decided in a network of so many replicas
    #[command(visible_alias = "run")]
    Pbft(Box<pbft::Simulate>),
    /// Have miners extend a chain, and validators make it final
    Nakamoto(Box<nakamoto::Simulate>),
    /// Play what an adversary among miners gets by chance alone, beside what is proven
    Mining(mining::Mining),
    /// Play one network under many seeds, on all cores
    Sweep(Box<sweep::Sweep>),
    /// Hold the textbook's protocols to what they promise, whatever liars and the network do
    Properties(Box<properties::Properties>),
    /// Leave out their rules, one by one, and see which seed catches it
    Mutants(mutants::Mutants),
    /// Play what no protocol can escape
    Bounds(bounds::Bounds),
    /// Have Streamlet draw its leaders by lot, some of them dead, and count what becomes final beside p³
    Lots(lots::Lots),
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
        Command::Mining(mining) => mining::run(&mining),
        Command::Sweep(sweep) => sweep::run(&sweep),
        Command::Properties(properties) => properties::run(&properties),
        Command::Mutants(mutants) => mutants::run(&mutants),
        Command::Bounds(bounds) => bounds::run(&bounds),
        Command::Lots(lots) => lots::run(&lots),
        Command::Train(train) => train::run(&train),
        Command::Replay(replay) => replay::run(&replay),
        Command::Regions(regions) => regions::run(&regions),
        Command::PotTable(table) => pot_table::run(&table),
    }
}

/// The protocols of a name: one, `all` of those without blocks, `chains` of those that chain blocks, or `blocks` with PBFT.
pub(super) fn protocols(name: &str) -> Result<Vec<Textbook>> {
    match name {
        "all" => return Ok(Textbook::ALL.into()),
        "chains" => return Ok(Textbook::CHAINS.into()),
        "blocks" => return Ok(Textbook::BLOCKS.into()),
        _ => {}
    }
    let one = name
        .parse::<Textbook>()
        .map_err(|error| anyhow!(Coded::argument(format_args!("--protocol: {error}, all, chains, blocks"))))?;
    Ok(vec![one])
}
