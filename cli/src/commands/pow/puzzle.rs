//! Which puzzle: what `pow mine` and `pow verify` are told alike.

use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use anyhow::{Context, Result};
use clap::Args;
use dtn_peer::files;
use dtn_pow::{Either, Puzzle, SeedPuzzle};

/// The puzzle of a race on the L1, or one in the prototype's form.
#[derive(Debug, Args)]
pub(crate) struct PuzzleOptions {
    /// Text to work for, in the form of the Python prototype: SHA-256 of the text and the decimal nonce
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["file", "transaction"], required_unless_present_any = ["file", "transaction"])]
    data: Option<String>,
    /// A file to work for in that form, whatever bytes it holds
    #[arg(long, value_name = "FILE", conflicts_with = "transaction")]
    file: Option<PathBuf>,
    /// How many leading pairs of zeros that form asks for
    #[arg(long, default_value_t = SeedPuzzle::DEFAULT_DIFFICULTY, value_name = "PAIRS", conflicts_with = "transaction")]
    difficulty: u8,
    /// The hash of the transaction to work for, in the form of the L1
    #[arg(long, value_name = "HASH", requires_all = ["race", "network_id", "miner", "expected_hashes"])]
    transaction: Option<B256>,
    /// The id of the race: the hash of the block that opened it
    #[arg(long, value_name = "HASH", requires = "transaction")]
    race: Option<B256>,
    /// The hash of the network's genesis
    #[arg(long, value_name = "HASH", requires = "transaction")]
    network_id: Option<B256>,
    /// Who works
    #[arg(value_parser = dtn_primitives::parse_address, long, value_name = "ADDRESS", requires = "transaction")]
    miner: Option<Address>,
    /// The expected number of hashes
    #[arg(long, value_name = "HASHES", requires = "transaction")]
    expected_hashes: Option<u64>,
}

impl PuzzleOptions {
    pub(crate) fn puzzle(&self) -> Result<Either> {
        let Self { transaction, race, network_id, miner, expected_hashes, .. } = self;
        if let (Some(transaction), Some(race), Some(network_id), Some(miner), Some(expected_hashes)) =
            (transaction, race, network_id, miner, expected_hashes)
        {
            return Ok(Either::Race(Puzzle::new(*network_id, *race, *transaction, *miner, *expected_hashes)?));
        }
        let data = match (&self.file, &self.data) {
            (Some(file), _) => {
                files::read(file, files::MOST).with_context(|| format!("cannot read {}", file.display()))?
            }
            (None, data) => data.clone().unwrap_or_default().into_bytes(),
        };
        Ok(Either::Seed(SeedPuzzle::new(data, self.difficulty)?))
    }
}
