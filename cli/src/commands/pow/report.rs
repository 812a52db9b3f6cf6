//! `dtn-cli pow report`: how the nodes of a network compare in their races.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use dtn_documents::races;
use dtn_peer::files::{self, Access};
use dtn_testbed::Home;

use crate::output;

/// Compare the nodes of a network.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli pow report --home races
  dtn-cli pow report --home races --html races.html --json

A race counts for each node whose claim is in the block that closed it: others may have found a solution later, or none. The
times are those that the nodes state and sign, from when a node began to search until it found its nonce. The nonces are tried in
their order, so the rate is that of all nonces up to those found. Exit codes: 0 done, 1 failed.")]
pub(crate) struct Compare {
    /// The folder of the network
    #[arg(long, env = "DTN_HOME", default_value = ".dtn", value_name = "DIR")]
    home: PathBuf,
    /// Write a page with charts, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(compare: Compare) -> Result<()> {
    let blocks = dtn_testbed::blocks(&Home::new(&compare.home), None).await?;
    let tip = blocks.tip().await?;
    let bar = output::progress(tip, "blocks");
    let comparison = dtn_client::compare(&blocks, tip, || bar.inc(1)).await?;
    bar.finish_and_clear();
    if let Some(file) = &compare.html {
        files::write(file, races::page(&comparison).to_string().as_bytes(), Access::Shared)?;
    }
    if compare.json { output::json(&comparison) } else { output::line(races::comparison(&comparison)) }
}
