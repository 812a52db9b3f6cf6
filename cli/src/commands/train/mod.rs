//! `dtn-cli train`: models, trained and checked on this machine, without a network.

mod check;
mod data;
mod recipe;
mod run;
mod score;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a model, and write it with a trace that anybody can check
    Run(Box<run::Train>),
    /// Train what a trace is of again, all of it or some segments, and compare
    Check(check::Check),
    /// Evaluate a model
    Score(score::Evaluate),
}

/// Runs a `train` command.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Run(train) => run::run(train),
        Command::Check(check) => check::run(check),
        Command::Score(evaluate) => score::run(evaluate),
    }
}
