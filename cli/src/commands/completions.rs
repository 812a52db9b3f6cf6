//! `dtn-cli completions`: a script that completes commands in a shell.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{args::Cli, output};

/// Print the script.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  dtn-cli completions bash > ~/.local/share/bash-completion/completions/dtn-cli")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(completions: &Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "dtn-cli", &mut script);
    output::exact(String::from_utf8_lossy(&script))
}
