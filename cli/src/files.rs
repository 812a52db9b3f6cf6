//! Files that people hand to commands: read within a limit, with errors that name them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Serialize, de::DeserializeOwned};

/// Reads a text of at most `limit` bytes.
pub(crate) fn read_text(file: &Path, limit: u64) -> Result<String> {
    let cannot = || format!("cannot read {}", file.display());
    let size = fs::metadata(file).with_context(cannot)?.len();
    ensure!(size <= limit, "{} has {size} bytes, more than the {limit} that such a file may have", file.display());
    fs::read_to_string(file).with_context(cannot)
}

/// A text without the mark that some editors put before UTF-8.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads JSON of at most `limit` bytes.
pub(crate) fn read_json<T: DeserializeOwned>(file: &Path, limit: u64) -> Result<T> {
    serde_json::from_str(without_mark(&read_text(file, limit)?))
        .with_context(|| format!("{} is not valid", file.display()))
}

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

/// Writes JSON that people can read.
pub(crate) fn write_json(file: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    fs::write(file, format!("{text}\n")).with_context(|| format!("cannot write {}", file.display()))
}
