//! Files that people hand to commands: read within a limit, with errors that name them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde::{Serialize, de::DeserializeOwned};

/// Reads a text of at most `limit` bytes.
pub(crate) fn read_text(file: &Path, limit: u64) -> Result<String> {
    let cannot = || format!("cannot read {}", file.display());
    let size = fs::metadata(file).with_context(cannot)?.len();
    ensure!(size <= limit, "{} has {size} bytes, more than the {limit} that such a file may have", file.display());
    fs::read_to_string(file).with_context(cannot)
}

/// Reads JSON of at most `limit` bytes.
pub(crate) fn read_json<T: DeserializeOwned>(file: &Path, limit: u64) -> Result<T> {
    serde_json::from_str(&read_text(file, limit)?).with_context(|| format!("{} is not valid", file.display()))
}

/// Writes JSON that people can read.
pub(crate) fn write_json(file: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    fs::write(file, format!("{text}\n")).with_context(|| format!("cannot write {}", file.display()))
}
