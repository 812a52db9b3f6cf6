//! The example as its page has it.

use std::{path::Path, process::Command};

#[test]
fn everybody_is_paid_once_by_the_auditors_and_the_owners() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO_BIN_EXE_settle-from-your-service")).current_dir(root).output();
    let output = output.expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("is paid 0.").count(), 3, "{said}");
    assert!(said.contains("day 1 is certified by 3 auditors") && said.contains("again: refused"), "{said}");
}
