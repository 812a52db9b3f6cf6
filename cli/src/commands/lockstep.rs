//! `dtn-cli lockstep`: rounds of events among processes of this machine.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use clap::{Args, ValueEnum};
use dtn_testbed::lockstep::{Plan, Waits, among_processes, play};
use tokio::{io::AsyncReadExt, process};

use crate::{failure::Coded, output};

/// The most peers.
const MAX_PEERS: u8 = 32;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// For all
    Strict,
    /// For all until a deadline; then who is waited for is excluded
    Timed,
    /// For nobody: a round ends after a fixed time, and what is late is dropped
    Bucket,
    /// For those on whom a peer depends
    Async,
}

/// Play rounds of events among peers that are processes of their own.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli lockstep --peers 4
  dtn-cli lockstep --peers 4 --pipeline 4 --rounds 5000
  dtn-cli lockstep --peers 7 --mode timed --deadline 1s --json
  dtn-cli lockstep --peers 4 --mode bucket --tick 20ms --delay 10ms --rounds 200

In each round every peer commits to its events by a hash, waits for the hashes of the others, and then shows its events: so
nobody can look at what the others do before it has chosen itself. The order of the events follows from a hash of all of
them, which nobody knows before. Each commitment holds the hash of the state, so whoever has another one is named.

A round takes two messages one after the other, and two writes to disk. With --pipeline p, p rounds are under way at once.
Exit code 1 if peers that have to have the same state do not.")]
pub(crate) struct Lockstep {
    /// How many peers, 2 to 32
    #[arg(long, default_value_t = 4)]
    peers: u8,
    /// For whom a round waits
    #[arg(long, value_enum, default_value_t = Mode::Strict)]
    mode: Mode,
    /// Rounds under way at once, 1 to 32
    #[arg(long, default_value_t = 1)]
    pipeline: u64,
    /// How many rounds
    #[arg(long, default_value_t = 1_000)]
    rounds: u64,
    /// Events of each peer in a round
    #[arg(long, default_value_t = 1)]
    events: usize,
    /// Bytes of each
    #[arg(long, default_value_t = 32)]
    bytes: usize,
    /// With timed, how long is waited for commitments, and from then on for reveals
    #[arg(long, default_value = "5s")]
    deadline: humantime::Duration,
    /// With bucket, after how long a round is over
    #[arg(long, default_value = "100ms")]
    delay: humantime::Duration,
    /// With bucket, how often a round begins
    #[arg(long, default_value = "40ms")]
    tick: humantime::Duration,
    /// With async, on how many others each depends; on all without
    #[arg(long)]
    depends: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Be one of the peers of the network in a folder
    #[arg(long, hide = true, num_args = 2, value_names = ["FOLDER", "PEER"])]
    as_peer: Option<Vec<String>>,
}

impl Lockstep {
    fn plan(&self) -> Result<Plan> {
        let Self { peers, rounds, .. } = *self;
        ensure!(
            (2..=MAX_PEERS).contains(&peers),
            Coded::argument(format_args!("--peers {peers}: give 2 to {MAX_PEERS}"))
        );
        ensure!(rounds > 0, Coded::argument("--rounds 0: give at least one"));
        let waits = match self.mode {
            Mode::Strict => Waits::Strict,
            Mode::Timed => Waits::Timed,
            Mode::Bucket => Waits::Bucket,
            Mode::Async => Waits::Async,
        };
        let mut plan = Plan::new(peers, rounds);
        (plan.waits, plan.pipeline, plan.depends) = (waits, self.pipeline, self.depends);
        (plan.events, plan.bytes) = (self.events, self.bytes);
        (plan.deadline, plan.delay, plan.tick) = (*self.deadline, *self.delay, *self.tick);
        plan.check().map_err(|unmet| anyhow!(Coded::argument(unmet)))?;
        Ok(plan)
    }
}

pub(crate) async fn run(lockstep: &Lockstep) -> Result<()> {
    if let Some([folder, peer]) = lockstep.as_peer.as_deref() {
        let end = async { _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await };
        let done = |seen: &_| output::json_line(seen).map_err(std::io::Error::other);
        return Ok(play(Path::new(folder), peer.parse()?, done, end).await?);
    }
    let (plan, program) = (lockstep.plan()?, std::env::current_exe()?);
    let command = |folder: &Path, peer: usize| {
        let mut command = process::Command::new(&program);
        command.args(["lockstep", "--as-peer"]).arg(folder).arg(peer.to_string());
        command
    };
    let played = among_processes(plan, command).await?;
    if lockstep.json {
        output::json(&played)?;
    } else {
        output::line(played.table())?;
    }
    ensure!(!played.differs(), "the peers have different states");
    Ok(())
}
