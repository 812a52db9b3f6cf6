//! The example as its page has it.

use std::{path::Path, process::Command};

#[test]
fn a_product_that_every_peer_has_checked_is_paid_and_a_wrong_one_is_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO_BIN_EXE_work-of-your-own")).current_dir(root).output();
    let output = output.expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("this is not the product") && said.contains("is paid 1."), "{said}");
}
