//! The page of every command, which the program writes itself.

use std::{env, fs, path::Path, process::Command};

use crate::common::{ROOT, succeed};

const PAGE: &str = "docs/reference/commands.md";

const INTRODUCTION: &str = "# Every command

What `--help` of each prints, written by the program: `UPDATE_DOCS=1 cargo test --release --locked --workspace --test it -- reference`.
[The command line, by example](../start/cli.md) shows how they go together.
";

/// The heading of the options that most commands have.
const SHARED: &str = "Shared options:";

/// Set `UPDATE_DOCS=1` to write the page.
#[test]
fn the_reference_has_the_help_of_every_command() {
    let mut sections = Vec::new();
    let mut shared = String::new();
    describe(&mut Vec::new(), &mut sections, &mut shared);
    let options = "Options that most commands share\n\nThey stand here once.";
    let mut page = format!("{INTRODUCTION}\n## {options}\n\n```text\n{shared}\n```\n");
    page.extend(sections);
    let file = Path::new(ROOT).join(PAGE);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, page).unwrap();
    } else {
        let written = fs::read_to_string(file).unwrap();
        let differs = written.lines().zip(page.lines()).find(|(old, new)| old != new);
        assert!(written == page, "{PAGE} is out of date: UPDATE_DOCS=1 writes it; {differs:?}");
    }
}

/// Adds the section of a command, and those of the commands below it.
fn describe(command: &mut Vec<String>, sections: &mut Vec<String>, shared: &mut String) {
    let help = help(command);
    let (own, options) = apart(&help);
    if shared.is_empty() {
        *shared = options;
    }
    let name = format!("dtn-cli {}", command.join(" "));
    sections.push(format!("\n## `{}`\n\n```text\n{own}\n```\n", name.trim_end()));
    for below in commands_in(&help) {
        command.push(below);
        describe(command, sections, shared);
        command.pop();
    }
}

/// What `--help` prints, without blanks at the ends of lines. It names the values of variables, so it is given none.
fn help(command: &[String]) -> Vec<String> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_dtn-cli"));
    let printed = succeed(program.args(command).arg("--help").env_clear());
    printed.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// The help without the shared options, and those.
fn apart(help: &[String]) -> (String, String) {
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    let mut is_shared = false;
    for line in help.iter().map(String::as_str) {
        if !line.is_empty() && !line.starts_with(' ') {
            is_shared = line == SHARED;
            if is_shared {
                own.extend(["Shared options: see above", ""]);
            }
        }
        if is_shared { shared.push(line) } else { own.push(line) }
    }
    [own, shared].map(|lines| lines.join("\n").trim_end().to_owned()).into()
}

/// The commands that a help lists: what is indented by two before its options.
fn commands_in(help: &[String]) -> Vec<String> {
    if !help.iter().any(|line| line.starts_with("Usage: ") && line.ends_with("<COMMAND>")) {
        return Vec::new();
    }
    let listed = help.iter().take_while(|line| *line != "Options:").filter_map(|line| line.strip_prefix("  "));
    let names = listed.filter(|entry| !entry.starts_with(' ')).filter_map(|entry| entry.split(' ').next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}
