//! Files that people write: read within a limit, with errors that name them, and written for their owner alone.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use dtn_settlement::shown;
use serde::{Serialize, de::DeserializeOwned};

/// The longest file, in bytes, where nothing shorter is long enough.
pub const MOST: u64 = 64 << 20;

/// Reads a file of at most `limit` bytes. What a file is said to have is not believed: a device or a pipe has no size, and
/// may have no end.
pub fn read(file: &Path, limit: u64) -> io::Result<Vec<u8>> {
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
pub fn read_to_string(file: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(file, limit)?).map_err(|error| io::Error::new(ErrorKind::InvalidData, error.utf8_error()))
}

/// Why a file is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder cannot be made.
    #[error("cannot make {}", folder.display())]
    Make {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no JSON of its kind.
    #[error("{} is not valid", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It is no TOML of its kind.
    #[error("{} is not valid: {reason}", file.display())]
    Toml {
        /// The file.
        file: PathBuf,
        /// Why, with the line, in which URLs are cut.
        reason: String,
    },
    /// TOML cannot express what is to be written.
    #[error("TOML cannot express what belongs into {}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: toml::ser::Error,
    },
}

/// Whether there is a file or a folder. One that is somewhere where nobody may look is not taken for absent.
pub fn exists(path: &Path) -> Result<bool, FileError> {
    path.try_exists().map_err(|source| FileError::Read { file: path.into(), source })
}

/// Reads a text of at most `limit` bytes.
pub fn read_text(file: &Path, limit: u64) -> Result<String, FileError> {
    read_to_string(file, limit).map_err(|source| FileError::Read { file: file.into(), source })
}

/// A text without the mark that some editors put before UTF-8.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads JSON of at most `limit` bytes.
pub fn read_json<T: DeserializeOwned>(file: &Path, limit: u64) -> Result<T, FileError> {
    let text = read_text(file, limit)?;
    serde_json::from_str(without_mark(&text)).map_err(|source| FileError::Json { file: file.into(), source })
}

/// Reads TOML of at most [`MOST`] bytes.
pub fn read_toml<T: DeserializeOwned>(file: &Path) -> Result<T, FileError> {
    let text = read_text(file, MOST)?;
    toml::from_str(without_mark(&text))
        .map_err(|error| FileError::Toml { file: file.into(), reason: shown::text(error.to_string().trim_end()) })
}

/// Writes JSON that people can read.
pub fn write_json(file: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let text = serde_json::to_string_pretty(value).map_err(|source| FileError::Json { file: file.into(), source })?;
    fs::write(file, format!("{text}\n")).map_err(|source| FileError::Write { file: file.into(), source })
}

/// Writes a configuration that only its owner can read: the address of a chain's server may hold a key.
pub fn write_toml<T: Serialize>(file: &Path, value: &T) -> Result<(), FileError> {
    let text = toml::to_string_pretty(value).map_err(|source| FileError::Unwritable { file: file.into(), source })?;
    let write = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut opened = options.open(file)?;
        // It may be there already, from a time when others could read it.
        #[cfg(unix)]
        opened.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        opened.write_all(text.as_bytes())
    };
    write().map_err(|source| FileError::Write { file: file.into(), source })
}

/// Makes a folder, and those above it that are missing, which only their owner can enter.
pub fn make_private(folder: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| FileError::Make { folder: folder.into(), source })
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
            let FileError::Read { file: named, source } = read_text(file, limit).unwrap_err() else { panic!() };
            assert!(named == file && source.to_string().contains(&limit.to_string()), "{source}");
        }
        assert_eq!(read(&folder.path().join("none"), 4).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(exists(&file).unwrap() && !exists(&folder.path().join("none")).unwrap());
        assert!(matches!(exists(&file.join("below")), Err(FileError::Read { .. })), "a file is no folder");
        fs::write(&file, b"\xff").unwrap();
        assert_eq!(read_to_string(&file, 4).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
