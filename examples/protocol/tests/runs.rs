//! The example as its page has it.

use std::{path::Path, process::Command};

#[test]
fn the_promises_are_kept_a_seeded_bug_is_found_and_four_real_peers_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO_BIN_EXE_protocol-of-your-own")).current_dir(root).output();
    let output = output.expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "1000 seeds: every promise is kept",
        "with a signature less, DTN_SEED=",
        "\"the word of 2\" of 2 is certified, and known to all",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}
