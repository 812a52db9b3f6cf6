//! A network that a command runs for itself, and stops however it ends.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{Result, TestbedError, home::Home, processes};

/// A network of a command's own, from before its keys are made until after its processes are stopped.
#[derive(Debug)]
pub struct OwnNetwork {
    home: Home,
    temporary: Option<TempDir>,
}

impl OwnNetwork {
    /// In a folder that stays, or in a temporary one that only this user can read; `note` is told where.
    pub fn at(folder: Option<&Path>, note: impl Fn(&str)) -> Result<Self> {
        let Some(folder) = folder else {
            let temporary = tempfile::Builder::new().prefix("dtn-").tempdir();
            let temporary = temporary.map_err(TestbedError::path("make a folder in", std::env::temp_dir()))?;
            // Should this process be killed, somebody has to know where the peers are.
            note(&format!("the network of this run is in {}", temporary.path().display()));
            return Ok(Self { home: Home::new(temporary.path()), temporary: Some(temporary) });
        };
        Ok(Self { home: Home::new(folder), temporary: None })
    }

    /// Its folder.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Stops what runs. A temporary folder stays if the command failed, for its logs and without its keys, or if something
    /// may still run there; `note` is told where.
    pub async fn end(self, failed: bool, note: impl Fn(&str)) -> Result<()> {
        let Self { home, temporary } = self;
        // What cannot be looked at may run.
        let exists = !matches!(home.client_file().try_exists(), Ok(false));
        let stopped = if exists { processes::down(&home).await.map(|_| ()) } else { Ok(()) };
        if exists && (failed || stopped.is_err()) {
            note(&format!("the peers' logs are in {}", home.path().join("peers").display()));
            if temporary.map(TempDir::keep).is_some() && stopped.is_ok() {
                fs::remove_dir_all(home.keys())
                    .and_then(|()| fs::remove_file(home.password_file()))
                    .map_err(TestbedError::path("remove the keys in", home.path()))?;
            }
        } else if let Some(temporary) = temporary {
            temporary.close().map_err(TestbedError::path("remove", home.path()))?;
        }
        stopped
    }

    /// Leaves it running.
    pub fn leave(self) {
        self.temporary.map(TempDir::keep);
    }
}
