//! `dtn-cli train`: models, trained and checked on this machine, and ordered from a network.

mod access;
mod attack;
mod bench;
mod check;
mod data;
mod explain;
mod export;
mod order;
mod recipe;
mod report;
mod run;
mod score;
mod status;
mod take_part;
mod tools;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a model, and write it with a trace that anybody can check
    Run(Box<run::Train>),
    /// Train what a trace is of again, all of it or some segments, and compare
    Check(check::Check),
    /// Evaluate a model
    Score(score::Evaluate),
    /// Order a model from a network, and see to it until it is paid
    Order(Box<order::Order>),
    /// Open the rows of an own order once they are drawn, and see to it until it is paid
    Open(order::Open),
    /// Train for orders, or for one, and see to the claims until they are paid
    Claim(take_part::Claim),
    /// State scores and audits where the committee has a seat for this validator, and rule
    Validate(take_part::Validate),
    /// Look for what is false about orders, and challenge it
    Challenge(take_part::Challenge),
    /// Show the orders of a network, or where one is
    Status(status::Status),
    /// Measure how many orders a network on this machine gets done
    Bench(bench::Bench),
    /// Forge claims in all ways that are known, and see that each is refused
    Attack(attack::Attack),
    /// Write all that an order's payment rests on into a folder, for programs that have nothing of ours
    Export(export::Export),
    /// Draw an order as a page
    Report(report::Report),
    /// Say why an account was paid for an order, or was not
    Explain(explain::Explain),
}

/// Runs a `train` command.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    let json = context.json;
    match command {
        Command::Run(train) => run::run(&train, json).await,
        Command::Check(check) => check::run(&check, json),
        Command::Score(evaluate) => score::run(&evaluate, json).await,
        Command::Order(order) => order::run(*order, context).await,
        Command::Open(open) => order::open(open, context).await,
        Command::Claim(claim) => take_part::claim(claim, context).await,
        Command::Validate(validate) => take_part::validate(validate, context).await,
        Command::Challenge(challenge) => take_part::challenge(challenge, context).await,
        Command::Status(status) => status::run(&status, context).await,
        Command::Bench(bench) => bench::run(&bench, json).await,
        Command::Attack(attack) => attack::run(&attack, json),
        Command::Export(export) => export::run(&export, context).await,
        Command::Report(report) => report::run(&report, context).await,
        Command::Explain(explain) => explain::run(&explain, context).await,
    }
}
