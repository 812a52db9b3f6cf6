//! `dtn-cli aow`: sequential work.

mod iterate;
pub(crate) mod rounds;
mod simulated;
mod sync;

use anyhow::Result;
use clap::Subcommand;

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
}

/// Runs an `aow` command.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Iterate(iterate) => iterate::run(&iterate),
        Command::Sync(sync) => sync::run(sync).await,
        Command::Round(round) => rounds::open(round).await,
        Command::Rounds(rounds) => rounds::list(rounds).await,
    }
}
