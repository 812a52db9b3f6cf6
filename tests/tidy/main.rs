//! What holds of the repository's text, whatever the program does: how long functions, files and crates may be, where links
//! lead, and which dependencies there are. It knows none of our crates, so that it is built and run in seconds:
//! `cargo test --release --locked -p dtn-tidy`.

#![allow(clippy::unwrap_used)] // A test fails by a panic.

mod budgets;
mod code;
mod dependencies;
mod docs;
mod map;
mod tree;

/// Fails with all that is wrong, a line each.
fn expect_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}\n", wrong.join("\n  "));
}
