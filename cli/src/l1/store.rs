//! What an operator does to the store of a peer that is stopped.

use std::path::Path;

use anyhow::{Context, Result};
use dtn_ledger::{Ledger, mark_never_voted};
use dtn_primitives::Genesis;

use super::home::{PeerHome, read_genesis};

/// A peer's folder and its genesis.
pub(super) fn open(peer: &Path) -> Result<(PeerHome, Genesis)> {
    let home = PeerHome::new(peer);
    let genesis = read_genesis(&home.config(&[])?.genesis)?;
    Ok((home, genesis))
}

/// Says that a peer's key has never signed a vote.
pub(super) fn never_voted(peer: &Path) -> Result<()> {
    let (home, _) = open(peer)?;
    mark_never_voted(home.store()).with_context(|| format!("not done for {}", home.path().display()))
}

/// Copies a peer's store to a file.
pub(super) fn back_up(peer: &Path, file: &Path) -> Result<()> {
    let (home, genesis) = open(peer)?;
    Ledger::back_up(home.store(), file, &genesis).context("no backup was made; a peer has to be stopped for it")
}

/// Puts a copy in the place of a peer's store that is gone.
pub(super) fn restore(file: &Path, peer: &Path) -> Result<()> {
    let (home, genesis) = open(peer)?;
    Ledger::restore(file, home.store(), &genesis).context("nothing was restored")
}
