//! `dtn-cli`: work off chain, agree on it, get paid on chain.

mod l1;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Work off chain, agree on it, get paid on chain.
#[derive(Debug, Parser)]
#[command(name = "dtn-cli", version)]
struct Cli {
    /// Print data as JSON.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A network of peers that agree with PBFT.
    L1(l1::L1),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    let Cli { json, command } = Cli::parse();
    let result = match command {
        Command::L1(l1) => l1::run(l1, json).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
