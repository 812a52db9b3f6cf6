//! Files that people hand to commands: read within a limit, with errors that name them.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Serialize, de::DeserializeOwned};

/// The longest file, in bytes, where nothing shorter is long enough.
pub(crate) const MOST: u64 = 64 << 20;

/// Reads a file of at most `limit` bytes. What a file is said to have is not believed: a device or a pipe has no size, and
/// may have no end.
pub(crate) fn read(file: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= limit {
        true => Ok(bytes),
        false => Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it has more than the {limit} bytes that such a file has at most"),
        )),
    }
}

/// Reads a text of at most `limit` bytes.
pub(crate) fn read_to_string(file: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(file, limit)?).map_err(|error| io::Error::new(ErrorKind::InvalidData, error.utf8_error()))
}

/// Reads a text of at most `limit` bytes, with an error that names the file.
pub(crate) fn read_text(file: &Path, limit: u64) -> Result<String> {
    read_to_string(file, limit).with_context(|| format!("cannot read {}", file.display()))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_one_without_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "four").unwrap();
        assert_eq!(read_text(&file, 4).unwrap(), "four");
        for (file, limit) in [(&*file, 3), (Path::new("/dev/zero"), 1 << 20)] {
            let error = format!("{:#}", read_text(file, limit).unwrap_err());
            assert!(error.contains(file.to_str().unwrap()) && error.contains(&limit.to_string()), "{error}");
        }
        assert_eq!(read(&folder.path().join("none"), 4).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(&file, b"\xff").unwrap();
        assert_eq!(read_to_string(&file, 4).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
