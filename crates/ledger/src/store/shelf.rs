//! The state at the last checkpoints, for peers that lag.
//!
//! A snapshot is a file beside the store, written by a thread of its own from what the store was at that height: whoever
//! votes waits for none of it. Those that somebody is fetching are kept for longer than the others.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use dtn_primitives::{B256, codec};
use redb::ReadTransaction;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    StoreError,
    error::{Label, corrupt},
    state::read_state,
};
use crate::{Rest, buckets::BUCKETS, snapshot::Chunk};

/// How many of the newest are kept, whoever asks for them: a peer that lags has to hear of one and ask others for it
/// while the network goes on.
const KEPT: usize = 4;

/// How many others are kept because somebody is fetching them.
const MAX_LENT: usize = 4;

/// How many further checkpoints one is kept for after it was last asked for: half a minute where the network is at its
/// fastest.
const LENT_FOR: u64 = 64;

/// What a snapshot has beside its parts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cover {
    /// What of the state is in no part.
    pub(crate) rest: Rest,
    /// The parts' hashes in their order.
    pub(crate) chunks: Vec<B256>,
}

/// The end of a snapshot's file, behind the parts; its length and its checksum follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Index {
    cover: Cover,
    /// Where each part begins, how long it is, and its checksum.
    places: Vec<(u64, u32, u64)>,
}

/// A snapshot that is complete.
#[derive(Debug)]
struct Snapshot {
    cover: Cover,
    parts: Parts,
    /// How many checkpoints were stable when it was last asked for.
    asked: Option<u64>,
}

#[derive(Debug)]
enum Parts {
    Memory(Vec<Vec<u8>>),
    File(PathBuf, Vec<(u64, u32, u64)>),
}

/// The snapshots of a store.
#[derive(Debug)]
pub(super) struct Shelf {
    /// Where their files are; without, they are in memory.
    folder: Option<PathBuf>,
    snapshots: Arc<Mutex<Snapshots>>,
    /// Who writes one.
    scribe: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
}

#[derive(Debug, Default)]
struct Snapshots {
    by_height: BTreeMap<u64, Snapshot>,
    /// How many checkpoints have become stable.
    stable: u64,
}

impl Drop for Shelf {
    /// What is being written reads the store, which is about to be closed.
    fn drop(&mut self) {
        if let Some(scribe) = self.scribe.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            scribe.join().ok();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// For a store that is gone when it is dropped.
    pub(super) fn in_memory() -> Self {
        Self { folder: None, snapshots: Arc::default(), scribe: Mutex::default() }
    }

    /// That of the store at a path. A file that is damaged is no snapshot.
    pub(super) fn open(store: &Path) -> Result<Self, StoreError> {
        let folder = store.with_extension("snapshots");
        let mut snapshots = Snapshots::default();
        let mut list = || -> io::Result<()> {
            if !folder.try_exists()? {
                return Ok(());
            }
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let height = path.file_name().and_then(|name| name.to_str()?.parse().ok());
                match height.zip(Index::read(&path).ok()) {
                    Some((height, Index { cover, places })) => {
                        let snapshot = Snapshot { cover, parts: Parts::File(path, places), asked: None };
                        snapshots.by_height.insert(height, snapshot);
                    }
                    None => fs::remove_file(&path)?,
                }
            }
            Ok(())
        };
        list().map_err(|error| StoreError::io(&folder, error))?;
        Ok(Self { folder: Some(folder), snapshots: Arc::new(Mutex::new(snapshots)), scribe: Mutex::default() })
    }

    /// The highest one of these heights, as somebody asks for it.
    pub(super) fn cover(&self, heights: impl DoubleEndedIterator<Item = u64>) -> Option<(u64, Cover)> {
        let Snapshots { by_height, stable } = &mut *locked(&self.snapshots);
        heights.rev().find_map(|height| {
            let snapshot = by_height.get_mut(&height)?;
            snapshot.asked = Some(*stable);
            Some((height, snapshot.cover.clone()))
        })
    }

    /// A part of the one at a height, as somebody asks for it.
    pub(super) fn chunk(&self, height: u64, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let mut snapshots = locked(&self.snapshots);
        let Snapshots { by_height, stable } = &mut *snapshots;
        let Some(snapshot) = by_height.get_mut(&height) else { return Ok(None) };
        snapshot.asked = Some(*stable);
        let (path, place) = match &snapshot.parts {
            Parts::Memory(parts) => return Ok(parts.get(index as usize).cloned()),
            Parts::File(path, places) => (path.clone(), places.get(index as usize).copied()),
        };
        let Some((start, length, sum)) = place else { return Ok(None) };
        drop(snapshots);
        let part = read_at(&path, start, length as usize).map_err(|error| StoreError::io(&path, error))?;
        if xxh3_64(&part) == sum {
            return Ok(Some(part));
        }
        // Others have it.
        locked(&self.snapshots).by_height.remove(&height);
        fs::remove_file(&path).map_err(|error| StoreError::io(&path, error))?;
        Ok(None)
    }

    /// Has one written from what the store is now, unless another is being written. Fails if that other one failed.
    pub(super) fn write(
        &self,
        label: &Arc<Label>,
        height: u64,
        reading: ReadTransaction,
        cover: Cover,
    ) -> Result<(), StoreError> {
        if locked(&self.snapshots).by_height.contains_key(&height) {
            return Ok(());
        }
        let mut scribe = locked(&self.scribe);
        match scribe.take() {
            Some(busy) if !busy.is_finished() => {
                *scribe = Some(busy);
                return Ok(());
            }
            done => finish(done)?,
        }
        let (label, snapshots, folder) = (label.clone(), self.snapshots.clone(), self.folder.clone());
        let work = move || {
            let chunks = cover.chunks.clone();
            let parts = chunks.iter().enumerate();
            let parts = parts.map(|(index, hash)| label.guard(|| part(&reading, index, chunks.len(), *hash)));
            keep(&snapshots, folder.as_deref(), height, cover, parts)
        };
        if self.folder.is_none() {
            return work();
        }
        let named = thread::Builder::new().name("snapshot".into());
        let error = |error: io::Error| StoreError::io(Path::new("a thread for snapshots"), error);
        *scribe = Some(named.spawn(work).map_err(error)?);
        Ok(())
    }

    /// Keeps one that was taken over from others.
    pub(super) fn take_over(&self, height: u64, cover: Cover, parts: &[impl AsRef<[u8]>]) -> Result<(), StoreError> {
        let parts = parts.iter().map(|part| Ok(part.as_ref().to_vec()));
        keep(&self.snapshots, self.folder.as_deref(), height, cover, parts)
    }

    /// Waits until the one that is being written is there.
    pub(super) fn wait(&self) -> Result<(), StoreError> {
        finish(locked(&self.scribe).take())
    }

    /// Takes in that a checkpoint is stable, and drops what nobody should need any more.
    pub(super) fn turn(&self) -> Result<(), StoreError> {
        let mut snapshots = locked(&self.snapshots);
        snapshots.stable += 1;
        snapshots.tidy()
    }

    /// The height of the oldest one.
    pub(super) fn lowest(&self) -> Option<u64> {
        locked(&self.snapshots).by_height.keys().next().copied()
    }

    /// The lowest height at which somebody is fetching one.
    pub(super) fn lowest_lent(&self) -> Option<u64> {
        locked(&self.snapshots).lent().into_iter().min()
    }
}

impl Snapshots {
    /// The heights of those that were asked for lately, the latest first.
    fn lent(&self) -> Vec<u64> {
        let asked = self.by_height.iter().filter_map(|(height, snapshot)| Some((snapshot.asked?, *height)));
        let mut lent: Vec<_> = asked.filter(|(asked, _)| self.stable - asked <= LENT_FOR).collect();
        lent.sort_unstable_by(|a, b| b.cmp(a));
        lent.into_iter().take(MAX_LENT).map(|(_, height)| height).collect()
    }

    fn tidy(&mut self) -> Result<(), StoreError> {
        let (lent, newest) = (self.lent(), self.by_height.keys().rev().nth(KEPT - 1).copied().unwrap_or(0));
        let dropped = self.by_height.extract_if(.., |height, _| *height < newest && !lent.contains(height));
        for (_, Snapshot { parts, .. }) in dropped {
            if let Parts::File(path, _) = parts {
                fs::remove_file(&path).map_err(|error| StoreError::io(&path, error))?;
            }
        }
        Ok(())
    }
}

/// What came of writing one.
fn finish(scribe: Option<JoinHandle<Result<(), StoreError>>>) -> Result<(), StoreError> {
    // It has no panics of its own, and those of redb are errors.
    scribe.map_or(Ok(()), |scribe| scribe.join().unwrap_or(Ok(())))
}

/// A part of the state that a transaction sees. Its hash is known: the one in memory and the one on disk are the same.
fn part(reading: &ReadTransaction, index: usize, count: usize, hash: B256) -> Result<Vec<u8>, redb::Error> {
    let width = BUCKETS / count;
    let numbers = (index * width) as u16..=(index * width + width - 1) as u16;
    let state = read_state(reading, &numbers)?;
    let chunk = Chunk(state.buckets().into_iter().filter_map(|at| Some((at, state.bucket(at)?.into()))).collect());
    if chunk.node(index, width) != Some(hash) {
        return Err(corrupt("its state is not the one that its blocks lead to"));
    }
    Ok(codec::encode(&chunk))
}

fn keep(
    snapshots: &Mutex<Snapshots>,
    folder: Option<&Path>,
    height: u64,
    cover: Cover,
    parts: impl Iterator<Item = Result<Vec<u8>, StoreError>>,
) -> Result<(), StoreError> {
    let (cover, parts) = match folder {
        None => (cover, Parts::Memory(parts.collect::<Result<_, _>>()?)),
        Some(folder) => {
            fs::create_dir_all(folder).map_err(|error| StoreError::io(folder, error))?;
            let path = folder.join(height.to_string());
            let index = Index::write(&path, cover, parts)?;
            (index.cover, Parts::File(path, index.places))
        }
    };
    let mut snapshots = locked(snapshots);
    snapshots.by_height.insert(height, Snapshot { cover, parts, asked: None });
    snapshots.tidy()
}

impl Index {
    /// Writes a file with these parts, whole or not at all.
    fn write(
        path: &Path,
        cover: Cover,
        parts: impl Iterator<Item = Result<Vec<u8>, StoreError>>,
    ) -> Result<Self, StoreError> {
        let draft = path.with_extension("new");
        let error = |error| StoreError::io(&draft, error);
        let mut file = File::create(&draft).map_err(error)?;
        let (mut places, mut end) = (Vec::new(), 0);
        for part in parts {
            let part = part?;
            file.write_all(&part).map_err(error)?;
            places.push((end, part.len() as u32, xxh3_64(&part)));
            end += part.len() as u64;
        }
        let index = Self { cover, places };
        let encoded = codec::encode(&index);
        let foot = [xxh3_64(&encoded), encoded.len() as u64].map(u64::to_be_bytes).concat();
        // It is not waited for the disk: a file that a failing machine has spoiled is no snapshot.
        let written = file.write_all(&encoded).and_then(|()| file.write_all(&foot));
        written.and_then(|()| fs::rename(&draft, path)).map_err(error)?;
        Ok(index)
    }

    fn read(path: &Path) -> io::Result<Self> {
        let length = fs::metadata(path)?.len();
        let start = length.checked_sub(16).ok_or(io::ErrorKind::InvalidData)?;
        let foot = read_at(path, start, 16)?;
        let number = |at: usize| foot[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let (sum, size) = (number(0), number(8));
        let start = start.checked_sub(size).ok_or(io::ErrorKind::InvalidData)?;
        let encoded = read_at(path, start, usize::try_from(size).map_err(|_| io::ErrorKind::InvalidData)?)?;
        let index = (xxh3_64(&encoded) == sum).then(|| codec::decode(&encoded, encoded.len()).ok()).flatten();
        index.ok_or(io::ErrorKind::InvalidData.into())
    }
}

fn read_at(path: &Path, start: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
