//! `dtn-cli aow`: sequential work.

pub(crate) mod chain_claims;
mod iterate;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a map: the delay function, or the prototype's over any prime field
    Iterate(iterate::Iterate),
    #[command(flatten)]
    Claims(chain_claims::Command),
}

/// Runs an `aow` command.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Iterate(iterate) => iterate::run(&iterate),
        Command::Claims(command) => chain_claims::run(command, context).await,
    }
}
