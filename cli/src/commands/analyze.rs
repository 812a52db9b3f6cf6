//! `dtn-cli analyze`: what a decision costs, measured and proven.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use dtn_peer::files::{self, Access};
use dtn_runs::textbook::{self, Choice};
use dtn_simulator::property::{CoinKind, Lie, Textbook};

use super::sim::protocols;
use crate::{failure::Coded, output};

/// The most replicas.
const MAX_NODES: usize = 200;

/// The most runs of each.
const MAX_RUNS: u64 = 100_000;

/// Measure what decisions cost.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli analyze --nodes 4,7,10,16,31,64 --html analysis.html
  dtn-cli analyze --protocol agreement --coin threshold --nodes 4,7 --runs 50
  dtn-cli analyze --protocol dolev-strong --nodes 8 --faulty 6 --json
  dtn-cli analyze --protocol common-subset --nodes 4,7,10,16
  dtn-cli analyze --protocol blocks --nodes 4,7,16,31
  dtn-cli analyze --protocol streamlet --relays --nodes 4,7,16

The protocols run in the simulator, unchanged, and nobody lies. Causal rounds are the longest chain of messages that led to a
decision: each message counts one more than the longest that had come to its sender. Bits are those of the messages as
they are encoded. Exit code 1 if a run had another number of messages than the closed form says.

Coins of agreement and of common subsets: ideal (the simulator vouches for it), threshold (a bit of a BLS signature),
dealt (the same, whose key the replicas deal in the open), local (each replica's own).")]
pub(crate) struct Analyze {
    /// Which protocol: broadcast, dolev-strong, agreement, common-subset, lockstep, or all of these; pbft, streamlet, simplex,
    /// hotstuff2, or blocks for these
    #[arg(long, default_value = "all")]
    protocol: String,
    /// Numbers of replicas, 1 to 200
    #[arg(long, value_delimiter = ',', default_value = "4,7,10,16,31")]
    nodes: Vec<usize>,
    /// How many may be faulty; as many as n > 3f allows without
    #[arg(long)]
    faulty: Option<usize>,
    /// Which coin agreement and a common subset toss
    #[arg(long, default_value_t = CoinKind::Ideal, value_name = "ideal|threshold|dealt|local")]
    coin: CoinKind,
    /// Replicas that chain blocks pass on what they hear: every message in Streamlet, certificates in Simplex
    #[arg(long)]
    relays: bool,
    /// Decisions of each
    #[arg(long, default_value_t = 20)]
    runs: u64,
    /// Measure although a protocol promises nothing among so many
    #[arg(long)]
    beyond_assumptions: bool,
    /// Write a page with pictures
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(analyze: &Analyze) -> Result<()> {
    let protocols = protocols(&analyze.protocol)?;
    for n in &analyze.nodes {
        ensure!((1..=MAX_NODES).contains(n), Coded::argument(format_args!("--nodes {n}: give 1 to {MAX_NODES}")));
        let faulty = analyze.faulty.unwrap_or((n - 1) / 3);
        ensure!(faulty < *n, Coded::argument(format_args!("--faulty {faulty}: give less than the {n} replicas")));
        let choice = Choice { n: *n, faulty, liars: 0, lie: Lie::Silent };
        refuse_beyond(&protocols, choice, analyze.beyond_assumptions)?;
    }
    ensure!(
        (1..=MAX_RUNS).contains(&analyze.runs),
        Coded::argument(format_args!("--runs {}: give 1 to {MAX_RUNS}", analyze.runs))
    );
    let analysis =
        textbook::analyze(&protocols, &analyze.nodes, analyze.faulty, (analyze.coin, analyze.relays), analyze.runs);
    if let Some(file) = &analyze.html {
        files::write(file, analysis.page().to_string().as_bytes(), Access::Shared)?;
    }
    if analyze.json {
        output::json(&analysis)?;
    } else {
        output::line(analysis.tables())?;
    }
    ensure!(analysis.is_exact() || analyze.beyond_assumptions, "what was measured is not what is proven");
    Ok(())
}

/// Refuses what a protocol's theorem says nothing about, in its words, unless somebody wants to see just that.
pub(super) fn refuse_beyond(protocols: &[Textbook], choice: Choice, beyond: bool) -> Result<()> {
    let refusals: Vec<_> = protocols.iter().filter_map(|it| textbook::refusal(*it, choice)).collect();
    ensure!(
        refusals.is_empty() || beyond,
        Coded::argument(format_args!("{}; --beyond-assumptions plays it nevertheless", refusals.join("; ")))
    );
    Ok(())
}
