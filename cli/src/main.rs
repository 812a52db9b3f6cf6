//! `dtn-cli`: work off chain, agree on it, get paid on chain.
//!
//! Exit codes: 0 when it is done, 1 when it failed, 2 when the arguments are wrong.

mod anvil;
mod aow;
mod bench;
mod bls;
mod combine;
mod compile;
mod context;
mod demo;
mod deploy;
mod gas;
mod hints;
mod keys;
mod l1;
mod multisig;
mod network;
mod output;
mod pow;
mod registry;
mod rewards;
mod settle;
mod signatures;
mod sim;
mod verify;

use std::{io, process::ExitCode};

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use context::{Context, Globals};

/// Work off chain, agree on it, get paid on chain.
#[derive(Debug, Parser)]
#[command(
    name = "dtn-cli",
    version,
    after_help = "Examples:
  dtn-cli demo                                      (all of it, in a minute)
  dtn-cli l1 init --nodes 4
  dtn-cli anvil                                     (a chain, in another terminal)
  dtn-cli deploy --fund-distributor 1ether
  dtn-cli fund --to .dtn/keys --amount 1ether
  dtn-cli l1 up
  dtn-cli l1 submit examples/transactions.jsonl
  dtn-cli show
  dtn-cli gas

Settlement networks are described in dtn.toml ([networks.NAME] with chain_id and rpc), in variables such as
DTN_NETWORKS__TESTNET__RPC, and by --network and --rpc; the later wins.

Exit codes: 0 done, 1 failed, 2 wrong arguments."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// A command of the chain side with the options that all of those share.
#[derive(Debug, Args)]
struct OnChain<T: Args> {
    #[command(flatten)]
    command: T,
    #[command(flatten)]
    globals: Globals,
}

#[derive(Debug, Args)]
struct Keys {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: keys::Command,
}

#[derive(Debug, Args)]
struct Network {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: network::Command,
}

#[derive(Debug, Args)]
struct L1 {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: l1::Command,
}

#[derive(Debug, Args)]
struct Rewards {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: rewards::Command,
}

#[derive(Debug, Args)]
struct Registry {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: registry::Command,
}

#[derive(Debug, Args)]
struct Bls {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: bls::Command,
}

#[derive(Debug, Args)]
struct Settle {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: settle::Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The main job, end to end: orders are submitted, raced for, agreed on, certified and paid
    Demo(demo::Demo),
    /// A network of peers that agree with PBFT
    L1(L1),
    /// Make, list and import encrypted keys
    Keys(Keys),
    /// Compile the contracts into the artifacts that this program embeds
    Compile(OnChain<compile::Compile>),
    /// Deploy the contracts, or find them
    Deploy(OnChain<deploy::Deploy>),
    /// Spread native currency over accounts
    Fund(OnChain<deploy::Fund>),
    /// Propose a transaction of the multisig
    Propose(OnChain<multisig::Propose>),
    /// Confirm a proposal
    Confirm(OnChain<multisig::ById>),
    /// Take a confirmation back
    Revoke(OnChain<multisig::ById>),
    /// Take a proposal off the table
    Cancel(OnChain<multisig::ById>),
    /// Execute a proposal that enough owners confirm, or a call that enough have signed
    Execute(OnChain<multisig::Execute>),
    /// Sign a call of the multisig off chain, into a file
    Sign(OnChain<signatures::Sign>),
    /// Put the signatures of several files into one
    Combine(OnChain<signatures::Combine>),
    /// Show the contracts, the owners and the proposals
    Show(OnChain<multisig::Show>),
    /// How far the results of peers are on their way to the chain
    Settle(Settle),
    /// Distribute rewards to many accounts by one root
    Rewards(Rewards),
    /// The validator set of the registry, and the next one
    Registry(Registry),
    /// The validators' BLS keys, with which many sign for the price of one
    Bls(Bls),
    /// Verify a certificate as a light client: offline, against the genesis
    VerifyCertificate(OnChain<verify::VerifyCertificate>),
    /// List the proposals that are pending, with who is missing
    List(OnChain<multisig::List>),
    /// Report what transactions cost
    Gas(OnChain<gas::Gas>),
    /// Measure how fast it is
    Bench {
        #[command(subcommand)]
        command: bench::Command,
    },
    /// Do sequential work that anyone can check
    Aow {
        #[command(subcommand)]
        command: aow::Command,
    },
    /// Race for proofs of work, and keep the ledger of the races
    Pow {
        #[command(subcommand)]
        command: pow::Command,
    },
    /// Simulate a network in virtual time
    Sim {
        #[command(subcommand)]
        command: sim::Command,
    },
    /// The settlement networks that are known, and whether one can be relied on
    Network(Network),
    /// Run a development chain
    Anvil(OnChain<anvil::Anvil>),
    /// Print a script that completes commands in a shell
    #[command(after_help = "Example:
  dtn-cli completions bash > ~/.local/share/bash-completion/completions/dtn-cli")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Command {
    /// The shared options of the chain side, if it is one of its commands.
    fn globals(&self) -> Option<&Globals> {
        match self {
            Self::Keys(on) => Some(&on.globals),
            Self::Network(on) => Some(&on.globals),
            Self::Compile(on) => Some(&on.globals),
            Self::Deploy(on) => Some(&on.globals),
            Self::Fund(on) => Some(&on.globals),
            Self::Propose(on) => Some(&on.globals),
            Self::Confirm(on) | Self::Revoke(on) | Self::Cancel(on) => Some(&on.globals),
            Self::Execute(on) => Some(&on.globals),
            Self::Sign(on) => Some(&on.globals),
            Self::Combine(on) => Some(&on.globals),
            Self::List(on) => Some(&on.globals),
            Self::Show(on) => Some(&on.globals),
            Self::Settle(on) => Some(&on.globals),
            Self::Rewards(on) => Some(&on.globals),
            Self::Registry(on) => Some(&on.globals),
            Self::Bls(on) => Some(&on.globals),
            Self::VerifyCertificate(on) => Some(&on.globals),
            Self::Gas(on) => Some(&on.globals),
            Self::Anvil(on) => Some(&on.globals),
            Self::L1(l1) => Some(&l1.globals),
            Self::Aow { command: aow::Command::Claims(command) } => Some(command.globals()),
            Self::Demo(_)
            | Self::Bench { .. }
            | Self::Aow { .. }
            | Self::Pow { .. }
            | Self::Sim { .. }
            | Self::Completions { .. } => None,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    // A peer logs as its configuration says, which is not read yet.
    if !matches!(&command, Command::L1(L1 { command: l1::Command::Node(_), .. })) {
        dtn_peer::log::start_for_command(command.globals().map_or(0, |globals| globals.verbose));
    }
    let json = command.globals().is_some_and(|globals| globals.json);
    let outcome = match run(command).await {
        Err(error) => match output::quote(&error) {
            Some(quote) if json => output::json(quote),
            Some(quote) => output::line(quote),
            None => Err(error),
        },
        done => done,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = output::reason(&error);
            match hints::hint(&error) {
                Some(hint) => output::note(format_args!("error: {reason}; {hint}")),
                None => output::note(format_args!("error: {reason}")),
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    let context = Context::new(command.globals().cloned());
    let context = &context;
    match command {
        Command::Demo(demo) => demo::run(demo).await,
        Command::Bench { command } => bench::run(command).await,
        Command::Aow { command } => aow::run(command, context).await,
        Command::Pow { command } => pow::run(command).await,
        Command::Sim { command } => sim::run(command),
        Command::L1(l1) => l1::run(l1.command, context).await,
        Command::Keys(keys) => keys::run(keys.command, context).await,
        Command::Compile(on) => compile::run(on.command, context).await,
        Command::Deploy(on) => deploy::deploy(on.command, context).await,
        Command::Fund(on) => deploy::fund(on.command, context).await,
        Command::Propose(on) => multisig::propose(on.command, context).await,
        Command::Confirm(on) => multisig::confirm(on.command, context).await,
        Command::Revoke(on) => multisig::revoke(on.command, context).await,
        Command::Cancel(on) => multisig::cancel(on.command, context).await,
        Command::Execute(on) => multisig::execute(on.command, context).await,
        Command::Sign(on) => signatures::sign(on.command, context).await,
        Command::Combine(on) => signatures::combine(on.command, context).await,
        Command::List(on) => multisig::list(on.command, context).await,
        Command::Show(on) => multisig::show(on.command, context).await,
        Command::Settle(on) => settle::run(on.command, context).await,
        Command::Rewards(on) => rewards::run(on.command, context).await,
        Command::Registry(on) => registry::run(on.command, context).await,
        Command::Bls(on) => bls::run(on.command, context).await,
        Command::VerifyCertificate(on) => verify::run(on.command, context),
        Command::Gas(on) => gas::run(on.command, context).await,
        Command::Network(on) => network::run(on.command, context).await,
        Command::Anvil(on) => anvil::run(on.command, context).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dtn-cli", &mut script);
            output::exact(String::from_utf8_lossy(&script))
        }
    }
}

/// Returns when the process is asked to end.
async fn interrupted() -> io::Result<()> {
    dtn_peer::StopSignals::new()?.next().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_options_of_a_command_clash() {
        Cli::command().debug_assert();
    }
}
