//! A network that a command runs for itself, and stops however it ends.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{home::Home, processes};
use crate::output;

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
            // Should this process be killed, somebody has to know where the peers are.
            output::note(format_args!("the network of this run is in {}", temporary.path().display()));
            return Ok(Self { home: Home::new(temporary.path()), temporary: Some(temporary) });
        };
        Ok(Self { home: Home::new(folder), temporary: None })
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Stops what runs. A temporary folder stays if the command failed, for its logs and without its keys, or if something
    /// may still run there.
    pub(crate) async fn end(self, failed: bool) -> Result<()> {
        let Self { home, temporary } = self;
        let exists = home.client_file().exists();
        let stopped = if exists { processes::down(&home).await.map(|_| ()) } else { Ok(()) };
        if exists && (failed || stopped.is_err()) {
            output::note(format_args!("the peers' logs are in {}", home.path().join("peers").display()));
            if temporary.map(TempDir::keep).is_some() && stopped.is_ok() {
                let cannot = || format!("cannot remove the keys in {}", home.path().display());
                fs::remove_dir_all(home.keys())
                    .and_then(|()| fs::remove_file(home.password_file()))
                    .with_context(cannot)?;
            }
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
