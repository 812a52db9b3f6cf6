//! Who runs what. A process holds files for as long as it lives, and the system says which process that is. The text of a
//! file, a command line and a bare process id are believed in nothing: ids are used again, files are copied and edited.

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
    unistd::Pid,
};

/// A file that this process holds until this is dropped, or the process ends in whichever way.
///
/// The process must not open the file a second time meanwhile: closing it would make its holder unknown (POSIX).
#[derive(Debug)]
pub struct Hold {
    file: File,
}

/// Who holds a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// No process.
    Nobody,
    /// A process that can be seen from here.
    Process(Pid),
    /// A process that cannot: it is in another container, or on another machine that shares the disk.
    Unseen,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "process {pid}"),
            Self::Nobody | Self::Unseen => f.write_str("another process, which cannot be seen from here,"),
        }
    }
}

/// Why a file is not held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The file that tells who runs cannot be written.
    #[error("cannot write {}", file.display())]
    PidFile {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody runs there.
    #[error("{holder} runs in {} already", folder.display())]
    Runs {
        /// Who.
        holder: Holder,
        /// Where.
        folder: PathBuf,
    },
    /// The keystore cannot be held.
    #[error("cannot hold the keystore {}", file.display())]
    Keystore {
        /// The keystore.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody signs with it.
    #[error(
        "{holder} uses the keystore {}: two processes with one key contradict each other, which is held against that validator \
         for good. Stop that process first",
        file.display()
    )]
    KeyInUse {
        /// Who.
        holder: Holder,
        /// The keystore.
        file: PathBuf,
    },
}

/// Holds the file that tells who the service in a folder is, and writes this process's id there for people and scripts.
pub fn hold(pid_file: &Path) -> Result<Hold, HoldError> {
    let cannot = |source| HoldError::PidFile { file: pid_file.into(), source };
    // Its content stays until it is held: it may be another's.
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(pid_file);
    let taken = file.and_then(Hold::take).map_err(cannot)?;
    let folder = || pid_file.parent().unwrap_or(pid_file).into();
    let mut hold = taken.map_err(|holder| HoldError::Runs { holder, folder: folder() })?;
    hold.file.set_len(0).and_then(|()| write!(hold.file, "{}", std::process::id())).map_err(cannot)?;
    Ok(hold)
}

/// Holds a keystore. Two processes with one key contradict each other without knowing.
pub fn hold_keystore(keystore: &Path) -> Result<Hold, HoldError> {
    let taken = File::open(keystore).and_then(Hold::take);
    let taken = taken.map_err(|source| HoldError::Keystore { file: keystore.into(), source })?;
    taken.map_err(|holder| HoldError::KeyInUse { holder, file: keystore.into() })
}

impl Hold {
    /// Holds a file, if nobody else does. To read it must be enough: secrets may be on disks that are read-only.
    pub fn take(file: File) -> io::Result<Result<Self, Holder>> {
        // Two locks: one keeps all others out, also where the file is only read; the other tells them who has it.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(holder_of(&file)?)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        fcntl(&file, FcntlArg::F_SETLK(&whole_file(libc::F_RDLCK)))?;
        Ok(Ok(Self { file }))
    }
}

/// Who holds the file of this name; nobody does if there is none.
pub fn holder(path: &Path) -> io::Result<Holder> {
    match File::open(path) {
        Ok(file) => holder_of(&file),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Holder::Nobody),
        Err(error) => Err(error),
    }
}

fn holder_of(file: &File) -> io::Result<Holder> {
    let mut lock = whole_file(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    Ok(match lock.l_pid {
        _ if lock.l_type == libc::F_UNLCK as i16 => Holder::Nobody,
        pid if pid > 0 => Holder::Process(Pid::from_raw(pid)),
        _ => Holder::Unseen,
    })
}

fn whole_file(kind: i32) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}
