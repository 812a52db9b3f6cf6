//! `dtn-cli l1 node`: one peer in this process.

use std::path::PathBuf;

use anyhow::Result;
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use dtn_ledger::Kinds;
use dtn_peer::{
    PeerHome, Setting,
    hold::hold,
    log::{self, Format, LogConfig},
};
use dtn_report::text::reason;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The peer's folder, with its node.toml.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What is logged: a level, or directives as info,dtn_node=debug. Else RUST_LOG, -v and node.toml decide.
    #[arg(long, env = "DTN_LOG", value_name = "LEVEL", value_parser = level)]
    log: Option<String>,
    /// How a line of the log is written.
    #[arg(long, env = "DTN_LOG_FORMAT", value_name = "FORMAT", value_parser = PossibleValuesParser::new(["text", "json"]).map(format))]
    log_format: Option<Format>,
    /// Log to this file, whose size is limited, in place of standard error.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Override a key of node.toml.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Setting>,
}

fn format(name: String) -> Format {
    if name == "json" { Format::Json } else { Format::Text }
}

fn level(text: &str) -> Result<String, String> {
    log::check_level(text).map(|()| text.into())
}

impl Options {
    /// How to log, in the order in which the ways to say so count.
    fn log(&self, configured: &LogConfig, verbosity: u8) -> LogConfig {
        let asked = self.log.clone().or_else(|| std::env::var("RUST_LOG").ok().filter(|level| !level.is_empty()));
        let asked = asked.or_else(|| (verbosity > 0).then(|| log::level(verbosity).into()));
        LogConfig {
            level: asked.unwrap_or_else(|| configured.level.clone()),
            format: self.log_format.unwrap_or(configured.format),
            file: self.log_file.clone().or_else(|| configured.file.clone()),
            ..configured.clone()
        }
    }
}

/// Runs a peer until it is told to stop (SIGTERM, SIGHUP or Ctrl-C) or its store fails.
pub(crate) async fn run(options: Options, verbosity: u8) -> Result<()> {
    let home = PeerHome::new(&options.folder);
    let config = home.config(&options.set)?;
    let _held = hold(&home.pid_file())?;
    let log_config = options.log(&config.log, verbosity);
    log::start(&log_config)?;
    let outcome = dtn_peer::run(&home, config, Kinds::default()).await.map_err(anyhow::Error::from);
    if let (Err(error), Format::Json) = (&outcome, log_config.format) {
        // What the command prints at its end is no JSON.
        tracing::error!(error = reason(error.as_ref()), "the peer failed");
    }
    outcome
}
