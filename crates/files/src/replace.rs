//! Writing that loses nothing: into a draft beside the file, forced to the disk, then in its place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::FileError;

/// Tells apart the drafts of one process.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// Who can read a file that is new. One that was there stays as it is, but for [`Access::Owner`], which shuts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever the system lets, by its mask.
    Shared,
    /// Its owner alone: it may hold a secret.
    Owner,
}

/// Puts a file in the place of what is there. Whatever happens meanwhile, a full disk or the end of the process, there is the old
/// one or the new one. What is no file, as a pipe, is written to.
pub fn write(file: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    let written = || {
        let file = target(file)?;
        match fs::metadata(&file) {
            Ok(there) if !there.is_file() => OpenOptions::new().write(true).open(&file)?.write_all(bytes),
            there => replace(&file, bytes, access, there.ok().as_ref()),
        }
    };
    written().map_err(|source| FileError::Write { file: file.into(), source })
}

/// Makes the folders above a file.
pub fn make_parent(file: &Path) -> Result<(), FileError> {
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => fs::create_dir_all(folder).map_err(|source| FileError::Make { folder: folder.into(), source }),
        None => Ok(()),
    }
}

/// Writes a file that is not there yet. `false` if it is there.
pub fn write_new(file: &Path, bytes: &[u8], access: Access) -> Result<bool, FileError> {
    let written = || {
        let draft = Draft::of(file, bytes, access, None)?;
        // A link fails where a renaming would replace what has come meanwhile.
        match fs::hard_link(&draft.0, file) {
            Ok(()) => sync_parent(file).map(|()| true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    };
    written().map_err(|source| FileError::Write { file: file.into(), source })
}

/// The only one who changes a file, until it is dropped.
#[derive(Debug)]
pub struct Held {
    file: PathBuf,
    /// The lock is on what was opened, and ends with it.
    _opened: File,
}

impl Held {
    /// Waits until nobody else changes a file that is there, and holds it.
    pub fn new(file: &Path) -> Result<Self, FileError> {
        let hold = || loop {
            let file = target(file)?;
            let opened = File::open(&file)?;
            opened.lock()?;
            // Whoever held it before may have put another file in its place.
            if is_same(&opened, &file)? {
                return Ok(Self { file, _opened: opened });
            }
        };
        hold().map_err(|source| FileError::Read { file: file.into(), source })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file
    }
}

#[cfg(unix)]
fn is_same(opened: &File, file: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (held, there) = (opened.metadata()?, fs::metadata(file)?);
    Ok((held.dev(), held.ino()) == (there.dev(), there.ino()))
}

#[cfg(not(unix))]
fn is_same(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// What a link leads to, so that it is not replaced itself.
fn target(file: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(file.into()),
        found => found,
    }
}

fn replace(file: &Path, bytes: &[u8], access: Access, there: Option<&fs::Metadata>) -> io::Result<()> {
    let draft = Draft::of(file, bytes, access, there)?;
    fs::rename(&draft.0, file)?;
    sync_parent(file)
}

/// A name in a folder is durable when the folder is.
fn sync_parent(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// A file beside another, which is gone with this unless it was renamed.
struct Draft(PathBuf);

impl Draft {
    fn of(file: &Path, bytes: &[u8], access: Access, there: Option<&fs::Metadata>) -> io::Result<Self> {
        let name = file.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it names no file"))?;
        let (process, number) = (std::process::id(), DRAFTS.fetch_add(1, Ordering::Relaxed));
        let path = file.with_file_name(format!(".{}.{process}-{number}.draft", name.to_string_lossy()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        if access == Access::Owner {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let mut opened = options.open(&path)?;
        let draft = Self(path);
        match there {
            Some(there) if access == Access::Shared => opened.set_permissions(there.permissions())?,
            _ => {}
        }
        opened.write_all(bytes)?;
        opened.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_no_draft_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("made/file");
        assert!(matches!(write(&file, b"x", Access::Shared), Err(FileError::Write { .. })), "a folder that is missing");
        make_parent(&file).unwrap();
        for text in ["first", "second, and longer", "third"] {
            write(&file, text.as_bytes(), Access::Shared).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(names(file.parent().unwrap()), ["file"]);
        let folder_itself = write(folder.path(), b"x", Access::Shared).unwrap_err();
        assert!(matches!(folder_itself, FileError::Write { .. }));
    }

    #[test]
    fn a_new_file_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert!(write_new(&file, b"first", Access::Owner).unwrap());
        assert!(!write_new(&file, b"second", Access::Owner).unwrap());
        assert_eq!((fs::read(&file).unwrap(), names(folder.path())), (b"first".to_vec(), vec!["file".to_string()]));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_file_keeps_its_mode_unless_it_is_a_secret() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        write(&file, b"first", Access::Shared).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"second", Access::Shared).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"second");
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o640);
        write(&file, b"third", Access::Owner).unwrap();
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn who_changes_a_file_sees_what_the_last_one_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("count");
        write(&file, b"0", Access::Shared).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let held = Held::new(&file).unwrap();
                        let count: u32 = fs::read_to_string(held.path()).unwrap().parse().unwrap();
                        write(held.path(), (count + 1).to_string().as_bytes(), Access::Shared).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&file).unwrap(), "100");
    }
}
