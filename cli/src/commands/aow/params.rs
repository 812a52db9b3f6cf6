//! `dtn-cli aow params`: what proofs are made of, and what may be said of them.

use anyhow::Result;
use clap::Args;
use dtn_aow::MAX_STEPS;
use dtn_documents::proof_options::ProofOptions;

use crate::output;

/// Show the sets of options.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow params
  dtn-cli aow params --steps 65536 --json")]
pub(crate) struct Params {
    /// Of proofs of so many steps
    #[arg(long, default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1..=MAX_STEPS))]
    steps: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(params: &Params) -> Result<()> {
    let options = ProofOptions::of(params.steps);
    if params.json { output::json(&options) } else { output::line(options.text()) }
}
