//! What an operator does to the store of a peer that is stopped.

use std::path::Path;

use anyhow::{Context, Result, bail};
use dtn_keys::KeyInfo;
use dtn_ledger::{Ledger, mark_never_voted};
use dtn_peer::hold::Holder;
use dtn_peer::{PeerHome, read_genesis};
use dtn_primitives::{Address, Genesis};
use dtn_testbed::Service;

use crate::failure::Coded;

/// A peer that is stopped.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) home: PeerHome,
    pub(super) genesis: Genesis,
    /// Its address, where its keystore states it.
    address: Option<Address>,
}

impl Stopped {
    /// The peer of a folder; fails if it runs.
    pub(super) fn open(peer: &Path) -> Result<Self> {
        let home = PeerHome::new(peer);
        let config = home.config(&[])?;
        let folder = home.path().display();
        match Service::peer(&home).holder() {
            Holder::Nobody => {}
            Holder::Process(pid) => {
                bail!(Coded::runs(format_args!("the peer in {folder} runs as process {pid}: stop it first")))
            }
            Holder::Unseen => {
                bail!(Coded::runs(format_args!(
                    "the peer in {folder} runs where it cannot be seen from here: stop it first"
                )))
            }
        }
        Ok(Self { genesis: read_genesis(&config.genesis)?, address: KeyInfo::at(&config.keystore)?.address, home })
    }
}

/// Says that a peer's key has never signed a vote.
pub(super) fn never_voted(peer: &Path) -> Result<()> {
    let home = Stopped::open(peer)?.home;
    mark_never_voted(home.store()).with_context(|| format!("not done for {}", home.path().display()))
}

/// Copies a peer's store to a file.
pub(super) fn back_up(peer: &Path, file: &Path) -> Result<()> {
    let back_up = |Stopped { home, genesis, address }: Stopped| {
        Ledger::back_up(home.store(), file, &genesis, address).map_err(Into::into)
    };
    Stopped::open(peer).and_then(back_up).context("no backup was made")
}

/// Puts a copy in the place of a peer's store that is gone.
pub(super) fn restore(file: &Path, peer: &Path) -> Result<()> {
    let restore = |Stopped { home, genesis, address }: Stopped| {
        Ledger::restore(file, home.store(), &genesis, address).map_err(Into::into)
    };
    Stopped::open(peer).and_then(restore).context("nothing was restored")
}
