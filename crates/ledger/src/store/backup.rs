//! Copies of a store, which its peer must not take for the store: what it has said since the copy was made, the copy does
//! not know.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use dtn_primitives::{Address, B256};
use redb::Durability;

use super::{
    Memory, Store, StoreError,
    memory::{Age, sync_folder},
    tables::{MEMORY_KEY, META, RUN_KEY, put},
};

impl Store {
    /// Copies a store, which is checked and locked meanwhile, to a file that is not there yet.
    pub(crate) fn back_up(
        store: &Path,
        file: &Path,
        network_id: B256,
        peer: Option<Address>,
    ) -> Result<(), StoreError> {
        vacant(file)?;
        fs::metadata(store).map_err(|error| StoreError::io(store, error))?;
        let checked = Self::open(store, network_id)?;
        if let Some(peer) = peer {
            checked.bind(peer)?;
        }
        let draft = file.with_extension("part");
        let published = copy(store, &draft).and_then(|()| publish(&draft, file));
        published.map_err(|error| StoreError::io(file, error)).inspect_err(|_| _ = fs::remove_file(&draft))
    }

    /// Puts a copy in the place of a store that is gone. It says of itself that it does not know everything.
    pub(crate) fn restore(
        file: &Path,
        store: &Path,
        network_id: B256,
        peer: Option<Address>,
    ) -> Result<(), StoreError> {
        vacant(store)?;
        // The age is that of the store that is gone: this one must not be taken for a damaged form of it.
        let age = Age::read(store)?.unwrap_or_default();
        let draft = store.with_file_name("restored.redb");
        let _at_rest = at_rest(file)?;
        copy(file, &draft).map_err(|error| StoreError::io(file, error))?;
        let outdate = || {
            let copied = Self::open_as(&draft, file, network_id)?;
            if let Some(peer) = peer {
                copied.bind(peer)?;
            }
            copied.outdate(age.run)
        };
        if let Err(error) = outdate() {
            fs::remove_file(&draft).ok();
            return Err(error);
        }
        publish(&draft, store).map_err(|error| StoreError::io(store, error))
    }

    /// Says of itself that its peer has run and spoken since.
    fn outdate(&self, run: u64) -> Result<(), StoreError> {
        let run = run.max(self.run()?).saturating_add(1);
        self.write(Durability::Immediate, |transaction| {
            let mut meta = transaction.open_table(META)?;
            put(&mut meta, META, RUN_KEY, &run)?;
            put(&mut meta, META, MEMORY_KEY, &Memory::Lost)
        })
    }
}

/// Keeps a file from being written meanwhile; fails if it is the store of a peer that runs.
fn at_rest(file: &Path) -> Result<File, StoreError> {
    let opened = File::open(file).map_err(|error| StoreError::io(file, error))?;
    match opened.try_lock_shared() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { store: file.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io(file, error)),
    }
}

fn vacant(file: &Path) -> Result<(), StoreError> {
    match file.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Exists { file: file.display().to_string() }),
        Err(error) => Err(StoreError::io(file, error)),
    }
}

pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

/// Moves a file that is complete to its place.
pub(super) fn publish(draft: &Path, file: &Path) -> io::Result<()> {
    fs::rename(draft, file)?;
    sync_folder(file)
}
