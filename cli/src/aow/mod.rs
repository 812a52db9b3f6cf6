//! `dtn-cli aow`: sequential work.

pub(crate) mod chain_claims;
mod iterate;
pub(crate) mod rounds;
mod simulated;
mod sync;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a map: the delay function, or the prototype's over any prime field
    Iterate(iterate::Iterate),
    /// Run rounds among real peers of a network of its own, and show what each took
    Sync(sync::Sync),
    /// Open a round in a network that runs, and wait for its end
    Round(rounds::OpenRound),
    /// List the last rounds of a network that runs
    Rounds(rounds::ListRounds),
    #[command(flatten)]
    Claims(chain_claims::Command),
}

/// Runs an `aow` command.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Iterate(iterate) => iterate::run(&iterate),
        Command::Sync(sync) => sync::run(sync).await,
        Command::Round(round) => rounds::open(round).await,
        Command::Rounds(rounds) => rounds::list(rounds).await,
        Command::Claims(command) => chain_claims::run(command, context).await,
    }
}
