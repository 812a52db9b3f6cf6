//! The guides in `docs/` that say of themselves that their commands are run: here they are, as a reader would.

use std::{env, path::Path, process::Command};

/// The commands of a page: its blocks marked `sh`, in order.
fn commands(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(path).expect("the page");
    let mut blocks = Vec::new();
    for block in text.split("\n```sh\n").skip(1) {
        let (commands, _) = block.split_once("\n```").expect("a block ends");
        blocks.push(commands.to_string());
    }
    blocks
}

#[test]
fn every_command_of_the_guide_to_sequential_work_runs_in_its_order() {
    let blocks = commands("protocols/aow.md");
    assert!(blocks.len() >= 8, "{blocks:?}");
    let directory = tempfile::tempdir().expect("a directory");
    let binary = Path::new(env!("CARGO_BIN_EXE_dtn-cli"));
    let folder = binary.parent().expect("a folder").to_path_buf();
    let search = env::var_os("PATH").unwrap_or_default();
    let search = env::join_paths([folder].into_iter().chain(env::split_paths(&search))).expect("a search path");
    for block in blocks {
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &block]).current_dir(&directory).env("PATH", &search);
        let output = shell.output().expect("bash runs");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{block}\n{said}");
        if block.contains("aow sync --peers 4 --rounds 3") {
            assert_eq!(said.matches("12 of 12 successful").count(), 3, "{said}");
        }
        if block.contains("--half-work 4") {
            assert!(said.contains("0 of 4") && said.contains("16 of 20 successful"), "{said}");
        }
    }
}
