//! `dtn-cli sim sweep`: one network under many seeds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions, TryLockError},
    io::Read,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use dtn_report::{Table, left, right, units};
use dtn_simulator::{Scenario, Verdict, shrink};
use serde::{Deserialize, Serialize};

use crate::commands::l1::engine::Engine;

#[cfg(feature = "parquet")]
use super::parquet;
use super::{
    options::{self, Setup},
    outcome::{Outcome, Quantiles, play, report, virtual_time},
};
use crate::{failure::Coded, output};

/// The most runs of a sweep.
const MAX_SEEDS: u64 = 10_000_000;

/// Signatures that a thread remembers from run to run.
const REMEMBERED_SIGNATURES: usize = 1 << 18;

/// The most threads that are started.
const MAX_THREADS: usize = 1024;

/// Failing seeds that are named one by one.
const NAMED: usize = 10;

/// The same network under many seeds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim sweep --seeds 1000 --nodes 7 --byzantine 2 --behaviour equivocate --blocks 5
  dtn-cli sim sweep --seeds 10000 --nodes 10 --loss 0.1 --gst 5s --csv runs.csv
  dtn-cli sim sweep --seeds 10000 --random
  dtn-cli sim sweep --seeds 1000 --random --engine nakamoto
  dtn-cli sim sweep --seeds 100 scenarios/partition.toml

With --csv each run is written down when it is done, and a sweep that was stopped goes on where it stopped. Exit code 1 if
a run fails; the first that does is made as small as it gets and written to a file for `dtn-cli sim replay`.")]
pub(crate) struct Sweep {
    /// A scenario file
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    setup: Setup,
    /// Let chance choose everything: power cuts, losses, partitions and liars among 4 to 7 replicas
    #[arg(long, conflicts_with_all = ["file", "Setup"])]
    random: bool,
    /// What decides which blocks become final where chance chooses everything else; pbft without
    #[arg(long, value_enum, requires = "random")]
    engine: Option<Engine>,
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads; all cores without
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Append each run to this file, and skip the seeds that are in it
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Write all runs to this file once they are done; for a program that was built with `--features parquet`
    #[arg(long)]
    parquet: Option<PathBuf>,
    /// Where to write a run that fails
    #[arg(long, value_name = "FILE", default_value = "failed.toml")]
    failed: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is played under every seed.
enum Network {
    Chosen(Box<Scenario>),
    /// Chance chooses it.
    Random,
    /// Chance chooses it, and blocks are mined.
    RandomMiners,
}

/// A run, as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    /// Tells the scenario from another.
    pub(super) scenario: String,
    pub(super) seed: u64,
    pub(super) verdict: String,
    pub(super) decided_all_ms: Option<f64>,
    pub(super) replied_ms: Option<f64>,
    pub(super) view: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) events: u64,
    pub(super) digest: String,
}

/// All runs together.
#[derive(Debug, Serialize)]
struct Summary {
    runs: usize,
    /// Runs by how they ended.
    verdicts: BTreeMap<String, usize>,
    /// The first seeds whose runs failed.
    failed: Vec<u64>,
    /// When all replicas had decided, over the runs that passed.
    decided_all_ms: Option<Quantiles>,
    /// Runs in which a view was left.
    with_view_changes: usize,
    mean_messages: f64,
    mean_bytes: f64,
}

fn check_seeds(seeds: u64) -> Result<()> {
    let few = format_args!("--seeds {seeds}: give 1 to {MAX_SEEDS}");
    ensure!((1..=MAX_SEEDS).contains(&seeds), Coded::argument(few));
    Ok(())
}

pub(crate) fn run(sweep: &Sweep) -> Result<()> {
    check_seeds(sweep.seeds)?;
    ensure!(
        sweep.parquet.is_none() || cfg!(feature = "parquet"),
        Coded::argument("this program was built without Parquet: build it with `--features parquet`, or take --csv")
    );
    let end = sweep.from.checked_add(sweep.seeds).context("--from and --seeds go beyond the last seed")?;
    let network = sweep.network()?;
    let scenario = network.fingerprint();
    let wanted = sweep.from..end;
    let file = sweep.csv.as_ref().map(|path| Runs::open(path, &scenario)).transpose()?;
    let (mut rows, written) = file.map(|Runs { rows, file }| (rows, Mutex::new(file))).unzip();
    let rows: &mut Vec<Row> = rows.get_or_insert_default();
    rows.retain(|row| wanted.contains(&row.seed));
    let known: BTreeSet<_> = rows.iter().map(|row| row.seed).collect();
    let bar = output::progress(sweep.seeds, "runs");
    bar.set_position(known.len() as u64);

    let next = AtomicU64::new(sweep.from);
    let threads = sweep.threads.or(std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let threads = threads.min(MAX_THREADS).min(sweep.seeds as usize);
    let work = || -> Result<Vec<Row>> {
        let _remembering = dtn_primitives::memo::remember(REMEMBERED_SIGNATURES);
        let mut rows = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return Ok(rows);
            }
            if known.contains(&seed) {
                continue;
            }
            let row = Row::of(&scenario, seed, play(&network.seeded(seed)).0);
            if let Some(file) = &written {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.serialize(&row)?;
                file.flush()?;
            }
            rows.push(row);
            bar.inc(1);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            rows.extend(worker.join().map_err(|_| anyhow::anyhow!("a run panicked"))??);
        }
        anyhow::Ok(())
    })?;
    bar.finish_and_clear();

    rows.sort_by_key(|row| row.seed);
    #[cfg(feature = "parquet")]
    if let Some(path) = &sweep.parquet {
        parquet::write(path, rows).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let summary = Summary::of(rows);
    if sweep.json {
        output::json(&summary)?;
    } else {
        output::line(summary.table())?;
    }
    let Some(seed) = summary.failed.first() else { return Ok(()) };
    let (scenario, searching) = (network.seeded(*seed), output::progress(0, "making it small"));
    let kind = std::mem::discriminant(&report(&scenario).verdict);
    let smallest = shrink(scenario, |smaller| {
        searching.inc(1);
        std::mem::discriminant(&report(smaller).verdict) == kind
    });
    searching.finish_and_clear();
    let outcome = play(&smallest).0;
    let (summary, file) = (outcome.summary(), sweep.failed.display());
    let recorded = Scenario { recorded: Some(outcome.recorded()), ..smallest };
    options::write(&sweep.failed, &recorded).with_context(|| format!("seed {seed} fails, {summary}"))?;
    bail!("seed {seed} fails; as small as it gets, {summary}\n`dtn-cli sim replay {file}` shows it")
}

impl Sweep {
    fn network(&self) -> Result<Network> {
        match (self.random, self.engine) {
            (false, _) => {
                let scenario = self.setup.scenario(self.file.as_deref(), Some(0), &|_, _| Ok(()))?;
                Ok(Network::Chosen(Box::new(scenario)))
            }
            (true, None | Some(Engine::Pbft)) => Ok(Network::Random),
            (true, Some(Engine::Nakamoto)) => Ok(Network::RandomMiners),
        }
    }
}

impl Network {
    /// The scenario of a seed.
    fn seeded(&self, seed: u64) -> Scenario {
        match self {
            Self::Chosen(scenario) => Scenario { seed, ..Scenario::clone(scenario) },
            Self::Random => Scenario::random(seed),
            Self::RandomMiners => Scenario::random_miners(seed),
        }
    }

    /// Tells it from another.
    fn fingerprint(&self) -> String {
        match self {
            Self::Chosen(scenario) => dtn_primitives::keccak256(scenario.to_toml()).to_string()[2..10].to_string(),
            Self::Random => "random".into(),
            Self::RandomMiners => "random-miners".into(),
        }
    }
}

/// The first line of a sweep's file.
const HEADINGS: &str = "scenario,seed,verdict,decided_all_ms,replied_ms,view,messages,bytes,events,digest\n";

/// A sweep's file: the runs that it has, and where more are appended.
struct Runs {
    rows: Vec<Row>,
    file: csv::Writer<File>,
}

impl Runs {
    /// Opens a file, or makes it. What is not a sweep's is left as it is; of a sweep that was stopped, a last line that was
    /// not written to its end is taken away.
    fn open(path: &PathBuf, scenario: &str) -> Result<Self> {
        let name = path.display();
        let opened = OpenOptions::new().create(true).read(true).append(true).open(path);
        let mut file = opened.with_context(|| format!("cannot write {name}"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another sweep writes {name}: give another file, or wait for its end")
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot write {name}")),
        }
        let foreign = || format!("{name} is not a sweep's file: give another, or remove it");
        // A device may have no end.
        ensure!(file.metadata().with_context(foreign)?.is_file(), foreign());
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(foreign)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let (written, unfinished) = text.split_at(whole);
        let begins_as = match whole {
            0 => HEADINGS.to_string(),
            _ => format!("{scenario},"),
        };
        let begins = unfinished.starts_with(&begins_as) || begins_as.starts_with(unfinished);
        ensure!(begins && (whole == 0 || written.starts_with(HEADINGS)), foreign());
        let rows: Result<Vec<Row>, _> = csv::Reader::from_reader(written.as_bytes()).deserialize().collect();
        let rows = rows.with_context(foreign)?;
        let other = rows.iter().find(|row| row.scenario != scenario);
        ensure!(other.is_none(), "{name} has the runs of another scenario: give another file, or remove it");
        file.set_len(whole as u64).with_context(|| format!("cannot write {name}"))?;
        Ok(Self { rows, file: csv::WriterBuilder::new().has_headers(whole == 0).from_writer(file) })
    }
}

impl Row {
    /// The run of a sweep's seed, which is the scenario's too unless chance chooses the scenario.
    fn of(scenario: &str, seed: u64, outcome: Outcome) -> Self {
        let scenario = scenario.to_string();
        let Outcome { verdict, decided_all_ms, replied_ms, view, messages, bytes, events, digest, .. } = outcome;
        Self { scenario, seed, verdict, decided_all_ms, replied_ms, view, messages, bytes, events, digest }
    }
}

impl Summary {
    fn of(rows: &[Row]) -> Self {
        let mut verdicts = BTreeMap::<String, usize>::new();
        rows.iter().for_each(|row| *verdicts.entry(row.verdict.clone()).or_default() += 1);
        let passed = Verdict::Pass.to_string();
        let failed = rows.iter().filter(|row| row.verdict != passed).map(|row| row.seed).take(NAMED).collect();
        let mean =
            |figure: fn(&Row) -> u64| rows.iter().map(|row| figure(row) as f64).sum::<f64>() / rows.len().max(1) as f64;
        Self {
            runs: rows.len(),
            verdicts,
            failed,
            decided_all_ms: Quantiles::of(rows.iter().filter_map(|row| row.decided_all_ms)),
            with_view_changes: rows.iter().filter(|row| row.view > 0).count(),
            mean_messages: mean(|row| row.messages),
            mean_bytes: mean(|row| row.bytes),
        }
    }

    fn table(&self) -> String {
        let mut table = Table::new("Sweep", [left("figure"), right("value")]);
        table.row(["runs".to_string(), units::thousands(self.runs)]);
        for (verdict, count) in &self.verdicts {
            table.row([verdict.clone(), units::thousands(count)]);
        }
        if let Some(Quantiles { p50, p90, p99, max }) = self.decided_all_ms {
            for (name, ms) in [("p50", p50), ("p90", p90), ("p99", p99), ("max", max)] {
                table.row([format!("all decide, {name}"), virtual_time(ms)]);
            }
        }
        table.row(["runs with a view change".to_string(), units::thousands(self.with_view_changes)]);
        table.row(["messages, mean".to_string(), units::thousands(self.mean_messages as u64)]);
        table.row(["bytes, mean".to_string(), units::bytes(self.mean_bytes as u64)]);
        table.to_string()
    }
}
