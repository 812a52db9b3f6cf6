//! How a command ends that failed: in words with a hint for people, as an object with a stable code for programs.

use std::{error::Error, process::ExitCode};

use dtn_client::ClientError;
use dtn_peer::{ConfigError, RunError, files::FileError, hold::HoldError};
use dtn_primitives::codec::CodecError;
use dtn_settlement::{
    abi::CallError,
    connection::{AnvilError, ConnectError, ReadError},
    deploy::{DeployError, PlanError},
    evidence::ReportError,
    keystore::KeystoreError,
    multisig::MultisigError,
    networks::NetworksError,
    sender::{Quote, SendError},
};
use dtn_testbed::TestbedError;
use dtn_train::{
    Fault, JobError, OtherShape, RecipeError, WireError,
    data::{DataError, ImportError},
};
use serde_json::{Value, json};

use crate::{context::NotDeployed, output};

/// Says why a command failed, or what its dry run found, and gives the exit code.
pub(crate) fn end(error: &anyhow::Error, as_json: bool) -> ExitCode {
    if output::is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    if let Some(quote) = quote(error) {
        let said = if as_json { output::json(quote) } else { output::line(quote) };
        return said.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let (reason, hint) = (output::reason(error), hint(error));
    match &hint {
        Some(hint) => output::note(format_args!("error: {reason}; {hint}")),
        None => output::note(format_args!("error: {reason}")),
    }
    // One that has printed what it found, as a doctor of a sick network does, has told programs all they need.
    if as_json && !output::has_printed_json() {
        let (code, data) = code(error);
        let failure = json!({ "error": { "code": code, "message": reason, "hint": hint, "data": data } });
        // Who does not read it has been told all the same.
        output::json(&failure).ok();
    }
    ExitCode::FAILURE
}

/// Says what is wrong with the arguments, or gives the help that they ask for, and ends the process.
pub(crate) fn of_arguments(error: &clap::Error, as_json: bool) -> ! {
    if as_json && error.use_stderr() {
        let message = error.to_string();
        let said = message.split("\n\nUsage:").next().unwrap_or_default().trim_start_matches("error: ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        output::json(&json!({ "error": { "code": "usage", "message": said, "hint": null, "data": null } })).ok();
    }
    error.exit()
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
    error.chain().find_map(code_of).unwrap_or(("failed", Value::Null))
}

fn code_of(cause: &(dyn Error + 'static)) -> Option<(&'static str, Value)> {
    let none = |code| Some((code, Value::Null));
    if let Some(error) = cause.downcast_ref() {
        return Some(of_network(error));
    }
    if let Some(error) = cause.downcast_ref::<TestbedError>() {
        return match error {
            TestbedError::NoNetwork(folder) => Some(("no_network", json!({ "folder": folder }))),
            TestbedError::Occupied(path) | TestbedError::InTheWay(path) => Some(("occupied", json!({ "path": path }))),
            TestbedError::NoPeer { peer, count } => Some(("no_peer", json!({ "peer": peer, "count": count }))),
            TestbedError::TooFewStarted { .. } | TestbedError::TooFewConnected { .. } => none("peers_down"),
            TestbedError::Left { .. } => none("peers_left"),
            TestbedError::Interrupted => none("interrupted"),
            TestbedError::NoName
            | TestbedError::Nodes(_)
            | TestbedError::OutOfRange(_)
            | TestbedError::AnyPort
            | TestbedError::NoSuchPorts { .. } => none("bad_argument"),
            TestbedError::File(error) => code_of(error),
            TestbedError::Config(error) => code_of(error),
            TestbedError::Keystore(error) => code_of(error),
            TestbedError::Client(error) => code_of(error),
            _ => none("process"),
        };
    }
    if let Some(error) = cause.downcast_ref::<RunError>() {
        return match error {
            RunError::Config(error) => code_of(error),
            RunError::Keystore(error) => code_of(error),
            RunError::Held(error) => code_of(error),
            RunError::Chain(error) => code_of(error),
            RunError::Node(_) => none("peer"),
            RunError::Signals(_) | RunError::Password { .. } | RunError::Unlock(_) => none("file"),
        };
    }
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
        return match error {
            ConfigError::NotValid(problems) => Some(("config", json!({ "problems": problems }))),
            ConfigError::NoPeer { folder, .. } => Some(("no_peer", json!({ "folder": folder }))),
            ConfigError::NoGenesis { file, .. } | ConfigError::Genesis { file, .. } => {
                Some(("genesis", json!({ "file": file })))
            }
            ConfigError::File(error) => code_of(error),
        };
    }
    if let Some(error) = cause.downcast_ref::<FileError>() {
        return Some(match error {
            FileError::Read { file, .. } | FileError::Write { file, .. } | FileError::Unwritable { file, .. } => {
                ("file", json!({ "file": file }))
            }
            FileError::Make { folder, .. } => ("file", json!({ "file": folder })),
            FileError::Json { file, .. } | FileError::Toml { file, .. } => ("not_valid", json!({ "file": file })),
        });
    }
    if cause.downcast_ref::<HoldError>().is_some() {
        return none("runs_already");
    }
    of_training(cause).or_else(|| of_chain(cause))
}

/// The same for what has to do with training.
fn of_training(cause: &(dyn Error + 'static)) -> Option<(&'static str, Value)> {
    let none = |code| Some((code, Value::Null));
    if let Some(fault) = cause.downcast_ref() {
        return match fault {
            Fault::Job(_) => none("recipe"),
            Fault::Segment(segment) | Fault::Checkpoint(segment) => {
                Some(("other_trace", json!({ "segment": segment })))
            }
            Fault::Data { claimed, actual } => Some(("other_data", json!({ "claimed": claimed, "actual": actual }))),
            Fault::NoSegment { segments, .. } => Some(("no_segment", json!({ "segments": segments }))),
            _ => none("other_trace"),
        };
    }
    if cause.is::<RecipeError>() || cause.is::<JobError>() {
        return none("recipe");
    }
    if cause.is::<ImportError>() || cause.is::<DataError>() || cause.is::<OtherShape>() {
        return none("data");
    }
    let is_malformed = cause.is::<WireError>() || cause.is::<CodecError>();
    is_malformed.then_some(("not_valid", Value::Null))
}

/// The same for what a network answers.
fn of_network(error: &ClientError) -> (&'static str, Value) {
    match error {
        ClientError::Refused { kind, .. } => ("refused", json!(kind)),
        ClientError::TooFew { answers, peers, need } => {
            ("too_few_answers", json!({ "answers": answers, "peers": peers, "need": need }))
        }
        ClientError::NoAccord { answers, peers, quorum } => {
            ("no_accord", json!({ "answers": answers, "peers": peers, "quorum": quorum }))
        }
        ClientError::NotFinal { transaction, height, .. } => {
            ("not_final", json!({ "transaction": transaction, "height": height }))
        }
        ClientError::NotYet(height) => ("not_yet", json!({ "height": height })),
        ClientError::Gone(height) => ("gone", json!({ "height": height })),
        ClientError::Silent(_) => ("no_answer", Value::Null),
        ClientError::Wrong(_) | ClientError::OtherAnswer(_) => ("wrong_answer", Value::Null),
        ClientError::Genesis(_) => ("genesis", Value::Null),
        ClientError::Connect { address, .. } => ("bad_address", json!({ "address": address })),
        ClientError::Store(_) => ("store", Value::Null),
    }
}

/// The same for what has to do with a settlement chain.
fn of_chain(cause: &(dyn Error + 'static)) -> Option<(&'static str, Value)> {
    let none = |code| Some((code, Value::Null));
    if let Some(NotDeployed { network, .. }) = cause.downcast_ref() {
        return Some(("not_deployed", json!({ "network": network })));
    }
    if let Some(error) = cause.downcast_ref::<SendError>() {
        return Some(match error {
            SendError::WouldRevert { contract, function, revert } => {
                ("would_revert", json!({ "contract": contract, "function": function, "revert": revert.to_string() }))
            }
            SendError::Reverted { tx, revert, .. } => ("reverted", json!({ "tx": tx, "revert": revert.to_string() })),
            SendError::InsufficientFunds { account, .. } => ("insufficient_funds", json!({ "account": account })),
            SendError::AboveCeiling { fee, ceiling, .. } => {
                ("gas_too_dear", json!({ "fee": fee.to_string(), "ceiling": ceiling.to_string() }))
            }
            SendError::OverBudget { .. } => ("over_budget", Value::Null),
            SendError::Signer { account, .. } => ("signer", json!({ "account": account })),
            _ => ("send", Value::Null),
        });
    }
    if let Some(error) = cause.downcast_ref::<ConnectError>() {
        return match error {
            ConnectError::BadEndpoint { rpc, .. } => Some(("bad_endpoint", json!({ "rpc": rpc }))),
            ConnectError::Unreachable { network, .. } => Some(("chain_unreachable", json!({ "network": network }))),
            ConnectError::WrongChain { expected, actual, .. } => {
                Some(("wrong_chain", json!({ "expected": expected, "actual": actual })))
            }
            ConnectError::Anvil(error) => code_of(error),
        };
    }
    if let Some(error) = cause.downcast_ref::<KeystoreError>() {
        return Some(match error {
            KeystoreError::WrongPassword(name) => ("wrong_password", json!({ "key": name })),
            KeystoreError::NotFound { wanted, .. } => ("no_key", json!({ "key": wanted })),
            KeystoreError::Exists(name) => ("key_exists", json!({ "key": name })),
            _ => ("keystore", Value::Null),
        });
    }
    match cause.downcast_ref::<MultisigError>() {
        Some(MultisigError::Send(error)) => return code_of(error),
        Some(MultisigError::Read(error)) => return code_of(error),
        Some(_) => return none("other_contract"),
        None => {}
    }
    match cause.downcast_ref::<DeployError>() {
        Some(DeployError::Send(error)) => return code_of(error),
        Some(_) => return none("deploy"),
        None => {}
    }
    match cause.downcast_ref::<NetworksError>() {
        Some(NetworksError::Unknown { name, .. }) => return Some(("no_such_network", json!({ "network": name }))),
        Some(_) => return none("config"),
        None => {}
    }
    match cause.downcast_ref::<ReadError>() {
        Some(ReadError::NotTheContract { contract, .. }) => {
            return Some(("not_the_contract", json!({ "contract": contract })));
        }
        Some(_) => return none("chain_read"),
        None => {}
    }
    if cause.downcast_ref::<CallError>().is_some() || cause.downcast_ref::<PlanError>().is_some() {
        return none("bad_argument");
    }
    cause.downcast_ref::<AnvilError>().and_then(|_| none("anvil"))
}

/// What may help against an error, if anything is known.
fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let of_testbed = || cause.downcast_ref().and_then(of_testbed);
        let of_deployment = || cause.downcast_ref::<NotDeployed>().map(|_| "run `dtn-cli deploy`".into());
        let of_client = cause.downcast_ref().and_then(of_client);
        of_client.or_else(of_testbed).or_else(|| of_connection(cause.downcast_ref()?)).or_else(of_deployment)
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
