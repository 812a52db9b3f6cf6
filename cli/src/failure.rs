//! How a command ends that failed: in words with a hint for people, as an object with a stable code for programs.

use std::{
    error::Error,
    fmt::Display,
    io::{self, ErrorKind},
    path::Path,
    process::ExitCode,
};

use alloy_primitives::Address;
use dtn_bench::BenchError;
use dtn_bindings::abi::CallError;
use dtn_chain::{
    amount::AmountError,
    connection::{AnvilError, ConnectError, ReadError},
    gas_ledger::ForgetError,
    networks::NetworksError,
    sender::{Quote, SendError},
    shown,
};
use dtn_client::ClientError;
use dtn_config::OutOfRange;
use dtn_documents::orders::OrdersError;
use dtn_keys::KeystoreError;
use dtn_ledger::{LedgerError, StoreError};
use dtn_participant::{ParticipantError, custom::ToolError};
use dtn_peer::{
    ConfigError, RunError,
    files::{self, FileError},
    hold::HoldError,
};
use dtn_primitives::{GenesisError, TransactionError, codec::CodecError};
use dtn_report::text::reason;
use dtn_runs::written::ScenarioError;
use dtn_settlement::{
    deploy::{DeployError, PlanError},
    evidence::ReportError,
    message::MessageError,
    multisig::MultisigError,
    proofs::ProofError,
};
use dtn_simulator::Impossible;
use dtn_testbed::TestbedError;
use dtn_train::{
    Fault, JobError, OtherShape, RecipeError, WireError,
    data::{DataError, ImportError},
};
use serde_json::{Value, json};

use crate::{
    args::Manner, commands::deploy::Replaced, context::NotDeployed, interruption::Interrupted, output, outputs,
    pledges::Contradicts, said,
};

/// A failure that the command line finds itself, with the code that programs know it by.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Coded {
    code: &'static str,
    data: Value,
    what: String,
}

impl Coded {
    /// Its code.
    fn code(&self) -> (&'static str, Value) {
        (self.code, self.data.clone())
    }

    /// What was asked for makes no sense.
    pub(crate) fn argument(what: impl Display) -> Self {
        Self { code: "bad_argument", data: Value::Null, what: what.to_string() }
    }

    /// A file is none of its kind, at a line if it is known.
    pub(crate) fn not_valid(file: &Path, line: Option<usize>, what: impl Display) -> Self {
        Self { code: "not_valid", data: json!({ "file": file, "line": line }), what: what.to_string() }
    }

    /// Accounts that the registry does not take as validators, and why.
    pub(crate) fn unfit(refused: &[(Address, String)]) -> Self {
        let accounts: Vec<_> = refused.iter().map(|(account, _)| account).collect();
        let why = refused.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>().join("; ");
        let what = format!(
            "the registry would refuse them: {why}. Nothing was written, since an epoch has one rotation, and whoever signs two is \
             barred; name others, or have them stake first (`dtn-cli stake add`)"
        );
        Self { code: "unfit_validators", data: json!({ "validators": accounts }), what }
    }

    /// What is to be signed cannot be shown.
    pub(crate) fn not_shown(why: &io::Error) -> Self {
        let what = format!("what is to be signed cannot be shown on standard error, so nothing was signed: {why}");
        Self { code: "not_shown", data: Value::Null, what }
    }

    /// Something is where a new file is to be.
    pub(crate) fn occupied(file: &Path, what: impl Display) -> Self {
        Self { code: "occupied", data: json!({ "path": file }), what: format!("{} {what}", file.display()) }
    }

    /// What compiles the contracts is not beside this program.
    pub(crate) fn no_driver(driver: &Path) -> Self {
        let what = format!(
            "{} is not there: `cargo build --release --locked --workspace --bin dtn-compile` in the repository makes it",
            driver.display()
        );
        Self { code: "no_compiler", data: json!({ "path": driver }), what }
    }

    /// No peer answers.
    pub(crate) fn no_answer(what: impl Display) -> Self {
        Self { code: "no_answer", data: Value::Null, what: what.to_string() }
    }

    /// A peer runs that has to be stopped.
    pub(crate) fn runs(what: impl Display) -> Self {
        Self { code: "runs_already", data: Value::Null, what: what.to_string() }
    }
}

/// Says why a command failed, or what its dry run found, and gives the exit code.
pub(crate) fn end(error: &anyhow::Error, manner: &Manner) -> ExitCode {
    let as_json = manner.json;
    if output::is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    if let Some(quote) = quote(error) {
        let others = error.downcast_ref().map_or(0, |Others(count)| *count);
        return said(quote, others, as_json).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let (told, hint) = (said::shown(&reason(error.as_ref())), hint(error).map(|hint| said::shown(&hint)));
    match &hint {
        Some(hint) => output::note(format_args!("error: {told}; {hint}")),
        None => output::note(format_args!("error: {told}")),
    }
    // One that has printed what it found, as a doctor of a sick network does, has told programs all they need.
    let (code, data) = code(error);
    let failure = json!({ "error": { "code": code, "message": told, "hint": hint, "data": said::shown_value(&data) } });
    // Who does not read it has been told all the same.
    if as_json && !output::has_printed_json() {
        output::json(&failure).ok();
    }
    // What is there is what the command has written before it failed, or none of its business.
    if let Some(file) = manner.json_file.as_deref().filter(|file| !outputs::is_taken(file)) {
        files::write_json(file, &failure).ok();
    }
    ExitCode::FAILURE
}

/// Says what a dry run found.
fn said(quote: &Quote, others: usize, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let mut found = serde_json::to_value(quote)?;
        found["not_priced"] = others.into();
        return output::json(&found);
    }
    output::line(quote)?;
    match others {
        0 => Ok(()),
        1 => output::line("One more transaction would follow, which is not priced here."),
        _ => output::line(format_args!("{others} more transactions would follow, which are not priced here.")),
    }
}

/// How many transactions would follow the one that a dry run has found.
#[derive(Debug, thiserror::Error)]
#[error("")]
pub(crate) struct Others(pub(crate) usize);

/// What is known of several orders, for programs, where something kept them from becoming final all. People are told by
/// [`Fates`](dtn_documents::fates::Fates), so it adds nothing to what is said of that.
#[derive(Debug, thiserror::Error)]
#[error("")]
pub(crate) struct Unfinished(pub(crate) Value);

/// Says what is wrong with the arguments, or gives the help that they ask for, and ends the process.
pub(crate) fn of_arguments(error: &clap::Error, as_json: bool) -> ! {
    if as_json && error.use_stderr() {
        output::json(&json!({ "error": usage(&error.to_string()) })).ok();
    }
    // What is wrong is shown, and may be a private key or a URL with a password.
    let said = error.to_string();
    match said::shown(&shown::text(&said)) {
        shown if error.use_stderr() && shown != said => {
            output::note(shown.trim_end());
            std::process::exit(error.exit_code())
        }
        _ => error.exit(),
    }
}

/// What is wrong with the arguments, for programs: without the usage, which is for people.
fn usage(message: &str) -> Value {
    let end = |text: &str| message.find(text).unwrap_or(message.len());
    let said = &message[..end("\n\nUsage:").min(end("\n\nFor more information"))];
    let said = said.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    json!({ "code": "usage", "message": said::shown(&shown::text(&said)), "hint": null, "data": null })
}

/// What a dry run found, which ends a command like a failure where it would have gone on with what was sent.
fn quote(error: &anyhow::Error) -> Option<&Quote> {
    let sent = error.chain().find_map(|cause| {
        let deploying = || match cause.downcast_ref()? {
            DeployError::Send(error) => Some(error),
            _ => None,
        };
        let reporting = || match cause.downcast_ref()? {
            ReportError::Send(error) => Some(error),
            _ => None,
        };
        cause.downcast_ref::<SendError>().or_else(deploying).or_else(reporting)
    });
    match sent {
        Some(SendError::DryRun(quote)) => Some(quote),
        _ => None,
    }
}

/// The code of a failure and what belongs to it. Codes stay what they are; docs/start/cli.md lists them.
fn code(error: &anyhow::Error) -> (&'static str, Value) {
    let found = error.chain().find_map(code_of).or_else(|| error.chain().find_map(of_file));
    let (code, data) = found.unwrap_or(("failed", Value::Null));
    let Some(Unfinished(orders)) = error.downcast_ref() else { return (code, data) };
    // Whatever ended it, some orders may be final, and others may become so.
    match data {
        Value::Object(mut data) => {
            data.insert("orders".into(), orders.clone());
            (code, Value::Object(data))
        }
        _ => (code, json!({ "orders": orders })),
    }
}

/// That of a cause, where a library or this program gives it one.
fn code_of(cause: &(dyn Error + 'static)) -> Option<(&'static str, Value)> {
    macro_rules! of {
        ($($error:ty),*) => {
            None$(.or_else(|| Some(cause.downcast_ref::<$error>()?.code())))*
        };
    }
    let passing_on = || {
        let of_keystore = || cause.downcast_ref::<KeystoreError>().and_then(KeystoreError::code);
        let of_run = || cause.downcast_ref::<RunError>().and_then(RunError::code);
        cause.downcast_ref::<TestbedError>().and_then(TestbedError::code).or_else(of_run).or_else(of_keystore)
    };
    of![ClientError, ConfigError, FileError, HoldError, NotDeployed, Replaced, Contradicts, Interrupted, Coded]
        .or_else(|| of![SendError, ConnectError, MultisigError, DeployError, NetworksError, ReadError])
        .or_else(|| {
            of![CallError, PlanError, AnvilError, AmountError, LedgerError, StoreError, OrdersError, ScenarioError]
        })
        .or_else(|| of![Fault, RecipeError, JobError, ImportError, DataError, OtherShape, WireError])
        .or_else(|| of![ReportError, MessageError, ProofError, ParticipantError, ToolError, ForgetError])
        .or_else(passing_on)
        .or_else(|| of_values(cause))
}

/// That of what is wrong with a value, which says no more than its words do.
fn of_values(cause: &(dyn Error + 'static)) -> Option<(&'static str, Value)> {
    let bare = |code| Some((code, Value::Null));
    if cause.is::<Impossible>() || cause.is::<TransactionError>() || cause.is::<OutOfRange>() {
        return bare("bad_argument");
    }
    if matches!(cause.downcast_ref(), Some(BenchError::Interrupted)) {
        return bare("interrupted");
    }
    if cause.is::<CodecError>() {
        return bare("not_valid");
    }
    if cause.is::<GenesisError>() { bare("genesis") } else { None }
}

/// The code of a failure that no error of ours tells: a file that cannot be read or written, or is none of its kind.
fn of_file(cause: &(dyn Error + 'static)) -> Option<(&'static str, Value)> {
    let is_malformed = cause.is::<serde_json::Error>() || cause.is::<csv::Error>();
    if is_malformed {
        return Some(("not_valid", Value::Null));
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        // What a port or another program says is no file's.
        ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable | ErrorKind::ConnectionRefused | ErrorKind::TimedOut => None,
        ErrorKind::ConnectionReset | ErrorKind::Interrupted | ErrorKind::Other => None,
        _ => Some(("file", Value::Null)),
    }
}

/// What to do about an order that may become final after all.
fn of_order(error: &ParticipantError) -> Option<String> {
    let ParticipantError::OrderNotFinal { order, .. } = error else { return None };
    Some(format!("go on with `dtn-cli train open {order}`, which opens its rows once it is final"))
}

/// What may help against an error, if anything is known.
fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let of_testbed = || cause.downcast_ref().and_then(of_testbed);
        let of_deployment = || of_deployment(cause);
        let of_order = || cause.downcast_ref().and_then(of_order);
        let of_client = cause.downcast_ref().and_then(of_client);
        of_client
            .or_else(of_testbed)
            .or_else(|| of_connection(cause.downcast_ref()?))
            .or_else(of_deployment)
            .or_else(of_order)
    })
}

fn of_deployment(cause: &(dyn Error + 'static)) -> Option<String> {
    if cause.is::<NotDeployed>() {
        return Some("run `dtn-cli deploy`".into());
    }
    cause.is::<Replaced>().then(|| {
        "deploy with the terms of before to go on there; to move, have its owners close the old distributor (`dtn-cli rewards close \
         HEIGHT`) and say with --first-height from which block above that the new one pays (`dtn-cli l1 status` tells the height)"
            .into()
    })
}

fn of_client(error: &ClientError) -> Option<String> {
    let hint = match error {
        ClientError::TooFew { .. } | ClientError::Silent(_) => "is the network up (`dtn-cli l1 status`)?",
        ClientError::NoAccord { .. } | ClientError::NotFinal { .. } => {
            "look at `dtn-cli l1 status`, where a quorum must be connected, and at the peers' logs"
        }
        ClientError::Gone(_) => "`retain_blocks = 0` in node.toml keeps all blocks of a peer that has them",
        _ => return None,
    };
    Some(hint.into())
}

fn of_connection(error: &ConnectError) -> Option<String> {
    match error {
        ConnectError::Unreachable { network, .. } if network == "local" => {
            Some("`dtn-cli anvil` starts a development chain".into())
        }
        _ => None,
    }
}

fn of_testbed(error: &TestbedError) -> Option<String> {
    match error {
        TestbedError::NoNetwork(folder) => Some(format!("make one with `dtn-cli l1 init --home {}`", folder.display())),
        TestbedError::Occupied(_) | TestbedError::InTheWay(_) => Some("--home says which".into()),
        TestbedError::AnyPort | TestbedError::NoSuchPorts { .. } => Some("--base-port says which".into()),
        TestbedError::Interrupted => Some("nothing was made".into()),
        // An error that only passes another one on is looked through.
        TestbedError::Client(error) => of_client(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_hint_is_that_of_the_error_under_what_was_said_around_it() {
        let error = anyhow::Error::from(ClientError::Gone(3)).context("cannot read the ledger");
        assert!(hint(&error).is_some_and(|hint| hint.contains("retain_blocks")));
        let passed_on = anyhow::Error::from(TestbedError::from(ClientError::Gone(3)));
        assert!(hint(&passed_on).is_some_and(|hint| hint.contains("retain_blocks")));
        assert_eq!(hint(&anyhow::anyhow!("the block is gone")), None, "words are not looked at");
        let failed: anyhow::Result<()> = Err(ClientError::NotYet(3)).context("no");
        assert!(failed.is_err_and(|error| hint(&error).is_none()));
    }

    #[test]
    fn a_code_is_that_of_the_innermost_library_and_has_its_data() {
        let error = anyhow::Error::from(TestbedError::from(ClientError::TooFew { answers: 1, peers: 4, need: 2 }));
        let (code, data) = code(&error.context("cannot read the ledger"));
        assert_eq!((code, data), ("too_few_answers", json!({ "answers": 1, "peers": 4, "need": 2 })));
        assert_eq!(super::code(&anyhow::anyhow!("it is gone")), ("failed", Value::Null));
    }
}
