//! One network under many seeds.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use dtn_report::{Progress, Table, Tell, left, right, units};
use dtn_simulator::{Engine, Scenario, Verdict, shrink};
use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, Quantiles, play, virtual_time};
#[cfg(feature = "parquet")]
use crate::parquet;

/// Signatures that a thread remembers from run to run.
const REMEMBERED_SIGNATURES: usize = 1 << 18;

/// Failing seeds that are named one by one.
const NAMED: usize = 10;

/// Why a sweep does not go on. An error of another library is told as it is, and is the source of this one.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The file cannot be written.
    #[error("cannot write {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Another process writes it.
    #[error("another sweep writes {}: give another file, or wait for its end", .0.display())]
    Busy(PathBuf),
    /// It is no sweep's.
    #[error("{} is not a sweep's file: give another, or remove it", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// Why it cannot be read as one, if it was tried.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// It is another sweep's.
    #[error("{} has the runs of another scenario: give another file, or remove it", .0.display())]
    OtherScenario(PathBuf),
    /// A run cannot be written down.
    #[error("{0}")]
    Csv(#[from] csv::Error),
    /// Likewise.
    #[error("{0}")]
    Append(#[source] io::Error),
    /// A run ended by a panic.
    #[error("a run panicked")]
    Panicked,
}

impl SweepError {
    /// For `map_err`: that a file cannot be written.
    fn write<E: Into<Box<dyn Error + Send + Sync>>>(file: &Path) -> impl FnOnce(E) -> Self {
        let file = file.into();
        move |source| Self::Write { file, source: source.into() }
    }
}

/// What is played under every seed.
#[derive(Debug)]
pub enum Network {
    /// A scenario, with each seed.
    Chosen(Box<Scenario>),
    /// Chance chooses it.
    Random,
    /// Chance chooses it, and blocks are mined.
    RandomMiners,
    /// Chance chooses it, and a protocol that chains blocks plays it.
    RandomChained(Engine),
}

/// A run, as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Tells the scenario from another.
    pub scenario: String,
    /// Which seed.
    pub seed: u64,
    /// How it ended.
    pub verdict: String,
    /// Until all replicas had decided.
    pub decided_all_ms: Option<f64>,
    /// Until the client was convinced.
    pub replied_ms: Option<f64>,
    /// The highest view in which something was decided.
    pub view: u64,
    /// Messages that were sent.
    pub messages: u64,
    /// Bytes that were.
    pub bytes: u64,
    /// Things that happened.
    pub events: u64,
    /// Of all of them.
    pub digest: String,
}

/// All runs together.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// How many.
    pub runs: usize,
    /// Runs by how they ended.
    pub verdicts: BTreeMap<String, usize>,
    /// The first seeds whose runs failed.
    pub failed: Vec<u64>,
    /// When all replicas had decided, over the runs that passed.
    pub decided_all_ms: Option<Quantiles>,
    /// Runs in which a view was left.
    pub with_view_changes: usize,
    /// Messages of a run.
    pub mean_messages: f64,
    /// Bytes of a run.
    pub mean_bytes: f64,
}

/// A network under many seeds.
#[derive(Debug)]
pub struct Sweep {
    network: Network,
    /// Tells the network from another.
    scenario: String,
    seeds: Range<u64>,
    rows: Vec<Row>,
    written: Option<Mutex<csv::Writer<File>>>,
}

impl Sweep {
    /// That of these seeds. With a file each run is appended to it when it is done, and those that are in it are known. What
    /// is not a sweep's is left as it is.
    pub fn new(network: Network, seeds: Range<u64>, file: Option<&Path>) -> Result<Self, SweepError> {
        let scenario = network.fingerprint();
        let opened = file.map(|path| open(path, &scenario)).transpose()?;
        let (rows, written) = opened.map(|(rows, file)| (rows, Mutex::new(file))).unzip();
        let mut rows: Vec<Row> = rows.unwrap_or_default();
        rows.retain(|row| seeds.contains(&row.seed));
        Ok(Self { network, scenario, seeds, rows, written })
    }

    /// Plays the runs that are not known yet, on so many threads; gives all, by seed.
    pub fn play(&mut self, threads: usize, tell: Tell<'_>) -> Result<&[Row], SweepError> {
        let Self { network, scenario, seeds, rows, written } = self;
        let (network, scenario, written) = (&*network, &*scenario, written.as_ref());
        let known: BTreeSet<_> = rows.iter().map(|row| row.seed).collect();
        tell(Progress::Stage { what: "runs", parts: seeds.end - seeds.start });
        tell(Progress::Parts(known.len() as u64));
        let next = AtomicU64::new(seeds.start);
        let work = || -> Result<Vec<Row>, SweepError> {
            let _remembering = dtn_primitives::memo::remember(REMEMBERED_SIGNATURES);
            let mut rows = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return Ok(rows);
                }
                if known.contains(&seed) {
                    continue;
                }
                let row = Row::of(scenario, seed, play(&network.seeded(seed)).0);
                if let Some(file) = written {
                    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                    file.serialize(&row)?;
                    file.flush().map_err(SweepError::Append)?;
                }
                rows.push(row);
                tell(Progress::Part);
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                rows.extend(worker.join().map_err(|_| SweepError::Panicked)??);
            }
            Ok::<_, SweepError>(())
        })?;
        tell(Progress::Over);
        rows.sort_by_key(|row| row.seed);
        Ok(rows)
    }

    /// The run of a seed that fails, as small as it gets while it ends in the same way, and what came of it.
    pub fn smallest(&self, seed: u64, tell: Tell<'_>) -> (Scenario, Outcome) {
        let scenario = self.network.seeded(seed);
        tell(Progress::Stage { what: "making it small", parts: 0 });
        let ends = |scenario: &Scenario| std::mem::discriminant(&dtn_simulator::play(scenario).verdict);
        let kind = ends(&scenario);
        let smallest = shrink(scenario, |smaller| {
            tell(Progress::Part);
            ends(smaller) == kind
        });
        tell(Progress::Over);
        let outcome = play(&smallest).0;
        (Scenario { recorded: Some(outcome.recorded()), ..smallest }, outcome)
    }
}

/// Writes runs as a Parquet file.
#[cfg(feature = "parquet")]
pub fn write_parquet(file: &Path, rows: &[Row]) -> Result<(), SweepError> {
    parquet::write(file, rows).map_err(SweepError::write(file))
}

impl Network {
    /// The scenario of a seed.
    fn seeded(&self, seed: u64) -> Scenario {
        match self {
            Self::Chosen(scenario) => Scenario { seed, ..Scenario::clone(scenario) },
            Self::Random => Scenario::random(seed),
            Self::RandomMiners => Scenario::random_miners(seed),
            Self::RandomChained(engine) => Scenario::random_chained(*engine, seed),
        }
    }

    /// Tells it from another.
    fn fingerprint(&self) -> String {
        match self {
            Self::Chosen(scenario) => dtn_primitives::keccak256(scenario.to_toml()).to_string()[2..10].to_string(),
            Self::Random => "random".into(),
            Self::RandomMiners => "random-miners".into(),
            Self::RandomChained(engine) => format!("random-{engine}"),
        }
    }
}

/// The first line of a sweep's file.
const HEADINGS: &str = "scenario,seed,verdict,decided_all_ms,replied_ms,view,messages,bytes,events,digest\n";

/// Opens a sweep's file, or makes it: the runs that it has, and where more are appended. Of a sweep that was stopped, a last
/// line that was not written to its end is taken away.
fn open(path: &Path, scenario: &str) -> Result<(Vec<Row>, csv::Writer<File>), SweepError> {
    let opened = OpenOptions::new().create(true).read(true).append(true).open(path);
    let mut file = opened.map_err(SweepError::write(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(SweepError::Busy(path.into())),
        Err(TryLockError::Error(error)) => return Err(SweepError::write(path)(error)),
    }
    let is_foreign = |source: Option<Box<dyn Error + Send + Sync>>| SweepError::Foreign { file: path.into(), source };
    let foreign = |source: io::Error| is_foreign(Some(source.into()));
    // A device may have no end.
    if !file.metadata().map_err(foreign)?.is_file() {
        return Err(is_foreign(None));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(foreign)?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let (written, unfinished) = text.split_at(whole);
    let begins_as = match whole {
        0 => HEADINGS.to_string(),
        _ => format!("{scenario},"),
    };
    let begins = unfinished.starts_with(&begins_as) || begins_as.starts_with(unfinished);
    if !begins || (whole > 0 && !written.starts_with(HEADINGS)) {
        return Err(is_foreign(None));
    }
    let rows: Result<Vec<Row>, _> = csv::Reader::from_reader(written.as_bytes()).deserialize().collect();
    let rows = rows.map_err(|source| is_foreign(Some(source.into())))?;
    if rows.iter().any(|row| row.scenario != scenario) {
        return Err(SweepError::OtherScenario(path.into()));
    }
    file.set_len(whole as u64).map_err(SweepError::write(path))?;
    Ok((rows, csv::WriterBuilder::new().has_headers(whole == 0).from_writer(file)))
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
    /// Of these runs.
    pub fn of(rows: &[Row]) -> Self {
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

    /// As people read it.
    pub fn table(&self) -> String {
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
