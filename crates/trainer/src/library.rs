//! Blobs on disk: a folder for each order, so that all of it goes when the order does.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use dtn_files::{Access, FileError, make_private, read, write};
use dtn_primitives::B256;

use crate::Blob;

/// Blobs in a folder.
#[derive(Debug, Clone)]
pub struct Library {
    folder: PathBuf,
}

impl Library {
    /// That in a folder, which is made when something is put there.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn folder(&self, order: B256) -> PathBuf {
        self.folder.join(format!("{order:x}"))
    }

    fn file(&self, order: B256, blob: &Blob) -> PathBuf {
        self.folder(order).join(format!("{}-{:x}", blob.kind(), blob.hash()))
    }

    /// Whether a blob is there.
    pub fn has(&self, order: B256, blob: &Blob) -> bool {
        self.file(order, blob).is_file()
    }

    /// A blob's bytes, which were checked when they were put there; none if it is not there.
    pub fn get(&self, order: B256, blob: &Blob) -> Result<Option<Vec<u8>>, FileError> {
        let file = self.file(order, blob);
        match read(&file, blob.max_bytes() as u64) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FileError::Read { file, source }),
        }
    }

    /// Puts a blob there, whose bytes the caller has [checked](Blob::check).
    pub fn put(&self, order: B256, blob: &Blob, bytes: &[u8]) -> Result<(), FileError> {
        make_private(&self.folder(order))?;
        write(&self.file(order, blob), bytes, Access::Owner)
    }

    /// Forgets all that is of an order.
    pub fn forget(&self, order: B256) -> Result<(), FileError> {
        let folder = self.folder(order);
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(FileError::Write { file: folder, source }),
            _ => Ok(()),
        }
    }

    /// The orders of which something is there.
    pub fn orders(&self) -> Vec<B256> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let name = |path: &Path| path.file_name()?.to_str()?.parse().ok();
        entries.filter_map(|entry| name(&entry.path())).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_put_there_is_found_until_its_order_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::new(folder.path().join("library"));
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let blob = Blob::Rows(B256::repeat_byte(3));
        assert!(!library.has(one, &blob) && library.get(one, &blob).unwrap().is_none() && library.orders().is_empty());
        library.put(one, &blob, b"rows").unwrap();
        library.put(other, &blob, b"rows").unwrap();
        assert_eq!(library.get(one, &blob).unwrap().as_deref(), Some(&b"rows"[..]));
        assert!(!library.has(one, &Blob::Data(blob.hash())), "another kind is another blob");
        library.forget(one).unwrap();
        library.forget(one).unwrap();
        assert!(!library.has(one, &blob) && library.has(other, &blob));
        assert_eq!(library.orders(), [other]);
    }
}
