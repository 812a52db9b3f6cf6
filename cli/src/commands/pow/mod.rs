//! `dtn-cli pow`: proofs of work, by hand and in races.

mod bench;
mod ledger;
mod mine;
mod puzzle;
mod report;
mod serve;
mod verify;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run peers that take in lines and race for each, and print each race's end
    Serve(serve::Serve),
    /// Print the ledger, one entry for each race that is over, or check a file of it
    Ledger(ledger::ShowLedger),
    /// Compare how the nodes do in their races
    Report(report::Compare),
    /// Search for the lowest nonce that solves a puzzle
    Mine(mine::Mine),
    /// Say whether a nonce solves a puzzle
    Verify(verify::Verify),
    /// Measure how fast this machine hashes
    Bench(bench::Bench),
}

/// Runs a `pow` command.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(serve) => serve::run(serve).await,
        Command::Ledger(show) => ledger::run(show).await,
        Command::Report(compare) => report::run(compare).await,
        Command::Mine(mine) => mine::run(mine).await,
        Command::Verify(verify) => verify::run(&verify),
        Command::Bench(bench) => bench::run(&bench),
    }
}
