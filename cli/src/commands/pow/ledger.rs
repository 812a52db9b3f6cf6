//! `dtn-cli pow ledger`: one entry for each race that is over, from final blocks; and checking a file of them.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Result;
use clap::{Args, ValueEnum};
use dtn_client::ledger::{self, Entry, seed};
use dtn_documents::races;
use dtn_peer::files::{self, Access};
use dtn_peer::read_genesis;
use dtn_testbed::Home;
use serde_json::json;

use crate::output;

/// What a table without entries says.
const NOTHING: &str = "no race is over yet: each line that comes in at a port of `dtn-cli pow serve` opens one, and so does \
    each order of `dtn-cli l1 submit --expected-hashes`";

/// How the ledger is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON array.
    Json,
    /// One JSON object a line, which `--check` takes.
    Jsonl,
    /// The seed's ledger.json, byte for byte as Python writes it; times in UTC.
    SeedJson,
}

/// Print the ledger of a network, or check a file of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli pow ledger --home races
  dtn-cli pow ledger --home races --format jsonl --out ledger.jsonl
  dtn-cli pow ledger --check ledger.jsonl --genesis races/genesis.json
  dtn-cli pow ledger --home races --format seed-json --out ledger.json

The entries are those of the network's final blocks, each verified against the genesis: from its peers, or from their stores if
none runs. Each entry names the hash of the one before it, and has what it takes to check it: --check verifies the links, the
signatures and the work, and with --genesis also that those who signed are the network's. It cannot see that the last entries
are missing: compare the number of entries, which it prints. docs/reference/formats.md defines the entries.

Exit codes: 0 right, 1 wrong; the first entry that is wrong is named by its number, and the file is left as it is.")]
pub(crate) struct ShowLedger {
    /// The folder of the network
    #[arg(long, env = "DTN_HOME", default_value = ".dtn", value_name = "DIR")]
    home: PathBuf,
    /// Read the blocks of this peer only
    #[arg(long, value_name = "N")]
    peer: Option<usize>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write it to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON: the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Check a file that --format jsonl wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "out", "peer"])]
    check: Option<PathBuf>,
    /// The genesis of the network of the checked file
    #[arg(long, value_name = "FILE", requires = "check")]
    genesis: Option<PathBuf>,
}

pub(super) async fn run(show: ShowLedger) -> Result<()> {
    if let Some(file) = &show.check {
        let genesis = show.genesis.as_deref().map(read_genesis).transpose()?;
        let head = ledger::check(file, genesis.as_ref())?;
        return match show.json {
            true => output::json(&json!({ "entries": head.entries, "head": head.entry_hash })),
            false => output::line(format_args!("{} entries are right; the last is {}", head.entries, head.entry_hash)),
        };
    }
    let entries = read(&Home::new(&show.home), show.peer).await?;
    let format = if show.json { Format::Json } else { show.format };
    match &show.out {
        None => {
            let mut out = io::stdout().lock();
            write(&entries, format, &mut out).and_then(|()| Ok(out.flush()?))
        }
        Some(file) => {
            let mut out = Vec::new();
            write(&entries, format, &mut out)?;
            Ok(files::write(file, &out, Access::Shared)?)
        }
    }
}

/// The whole ledger of a network.
async fn read(home: &Home, peer: Option<usize>) -> Result<Vec<Entry>> {
    let blocks = dtn_testbed::blocks(home, peer).await?;
    let tip = blocks.tip().await?;
    let bar = output::progress(tip, "blocks");
    let entries = ledger::read(&blocks, tip, || bar.inc(1)).await?;
    bar.finish_and_clear();
    Ok(entries)
}

fn write(entries: &[Entry], format: Format, out: &mut impl Write) -> Result<()> {
    match format {
        Format::Table => writeln!(out, "{}", races::ledger(entries).or(NOTHING))?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(entries)?)?,
        Format::SeedJson => seed::write(entries, out)?,
        Format::Jsonl => {
            for entry in entries {
                writeln!(out, "{}", serde_json::to_string(entry)?)?;
            }
        }
    }
    Ok(())
}
