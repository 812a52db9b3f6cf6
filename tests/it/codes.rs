//! The codes by which programs tell failures apart.

use std::{
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
            (&["network", "list", "--config", "loop/dtn.toml"], "file"),
            (&["l1", "status", "--home", "absent"], "no_network"),
            (&["l1", "backup", "absent", "copy"], "no_peer"),
        ],
    );
    let node = run(folder.path(), &["l1", "node", "loop/0"]);
    let said = String::from_utf8_lossy(&node.stderr);
    assert!(node.status.code() == Some(1) && said.contains("cannot read loop/0/node.toml"), "{said}");
    let none = run(folder.path(), &["gas", "--offline", "--home", "absent", "--json"]);
    assert!(none.status.success(), "an absent folder has no ledgers");
}
