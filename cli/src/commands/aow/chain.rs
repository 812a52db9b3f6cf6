//! `dtn-cli aow chain`: events in their order, in a file.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use alloy_primitives::{Bytes, hex};
use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use dtn_aow::{MAX_STEPS, Security, chain::EventChain};
use dtn_peer::files;
use dtn_report::{Table, left, right, units};
use serde::{Deserialize, Serialize};

use crate::output;

/// The version of the format.
const VERSION: u32 = 1;

/// The longest file, in bytes.
const MAX_BYTES: u64 = 1 << 30;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Append an event and do the work that follows it
    #[command(after_help = "Examples:
  dtn-cli aow chain append events.json --event \"the door opened\" --steps 65536
  dtn-cli aow chain append events.json --event \"the door closed\"

The first event makes the file and says how many steps follow each event.")]
    Append(Append),
    /// Check all links, by their proofs or by undoing their steps
    #[command(after_help = "Examples:
  dtn-cli aow chain verify events.json
  dtn-cli aow chain verify events.json --from 10 --to 20
  dtn-cli aow chain verify events.json --proofs --security proven-128

Exit code 1 if a link does not follow from its event and the link before it.")]
    Verify(Part),
    /// Prove links, one by one, and keep the proofs in the file
    #[command(after_help = "Example:\n  dtn-cli aow chain prove events.json --security proven-128

The ticks are known, so that no work is done again: a proof takes about as long as the work, or less with more threads.")]
    Prove(Part),
    /// Forget the links below a number
    #[command(after_help = "Example:\n  dtn-cli aow chain prune events.json --below 10")]
    Prune(Prune),
}

#[derive(Debug, Args)]
pub(crate) struct Append {
    /// The file of the chain
    file: PathBuf,
    /// What happened
    #[arg(long)]
    event: String,
    /// How many steps follow each event, if the chain is a new one
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MAX_STEPS))]
    steps: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Part {
    /// The file of the chain
    file: PathBuf,
    /// The first link; without, the first that the file has
    #[arg(long)]
    from: Option<u64>,
    /// The one after the last link; without, all
    #[arg(long)]
    to: Option<u64>,
    /// Check by the proofs
    #[arg(long)]
    proofs: bool,
    /// The options of the proofs
    #[arg(long, default_value_t)]
    security: Security,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// The file of the chain
    file: PathBuf,
    /// The first link that is kept
    #[arg(long)]
    below: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A chain as the file has it, with the proofs of links by their numbers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainFile {
    version: u32,
    chain: EventChain,
    proofs: BTreeMap<u64, Bytes>,
}

/// What a chain is after a command.
#[derive(Debug, Serialize)]
struct Summary {
    first: u64,
    height: u64,
    steps: u64,
    proofs: usize,
    last_tick: String,
    /// The links that were checked or proven.
    links: Option<(u64, u64)>,
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Append(append) => {
            let mut file = match ChainFile::read(&append.file)? {
                Some(file) => {
                    let steps = file.chain.steps();
                    ensure!(
                        append.steps.is_none_or(|given| given == steps),
                        "each event of this chain has {steps} steps"
                    );
                    file
                }
                None => {
                    let steps =
                        append.steps.with_context(|| format!("{} is new: give --steps", append.file.display()))?;
                    ChainFile { version: VERSION, chain: EventChain::new(steps), proofs: BTreeMap::new() }
                }
            };
            file.chain.append(append.event.clone().into_bytes());
            file.write(&append.file)?;
            file.report(append.json, None, "appended to")
        }
        Command::Verify(part) => {
            let (file, from, to) = part.read()?;
            if part.proofs {
                let proof = |link| file.proofs.get(&link).map(|proof| proof.to_vec());
                let proofs: Vec<_> = (from..to).map_while(proof).collect();
                ensure!(proofs.len() as u64 == to - from, "link {} has no proof", from + proofs.len() as u64);
                file.chain.verify_proofs(from, to, part.security, &proofs)?;
            } else {
                file.chain.verify_part(from, to)?;
            }
            file.report(part.json, Some((from, to)), "checked")
        }
        Command::Prove(part) => {
            let (mut file, from, to) = part.read()?;
            let bar = output::progress(to - from, "links");
            for link in from..to {
                let proofs = file.chain.prove_part(link, link + 1, part.security)?;
                file.proofs.extend((link..).zip(proofs.into_iter().map(Bytes::from)));
                bar.inc(1);
            }
            bar.finish_and_clear();
            file.write(&part.file)?;
            file.report(part.json, Some((from, to)), "proven")
        }
        Command::Prune(prune) => {
            let mut file = ChainFile::existing(&prune.file)?;
            file.chain.prune(prune.below)?;
            file.proofs.retain(|link, _| *link >= prune.below);
            file.write(&prune.file)?;
            file.report(prune.json, None, "pruned")
        }
    }
}

impl Part {
    /// The file, and the links that are meant.
    fn read(&self) -> Result<(ChainFile, u64, u64)> {
        let file = ChainFile::existing(&self.file)?;
        let (first, last) = (file.chain.anchor().height, file.chain.height());
        let (from, to) = (self.from.unwrap_or(first), self.to.unwrap_or(last));
        ensure!(first <= from && from <= to && to <= last, "the chain has the links from {first} up to {last}");
        Ok((file, from, to))
    }
}

impl ChainFile {
    /// `None` if there is no such file.
    fn read(path: &Path) -> Result<Option<Self>> {
        let shown = path.display();
        let text = match files::read(path, MAX_BYTES) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("reading {shown}"))?,
        };
        let file: Self = serde_json::from_slice(&text).with_context(|| format!("{shown} is no chain"))?;
        ensure!(file.version == VERSION, "{shown} has version {}, not {VERSION}", file.version);
        let steps = file.chain.steps();
        ensure!((1..=MAX_STEPS).contains(&steps), "{shown}: {steps} steps an event are not 1 to {MAX_STEPS}");
        // So that its height is a number.
        ensure!(file.chain.anchor().height < 1 << 53, "{shown} has lost more links than there can have been");
        Ok(Some(file))
    }

    fn existing(path: &Path) -> Result<Self> {
        Self::read(path)?.with_context(|| format!("there is no {}", path.display()))
    }

    fn write(&self, path: &Path) -> Result<()> {
        let beside = path.with_extension("part");
        let text = serde_json::to_string_pretty(self)? + "\n";
        let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
        written.with_context(|| format!("writing {}", path.display()))
    }

    fn report(&self, json: bool, links: Option<(u64, u64)>, done: &str) -> Result<()> {
        let (anchor, chain) = (self.chain.anchor(), &self.chain);
        let tick = chain.links().last().map_or(anchor.tick, |link| link.tick);
        let summary = Summary {
            first: anchor.height,
            height: chain.height(),
            steps: chain.steps(),
            proofs: self.proofs.len(),
            last_tick: hex::encode_prefixed(tick),
            links,
        };
        if json {
            return output::json(&summary);
        }
        let columns = [left("links"), right("steps each"), right("proofs"), left("last tick")];
        let what = links.map_or_else(String::new, |(from, to)| format!(", links {from} up to {to}"));
        let mut table = Table::new(format!("A chain of events, {done}{what}"), columns);
        let held = format!("{} up to {}", summary.first, summary.height);
        table.row([held, units::thousands(summary.steps), units::thousands(summary.proofs), summary.last_tick]);
        output::line(table)
    }
}
