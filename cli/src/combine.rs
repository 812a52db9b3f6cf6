//! Files that hold signatures of one thing.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use dtn_peer::files::read_json;
use serde::de::DeserializeOwned;

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
