//! The map of crates in `ARCHITECTURE.md`.

use std::{collections::BTreeMap, fs};

use toml::Table;

use crate::tree::{root, texts};

/// Our crates, and which of ours each is made of.
fn of_manifests() -> BTreeMap<String, Vec<String>> {
    let manifests = texts(&["toml"]).into_iter().filter_map(|file| {
        let name = file.path.strip_suffix("/Cargo.toml")?.to_owned();
        (name == "cli" || name.starts_with("crates/")).then_some((name, file.text))
    });
    let ours = |manifest: &str| {
        let manifest: Table = manifest.parse().unwrap();
        let names = manifest["dependencies"].as_table().unwrap().keys();
        names.filter_map(|name| name.strip_prefix("dtn-")).map(str::to_owned).collect()
    };
    manifests.map(|(name, manifest)| (name, ours(&manifest))).collect()
}

/// The same from the rows `| `crate` | what it is for | `one`, `another` |`.
fn of_the_page() -> BTreeMap<String, Vec<String>> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = page.split_once("| crate |").unwrap().1.split_once("\n\n").unwrap().0;
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = table.lines().skip(2).map(|row| {
        let cells: Vec<_> = row.split(" | ").collect();
        (quoted(cells[0]).remove(0), quoted(cells[2]))
    });
    rows.collect()
}

#[test]
fn the_map_of_crates_is_that_of_the_manifests() {
    let sorted = |mut map: BTreeMap<String, Vec<String>>| {
        map.values_mut().for_each(|names| names.sort());
        map
    };
    assert_eq!(sorted(of_the_page()), sorted(of_manifests()));
}
