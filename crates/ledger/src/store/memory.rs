//! Whether a store holds everything that its peer has said.
//!
//! A store that is new cannot tell whether it replaces one that was lost. So whoever makes a validator's key leaves a
//! file beside the place of its store, which says that this key has never voted. The first start makes the store and
//! then removes the file, both durably. A store that is made without it is one that was lost.
//!
//! A store may also be an older copy of itself, put back by hand or by a damaged disk. A second file tells: it holds
//! how often the peer was started and how often its store was written durably, and the store holds the same. The file
//! is written after the store, so that it is never ahead of the store that it belongs to.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use dtn_primitives::Address;
use redb::{Durability, ReadableDatabase};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Store, StoreError, tables::*};

/// The file beside a store that is not made yet which says that its peer has never voted.
pub const NEVER_VOTED: &str = "never-voted";

/// What a store knows of what its peer has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memory {
    /// All of it: nothing was ever said.
    NeverVoted,
    /// All of it.
    Kept,
    /// Not all of it: the store is new while its peer is not, or it is an older copy.
    Lost,
}

/// Says that the peer whose store will be at a path has never voted. Refuses if there is a store, or was one.
pub fn mark_never_voted(store: impl AsRef<Path>) -> Result<(), StoreError> {
    let store = store.as_ref();
    for file in [store.to_path_buf(), Age::file(store)] {
        if file.try_exists().map_err(|error| StoreError::io(&file, error))? {
            return Err(StoreError::HasVoted { store: store.display().to_string(), file: file.display().to_string() });
        }
    }
    let marker = store.with_file_name(NEVER_VOTED);
    let write = || File::create(&marker)?.sync_all();
    write().and_then(|()| sync_folder(&marker)).map_err(|error| StoreError::io(&marker, error))
}

/// Whether the file is there, and there is no sign that the peer has run.
pub(super) fn is_marked(store: &Path) -> Result<bool, StoreError> {
    let marker = store.with_file_name(NEVER_VOTED);
    let is_there = marker.try_exists().map_err(|error| StoreError::io(&marker, error))?;
    Ok(is_there && Age::read(store)?.is_none())
}

/// Removes the file for good, after the store is there for good.
pub(super) fn unmark(store: &Path) -> Result<(), StoreError> {
    let marker = store.with_file_name(NEVER_VOTED);
    let remove = || {
        sync_folder(store)?;
        match fs::remove_file(&marker) {
            Ok(()) => sync_folder(&marker),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    };
    remove().map_err(|error| StoreError::io(&marker, error))
}

/// Makes durable which files a file's folder has.
pub(super) fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// How new a store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Age {
    /// How often its peer was started.
    pub(super) run: u64,
    /// How often it was written durably.
    pub(super) writes: u64,
}

impl Age {
    const BYTES: usize = 24;

    /// The file that holds the age of the store at a path.
    fn file(store: &Path) -> PathBuf {
        store.with_extension("runs")
    }

    /// What the file beside a store says, if there is one.
    pub(super) fn read(store: &Path) -> Result<Option<Self>, StoreError> {
        let path = Self::file(store);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(Self::BYTES as u64 + 1).read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(&path, error)),
        }
        let age = Self::from_bytes(&bytes);
        age.map(Some).ok_or_else(|| StoreError::corrupt(&path, "it does not tell how new the store beside it is"))
    }

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let numbers = u128::from(self.run) << 64 | u128::from(self.writes);
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&numbers.to_be_bytes());
        bytes[16..].copy_from_slice(&xxh3_64(&numbers.to_be_bytes()).to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (run, writes) = (u64::from_be_bytes(*bytes.first_chunk()?), u64::from_be_bytes(*bytes[8..].first_chunk()?));
        let age = Self { run, writes };
        (bytes == age.to_bytes()).then_some(age)
    }
}

/// The file beside a store, held open to tell of each durable write.
#[derive(Debug)]
pub(super) struct AgeFile {
    path: PathBuf,
    open: Mutex<(File, Age)>,
}

impl AgeFile {
    /// The one that is there.
    pub(super) fn open(store: &Path, age: Age) -> Result<Self, StoreError> {
        let path = Age::file(store);
        let file = File::options().write(true).open(&path).map_err(|error| StoreError::io(&path, error))?;
        Ok(Self { path, open: Mutex::new((file, age)) })
    }

    /// Makes a new one, whole or not at all, in place of the one before.
    fn replace(store: &Path, age: Age) -> Result<Self, StoreError> {
        let path = Age::file(store);
        let draft = store.with_extension("runs.new");
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(&age.to_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            sync_folder(&path)?;
            Ok(file)
        };
        let file = write().map_err(|error| StoreError::io(&path, error))?;
        Ok(Self { path, open: Mutex::new((file, age)) })
    }

    /// Tells how often the store was written by now. It does not wait for the disk: a machine that fails may forget
    /// it, but nothing that leaves the machine running does.
    pub(super) fn wrote(&self, writes: u64) -> Result<(), StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, age) = &mut *open;
        if age.writes >= writes {
            return Ok(());
        }
        age.writes = writes;
        let bytes = age.to_bytes();
        let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&bytes));
        written.map_err(|error| StoreError::io(&self.path, error))
    }
}

impl Store {
    /// Makes this the store of a peer, unless it is another's.
    pub(super) fn bind(&self, peer: Address) -> Result<(), StoreError> {
        match self.read(META, PEER_KEY)? {
            Some(have) if have == peer => Ok(()),
            Some(have) => Err(StoreError::OtherPeer { store: self.label.to_string(), have, need: peer }),
            // It is new, or older than this rule.
            None => self.write(Durability::Immediate, |transaction| {
                put(&mut transaction.open_table(META)?, META, PEER_KEY, &peer)
            }),
        }
    }

    /// What this store knows of what its peer has said.
    pub fn memory(&self) -> Result<Memory, StoreError> {
        Ok(self.read(META, MEMORY_KEY)?.unwrap_or(Memory::Lost))
    }

    /// How often its peer was started, this time included.
    pub fn run(&self) -> Result<u64, StoreError> {
        Ok(self.age()?.run)
    }

    pub(super) fn age(&self) -> Result<Age, StoreError> {
        self.label.guard(|| {
            let meta = self.database.begin_read()?.open_table(META)?;
            let run = get(&meta, META, RUN_KEY)?.unwrap_or_default();
            Ok(Age { run, writes: get(&meta, META, WRITES_KEY)?.unwrap_or_default() })
        })
    }

    /// Counts a start of the peer, in the store and then beside it. Says whether the store is an older copy, which has
    /// lost what was said since.
    pub(super) fn begin_run(&mut self, path: &Path) -> Result<bool, StoreError> {
        let (own, beside) = (self.age()?, Age::read(path)?);
        let is_older = beside.map_or(own.run > 0, |beside| own.run < beside.run);
        let run = own.run.max(beside.map_or(0, |beside| beside.run)).saturating_add(1);
        // The file of another copy must not be told about this one's writes.
        self.beside = None;
        self.write(Durability::Immediate, |transaction| {
            let mut meta = transaction.open_table(META)?;
            put(&mut meta, META, RUN_KEY, &run)?;
            if is_older {
                put(&mut meta, META, MEMORY_KEY, &Memory::Lost)?;
            }
            Ok(())
        })?;
        self.beside = Some(AgeFile::replace(path, self.age()?)?.into());
        Ok(is_older)
    }
}
