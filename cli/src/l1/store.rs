//! What an operator does to a peer's store while the peer is stopped.

use std::path::Path;

use anyhow::{Context, Result};
use dtn_ledger::mark_never_voted;

use super::home::PeerHome;

/// Says that a peer's key has never signed a vote.
pub(super) fn never_voted(peer: &Path) -> Result<()> {
    let home = PeerHome::new(peer);
    home.config(&[])?;
    mark_never_voted(home.store()).with_context(|| format!("not done for {}", home.path().display()))
}
