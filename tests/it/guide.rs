//! Every page whose commands are run: all its blocks marked `sh`, in their order, in one bash, as a reader would. The page on
//! contributing says what the other marks mean.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::common::{ROOT, skip, text};

/// How a block of a page may be marked.
const MARKS: [&str; 7] = ["sh", "text", "json", "console", "rust", "solidity", "toml"];

/// What a page's folder has of the repository.
const LINKS: [&str; 5] = ["contracts", "examples", "foundry.toml", "node_modules", "scenarios"];

/// What runs a command with a network and processes of its own, all of which end with it: pages name the same ports.
const ALONE: [&str; 6] = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// Far longer than any page takes on a machine that is busy with other tests, in seconds.
const PATIENCE: &str = "900";

const PRELUDE: &str = r#"exec 2>&1
ip link set lo up
fails() { if "$@"; then echo "this should have failed: $*"; exit 1; fi; }
"#;

/// The line before what a block prints.
const BLOCK: &str = "=== the next block ===";

#[test]
fn the_commands_of_the_readme_run() {
    run("README.md");
}

#[test]
fn the_commands_of_the_page_on_the_command_line_run_and_what_fails_does_for_the_reason_that_it_shows() {
    let said: String = run("docs/start/cli.md").into_iter().map(|(_, said)| said).collect();
    for reason in ["BelowThreshold", "TooEarly", "NothingToClaim", "no_network"] {
        assert!(said.is_empty() || said.contains(reason), "{reason}\n{said}");
    }
}

#[test]
fn the_commands_of_the_page_on_training_orders_run_and_the_thief_does_not_win() {
    let said: String = run("docs/start/training.md").into_iter().map(|(_, said)| said).collect();
    assert!(said.is_empty() || said.contains("has won"), "{said}");
}

#[test]
fn the_commands_of_the_page_on_operation_run() {
    run("docs/operate/operation.md");
}

#[test]
fn the_commands_of_the_page_on_locks_run_and_what_fails_does_for_the_reason_that_it_shows() {
    let said: String = run("docs/operate/locks.md").into_iter().map(|(_, said)| said).collect();
    for reason in ["NotStaked", "are needed", "StillOpenToVeto"] {
        assert!(said.is_empty() || said.contains(reason), "{reason}\n{said}");
    }
}

#[test]
fn the_walk_through_bsc_testnet_is_rehearsed() {
    run("docs/operate/testnet.md");
}

#[test]
fn the_commands_of_the_page_on_assurance_run() {
    run("docs/concepts/assurance.md");
}

#[test]
fn the_commands_of_the_page_on_benchmarks_run() {
    run("docs/concepts/benchmarks.md");
}

#[test]
fn the_commands_of_the_page_on_contracts_run() {
    run("docs/reference/contracts.md");
}

#[test]
fn the_commands_of_the_page_on_the_simulator_run() {
    run("docs/reference/simulation.md");
}

#[test]
fn the_commands_of_the_page_on_races_run() {
    run("docs/protocols/pow.md");
}

#[test]
fn the_commands_of_the_page_on_training_run() {
    run("docs/protocols/training.md");
}

#[test]
fn the_commands_of_the_page_on_economics_run() {
    run("docs/protocols/economics.md");
}

#[test]
fn the_commands_of_the_page_on_mined_blocks_run() {
    run("docs/protocols/nakamoto.md");
}

#[test]
fn the_commands_of_the_page_on_the_textbook_run_and_what_fails_does_for_the_reason_that_it_shows() {
    let said: String = run("docs/protocols/textbook.md").into_iter().map(|(_, said)| said).collect();
    for reason in ["more than three times as many replicas as faulty ones", "broken beyond the assumptions"] {
        assert!(said.is_empty() || said.contains(reason), "{reason}\n{said}");
    }
    assert!(!said.contains("broken inside"), "{said}");
}

#[test]
fn the_commands_of_the_page_on_events_in_lock_step_run_and_all_come_to_the_same() {
    let said: String = run("docs/protocols/lockstep.md").into_iter().map(|(_, said)| said).collect();
    for reason in ["rounds a second", "one round at a time", "secrecy"] {
        assert!(said.is_empty() || said.contains(reason), "{reason}\n{said}");
    }
    assert!(!said.contains("broken inside"), "{said}");
}

#[test]
fn the_commands_of_the_page_on_protocols_that_chain_blocks_run_and_nothing_is_broken() {
    let said: String = run("docs/protocols/chains.md").into_iter().map(|(_, said)| said).collect();
    assert!(!said.contains("broken inside"), "{said}");
}

#[test]
fn the_commands_of_the_page_on_liars_run_and_the_liar_is_proven_to_be_one() {
    let said: String = run("docs/protocols/liars.md").into_iter().map(|(_, said)| said).collect();
    assert!(said.is_empty() || said.contains("peers lie on chain 31337 only"), "{said}");
}

#[test]
fn the_commands_of_the_page_on_sequential_work_run_and_everybody_accepts_all_but_the_cheat() {
    for (block, said) in run("docs/protocols/aow.md") {
        if block.contains("aow sync --peers 4 --rounds 3") {
            assert_eq!(said.matches("12 of 12 successful").count(), 3, "{said}");
        }
        if block.contains("--half-work 4") {
            assert!(said.contains("0 of 4") && said.contains("16 of 20 successful"), "{said}");
        }
    }
}

#[test]
fn every_page_with_commands_is_run_here_and_every_block_says_what_it_is() {
    let mut wrong = Vec::new();
    for page in pages() {
        let blocks = blocks(&page);
        for (mark, content) in &blocks {
            let transcript = content.lines().any(|line| line.starts_with("$ "));
            if !MARKS.contains(&mark.as_str()) || (transcript && mark != "console") {
                wrong.push(format!("{page}: a block marked {mark:?} that begins with {:?}", content.lines().next()));
            }
        }
        let has_commands = blocks.iter().any(|(mark, _)| mark == "sh");
        if has_commands && !include_str!("guide.rs").contains(&format!("run(\"{page}\")")) {
            wrong.push(format!("{page}: its commands are not run"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Runs a page's blocks and gives each with what it printed; none where the page cannot have a network for itself.
fn run(page: &str) -> Vec<(String, String)> {
    if let Err(why) = can_be_alone() {
        skip(page, &why);
        return Vec::new();
    }
    let blocks: Vec<_> = blocks(page).into_iter().filter(|(mark, _)| mark == "sh").map(|(_, block)| block).collect();
    assert!(!blocks.is_empty(), "{page} has no commands");
    let mut script = String::from(PRELUDE);
    for block in &blocks {
        script += &format!("echo '{BLOCK}'\n");
        for line in block.lines() {
            match line.strip_prefix("! ") {
                Some(command) => script += &format!("fails {command}\n"),
                None => script += &format!("{line}\n"),
            }
        }
    }
    let folder = folder();
    let mut shell = alone();
    shell.args(["bash", "-euo", "pipefail", "-c", &script]).current_dir(folder.path()).env("PATH", search_path());
    shell.env_remove("RUST_LOG");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DTN_")) {
        shell.env_remove(name);
    }
    let output = shell.output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{page}: {}\n{said}", output.status);
    let said: Vec<_> = said.split(BLOCK).skip(1).map(str::to_owned).collect();
    assert_eq!(said.len(), blocks.len(), "{page}: a block was left out");
    let stale = stale_gas(page, &said.concat());
    assert!(stale.is_empty(), "{page} shows gas of another version: {stale:#?}");
    blocks.into_iter().zip(said).collect()
}

/// The gas that a page shows for calls, where none of that name took as much when the page was run; a fiftieth more or less is
/// what other addresses and signatures make of it.
fn stale_gas(page: &str, said: &str) -> Vec<String> {
    let taken = gas_of(said);
    let is_stale = |(name, shown): &(String, u64)| {
        let mut like = taken.iter().filter(|(other, _)| other == name).peekable();
        // What a page leaves out of its commands' output is not compared.
        like.peek().is_some() && like.all(|(_, gas)| gas.abs_diff(*shown) * 50 > *shown)
    };
    let shown = blocks(page).into_iter().filter(|(mark, _)| mark == "text").flat_map(|(_, block)| gas_of(&block));
    let told = |(name, shown): (String, u64)| {
        let like: Vec<_> = taken.iter().filter(|(other, _)| *other == name).map(|(_, gas)| gas).collect();
        format!("{name}: {shown} on the page, {like:?} now")
    };
    shown.filter(is_stale).map(told).collect()
}

/// Calls with the gas that they took: lines such as `claim in 0x…, 96404 gas`.
fn gas_of(text: &str) -> Vec<(String, u64)> {
    let call = |line: &str| {
        let (name, rest) = line.trim().split_once(" in 0x")?;
        let gas = rest.split_once(", ")?.1.strip_suffix(" gas")?.parse().ok()?;
        Some((name.to_owned(), gas))
    };
    text.lines().filter_map(call).collect()
}

fn alone() -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", PATIENCE]).args(ALONE);
    command
}

/// Says why not, where this machine does not permit it.
fn can_be_alone() -> Result<(), String> {
    let mut probe = alone();
    probe.args(["ip", "link", "set", "lo", "up"]);
    let output = probe.output().map_err(|error| format!("timeout: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(text(&output.stderr).trim().to_owned()) }
}

/// A folder with links into the repository and nothing else.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let root = fs::canonicalize(ROOT).unwrap();
    for name in LINKS {
        symlink(root.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// Where a page finds the program, and forge, anvil and cast.
fn search_path() -> OsString {
    let program = Path::new(env!("CARGO_BIN_EXE_dtn-cli")).parent().unwrap().to_path_buf();
    let tools = fs::canonicalize(ROOT).unwrap().join("node_modules/.bin");
    let others = env::var_os("PATH").unwrap_or_default();
    env::join_paths([program, tools].into_iter().chain(env::split_paths(&others))).unwrap()
}

/// The pages at the root and in the folders of `docs/`, by their paths from the root.
fn pages() -> Vec<String> {
    let (root, docs) = (PathBuf::from(ROOT), Path::new(ROOT).join("docs"));
    let inner = entries(&docs).into_iter().filter(|path| path.is_dir());
    let folders: Vec<_> = [root.clone(), docs.clone()].into_iter().chain(inner).collect();
    let files = folders.iter().flat_map(|folder| entries(folder));
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The blocks of a page: how each is marked, and what it holds.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), open.as_mut()) {
            (Some(mark), None) => open = Some((mark.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, content))) => *content += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block does not end");
    blocks
}
