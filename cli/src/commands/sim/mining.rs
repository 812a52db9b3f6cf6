//! `dtn-cli sim mining`: the longest chain by chance alone, beside what is proven.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use dtn_peer::files::{self, Access};
use dtn_runs::longest_chain::Odds;

use crate::{failure::Coded, output};

/// Play what an adversary among miners gets.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim mining
  dtn-cli sim mining --alpha 0.33 --gamma 0,0.5,1 --blocks 10000000
  dtn-cli sim mining --delay 0.01,0.1,1 --html mining.html

Nothing is sent: chance says who finds the next block, so that a million blocks take less than a second. `sim nakamoto` plays the
same with messages. Exit code 1 if chance does not explain what was measured.")]
pub(crate) struct Mining {
    /// The adversary's part of the work, above 0 and below 0.5
    #[arg(long, value_delimiter = ',', default_value = "0.1,0.2,0.25,0.3,0.35,0.4,0.45")]
    alpha: Vec<f64>,
    /// The part of the others that work on its block in a tie, 0 to 1
    #[arg(long, value_delimiter = ',', default_value = "0,0.5,1")]
    gamma: Vec<f64>,
    /// How many blocks are on top of one that is undone, 1 to 100
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,6,12")]
    confirmations: Vec<u32>,
    /// How long a block takes to the others, in mean times between two blocks, 0 to 100
    #[arg(long, value_delimiter = ',', default_value = "0,0.1,0.5,1,2")]
    delay: Vec<f64>,
    /// Blocks of each figure, 1,000 to 1,000,000,000
    #[arg(long, default_value_t = 1_000_000)]
    blocks: u64,
    /// Decides what is left to chance
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write a page with pictures
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn each<T: Copy + ToString>(name: &str, values: &[T], is_in: impl Fn(T) -> bool, range: &str) -> Result<()> {
    let wrong = values.iter().find(|value| !is_in(**value));
    ensure!(
        wrong.is_none(),
        Coded::argument(format_args!("--{name} {}: give {range}", wrong.map(T::to_string).unwrap_or_default()))
    );
    Ok(())
}

pub(crate) fn run(mining: &Mining) -> Result<()> {
    each("alpha", &mining.alpha, |alpha| alpha > 0.0 && alpha < 0.5, "more than 0 and less than 0.5")?;
    each("gamma", &mining.gamma, |gamma| (0.0..=1.0).contains(&gamma), "0 to 1")?;
    each("confirmations", &mining.confirmations, |deep| (1..=100).contains(&deep), "1 to 100")?;
    each("delay", &mining.delay, |delay| (0.0..=100.0).contains(&delay), "0 to 100")?;
    each("blocks", &[mining.blocks], |blocks| (1_000..=1_000_000_000).contains(&blocks), "1,000 to 1,000,000,000")?;
    let Mining { alpha, gamma, confirmations, delay, blocks, seed, .. } = mining;
    let (alphas, gammas) = (alpha.clone(), gamma.clone());
    let (confirmations, delays) = (confirmations.clone(), delay.clone());
    let found = Odds { alphas, gammas, confirmations, delays, blocks: *blocks, seed: *seed }.play();
    if let Some(file) = &mining.html {
        files::write(file, found.page().to_string().as_bytes(), Access::Shared)?;
    }
    if mining.json {
        output::json(&found)?;
    } else {
        found.tables().into_iter().try_for_each(output::line)?;
    }
    ensure!(found.is_right(), "chance does not explain what was measured");
    Ok(())
}
