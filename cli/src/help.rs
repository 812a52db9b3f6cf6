//! The help of the program as a whole: its commands by what they are for.

use clap::Command;

/// The commands by what they are for.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Work", &["demo", "train", "aow", "pow"]),
    ("Agreement", &["l1", "coin", "sim", "lockstep"]),
    (
        "Settlement",
        &[
            "deploy",
            "fund",
            "propose",
            "confirm",
            "revoke",
            "cancel",
            "execute",
            "tx",
            "sign",
            "combine",
            "list",
            "show",
            "settle",
            "rewards",
            "money",
            "registry",
            "stake",
            "bls",
            "verify-certificate",
        ],
    ),
    ("Measure", &["analyze", "gas", "bench"]),
    ("Tools", &["keys", "network", "anvil", "compile", "completions"]),
];

/// The text of `--help`.
pub(crate) fn grouped(program: &Command) -> String {
    let about = |name: &str| program.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
    let width = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or_default();
    let mut text = format!(
        "{}\n\nUsage: {} <COMMAND>\n",
        program.get_about().map(ToString::to_string).unwrap_or_default(),
        program.get_name()
    );
    for (group, names) in GROUPS {
        text += &format!("\n{group}:\n");
        for name in names {
            text += &format!("  {name:width$}  {}\n", about(name).unwrap_or_default());
        }
    }
    text += "\nOptions:\n  -h, --help     Print help\n  -V, --version  Print version\n\n";
    text += &program.get_after_help().map(ToString::to_string).unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn every_command_is_in_one_group() {
        let named: Vec<_> = GROUPS.iter().flat_map(|(_, names)| names.iter().map(ToString::to_string)).collect();
        let commands: BTreeSet<_> = Cli::command().get_subcommands().map(|it| it.get_name().to_string()).collect();
        assert_eq!(named.iter().cloned().collect::<BTreeSet<_>>(), commands);
        assert_eq!(named.len(), commands.len(), "none twice");
    }
}
