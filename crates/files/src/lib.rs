//! Files that people and programs share: read within a limit, written whole or not at all, changed by one at a time; with
//! errors that name them.

mod replace;

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

pub use replace::{Access, Held, make_parent, write, write_new};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

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

/// Reads a text of at most `limit` bytes, [without its mark](without_mark).
pub fn read_to_string(file: &Path, limit: u64) -> io::Result<String> {
    let bytes = read(file, limit)?;
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is UTF-16; save it as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error.utf8_error()))?;
    Ok(without_mark(&text).to_owned())
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

impl FileError {
    /// What programs read of it: a stable code, and what belongs to it.
    pub fn code(&self) -> (&'static str, Value) {
        match self {
            Self::Read { file, .. } | Self::Write { file, .. } | Self::Unwritable { file, .. } => {
                ("file", json!({ "file": file }))
            }
            Self::Make { folder, .. } => ("file", json!({ "file": folder })),
            Self::Json { file, .. } | Self::Toml { file, .. } => ("not_valid", json!({ "file": file })),
        }
    }
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
    serde_json::from_str(&text).map_err(|source| FileError::Json { file: file.into(), source })
}

/// Writes JSON that people can read, as [`write`] does.
pub fn write_json(file: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let text = serde_json::to_string_pretty(value).map_err(|source| FileError::Json { file: file.into(), source })?;
    write(file, format!("{text}\n").as_bytes(), Access::Shared)
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
        fs::write(&file, b"\xef\xbb\xbfmarked").unwrap();
        assert_eq!(read_to_string(&file, 9).unwrap(), "marked");
        fs::write(&file, b"\xff\xfeh\0i\0").unwrap();
        assert!(read_to_string(&file, 9).unwrap_err().to_string().contains("UTF-16"));
    }
}
