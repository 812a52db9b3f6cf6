//! Files that hold signatures of one thing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use dtn_peer::files::{Held, read_json, write_json};
use serde::{Serialize, de::DeserializeOwned};

/// Reads files that hold signatures of one thing, and puts them into one by `combine`.
pub(crate) fn combined<T: DeserializeOwned, E: std::error::Error + Send + Sync + 'static>(
    files: &[PathBuf],
    limit: u64,
    combine: impl Fn(&mut T, T) -> Result<(), E>,
) -> Result<T> {
    let (first, others) = files.split_first().context("there is no file")?;
    let mut signed = read_json(first, limit)?;
    for file in others {
        let other = read_json(file, limit)?;
        combine(&mut signed, other).with_context(|| format!("{} and {}", first.display(), file.display()))?;
    }
    Ok(signed)
}

/// Adds signatures to those that a file has by now: somebody else may have signed it since it was read.
pub(crate) fn add_to<T: Serialize + DeserializeOwned, E: std::error::Error + Send + Sync + 'static>(
    file: &Path,
    limit: u64,
    signed: T,
    combine: impl FnOnce(&mut T, T) -> Result<(), E>,
) -> Result<T> {
    let held = Held::new(file)?;
    let mut all = read_json(held.path(), limit)?;
    combine(&mut all, signed).with_context(|| format!("{} was changed meanwhile", file.display()))?;
    write_json(held.path(), &all)?;
    Ok(all)
}
