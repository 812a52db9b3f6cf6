//! A network that a command runs for itself, and stops however it ends.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{home::Home, processes};

/// A network of a command's own, from before its keys are made until after its processes are stopped.
pub(crate) struct OwnNetwork {
    home: Home,
    temporary: Option<TempDir>,
}

impl OwnNetwork {
    /// In a folder that stays, or in a temporary one that only this user can read.
    pub(crate) fn at(folder: Option<&Path>) -> Result<Self> {
        let Some(folder) = folder else {
            let temporary =
                tempfile::Builder::new().prefix("dtn-").tempdir().context("cannot make a temporary folder")?;
            return Ok(Self { home: Home::new(temporary.path()), temporary: Some(temporary) });
        };
        Ok(Self { home: Home::new(folder), temporary: None })
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Stops what runs. A temporary folder stays if the command failed, for its logs, or if something may still run there.
    pub(crate) async fn end(self, failed: bool) -> Result<()> {
        let Self { home, temporary } = self;
        let exists = home.client_file().exists();
        let stopped = if exists { processes::down(&home).await.map(|_| ()) } else { Ok(()) };
        if exists && (failed || stopped.is_err()) {
            eprintln!("the peers' logs are in {}", home.path().join("peers").display());
            temporary.map(TempDir::keep);
        } else if let Some(temporary) = temporary {
            temporary.close().with_context(|| format!("cannot remove {}", home.path().display()))?;
        }
        stopped
    }

    /// Leaves it running.
    pub(crate) fn leave(self) {
        self.temporary.map(TempDir::keep);
    }
}
