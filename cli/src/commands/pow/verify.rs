//! `dtn-cli pow verify`: whether a nonce solves a puzzle.

use alloy_primitives::B256;
use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::puzzle::PuzzleOptions;
use crate::output;

/// Say whether a nonce solves a puzzle.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  dtn-cli pow verify --data 'Your transaction data' --nonce 12345

Exit codes: 0 it does, 1 it does not.")]
pub(crate) struct Verify {
    #[command(flatten)]
    puzzle: PuzzleOptions,
    /// The nonce
    #[arg(long)]
    nonce: u64,
    /// The hash that it is said to give
    #[arg(long)]
    hash: Option<B256>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(verify: &Verify) -> Result<()> {
    let puzzle = verify.puzzle.puzzle()?;
    let hash = puzzle.hash(verify.nonce);
    puzzle.check(verify.nonce, verify.hash.unwrap_or(hash))?;
    if verify.json {
        output::json(&json!({ "nonce": verify.nonce, "hash": hash, "solves": true }))
    } else {
        output::line(format_args!("nonce {} solves it: {hash}", verify.nonce))
    }
}
