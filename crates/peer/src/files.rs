//! Files of configuration: TOML, in which URLs may hold secrets. All else about files is [`dtn_files`].

use std::path::Path;

use dtn_chain::shown;
pub use dtn_files::*;
use serde::{Serialize, de::DeserializeOwned};

/// Reads TOML of at most [`MOST`] bytes.
pub fn read_toml<T: DeserializeOwned>(file: &Path) -> Result<T, FileError> {
    let text = read_text(file, MOST)?;
    toml::from_str(&text)
        .map_err(|error| FileError::Toml { file: file.into(), reason: shown::text(error.to_string().trim_end()) })
}

/// Writes a configuration that only its owner can read: the address of a chain's server may hold a key.
pub fn write_toml<T: Serialize>(file: &Path, value: &T) -> Result<(), FileError> {
    let text = toml::to_string_pretty(value).map_err(|source| FileError::Unwritable { file: file.into(), source })?;
    write(file, text.as_bytes(), Access::Owner)
}
