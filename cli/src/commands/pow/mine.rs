//! `dtn-cli pow mine`: a search in this process.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;
use dtn_documents::races::Solved;
use dtn_pow::{Backend, Cancel, Either, Progress, SearchOptions, check_practical};
use dtn_report::units;
use indicatif::{ProgressBar, ProgressStyle};

use super::puzzle::PuzzleOptions;
use crate::{
    interruption::{self, Interrupted},
    output,
};

/// How often the rate is shown anew.
const SHOWN_EVERY: Duration = Duration::from_millis(250);

/// How long the rate is measured before a search that may take long.
pub(super) const MEASURED_FOR: Duration = Duration::from_millis(20);

/// Search for the lowest nonce that solves a puzzle.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli pow mine --data 'Your transaction data'
  dtn-cli pow mine --data 'Your transaction data' --difficulty 3 --threads 1
  dtn-cli pow mine --transaction 0x5c1f...9a0e --race 0x77aa...01d4 --network-id 0x03b1...c7f2 \\
      --miner 0xf39F...2266 --expected-hashes 1000000

Ctrl-C stops it and prints where to go on. What is expected to take longer than --limit is refused.")]
pub(crate) struct Mine {
    #[command(flatten)]
    puzzle: PuzzleOptions,
    /// How many threads; as many as there are cores unless told otherwise
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// How to hash: avx512, avx2, sha-ni or portable; what is fastest here unless told otherwise
    #[arg(long, conflicts_with_all = ["data", "file"])]
    backend: Option<Backend>,
    /// The first nonce to try, to go on where an earlier search stopped
    #[arg(long, default_value_t = 0, value_name = "NONCE")]
    from: u64,
    /// The longest time that the work may be expected to take
    #[arg(long, default_value = "1d", value_parser = humantime::parse_duration, value_name = "TIME")]
    limit: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(mine: Mine) -> Result<()> {
    let puzzle = mine.puzzle.puzzle()?;
    let threads = mine.threads.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let rate = puzzle.rate(mine.backend, MEASURED_FOR)? * threads.get() as f64;
    check_practical(puzzle.expected_hashes(), rate, mine.limit)?;
    let backend = match (&puzzle, mine.backend) {
        (Either::Seed(_), _) => "one nonce at a time".to_string(),
        (Either::Race(_), backend) => backend.unwrap_or_else(Backend::fastest).to_string(),
    };
    let (progress, cancel) = (Arc::new(Progress::new()), Cancel::new());
    let expected_hashes = puzzle.expected_hashes();
    let mut search = tokio::task::spawn_blocking({
        let (progress, cancel) = (progress.clone(), cancel.clone());
        move || {
            let options = SearchOptions { backend: mine.backend, progress: Some(&progress), threads };
            puzzle.search(mine.from, &options, &cancel)
        }
    });
    let (bar, began, mut shows) = (bar(), Instant::now(), tokio::time::interval(SHOWN_EVERY));
    let mut interrupted = std::pin::pin!(interruption::asked());
    let search = loop {
        tokio::select! {
            ended = &mut search => break ended??,
            _ = shows.tick() => bar.set_message(shown(progress.hashes_tried(), expected_hashes, began.elapsed())),
            _ = &mut interrupted, if !cancel.is_cancelled() => cancel.cancel(),
        }
    };
    bar.finish_and_clear();
    let tried = units::thousands(search.hashes_tried);
    let Some(solution) = search.solution else {
        match search.next_nonce {
            Some(next) => {
                let stopped = format!("stopped after {tried} hashes; --from {next} goes on there");
                return Err(anyhow::Error::from(Interrupted).context(stopped));
            }
            None => bail!("none of the {tried} nonces from {} on solves it", mine.from),
        }
    };
    let found = Solved {
        nonce: solution.nonce,
        hash: solution.hash,
        expected_hashes,
        hashes_tried: search.hashes_tried,
        hashes_per_second: search.hashes_tried as f64 / (search.duration_us.max(1) as f64 / 1e6),
        threads,
        backend,
        started_at_us: search.started_at_us,
        ended_at_us: search.ended_at_us,
        duration_us: search.duration_us,
    };
    if mine.json { output::json(&found) } else { output::line(found.table()) }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {msg}");
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn shown(tried: u64, expected: f64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    format!(
        "{} hashes, {:.1} MH/s; {:.0} % of such searches would be done",
        units::thousands(tried),
        tried as f64 / seconds / 1e6,
        100.0 * (1.0 - (-(tried as f64) / expected).exp())
    )
}
