//! The folder that a tool is given: rows as CSV, and room to write into.

use std::{
    fs,
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use dtn_files::{Access, FileError, make_private, write};
use dtn_train::{Dataset, FEATURE_ONE, ONE, Task};
use serde_json::Value;

/// The most bytes that a tool may write into its folder.
pub const MAX_OUTPUT_BYTES: u64 = 1 << 30;

/// The most files and folders that it may have there.
const MAX_FILES: usize = 10_000;

/// A folder that is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is taken away by whoever makes it the next time.
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Folder {
    /// An empty one at a path, that only its owner can enter.
    pub(crate) fn make(path: &Path) -> Result<Self, FileError> {
        match fs::remove_dir_all(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::Write { file: path.into(), source });
            }
            _ => {}
        }
        path.parent().map_or(Ok(()), make_private)?;
        // Not one that somebody else has put there meanwhile.
        let made = fs::DirBuilder::new().mode(0o700).create(path);
        made.map_err(|source| FileError::Make { folder: path.into(), source })?;
        let path = path.canonicalize().map_err(|source| FileError::Read { file: path.into(), source })?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn put_json(&self, name: &str, value: &Value) -> Result<(), FileError> {
        write(&self.0.join(name), format!("{value:#}\n").as_bytes(), Access::Owner)
    }

    /// Writes rows as `x0,x1,…,label`: features as the decimals that they are exactly, labels as the numbers of classes or as
    /// decimals.
    pub(crate) fn put_rows(&self, name: &str, data: &Dataset) -> Result<(), FileError> {
        let columns = (0..data.outline().features).map(|column| format!("x{column}"));
        self.put_csv(name, columns.chain(["label".into()]), data.rows(), |row, line| {
            for value in data.features(row) {
                write!(line, "{},", f64::from(*value) / f64::from(FEATURE_ONE))?;
            }
            match data.outline().task {
                Task::Classes(_) => write!(line, "{}", data.label(row)),
                Task::Number => write!(line, "{}", f64::from(data.label(row)) / f64::from(ONE)),
            }
        })
    }

    /// Writes what a model says of rows as `y0,y1,…`: a logit for each class, or a number.
    pub(crate) fn put_logits(&self, name: &str, logits: &[i32], outputs: usize) -> Result<(), FileError> {
        let columns = (0..outputs).map(|column| format!("y{column}"));
        self.put_csv(name, columns, logits.len() / outputs.max(1), |row, line| {
            for (place, logit) in logits[row * outputs..(row + 1) * outputs].iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                write!(line, "{comma}{}", f64::from(*logit) / f64::from(ONE))?;
            }
            Ok(())
        })
    }

    fn put_csv(
        &self,
        name: &str,
        columns: impl Iterator<Item = String>,
        rows: usize,
        each: impl Fn(usize, &mut BufWriter<fs::File>) -> io::Result<()>,
    ) -> Result<(), FileError> {
        let file = self.0.join(name);
        let put = || -> io::Result<()> {
            let mut out = BufWriter::new(fs::File::create(&file)?);
            writeln!(out, "{}", columns.collect::<Vec<_>>().join(","))?;
            for row in 0..rows {
                each(row, &mut out)?;
                writeln!(out)?;
            }
            out.flush()
        };
        put().map_err(|source| FileError::Write { file, source })
    }
}

/// Whether a folder has more than so many bytes on the disk, or too many files. What cannot be looked at counts nothing: it may
/// be gone.
pub(crate) fn is_beyond(folder: &Path, most: u64) -> bool {
    let (mut folders, mut bytes, mut files) = (vec![folder.to_path_buf()], 0, 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            files += 1;
            if let Ok(metadata) = entry.metadata() {
                bytes += 512 * metadata.blocks();
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
            }
            if bytes > most || files > MAX_FILES {
                return true;
            }
        }
    }
    false
}

/// The bytes that a folder has on the disk.
pub(crate) fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| 512 * metadata.blocks()).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn rows_are_written_as_the_decimals_that_they_are() {
        let at = tempfile::tempdir().unwrap();
        let folder = Folder::make(&at.path().join("a/b")).unwrap();
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let data = Dataset::new(Task::Classes(3), 2, vec![4096, -1, 0, 32767], vec![2, 0]).unwrap();
        folder.put_rows("data.csv", &data).unwrap();
        assert_eq!(text("data.csv"), "x0,x1,label\n1,-0.000244140625,2\n0,7.999755859375,0\n");
        let data = Dataset::new(Task::Number, 1, vec![2048], vec![-32768]).unwrap();
        folder.put_rows("data.csv", &data).unwrap();
        assert_eq!(text("data.csv"), "x0,label\n0.5,-0.5\n");
        folder.put_logits("outputs.csv", &[65536, -65536, 0, 1], 2).unwrap();
        assert_eq!(text("outputs.csv"), "y0,y1\n1,-1\n0,0.0000152587890625\n");
        let path = folder.path().to_path_buf();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_is_beyond_its_size_by_bytes_in_any_depth_and_by_files() {
        let at = tempfile::tempdir().unwrap();
        fs::create_dir_all(at.path().join("deep/er")).unwrap();
        assert!(!is_beyond(at.path(), 1 << 20));
        fs::write(at.path().join("deep/er/file"), vec![1; 2 << 20]).unwrap();
        assert!(is_beyond(at.path(), 1 << 20));
        assert!(!is_beyond(at.path(), 4 << 20));
        // A link to much is not much, and one to its own folder has no end that is looked for.
        std::os::unix::fs::symlink(at.path(), at.path().join("deep/again")).unwrap();
        assert!(!is_beyond(at.path(), 4 << 20));
    }
}
