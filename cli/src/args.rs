//! What the command line takes.

use std::{ffi::OsString, path::PathBuf};

use alloy_primitives::B256;
use anyhow::Result;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    commands::{
        analyze, anvil, aow, bench, bls, coin, compile, completions, demo, deploy, gas, keys, l1, lockstep, money,
        multisig, network, pow, registry, rewards, settle, signatures, sim, stake, train, tx, verify_certificate,
    },
    context::{Context, Globals},
    failure, help, outputs, said,
};

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

An option that names a file to write takes one that is not there yet: nothing that is there is replaced.

Settlement networks are described in dtn.toml ([networks.NAME] with chain_id and rpc), in variables such as
DTN_NETWORKS__TESTNET__RPC, and by --network and --rpc; the later wins.

Exit codes: 0 done, 1 failed, 2 wrong arguments."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// A command with the options that those of the chain side share.
#[derive(Debug, Args)]
pub(crate) struct OnChain<T: Args> {
    #[command(flatten)]
    command: T,
    #[command(flatten)]
    globals: Globals,
}

/// A family of such commands.
#[derive(Debug, Args)]
pub(crate) struct Family<C: Subcommand> {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: C,
}

impl<T: Args> OnChain<T> {
    /// It, and what its shared options lead to.
    pub(crate) fn parts(self) -> (T, Context) {
        (self.command, Context::new(self.globals))
    }
}

impl<C: Subcommand> Family<C> {
    /// It, and what its shared options lead to.
    pub(crate) fn parts(self) -> (C, Context) {
        (self.command, Context::new(self.globals))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The main job, end to end: orders are submitted, raced for, agreed on, certified and paid
    Demo(demo::Demo),
    /// A network of peers that agree with PBFT
    L1(Family<l1::Command>),
    /// Make, list and import encrypted keys
    Keys(Family<keys::Command>),
    /// Compile the contracts into the artifacts that programs embed
    Compile(OnChain<compile::Compile>),
    /// Deploy the contracts, or find them
    Deploy(Box<OnChain<deploy::Deploy>>),
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
    Settle(Family<settle::Command>),
    /// Distribute rewards to many accounts by one root
    Rewards(Family<rewards::Command>),
    /// Money in the ledger: bring it in, take it out, and claim what was earned
    Money(Family<money::Command>),
    /// The validator set of the registry, the next one, and what becomes of a stolen or lost lock
    Registry(Family<registry::Command>),
    /// What validators put at stake, and what evidence brings
    Stake(Family<stake::Command>),
    /// The validators' BLS keys, with which many sign for the price of one
    Bls(Family<bls::Command>),
    /// A coin that nobody foresees: its key is dealt by the validators in the open
    Coin(Family<coin::Command>),
    /// Verify a certificate as a light client: offline, against the genesis
    VerifyCertificate(OnChain<verify_certificate::VerifyCertificate>),
    /// List the proposals that are pending, with who is missing
    List(OnChain<multisig::List>),
    /// Transactions that are in no block yet: list them, offer more for them, take their place
    Tx(Family<tx::Command>),
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
    /// Order models, train them, check how they were trained, and get paid
    Train(Box<Family<train::Command>>),
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
    /// Measure what a decision of each protocol costs, and hold it against what is proven
    Analyze(analyze::Analyze),
    /// Play rounds of events in lock step among processes: commitments first, then events
    Lockstep(Box<lockstep::Lockstep>),
    /// The settlement networks that are known, and whether one can be relied on
    Network(Family<network::Command>),
    /// Run a development chain
    Anvil(OnChain<anvil::Anvil>),
    /// Print a script that completes commands in a shell
    Completions(completions::Completions),
}

/// How a command says what it has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// As JSON.
    pub(crate) json: bool,
    /// As JSON in this file, and to people besides.
    pub(crate) json_file: Option<PathBuf>,
    /// How much of its log, from 0 on.
    pub(crate) verbosity: u8,
    /// It is a peer, which logs as its configuration says.
    pub(crate) is_peer: bool,
    /// The files that it makes.
    pub(crate) outputs: Vec<PathBuf>,
}

impl Manner {
    /// As the arguments of the command have it, whichever it is.
    fn of(matches: &ArgMatches) -> Self {
        let (mut path, mut deepest) = (Vec::new(), matches);
        while let Some((name, inner)) = deepest.subcommand() {
            path.push(name);
            deepest = inner;
        }
        let flag = |name| deepest.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or_default();
        Self {
            json: flag("json"),
            json_file: deepest.try_get_one("json").ok().flatten().cloned(),
            verbosity: deepest.try_get_one("verbose").ok().flatten().copied().unwrap_or_default(),
            is_peer: path == ["l1", "node"],
            outputs: outputs::named(&path, deepest),
        }
    }
}

/// What the arguments of this process ask for, and how it is to be said. Arguments that are wrong end the process.
pub(crate) fn parse() -> (Command, Manner) {
    let command = Cli::command();
    let help = help::grouped(&command);
    let mut command = command.override_help(help);
    let parsed = command.try_get_matches_from_mut(shared_last(std::env::args_os())).and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        said::hide_given(&hashes(&matches));
        Ok((cli.command, Manner::of(&matches)))
    });
    parsed.unwrap_or_else(|error| {
        said::hide_given(&[]);
        let as_json = std::env::args_os().any(|argument| argument == "--json");
        failure::of_arguments(&error.format(&mut command), as_json)
    })
}

/// What a command has taken for hashes: they look like private keys, and are said again.
fn hashes(matches: &ArgMatches) -> Vec<B256> {
    let mut deepest = matches;
    while let Some((_, inner)) = deepest.subcommand() {
        deepest = inner;
    }
    let of = |id: &clap::Id| deepest.try_get_many::<B256>(id.as_str()).ok().flatten();
    deepest.ids().filter_map(of).flatten().copied().collect()
}

/// The shared options that take no value, and those that do.
const SHARED: ([&str; 5], [&str; 6]) = (
    ["--json", "-v", "-vv", "-vvv", "--verbose"],
    ["--network", "--rpc", "--config", "--home", "--keys", "--password-file"],
);

/// The arguments with the shared options that stand before the command behind it, where each command takes them.
fn shared_last(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let (mut ordered, mut shared): (Vec<_>, Vec<_>) = (arguments.next().into_iter().collect(), Vec::new());
    let (flags, options) = SHARED;
    let mut rest = arguments.peekable();
    while let Some(next) = rest.peek().and_then(|next| next.to_str()) {
        let name = next.split_once('=').map_or(next, |(name, _)| name);
        let values = match (flags.contains(&next), options.contains(&name)) {
            (true, _) => 0,
            (_, true) => usize::from(name == next),
            _ => break,
        };
        shared.extend(rest.by_ref().take(1 + values));
    }
    // What follows `--` is no option.
    let rest: Vec<_> = rest.collect();
    let end = rest.iter().position(|argument| argument == "--").unwrap_or(rest.len());
    ordered.extend_from_slice(&rest[..end]);
    ordered.extend(shared);
    ordered.extend_from_slice(&rest[end..]);
    ordered
}

/// Runs a command.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo(demo) => demo::run(demo).await,
        Command::Bench { command } => bench::run(command).await,
        Command::Aow { command } => aow::run(command).await,
        Command::Pow { command } => pow::run(command).await,
        Command::Sim { command } => sim::run(command),
        Command::Analyze(analyze) => analyze::run(&analyze),
        Command::Lockstep(lockstep) => lockstep::run(&lockstep).await,
        Command::Train(family) => with(family.parts(), train::run).await,
        Command::Completions(completions) => completions::run(&completions),
        Command::L1(family) => with(family.parts(), l1::run).await,
        Command::Keys(family) => with(family.parts(), keys::run).await,
        Command::Settle(family) => with(family.parts(), settle::run).await,
        Command::Rewards(family) => with(family.parts(), rewards::run).await,
        Command::Money(family) => with(family.parts(), money::run).await,
        Command::Registry(family) => with(family.parts(), registry::run).await,
        Command::Stake(family) => with(family.parts(), stake::run).await,
        Command::Bls(family) => with(family.parts(), bls::run).await,
        Command::Coin(family) => with(family.parts(), coin::run).await,
        Command::Network(family) => with(family.parts(), network::run).await,
        Command::Compile(on) => with(on.parts(), compile::run).await,
        Command::Deploy(on) => with(on.parts(), deploy::deploy).await,
        Command::Fund(on) => with(on.parts(), deploy::fund).await,
        Command::Propose(on) => with(on.parts(), multisig::propose).await,
        Command::Confirm(on) => with(on.parts(), multisig::confirm).await,
        Command::Revoke(on) => with(on.parts(), multisig::revoke).await,
        Command::Cancel(on) => with(on.parts(), multisig::cancel).await,
        Command::Execute(on) => with(on.parts(), multisig::execute).await,
        Command::Sign(on) => with(on.parts(), signatures::sign).await,
        Command::Combine(on) => with(on.parts(), signatures::combine).await,
        Command::List(on) => with(on.parts(), multisig::list).await,
        Command::Show(on) => with(on.parts(), multisig::show).await,
        Command::VerifyCertificate(on) => with(on.parts(), verify_certificate::run).await,
        Command::Tx(family) => with(family.parts(), tx::run).await,
        Command::Gas(on) => with(on.parts(), gas::run).await,
        Command::Anvil(on) => with(on.parts(), anvil::run).await,
    }
}

/// Runs a command with what its shared options lead to.
pub(crate) async fn with<T>(
    (command, context): (T, Context),
    run: impl AsyncFnOnce(T, &Context) -> Result<()>,
) -> Result<()> {
    run(command, &context).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn no_two_options_of_a_command_clash() {
        Cli::command().debug_assert();
    }

    #[test]
    fn whichever_command_it_is_its_own_flag_asks_for_json() {
        let manner = |line: &str| Manner::of(&Cli::command().get_matches_from(line.split(' ')));
        assert!(manner("dtn-cli l1 status --json").json);
        assert!(!manner("dtn-cli l1 status").json);
        assert!(manner("dtn-cli pow ledger --json").json, "one without the shared options");
        let told = manner("dtn-cli demo --json report.json");
        assert!(!told.json && told.json_file == Some("report.json".into()), "where it names a file, people are told");
        assert_eq!(manner("dtn-cli l1 status --json").json_file, None);
        assert_eq!(told.outputs, [PathBuf::from("report.json")]);
        assert_eq!(manner("dtn-cli l1 status -vv").verbosity, 2);
        assert!(manner("dtn-cli l1 node peers/0").is_peer);
    }

    #[test]
    fn shared_options_may_stand_before_the_command() {
        let moved = |line: &str| {
            let moved = shared_last(line.split(' ').map(OsString::from));
            moved.into_iter().map(|argument| argument.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        for (given, ordered) in [
            ("dtn-cli show 0x12 --json", "dtn-cli show 0x12 --json"),
            ("dtn-cli --json show 0x12", "dtn-cli show 0x12 --json"),
            ("dtn-cli --network testnet -vv show", "dtn-cli show --network testnet -vv"),
            ("dtn-cli --rpc=http://a l1 status", "dtn-cli l1 status --rpc=http://a"),
            ("dtn-cli --json l1 submit -- --network", "dtn-cli l1 submit --json -- --network"),
            ("dtn-cli --help --json", "dtn-cli --help --json"),
            ("dtn-cli --network", "dtn-cli --network"),
        ] {
            assert_eq!(moved(given), ordered, "{given}");
        }
    }

    #[test]
    fn what_a_command_takes_for_a_hash_is_said_again_and_nothing_else() {
        let hash = "7e".repeat(32);
        let of = |line: &str| hashes(&Cli::command().get_matches_from(line.split(' '))).len();
        assert_eq!(of(&format!("dtn-cli confirm 0x{hash}")), 1);
        assert_eq!(of(&format!("dtn-cli fund --amount 1 --to {hash}")), 0);
    }

    /// The names of all commands that have none below them, and whether each takes an option.
    fn leaves(command: &clap::Command, above: &str, option: &str, found: &mut Vec<(String, bool)>) {
        let path = format!("{above} {}", command.get_name());
        if !command.has_subcommands() {
            found.push((path.trim_start().into(), command.get_arguments().any(|argument| argument.get_id() == option)));
        }
        let below = command.get_subcommands().filter(|command| command.get_name() != "help");
        below.for_each(|command| leaves(command, &path, option, found));
    }

    #[test]
    fn a_dry_run_is_taken_by_what_sends_to_a_chain_and_by_nothing_else() {
        let mut command = Cli::command().name("");
        command.build();
        let mut found = Vec::new();
        leaves(&command, "", "dry_run", &mut found);
        assert!(found.len() > 60, "{} commands", found.len());
        let takers: Vec<_> = found.iter().filter(|(_, takes)| *takes).map(|(path, _)| path.as_str()).collect();
        let senders = [
            "l1 evidence",
            "deploy",
            "fund",
            "propose",
            "confirm",
            "revoke",
            "cancel",
            "execute",
            "rewards certify",
            "rewards schedule",
            "rewards activate",
            "rewards claim",
            "rewards withdraw",
            "rewards claimer",
            "rewards allow",
            "rewards cancel",
            "rewards close",
            "rewards move-on",
            "rewards sweep",
            "rewards write-off",
            "rewards pause-owners",
            "rewards hand-over propose",
            "rewards hand-over lost",
            "rewards hand-over cancel",
            "rewards hand-over take",
            "money deposit",
            "money claim",
            "registry post",
            "registry announce",
            "registry veto",
            "registry retract",
            "registry pause",
            "registry open",
            "registry guardian set",
            "registry guardian replace",
            "registry recover propose",
            "registry recover cancel",
            "registry recover finish",
            "registry report",
            "stake add",
            "stake remove",
            "stake reclaim",
            "stake collect",
            "bls register",
            "bls publish",
            "aow post",
            "aow challenge",
            "aow release",
            "aow uphold",
        ];
        assert_eq!(takers, senders);
        let taken = |line: &str| Cli::command().try_get_matches_from(line.split(' ')).is_ok();
        assert!(taken("dtn-cli registry post rotation.json --dry-run"));
        for line in ["rewards sign a.json", "rewards combine a.json --out b.json", "deploy --plan p.json"] {
            assert!(taken(&format!("dtn-cli {line}")) && !taken(&format!("dtn-cli {line} --dry-run")), "{line}");
        }
    }
}
