//! Pages: each is found from another, and what they name is there.

use std::{collections::BTreeSet, path::Path};

use crate::{
    expect_none,
    tree::{Text, root, texts},
};

/// Where a reader begins.
const ENTRANCE: &str = "README.md";

/// What stands between the brackets and parentheses of a page's links, without code blocks.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in prose(text) {
        for part in line.split("](").skip(1) {
            found.extend(part.split_once(')').map(|(target, _)| target));
        }
    }
    found
}

/// The lines of a page that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// What stands between single backticks.
fn quoted(text: &str) -> Vec<String> {
    let text = prose(text).collect::<Vec<_>>().join("\n");
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// How GitHub names a heading in an address.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

fn has_anchor(page: &Text, wanted: &str) -> bool {
    let headings = prose(&page.text).filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).any(|one| one == wanted)
}

/// A path as written in a file, from the root.
fn resolved(from: &str, target: &str) -> String {
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn every_link_leads_somewhere() {
    let pages = texts(&["md"]);
    let mut wrong = Vec::new();
    for page in &pages {
        for link in links(&page.text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
            let path = if target.is_empty() { page.path.clone() } else { resolved(&page.path, target) };
            let to = pages.iter().find(|page| page.path == path);
            let leads = root().join(&path).exists()
                && anchor.is_none_or(|anchor| to.is_some_and(|page| has_anchor(page, anchor)));
            if !leads {
                wrong.push(format!("{}: {link}", page.path));
            }
        }
    }
    expect_none("dead links", &wrong);
}

#[test]
fn every_page_of_the_documentation_is_found_from_the_readme() {
    let pages = texts(&["md"]);
    let mut found = BTreeSet::from([ENTRANCE.to_owned()]);
    let mut unread = vec![ENTRANCE.to_owned()];
    while let Some(path) = unread.pop() {
        let Some(page) = pages.iter().find(|page| page.path == path) else { continue };
        for link in links(&page.text) {
            let to = resolved(&path, link.split('#').next().unwrap());
            if to.ends_with(".md") && found.insert(to.clone()) {
                unread.push(to);
            }
        }
    }
    let at_the_door = |path: &str| path.starts_with("docs/") || !path.contains('/');
    let lost = pages.iter().map(|page| &page.path).filter(|path| at_the_door(path) && !found.contains(*path));
    expect_none("pages that nobody links to", &lost.cloned().collect::<Vec<_>>());
}

/// Comments, messages and pages name pages by their path from the root, such as `docs/…/operation.md`.
#[test]
fn every_page_that_is_named_anywhere_is_there() {
    let mut wrong = Vec::new();
    for file in texts(&["rs", "md", "sol", "toml", "ts", "py"]) {
        let named = file.text.split("docs/").skip(1);
        let names = named.filter_map(|rest| {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && !"-_/.".contains(letter));
            let name = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
            name.ends_with(".md").then(|| format!("docs/{name}"))
        });
        wrong.extend(names.filter(|name| !root().join(name).exists()).map(|name| format!("{}: {name}", file.path)));
    }
    expect_none("pages that are named and not there", &wrong);
}

/// An invariant names the test that keeps it, and an assurance the test that gives it.
#[test]
fn every_test_and_file_that_a_page_names_is_there() {
    let mut code = String::new();
    texts(&["rs", "sol"]).into_iter().for_each(|file| code.push_str(&file.text));
    let functions: BTreeSet<_> = code
        .split("fn ")
        .chain(code.split("function "))
        .filter_map(|rest| rest.split(['(', '<']).next())
        .filter(|name| name.len() < 200)
        .collect();
    let mut wrong = Vec::new();
    for page in texts(&["md"]).iter().filter(|page| !page.path.starts_with("benches/")) {
        for name in quoted(&page.text) {
            let there =
                if is_test_name(&name) { functions.contains(name.as_str()) } else { !is_path(&name) || exists(&name) };
            if !there {
                wrong.push(format!("{}: {name}", page.path));
            }
        }
    }
    expect_none("tests and files that are named and not there", &wrong);
}

/// Tests are sentences: whatever has five words is taken for one, and what forge takes for one is.
fn is_test_name(name: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric());
    let sentence = name.split('_').count() >= 5 && !name.starts_with("dtn_");
    let forges = ["test_", "testFuzz_", "invariant_", "check_"].iter().any(|prefix| name.starts_with(prefix));
    (sentence || forges) && name.split('_').all(word)
}

/// A path from the root, without anything to fill in.
fn is_path(name: &str) -> bool {
    let folders = ["crates/", "cli/", "contracts/", "tests/", "scripts/", "docs/", "fuzz/", "benches/", "examples/"];
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_/.".contains(letter);
    folders.iter().any(|folder| name.starts_with(folder)) && name.chars().all(plain)
}

fn exists(name: &str) -> bool {
    Path::new(&root()).join(name).exists()
}

#[test]
fn anchors_and_paths_are_read_as_github_does() {
    assert_eq!(anchor(" The API: what `l1` asks"), "the-api-what-l1-asks");
    assert_eq!(resolved("pages/start/a.md", "../reference/b.md"), "pages/reference/b.md");
    assert_eq!(links("a [b](c.md#d), [e](f)\n```\n[g](h)\n```\n"), ["c.md#d", "f"]);
}
