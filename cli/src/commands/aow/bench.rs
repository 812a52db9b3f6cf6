//! `dtn-cli aow bench`: what work, proofs and verifying cost on this machine.

use std::process::Command;

use anyhow::Result;
use clap::Args;
use dtn_aow::Security;
use dtn_bench::proofs::{self, COMPARED_STEPS, Case, Plan};

use crate::output;

/// Measure work and proofs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow bench
  dtn-cli aow bench --steps 65536 --security proven-100 --repeat 5 --json

Each proof is made by a process of its own, whose memory is that of the proof; the best of the repetitions counts. On a
machine that does other things as well, believe the ratios rather than the times.")]
pub(crate) struct Measure {
    /// How many steps are proven
    #[arg(long, default_value_t = 1 << 20)]
    steps: u64,
    /// How many steps are proven with one and with 32 steps in a row; 2^20 with one take 4 GiB
    #[arg(long, default_value_t = COMPARED_STEPS)]
    compared_steps: u64,
    /// The options of the proofs
    #[arg(long, default_value_t)]
    security: Security,
    /// How often each proof is made
    #[arg(long, default_value_t = 3)]
    repeat: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Make one proof, for the process that has started this one
    #[arg(long, hide = true)]
    case: Option<String>,
}

pub(crate) fn run(measure: &Measure) -> Result<()> {
    if let Some(case) = &measure.case {
        return output::json(&serde_json::from_str::<Case>(case)?.measure()?);
    }
    let Measure { steps, compared_steps, security, repeat, .. } = *measure;
    let again = || {
        let mut program = Command::new(std::env::current_exe()?);
        program.args(["aow", "bench", "--case"]);
        Ok(program)
    };
    let report = proofs::measure(&Plan { steps, compared_steps, security, repeat }, again, &output::bars())?;
    if measure.json {
        return output::json(&report);
    }
    report.text().into_iter().try_for_each(output::line)
}
