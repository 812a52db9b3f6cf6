//! Bringing a peer's store to this version of the program.

use std::path::Path;

use anyhow::Result;
use dtn_ledger::Ledger;
use dtn_primitives::VERSION;
use serde_json::json;

use super::{print, store::Stopped};

pub(super) fn run(peer: &Path, json: bool) -> Result<()> {
    let Stopped { home, genesis, .. } = Stopped::open(peer)?;
    let before = Ledger::migrate(home.store(), &genesis)?;
    print(json, &json!({ "peer": peer, "before": before, "now": VERSION }), || match before {
        VERSION => format!("the store of {} is of version {VERSION} already", peer.display()),
        before => format!(
            "the store of {} is of version {VERSION}; as it was at version {before}, it lies beside it",
            peer.display()
        ),
    })
}
