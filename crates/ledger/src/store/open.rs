//! Opening a store, and making a new one.

use std::{fs, io, path::Path, sync::Arc};

use dtn_primitives::{Address, B256, VERSION};
use redb::{Database, Durability, ReadableDatabase, backends::InMemoryBackend};

use super::{
    Memory, Store, StoreError,
    backup::publish,
    error::{Label, corrupt},
    memory::{self, Age, AgeFile},
    shelf::Shelf,
    tables::{MEMORY_KEY, META, NETWORK_KEY, SCHEMA_KEY, TABLES, get, put, version},
};

/// Pages that redb keeps in memory; its default is 1 GiB, and several peers may share a machine.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

impl Store {
    /// Opens the file, or makes a new one, which knows nothing of what its peer may have said.
    pub(crate) fn open(path: &Path, network_id: B256) -> Result<Self, StoreError> {
        Self::open_or_make(path, path, network_id, Memory::Lost)
    }

    /// Opens a file that messages call by another name.
    pub(super) fn open_as(path: &Path, name: &Path, network_id: B256) -> Result<Self, StoreError> {
        Self::open_or_make(path, name, network_id, Memory::Lost)
    }

    /// Opens the file, or makes a new one, for a peer that is about to speak. Says whether it is an older copy of the
    /// store that this peer had. A ledger starts its own ([`Ledger::start`](crate::Ledger::start)); a protocol without
    /// blocks has nothing but the journal of one.
    pub fn start(path: &Path, network_id: B256, peer: Address) -> Result<(Self, bool), StoreError> {
        let memory = if memory::is_marked(path)? { Memory::NeverVoted } else { Memory::Lost };
        let mut store = Self::open_or_make(path, path, network_id, memory)?;
        store.bind(peer)?;
        memory::unmark(path)?;
        let is_older = store.begin_run(path)?;
        Ok((store, is_older))
    }

    fn open_or_make(path: &Path, name: &Path, network_id: B256, memory: Memory) -> Result<Self, StoreError> {
        if !path.try_exists().map_err(|error| StoreError::io(path, error))? {
            Self::make(path, network_id, memory)?;
        }
        let label = Label::new(name.display());
        let database = label.guard(|| {
            let mut database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
            // "Repaired" may mean that the last commit was undone, and with it votes that others have seen.
            if database.check_integrity()? { Ok(database) } else { Err(corrupt("its pages fail their checksums")) }
        })?;
        let mut store = Self::check(database, label, network_id)?;
        store.shelf = Shelf::open(path)?.into();
        if let Some(age) = Age::read(path)? {
            let own = store.age()?;
            if own.run == age.run && own.writes < age.writes {
                return Err(store.contradiction("what was written last is missing"));
            }
            store.beside = if own.run == age.run { Some(AgeFile::open(path, age)?.into()) } else { None };
        }
        Ok(store)
    }

    /// A store that is gone when it is dropped. Nobody can have lost it before.
    pub(crate) fn in_memory(network_id: B256) -> Result<Self, StoreError> {
        let label = Label::new("in memory");
        let backend = InMemoryBackend::new();
        let builder = || Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)?);
        let store = Self::of(label.guard(builder)?, label);
        store.make_tables(network_id, Memory::NeverVoted)?;
        Ok(store)
    }

    /// Makes a new store beside its place and moves it there once it is whole: what a full disk has cut short is in nobody's
    /// way.
    fn make(path: &Path, network_id: B256, memory: Memory) -> Result<(), StoreError> {
        let (draft, label) = (path.with_extension("begun"), Label::new(path.display()));
        let remove = || match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io(&draft, error)),
            _ => Ok(()),
        };
        remove()?;
        let database = label.guard(|| Ok(Database::builder().set_cache_size(CACHE_BYTES).create(&draft)?));
        let made = database.and_then(|database| Self::of(database, label).make_tables(network_id, memory));
        made.and_then(|()| publish(&draft, path).map_err(|error| StoreError::io(path, error)))
            .inspect_err(|_| _ = remove())
    }

    fn of(database: Database, label: Label) -> Self {
        Self {
            database: Arc::new(database),
            label: label.into(),
            durable_writes: Arc::default(),
            unsynced: Arc::default(),
            beside: None,
            open: Arc::default(),
            shelf: Shelf::in_memory().into(),
        }
    }

    fn make_tables(&self, network_id: B256, memory: Memory) -> Result<(), StoreError> {
        self.write(Durability::Immediate, |transaction| {
            for table in TABLES {
                transaction.open_table(table)?;
            }
            let mut meta = transaction.open_table(META)?;
            put(&mut meta, META, SCHEMA_KEY, &VERSION)?;
            put(&mut meta, META, NETWORK_KEY, &network_id)?;
            put(&mut meta, META, MEMORY_KEY, &memory)
        })
    }

    /// A store that is there must be of this version and network.
    fn check(database: Database, label: Label, network_id: B256) -> Result<Self, StoreError> {
        let store = Self::of(database, label);
        let known = store.label.guard(|| {
            let reading = store.database.begin_read()?;
            let tables = reading.list_tables()?.count();
            if tables == 0 {
                return Ok(None);
            }
            let meta = reading.open_table(META)?;
            let network: Option<B256> = get(&meta, META, NETWORK_KEY)?;
            Ok(Some((version(&meta)?, network)))
        })?;
        let store_name = || store.label.to_string();
        match known {
            None => return Err(store.contradiction("it is empty")),
            Some((have, _)) if have != VERSION => {
                return Err(StoreError::OtherVersion { store: store_name(), have, need: VERSION });
            }
            Some((_, Some(network))) if network == network_id => {}
            Some((_, Some(have))) => {
                return Err(StoreError::OtherNetwork { store: store_name(), have, need: network_id });
            }
            Some((_, None)) => return Err(store.contradiction("it names no network")),
        }
        Ok(store)
    }
}
