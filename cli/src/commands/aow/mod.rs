//! `dtn-cli aow`: sequential work.

mod attack;
mod bench;
mod chain;
pub(crate) mod chain_claims;
mod fuzz;
mod iterate;
mod params;
mod prove;
pub(crate) mod rounds;
mod sync;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a map: the delay function, or the prototype's over any prime field
    Iterate(iterate::Iterate),
    /// Do work and write its proof to a file
    Prove(prove::Prove),
    /// Check a proof
    Verify(prove::Verify),
    /// Show the sets of options of proofs, and what may be said of them
    Params(params::Params),
    /// Run rounds among real peers of a network of its own, and show what each took
    Sync(sync::Sync),
    /// Open a round in a network that runs, and wait for its end
    Round(rounds::OpenRound),
    /// List the last rounds of a network that runs
    Rounds(rounds::ListRounds),
    #[command(flatten)]
    Claims(chain_claims::Command),
    /// Publish something else than the work, in eight ways, none of which peers accept
    Attack(attack::Try),
    /// Tamper with proofs, none of which is accepted afterwards
    Fuzz(fuzz::Fuzz),
    /// Measure the steps, their proofs and how those are checked
    Bench(bench::Measure),
    /// Events in their order, each of which takes its time
    Chain {
        #[command(subcommand)]
        command: chain::Command,
    },
}

/// Runs an `aow` command.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Iterate(iterate) => iterate::run(&iterate),
        Command::Prove(prove) => prove::prove(&prove),
        Command::Verify(verify) => prove::check(&verify),
        Command::Params(params) => params::run(&params),
        Command::Sync(sync) => sync::run(sync).await,
        Command::Round(round) => rounds::open(round).await,
        Command::Rounds(rounds) => rounds::list(rounds).await,
        Command::Claims(command) => chain_claims::run(command).await,
        Command::Attack(attack) => attack::run(&attack),
        Command::Fuzz(fuzz) => fuzz::run(&fuzz),
        Command::Bench(measure) => bench::run(&measure),
        Command::Chain { command } => chain::run(&command),
    }
}
