//! `dtn-cli sim properties`: what the textbook's protocols promise, under liars and whatever befalls a network.

use std::num::NonZeroUsize;

use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_bench::threads;
use dtn_runs::textbook::{self, Choice, promises, promises_table};
use dtn_simulator::property::Lie;

use super::{
    protocols,
    sweep::{MAX_SEEDS, check_seeds},
};
use crate::{commands::analyze::refuse_beyond, failure::Coded, output};

/// The most replicas.
const MAX_NODES: usize = 100;

/// Hold protocols to what they promise.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim properties --seeds 10000
  dtn-cli sim properties --protocol chains --seeds 1000
  dtn-cli sim properties --protocol broadcast --nodes 7 --liars 2 --lie two-faced
  dtn-cli sim properties --protocol agreement --nodes 4 --liars 2 --lie silent --beyond-assumptions

Without --nodes, chance chooses replicas, liars, power cuts, losses and partitions, all inside the assumptions; a quarter of
the cases of agreement are scheduled by somebody who plans, and a quarter of those of chains are of a leader with a scheme. That a
fork convicts f + 1 is asked in cases of its own, with more liars than are tolerated. A promise holds, is broken inside the
assumptions, which is a bug and exit code 1, or beyond them, which is to be expected.

Lies: silent, slow, replayer, twins, two-faced, withholder, flooder, impostor, late-releaser, late-releaser-of-less,
late-releaser-of-repeats, isolator, share-forger, peeker, copier, refuser, desynced.")]
pub(crate) struct Properties {
    /// Which protocol: broadcast, dolev-strong, agreement, common-subset, lockstep, or all of these; streamlet, simplex, hotstuff2,
    /// or chains for these; pbft, or blocks for the last four
    #[arg(long, default_value = "all")]
    protocol: String,
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads; all cores without
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// The number of replicas, 3 to 100, instead of by chance
    #[arg(long)]
    nodes: Option<usize>,
    /// How many may be faulty; as many as n > 3f allows without
    #[arg(long, requires = "nodes")]
    faulty: Option<usize>,
    /// How many lie; as many as may be faulty without
    #[arg(long, requires = "nodes")]
    liars: Option<usize>,
    /// How they lie
    #[arg(long, requires = "nodes", default_value_t = Lie::TwoFaced)]
    lie: Lie,
    /// Play what a theorem says nothing about
    #[arg(long)]
    beyond_assumptions: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Properties {
    fn choice(&self) -> Result<Option<Choice>> {
        let Some(n) = self.nodes else { return Ok(None) };
        ensure!((3..=MAX_NODES).contains(&n), Coded::argument(format_args!("--nodes {n}: give 3 to {MAX_NODES}")));
        let faulty = self.faulty.unwrap_or((n - 1) / 3);
        let liars = self.liars.unwrap_or(faulty);
        ensure!(
            faulty < n && liars < n,
            Coded::argument(format_args!("--faulty {faulty} --liars {liars}: give less than the {n} replicas"))
        );
        Ok(Some(Choice { n, faulty, liars, lie: self.lie }))
    }
}

pub(crate) fn run(properties: &Properties) -> Result<()> {
    let protocols = protocols(&properties.protocol)?;
    let seeds = properties.seeds;
    check_seeds(seeds, MAX_SEEDS)?;
    let choice = properties.choice()?;
    if let Some(choice) = choice {
        refuse_beyond(&protocols, choice, properties.beyond_assumptions)?;
    }
    let end = properties.from.checked_add(seeds).context("--from and --seeds go beyond the last seed")?;
    let threads = threads(properties.threads).min(seeds as usize);
    let play = |protocol: &_| promises(*protocol, choice, properties.from..end, threads);
    let all: Vec<textbook::Promises> = protocols.iter().map(play).collect();
    if properties.json {
        output::json(&all)?;
    } else {
        output::line(promises_table(&all))?;
    }
    let bugs: Vec<_> = all
        .iter()
        .flat_map(|it| &it.kept)
        .filter_map(|kept| {
            let (seed, how) = kept.broken_inside.first()?;
            Some(format!(
                "{}: {} is broken inside the assumptions, seed {seed}: {how}",
                kept.claim.protocol, kept.claim.property
            ))
        })
        .collect();
    ensure!(bugs.is_empty(), "{}", bugs.join("\n"));
    Ok(())
}
