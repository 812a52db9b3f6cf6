//! `dtn-cli aow chain`: events in their order, in a file.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use dtn_aow::{MAX_STEPS, Security, files::ChainFile};
use dtn_documents::work::Events;

use crate::output;

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
                    ChainFile::new(steps)
                }
            };
            file.chain.append(append.event.clone().into_bytes());
            file.write(&append.file)?;
            report(&file, append.json, None, "appended to")
        }
        Command::Verify(part) => {
            let (file, from, to) = part.read()?;
            if part.proofs {
                file.verify_proofs(from, to, part.security)?;
            } else {
                file.chain.verify_part(from, to)?;
            }
            report(&file, part.json, Some((from, to)), "checked")
        }
        Command::Prove(part) => {
            let (mut file, from, to) = part.read()?;
            let bar = output::progress(to - from, "links");
            for link in from..to {
                file.prove(link, part.security)?;
                bar.inc(1);
            }
            bar.finish_and_clear();
            file.write(&part.file)?;
            report(&file, part.json, Some((from, to)), "proven")
        }
        Command::Prune(prune) => {
            let mut file = ChainFile::existing(&prune.file)?;
            file.prune(prune.below)?;
            file.write(&prune.file)?;
            report(&file, prune.json, None, "pruned")
        }
    }
}

impl Part {
    /// The file, and the links that are meant.
    fn read(&self) -> Result<(ChainFile, u64, u64)> {
        let file = ChainFile::existing(&self.file)?;
        let (from, to) = file.part(self.from, self.to)?;
        Ok((file, from, to))
    }
}

fn report(file: &ChainFile, json: bool, links: Option<(u64, u64)>, done: &str) -> Result<()> {
    let events = Events::of(file, links);
    if json { output::json(&events) } else { output::line(events.table(done)) }
}
