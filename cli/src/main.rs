//! `dtn-cli`: work off chain, agree on it, get paid on chain.
//!
//! Exit codes: 0 when it is done, 1 when it failed, 2 when the arguments are wrong.

mod args;
mod combine;
mod commands;
mod context;
mod failure;
mod help;
mod output;

use std::{io, process::ExitCode};

#[tokio::main]
async fn main() -> ExitCode {
    let (command, manner) = args::parse();
    if !manner.is_peer {
        dtn_peer::log::start_for_command(manner.verbosity);
    }
    match args::run(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::end(&error, manner.json),
    }
}

/// Returns when the process is asked to end.
async fn interrupted() -> io::Result<()> {
    dtn_peer::StopSignals::new()?.next().await;
    Ok(())
}
