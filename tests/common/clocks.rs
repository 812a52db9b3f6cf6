//! The clocks of some peers, by libfaketime.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::text;

/// A clock for each peer that was started with its variables.
pub(crate) struct Clocks {
    library: String,
    folder: TempDir,
}

impl Clocks {
    /// Says why this machine has no such clocks: it takes `faketime`.
    pub(crate) fn new() -> Result<Self, String> {
        let output = Command::new("faketime").args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).output();
        let output = output.map_err(|error| format!("faketime: {error}"))?;
        if !output.status.success() {
            return Err(text(&output.stderr).trim().to_string());
        }
        Ok(Self { library: text(&output.stdout).trim().to_string(), folder: TempDir::new().unwrap() })
    }

    fn file(&self, peer: usize) -> PathBuf {
        self.folder.path().join(peer.to_string())
    }

    /// Sets a peer's clock, which it sees at once.
    pub(crate) fn set(&self, peer: usize, ahead: &str) {
        let draft = self.folder.path().join("draft");
        fs::write(&draft, ahead).unwrap();
        fs::rename(draft, self.file(peer)).unwrap();
    }

    /// What to start a peer with, so that it goes by its own clock, which is right at first.
    pub(crate) fn variables(&self, peer: usize) -> Vec<(&'static str, String)> {
        self.set(peer, "+0");
        vec![
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file(peer).to_str().unwrap().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_string()),
            // What a machine's clock is set to does not change how long anything takes.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_string()),
        ]
    }
}
