//! A scenario as files and options describe it.

use std::{path::Path, time::Duration};

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use dtn_runs::written;
use dtn_simulator::{
    Crash, Latency, Model, Partition, Rate, Region, Scenario, Scheduler, Sharing, Signatures, adversary::Kind,
};
use serde::de::DeserializeOwned;

use super::runs::Change;
use crate::failure::Coded;

/// What there is to simulate. An option changes what the file says; without a file, four replicas decide one block.
#[derive(Debug, Clone, Args)]
pub(crate) struct Setup {
    /// Replicas, 4 to 1,000
    #[arg(long, help_heading = "Replicas")]
    nodes: Option<usize>,
    /// So many of them in a region, and what each can send and receive there: sydney:3@10mbps (repeat; `dtn-cli sim
    /// regions` shows all)
    #[arg(long, value_name = "NAME:NODES[@RATE]", help_heading = "Replicas")]
    region: Vec<String>,
    /// How long a view lasts without a decision; without it, longer than the network needs if all is well
    #[arg(long, value_parser = humantime::parse_duration, help_heading = "Replicas")]
    view_timeout: Option<Duration>,
    /// Whether signatures are computed, or counted at the same cost in virtual time
    #[arg(long, value_parser = named::<Signatures>, value_name = "real|counted", help_heading = "Replicas")]
    signatures: Option<Signatures>,

    /// Blocks that the client fills
    #[arg(long, help_heading = "Load")]
    pub(super) blocks: Option<u64>,
    /// Transactions in a block
    #[arg(long, help_heading = "Load")]
    transactions: Option<usize>,
    /// The encoded length of a transaction
    #[arg(long, help_heading = "Load")]
    transaction_bytes: Option<usize>,
    /// How long after what fills a block the client hands in what fills the next; all at once without
    #[arg(long, value_parser = humantime::parse_duration, help_heading = "Load")]
    every: Option<Duration>,

    /// One way: 350ms (each message takes any time from a tenth of it up; a number alone is milliseconds),
    /// constant:40ms, uniform:35ms..350ms, normal:250ms,50ms, log-normal:100ms,0.5, or regions
    #[arg(long, help_heading = "Links", allow_hyphen_values = true)]
    latency: Option<Latency>,
    /// A message takes any time up to this longer
    #[arg(long, value_parser = humantime::parse_duration, help_heading = "Links")]
    jitter: Option<Duration>,
    /// What each replica can send and receive: 30mbps, 1gbps (a number alone is Mbit/s); 0 for no limit
    #[arg(long, help_heading = "Links", allow_hyphen_values = true)]
    bandwidth: Option<Rate>,
    /// How messages share that: one uplink and one downlink a replica, or a connection each as the FPBFT prototype has it
    #[arg(long, value_parser = named::<Sharing>, value_name = "shared|fpbft", help_heading = "Links")]
    model: Option<Sharing>,
    /// The share of messages that is lost, until --gst
    #[arg(long, help_heading = "Links", allow_hyphen_values = true)]
    loss: Option<f64>,
    /// The share of messages that arrives twice, until --gst
    #[arg(long, help_heading = "Links", allow_hyphen_values = true)]
    duplication: Option<f64>,
    /// The share of messages that later ones overtake, until --gst
    #[arg(long, help_heading = "Links", allow_hyphen_values = true)]
    reordering: Option<f64>,

    /// When a bound on the delay of messages, --delta, holds: always, from --gst on, or never
    #[arg(long, value_parser = named::<Model>, value_name = "synchronous|partial|asynchronous",
        help_heading = "Synchrony")]
    synchrony: Option<Model>,
    /// What no message exceeds while that holds
    #[arg(long, value_parser = humantime::parse_duration, help_heading = "Synchrony")]
    delta: Option<Duration>,
    /// The global stabilization time: from then on nothing is lost and everyone runs
    #[arg(long, alias = "stable-after", value_parser = humantime::parse_duration, help_heading = "Synchrony")]
    gst: Option<Duration>,
    /// Who chooses delays: chance, or an adversary that stretches those of the primary, or of votes between two halves
    #[arg(long, value_parser = named::<Scheduler>, value_name = "fair|target-primary|split-votes",
        help_heading = "Synchrony")]
    scheduler: Option<Scheduler>,

    /// How many replicas are liars, the primary first
    #[arg(long, help_heading = "Faults")]
    byzantine: Option<usize>,
    /// What liars do, silent without: equivocate, silent, slow, replayer, forger, wrong-view-spammer, memory-exhauster,
    /// false-certifier, lying-state, permuter, censor, height-liar, amnesiac, slow-primary, revoter; among miners also
    /// withholder, selfish-miner
    #[arg(long, requires = "byzantine", help_heading = "Faults")]
    behaviour: Option<Kind>,
    /// More liars and crashes for good than are tolerated: no promise holds, and the run shows what comes of it
    #[arg(long, help_heading = "Faults")]
    beyond_tolerance: bool,
    /// One more power cut: 3@2s for good, or 3@2s+5s until five seconds later (repeat)
    #[arg(long, value_name = "REPLICA@TIME[+DOWN]", value_parser = written::crash, help_heading = "Faults")]
    crash: Vec<Crash>,
    /// One more time in which groups do not hear each other: 3s..6s:0,1/2,3, or of regions 3s..6s:sydney (repeat)
    #[arg(long, value_name = "FROM..UNTIL:GROUP[/GROUP]", value_parser = written::partition, help_heading = "Faults")]
    partition: Vec<Partition>,

    /// The longest that the run goes on once nothing more happens to the replicas; 1,000 view timeouts without
    #[arg(long, value_parser = humantime::parse_duration, help_heading = "End")]
    stop_after: Option<Duration>,
    /// The most events of the run
    #[arg(long, help_heading = "End")]
    max_events: Option<u64>,
}

/// Reads a name as a scenario file spells it.
fn named<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    let value = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name);
    T::deserialize(value).map_err(|error| error.to_string())
}

impl Setup {
    /// The scenario of a file, or of none, with what the options and a command change. An error names what asks for what cannot be.
    pub(crate) fn scenario(&self, file: Option<&Path>, seed: Option<u64>, change: Change<'_>) -> Result<Scenario> {
        let mut scenario = file.map(written::read).transpose()?.unwrap_or_default();
        self.change(&mut scenario)?;
        change(file.unwrap_or(Path::new("")), &mut scenario)?;
        scenario.seed = seed.unwrap_or(scenario.seed);
        scenario.recorded = None;
        scenario.check()?;
        Ok(scenario)
    }

    fn change(&self, scenario: &mut Scenario) -> Result<()> {
        fn set<T: Clone>(field: &mut T, option: &Option<T>) {
            if let Some(value) = option {
                field.clone_from(value);
            }
        }
        if !self.region.is_empty() {
            scenario.regions = self.region.iter().map(|text| region(text)).collect::<Result<_>>()?;
            let together = scenario.regions.iter().fold(0, |sum: usize, region| sum.saturating_add(region.nodes));
            scenario.n = self.nodes.unwrap_or(together);
        }
        set(&mut scenario.n, &self.nodes);
        if scenario.n == 0 && self.nodes.is_none() {
            scenario.n = dtn_simulator::MIN_NODES;
        }
        set(&mut scenario.signatures, &self.signatures);
        set(&mut scenario.load.blocks, &self.blocks);
        set(&mut scenario.load.transactions, &self.transactions);
        set(&mut scenario.load.transaction_bytes, &self.transaction_bytes);
        set(&mut scenario.load.every, &self.every);
        set(&mut scenario.links.jitter, &self.jitter);
        set(&mut scenario.links.bandwidth, &self.bandwidth);
        set(&mut scenario.links.model, &self.model);
        set(&mut scenario.links.loss, &self.loss);
        set(&mut scenario.links.duplication, &self.duplication);
        set(&mut scenario.links.reordering, &self.reordering);
        set(&mut scenario.synchrony.model, &self.synchrony);
        set(&mut scenario.synchrony.scheduler, &self.scheduler);
        set(&mut scenario.stop.events, &self.max_events);
        scenario.links.latency = self.latency.or(scenario.links.latency);
        scenario.pace.view_timeout = self.view_timeout.or(scenario.pace.view_timeout);
        scenario.synchrony.delta = self.delta.or(scenario.synchrony.delta);
        scenario.gst = self.gst.or(scenario.gst);
        scenario.stop.after = self.stop_after.or(scenario.stop.after);
        scenario.beyond_tolerance |= self.beyond_tolerance;
        if let Some(count) = self.byzantine {
            let (n, tolerated) = (scenario.n, scenario.max_faulty());
            let most = dtn_simulator::MAX_NODES;
            ensure!(n <= most, Coded::argument(format_args!("--nodes {n}: {most} at most")));
            ensure!(count <= n, Coded::argument(format_args!("--byzantine {count}: there are {n} replicas")));
            let shown = count <= tolerated || self.beyond_tolerance;
            ensure!(
                shown,
                Coded::argument(format_args!(
                    "--byzantine {count}: {n} replicas tolerate {tolerated} liars at most (--beyond-tolerance shows what comes of \
                     more)"
                ))
            );
            scenario.adversaries = (0..count).map(|liar| (liar, self.behaviour.unwrap_or(Kind::Silent))).collect();
        }
        scenario.crashes.extend(self.crash.iter().cloned());
        scenario.partitions.extend(self.partition.iter().cloned());
        Ok(())
    }
}

fn region(text: &str) -> Result<Region> {
    written::region(text).map_err(|error| anyhow!("--region {text}: {error}"))
}
