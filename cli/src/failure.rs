//! How a command ends that failed: in words with a hint for people, as an object with a stable code for programs.

use std::{error::Error, process::ExitCode};

use dtn_client::ClientError;
use dtn_keys::KeystoreError;
use dtn_peer::{ConfigError, RunError, files::FileError, hold::HoldError};
use dtn_report::text::reason;
use dtn_settlement::{
    abi::CallError,
    connection::{AnvilError, ConnectError, ReadError},
    deploy::{DeployError, PlanError},
    evidence::ReportError,
    multisig::MultisigError,
    networks::NetworksError,
    sender::{Quote, SendError},
    shown,
};
use dtn_testbed::TestbedError;
use serde_json::{Value, json};

use crate::{
    commands::{deploy::Replaced, l1::Unfinished},
    context::NotDeployed,
    interruption::Interrupted,
    output,
};

/// Says why a command failed, or what its dry run found, and gives the exit code.
pub(crate) fn end(error: &anyhow::Error, as_json: bool) -> ExitCode {
    if output::is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    if let Some(quote) = quote(error) {
        let said = if as_json { output::json(quote) } else { output::line(quote) };
        return said.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let (told, hint) = (reason(error.as_ref()), hint(error));
    match &hint {
        Some(hint) => output::note(format_args!("error: {told}; {hint}")),
        None => output::note(format_args!("error: {told}")),
    }
    // One that has printed what it found, as a doctor of a sick network does, has told programs all they need.
    if as_json && !output::has_printed_json() {
        let (code, data) = code(error);
        let failure = json!({ "error": { "code": code, "message": told, "hint": hint, "data": data } });
        // Who does not read it has been told all the same.
        output::json(&failure).ok();
    }
    ExitCode::FAILURE
}

/// Says what is wrong with the arguments, or gives the help that they ask for, and ends the process.
pub(crate) fn of_arguments(error: &clap::Error, as_json: bool) -> ! {
    if as_json && error.use_stderr() {
        output::json(&json!({ "error": usage(&error.to_string()) })).ok();
    }
    // What is wrong is shown, and may be a private key or a URL with a password.
    let said = error.to_string();
    match shown::text(&said) {
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
    json!({ "code": "usage", "message": shown::text(&said), "hint": null, "data": null })
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
    let (code, data) = error.chain().find_map(code_of).unwrap_or(("failed", Value::Null));
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
    of![ClientError, ConfigError, FileError, HoldError, NotDeployed, Replaced, Interrupted, SendError, ConnectError]
        .or_else(|| of![MultisigError, DeployError, NetworksError, ReadError, CallError, PlanError, AnvilError])
        .or_else(passing_on)
}

/// What may help against an error, if anything is known.
fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let of_testbed = || cause.downcast_ref().and_then(of_testbed);
        let of_deployment = || of_deployment(cause);
        let of_client = cause.downcast_ref().and_then(of_client);
        of_client.or_else(of_testbed).or_else(|| of_connection(cause.downcast_ref()?)).or_else(of_deployment)
    })
}

fn of_deployment(cause: &(dyn Error + 'static)) -> Option<String> {
    if cause.is::<NotDeployed>() {
        return Some("run `dtn-cli deploy`".into());
    }
    cause.is::<Replaced>().then(|| {
        "deploy with the terms of before to go on there; to move, say with --first-height from which block on the new ones pay, \
         above all that the old distributor has paid (`dtn-cli l1 status` tells the height)"
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
