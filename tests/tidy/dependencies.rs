//! `deny.toml`, as far as it can be kept without a tool that takes minutes to build: its bans, its licenses and its sources.
//! `cargo deny check` reads the same file, and says the same and more.

use std::{collections::BTreeMap, fs, process::Command};

use toml::{Table, Value};

use crate::{expect_none, tree::root};

/// A crate that is built, as `cargo tree` tells.
struct Dependency {
    name: String,
    version: String,
    license: String,
}

fn deny() -> Table {
    fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap()
}

fn list<'a>(table: &'a Table, section: &str, key: &str) -> &'a [Value] {
    table[section].get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Each crate that our binaries are made of, on the platforms that `deny.toml` names.
fn dependencies(deny: &Table) -> Vec<Dependency> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["tree", "--locked", "--workspace", "--all-features", "--edges", "normal,build"]);
    cargo.args(["--prefix", "none", "--format", "{p}|{l}"]);
    for target in list(deny, "graph", "targets") {
        cargo.args(["--target", target.as_str().unwrap()]);
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    let read = |line: &str| {
        let (package, license) = line.split_once('|').unwrap();
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap().into(), words.next().unwrap().trim_start_matches('v').into());
        Dependency { name, version, license: license.trim_end_matches(" (*)").into() }
    };
    let mut dependencies: Vec<_> = lines.into_iter().map(read).collect();
    dependencies.dedup_by(|one, other| one.name == other.name && one.version == other.version);
    assert!(dependencies.len() > 100, "cargo tree says {text}");
    dependencies
}

/// A crate as `deny.toml` names it, `name` or `name@version`, and why it is named.
fn named(entry: &Value) -> (&str, Option<&str>, &str) {
    let table = entry.as_table().unwrap();
    let name = table["crate"].as_str().unwrap();
    let (name, version) = name.split_once('@').map_or((name, None), |(name, version)| (name, Some(version)));
    let reason = table.get("reason").and_then(Value::as_str).unwrap_or_default();
    assert!(!reason.is_empty(), "{name} has no reason in deny.toml");
    (name, version, reason)
}

#[test]
fn no_crate_is_built_in_two_versions_without_a_reason_and_none_that_is_banned() {
    let deny = deny();
    assert_eq!(deny["bans"]["multiple-versions"].as_str(), Some("deny"));
    let dependencies = dependencies(&deny);
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Dependency { name, version, .. } in &dependencies {
        versions.entry(name).or_default().push(version);
    }
    let mut wrong = Vec::new();
    for (name, version, _) in list(&deny, "bans", "skip").iter().map(named) {
        let version = version.expect("a version, as in name@1.2.3");
        let found = versions.get_mut(name).filter(|found| found.len() > 1 && found.contains(&version));
        match found {
            Some(found) => found.retain(|one| *one != version),
            None => wrong.push(format!("{name}@{version} is skipped in deny.toml, and is no second version any more")),
        }
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        wrong.push(format!("{name} is built as {}: all but one need a reason in deny.toml", versions.join(" and ")));
    }
    for (name, _, reason) in list(&deny, "bans", "deny").iter().map(named) {
        if versions.contains_key(name) {
            wrong.push(format!("{name} is banned: {reason}"));
        }
    }
    expect_none("bans", &wrong);
}

#[test]
fn every_license_is_one_that_deny_toml_allows() {
    let deny = deny();
    let allowed: Vec<_> = list(&deny, "licenses", "allow").iter().filter_map(Value::as_str).collect();
    let dependencies = dependencies(&deny);
    let refused = dependencies.iter().filter(|one| !satisfies(&one.license, &allowed));
    let wrong: Vec<_> =
        refused.map(|Dependency { name, version, license }| format!("{name} {version}: {license:?}")).collect();
    expect_none("licenses that are not allowed", &wrong);
}

/// Whether an expression of SPDX, or a list by slashes as it was before, is satisfied by these licenses.
fn satisfies(license: &str, allowed: &[&str]) -> bool {
    let spaced = license.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "+WITH+");
    let words: Vec<_> = spaced.split_whitespace().map(|word| word.replace("+WITH+", " WITH ")).collect();
    let mut words = words.iter().map(String::as_str).peekable();
    !license.is_empty() && either(&mut words, allowed) && words.next().is_none()
}

type Words<'a, I> = std::iter::Peekable<I>;

fn either<'a, I: Iterator<Item = &'a str>>(words: &mut Words<'a, I>, allowed: &[&str]) -> bool {
    let mut holds = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        holds |= both(words, allowed);
    }
    holds
}

fn both<'a, I: Iterator<Item = &'a str>>(words: &mut Words<'a, I>, allowed: &[&str]) -> bool {
    let mut holds = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        holds &= one(words, allowed);
    }
    holds
}

fn one<'a, I: Iterator<Item = &'a str>>(words: &mut Words<'a, I>, allowed: &[&str]) -> bool {
    match words.next() {
        Some("(") => either(words, allowed) & words.next_if_eq(&")").is_some(),
        word => word.is_some_and(|word| allowed.contains(&word)),
    }
}

#[test]
fn licenses_are_read_as_spdx_has_them() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
    for yes in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "ISC AND (GPL-3.0 OR MIT)", "Apache-2.0 WITH LLVM-exception"] {
        assert!(satisfies(yes, &allowed), "{yes}");
    }
    for no in ["", "GPL-3.0", "MIT AND GPL-3.0", "ISC AND (GPL-3.0 OR Apache-2.0)", "Apache-2.0", "(MIT"] {
        assert!(!satisfies(no, &allowed), "{no}");
    }
}

#[test]
fn every_crate_is_ours_or_comes_from_a_registry_that_deny_toml_allows() {
    let deny = deny();
    for key in ["unknown-registry", "unknown-git"] {
        assert_eq!(deny["sources"][key].as_str(), Some("deny"));
    }
    let allowed: Vec<_> = list(&deny, "sources", "allow-registry").iter().filter_map(Value::as_str).collect();
    let lock: Table = fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let from =
        packages.iter().filter_map(|package| Some((package["name"].as_str()?, package.get("source")?.as_str()?)));
    let is_allowed =
        |source: &str| source.strip_prefix("registry+").is_some_and(|registry| allowed.contains(&registry));
    let wrong: Vec<_> = from
        .filter(|(_, source)| !is_allowed(source))
        .map(|(name, source)| format!("{name} comes from {source}"))
        .collect();
    expect_none("sources", &wrong);
}
