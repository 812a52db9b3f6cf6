//! The files of the repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What is made or fetched, wherever it is.
const MADE: [&str; 2] = ["target", "node_modules"];

/// The same, by its path from the root.
const MADE_HERE: [&str; 5] = ["contracts/out", "contracts/cache", "broadcast", "fuzz/corpus", "fuzz/artifacts"];

/// A file with its path from the root, by `/`.
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All files with one of these extensions, in the order of their paths.
pub(crate) fn texts(extensions: &[&str]) -> Vec<Text> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let made = MADE.contains(&name) || MADE_HERE.iter().any(|here| path == root.join(here));
            if name.starts_with('.') || made {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)) {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(Text { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}
