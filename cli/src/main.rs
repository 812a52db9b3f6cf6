//! `dtn-cli`: work off chain, agree on it, get paid on chain.
//!
//! Exit codes: 0 when it is done, 1 when it failed, 2 when the arguments are wrong.

mod args;
mod combine;
mod commands;
mod context;
mod failure;
mod help;
mod interruption;
mod output;
mod outputs;
mod pledges;
mod said;

use std::process::ExitCode;

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::{args::Manner, interruption::Interrupted};

fn main() -> ExitCode {
    let (command, manner) = args::parse();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failure::end(&error.into(), &manner),
    };
    let Err(error) = runtime.block_on(perform(command, &manner)) else { return ExitCode::SUCCESS };
    if error.is::<Interrupted>() {
        // What still keeps a thread busy is of no use to anybody.
        runtime.shutdown_background();
    }
    failure::end(&error, &manner)
}

async fn perform(command: args::Command, manner: &Manner) -> Result<()> {
    if manner.is_peer {
        // It has a log of its own, and an end.
        return args::run(command).await;
    }
    dtn_peer::log::start_for_command(manner.verbosity);
    manner.outputs.iter().try_for_each(|file| outputs::ensure_free(file))?;
    let done = interruption::run(args::run(command), manner);
    tokio::select! {
        done = done => done,
        () = output::say_what_is_waited_for() => Ok(()),
    }
}
