//! `dtn-cli`: work off chain, agree on it, get paid on chain.
//!
//! Exit codes: 0 when it is done, 1 when it failed, 2 when the arguments are wrong.

mod anvil;
mod compile;
mod context;
mod deploy;
mod gas;
mod keys;
mod multisig;
mod output;

use std::{io, process::ExitCode};

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use context::{Context, Globals};
use tracing_subscriber::EnvFilter;

/// Work off chain, agree on it, get paid on chain.
#[derive(Debug, Parser)]
#[command(
    name = "dtn-cli",
    version,
    propagate_version = true,
    infer_subcommands = false,
    after_help = "Examples:
  dtn-cli keys generate --count 4
  dtn-cli anvil                                     (in another terminal)
  dtn-cli deploy --genesis net/genesis.json --owners keys --threshold 3
  dtn-cli fund --amount 1ether
  dtn-cli propose --from owner-01 --to 0x7099…79C8 --value 0.5ether
  dtn-cli gas

Networks are described in dtn.toml ([networks.NAME] with chain_id and rpc), in variables such as
DTN_NETWORKS__TESTNET__RPC, and by --network and --rpc; the later wins.

Exit codes: 0 done, 1 failed, 2 wrong arguments."
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make, list and import encrypted keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Compile the contracts into the artifacts that this program embeds
    Compile(compile::Compile),
    /// Deploy the contracts, or find them
    Deploy(deploy::Deploy),
    /// Spread native currency over accounts
    Fund(deploy::Fund),
    /// Propose a transaction of the multisig
    Propose(multisig::Propose),
    /// Confirm a proposal
    Confirm(multisig::ById),
    /// Take a confirmation back
    Revoke(multisig::ById),
    /// Take a proposal off the table
    Cancel(multisig::ById),
    /// Execute a proposal that enough owners confirm
    Execute(multisig::ById),
    /// Show the contracts, the owners and the proposals
    Show(multisig::Show),
    /// Report what transactions cost
    Gas(gas::Gas),
    /// Run a development chain
    Anvil(anvil::Anvil),
    /// Print a script that completes commands in a shell
    #[command(after_help = "Example:
  dtn-cli completions bash > ~/.local/share/bash-completion/completions/dtn-cli")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { globals, command } = Cli::parse();
    start_log(globals.verbose);
    match run(command, &Context::new(globals)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dtn-cli: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Keys(command) => keys::run(command, context).await,
        Command::Compile(args) => compile::run(args, context).await,
        Command::Deploy(args) => deploy::deploy(args, context).await,
        Command::Fund(args) => deploy::fund(args, context).await,
        Command::Propose(args) => multisig::propose(args, context).await,
        Command::Confirm(args) => multisig::confirm(args, context).await,
        Command::Revoke(args) => multisig::revoke(args, context).await,
        Command::Cancel(args) => multisig::cancel(args, context).await,
        Command::Execute(args) => multisig::execute(args, context).await,
        Command::Show(args) => multisig::show(args, context).await,
        Command::Gas(args) => gas::run(args, context).await,
        Command::Anvil(args) => anvil::run(args, context).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dtn-cli", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end())
        }
    }
}

/// Logs to standard error: warnings, or more with `-v`; `RUST_LOG` decides when it is set.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info,hyper=warn,alloy=warn",
        2 => "debug,hyper=info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

/// Returns when the process is asked to end.
async fn interrupted() -> io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        asked = tokio::signal::ctrl_c() => asked,
        _ = terminate.recv() => Ok(()),
    }
}
