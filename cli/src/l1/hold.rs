//! Who runs what. A process holds files for as long as it lives, and the system says which process that is. The text of a
//! file, a command line and a bare process id are believed in nothing: ids are used again, files are copied and edited.

use std::{
    fs::{File, TryLockError},
    io::{self, ErrorKind},
    path::Path,
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
pub(crate) struct Hold {
    pub(crate) file: File,
}

/// Who holds a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// No process.
    Nobody,
    /// A process that can be seen from here.
    Process(Pid),
    /// A process that cannot: it is in another container, or on another machine that shares the disk.
    Unseen,
}

impl Hold {
    /// Holds a file, if nobody else does. To read it must be enough: secrets may be on disks that are read-only.
    pub(crate) fn take(file: File) -> io::Result<Result<Self, Holder>> {
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
pub(crate) fn holder(path: &Path) -> io::Result<Holder> {
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
