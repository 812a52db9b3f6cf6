//! The files that commands make where an option says: none is put in the place of another one, whatever that is. What was
//! signed, a password and a record of money are files, too, and a page is made again once the old one is moved away.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::ArgMatches;

use crate::failure::Coded;

/// The options that name such a file, whichever command has them.
const OPTIONS: [&str; 7] = ["out", "plan", "html", "csv", "json", "save_data", "record"];

/// The arguments that name what a file is made of, which may take the place of one of them: it has all of it.
const SOURCES: [&str; 2] = ["file", "files"];

/// The files that a command was told to make.
pub(crate) fn named(command: &[&str], matches: &ArgMatches) -> Vec<PathBuf> {
    // An option of another command with the same name may be no path.
    let paths = |id: &str| matches.try_get_many::<PathBuf>(id).ok().flatten().into_iter().flatten().cloned();
    let sources: Vec<_> = match command.last() {
        Some(&"sign" | &"combine") => SOURCES.into_iter().flat_map(paths).collect(),
        _ => Vec::new(),
    };
    // A sweep goes on with the table of the one before.
    let options = OPTIONS.into_iter().filter(|option| (command, *option) != (&["sim", "sweep"][..], "csv"));
    options.flat_map(paths).filter(|file| !sources.contains(file)).collect()
}

/// Whether a file is there that would be replaced. A folder, a pipe or a device is none.
pub(crate) fn is_taken(file: &Path) -> bool {
    // What standard output leads to is not replaced, but written to.
    let is_device = ["/dev", "/proc"].iter().any(|folder| file.starts_with(folder));
    !is_device && fs::metadata(file).is_ok_and(|there| there.is_file())
}

/// Fails if a file is there that would be replaced.
pub(crate) fn ensure_free(file: &Path) -> Result<()> {
    if is_taken(file) { Err(taken(file)) } else { Ok(()) }
}

/// That a file is there already.
pub(crate) fn taken(file: &Path) -> anyhow::Error {
    Coded::occupied(file, "is there already; move it away or name another file").into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn nothing_is_replaced_but_a_device_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        ensure_free(&file).unwrap();
        fs::write(&file, "there").unwrap();
        assert!(ensure_free(&file).unwrap_err().to_string().contains("is there already"));
        for free in [folder.path(), Path::new("/dev/null"), Path::new("/dev/stdout")] {
            ensure_free(free).unwrap();
        }
    }
}
