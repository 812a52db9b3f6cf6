//! `dtn-cli aow`: sequential work.

mod iterate;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a map: the delay function, or the prototype's over any prime field
    Iterate(iterate::Iterate),
}

/// Runs an `aow` command.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Iterate(iterate) => iterate::run(&iterate),
    }
}
