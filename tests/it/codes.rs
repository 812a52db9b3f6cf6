//! The codes by which programs tell failures apart.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// Runs a command in a folder, without a terminal, a chain or variables of this program.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtn-cli"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DTN_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().expect("it runs")
}

/// The failure of a command: its exit code, and what it tells programs.
fn failure(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = run(folder.path(), &[arguments, &["--json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"));
    (output.status.code(), value["error"].clone())
}

fn assert_codes(folder: &TempDir, expected: &[(&[&str], &str)]) {
    for (arguments, code) in expected {
        let (ended, error) = failure(folder, arguments);
        assert_eq!((error["code"].as_str(), ended), (Some(*code), Some(1)), "{arguments:?}: {error}");
    }
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_not_taken_for_an_absent_one() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    // It leads to itself, which keeps out the superuser as well.
    std::os::unix::fs::symlink("loop", folder.path().join("loop")).expect("writable");
    assert_codes(
        &folder,
        &[
            (&["l1", "status", "--home", "loop"], "file"),
            (&["l1", "up", "--home", "loop"], "file"),
            (&["l1", "init", "--home", "loop"], "file"),
            (&["l1", "down", "--home", "loop"], "file"),
            (&["l1", "backup", "loop/0", "copy"], "file"),
            (&["l1", "never-voted", "loop/0"], "file"),
            (&["gas", "--offline", "--home", "loop"], "file"),
            (&["gas", "--offline", "--file", "loop/gas.jsonl"], "file"),
            (&["gas", "--offline", "--home", "absent"], "not_valid"),
            (&["gas", "--offline", "--file", "absent"], "not_valid"),
            (&["network", "list", "--config", "loop/dtn.toml"], "file"),
            (&["l1", "status", "--home", "absent"], "no_network"),
            (&["l1", "backup", "absent", "copy"], "no_peer"),
        ],
    );
    let node = run(folder.path(), &["l1", "node", "loop/0"]);
    let said = String::from_utf8_lossy(&node.stderr);
    assert!(
        node.status.code() == Some(1) && said.contains("cannot read ") && said.contains("loop/0/node.toml"),
        "{said}"
    );
}

#[test]
fn each_failure_has_the_code_that_is_documented_for_it() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("writable");
    write("password", "x\n");
    write("empty.jsonl", "\n");
    write("bad.jsonl", "{}\n");
    write("bad.toml", "nodes = 3\n");
    write("other.json", "{\"header\": 1}");
    let init = run(folder.path(), &["l1", "init", "--password-file", "password"]);
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let certificate = ["verify-certificate", "other.json"];
    assert_codes(
        &folder,
        &[
            (&["l1", "submit", "none.jsonl"], "file"),
            (&["l1", "submit", "bad.jsonl"], "not_valid"),
            (&["l1", "submit", "empty.jsonl"], "not_valid"),
            (
                &[
                    "l1",
                    "submit",
                    "--dataset",
                    "a",
                    "--model",
                    "b",
                    "--metric",
                    "c",
                    "--reward",
                    "much",
                    "--expected-hashes",
                    "1",
                ],
                "bad_argument",
            ),
            (&["l1", "submit", "--dataset", "", "--model", "b", "--metric", "c"], "bad_argument"),
            (&["l1", "evidence"], "no_answer"),
            (&["l1", "init", "--home", "other", "--transport", "quic"], "bad_argument"),
            (&["l1", "init", "--home", "other", "--block-interval", "1s", "--engine", "pbft"], "bad_argument"),
            (&["l1", "backup", ".dtn/peers/0", "copy"], "store"),
            (&["l1", "migrate", ".dtn/peers/0"], "store"),
            (&["l1", "restore", "password", ".dtn/peers/0"], "store"),
            (&["keys", "generate", "--password-file", "none"], "file"),
            (&["keys", "generate"], "bad_argument"),
            (&certificate, "not_valid"),
            (&["verify-certificate", "none.json"], "file"),
            (&["aow", "verify", "none"], "file"),
            (&["aow", "verify", "other.json"], "not_valid"),
            (&["sim", "pbft", "bad.toml"], "not_valid"),
            (&["sim", "pbft", "none.toml"], "file"),
            (&["sim", "pbft", "--nodes", "2"], "bad_argument"),
        ],
    );
    let (_, error) = failure(&folder, &["l1", "submit", "bad.jsonl"]);
    assert_eq!(
        (error["data"]["file"].as_str(), error["data"]["line"].as_u64()),
        (Some("bad.jsonl"), Some(1)),
        "{error}"
    );
}

#[test]
fn what_is_wrong_with_arguments_is_a_usage_error_without_the_usage() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for arguments in
        [&["l1", "submit"][..], &["show", "--dry-run"], &["l1", "nothing"], &["deploy", "--threshold", "x"]]
    {
        let (ended, error) = failure(&folder, arguments);
        assert_eq!((error["code"].as_str(), ended), (Some("usage"), Some(2)), "{arguments:?}");
        let said = error["message"].as_str().expect("text");
        assert!(!said.contains("--help") && !said.contains("Usage"), "{said}");
    }
}

#[test]
fn a_demo_says_what_it_lacks_to_people_and_in_its_file() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let output = run(folder.path(), &["demo", "--json", "report.json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("--transactions"), "{said}");
    let report: Value =
        serde_json::from_slice(&fs::read(folder.path().join("report.json")).expect("written")).expect("JSON");
    assert_eq!(report["error"]["code"], "file", "{report}");
}
