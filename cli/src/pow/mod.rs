//! `dtn-cli pow`: proofs of work, by hand and in races.

mod bench;
mod mine;
mod puzzle;
mod verify;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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
        Command::Mine(mine) => mine::run(mine).await,
        Command::Verify(verify) => verify::run(&verify),
        Command::Bench(bench) => bench::run(&bench),
    }
}
