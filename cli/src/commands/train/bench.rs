//! `dtn-cli train bench`: training orders on a network of its own.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use clap::Args;
use dtn_bench::training::{self, Plan};
use dtn_testbed::OwnNetwork;

use crate::{interruption, output};

/// Measure how many orders a network gets done.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train bench
  dtn-cli train bench --peers 4 --providers 4 --open 32 --time 60s
  dtn-cli train bench --rate 1000                    (what orders do to the latency of other transactions)

A network of peers on this machine, which all take part, and providers beside them; orders of linear models of the digits that ship
are handed in, so many at a time. All of them share this machine's processors.")]
pub(crate) struct Bench {
    /// How many peers
    #[arg(long, default_value_t = 4)]
    peers: usize,
    /// How many providers, which all claim for each order
    #[arg(long, default_value_t = 4)]
    providers: usize,
    /// How many orders are open at a time
    #[arg(long, default_value_t = 24)]
    open: usize,
    /// How long orders are handed in
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    time: Duration,
    /// How long a view lasts; windows are four times as long, at least
    #[arg(long, default_value = "500ms", value_parser = humantime::parse_duration, value_name = "TIME")]
    view_timeout: Duration,
    /// Other transactions a second, for --time without orders and then with them
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    rate: f64,
    /// The folder of the network, which must hold none yet and is kept; a temporary one without it
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) async fn run(bench: &Bench, json: bool) -> Result<()> {
    ensure!((1..=64).contains(&bench.providers), "{} providers: give 1 to 64", bench.providers);
    ensure!((1..=64).contains(&bench.open), "--open is {}: give 1 to 64, as many as one account may have", bench.open);
    ensure!(bench.rate == 0.0 || (1.0..=1e6).contains(&bench.rate), "--rate is {}: give 1 to 1,000,000", bench.rate);
    let network = OwnNetwork::at(bench.folder.as_deref(), |what| output::note(what))?;
    dtn_testbed::ensure_vacant(network.home())?;
    let Bench { peers, providers, open, time: duration, view_timeout, rate, .. } = *bench;
    let plan = Plan { peers, providers, open, duration, view_timeout, rate };
    let bars = output::bars();
    let measuring = async { Ok(training::measure(&plan, network.home(), &bars).await?) };
    let outcome = interruption::unless_asked(measuring).await;
    network.end(outcome.is_err(), |what| output::note(what)).await?;
    let outcome = outcome?;
    if json { output::json(&outcome) } else { output::line(outcome.table()) }
}
