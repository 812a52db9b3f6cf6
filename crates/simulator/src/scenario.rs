//! What happens to the replicas in a run, as a file describes it.

use std::{collections::BTreeMap, time::Duration};

use dtn_consensus::{PIPELINE, chained::Lapse};
use dtn_primitives::max_faulty;
use serde::{Deserialize, Serialize};
use serde_with::{DeserializeFromStr, SerializeDisplay};

use crate::{Durability, Engine, Latency, Miners, Rate, Survival, Work, adversary::Kind, liars};

/// How many times longer than its view timeout a run may take once nothing more happens to the replicas.
const PATIENCE: u32 = 1000;

/// The longest that a run waits for a view to change, if the network decides.
const MAX_PATIENT_TIMEOUT: f64 = 30.0 * 24.0 * 3600.0;

/// A run before it is played. Times count from its start.
///
/// A file says the same in TOML ([`Scenario::from_toml`]); what it leaves out is as [`Scenario::default`] has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What it shows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Seeds whatever the scenario leaves open: delays, losses, the order of what happens at one time.
    pub seed: u64,
    /// What decides which blocks become final. Without it, mined blocks if the scenario says how they are mined, and PBFT
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// Whether replicas that chain blocks pass on what they hear: all of it in Streamlet, certificates in Simplex.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub relays: bool,
    /// A rule that replicas that chain blocks leave out, for the checker: no file says so.
    #[serde(skip)]
    pub lapse: Option<Lapse>,
    /// The number of replicas. Where regions are given, it is theirs together.
    #[serde(rename = "nodes")]
    pub n: usize,
    /// The global stabilization time: from then on nothing is lost, doubled or reordered, and the scheduler keeps to the
    /// bound. Without one, links stay as they are.
    #[serde(with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    pub gst: Option<Duration>,
    /// The height that is decided when the run begins.
    #[serde(skip_serializing_if = "is_zero")]
    pub base: u64,
    /// The height of the checkpoint that is stable when the run begins; 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub stable: u64,
    /// When hosts make things durable.
    pub durability: Durability,
    /// What a power cut leaves of what was not durable.
    pub survival: Survival,
    /// Whether signatures are computed.
    pub signatures: Signatures,
    /// Where the replicas are: the first so many in the first region, and so on. In one place without.
    #[serde(rename = "region", skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// The links.
    pub links: Links,
    /// Links that are different. Of several for one link the last counts.
    #[serde(rename = "link", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// What the network promises, and who decides within that.
    pub synchrony: Synchrony,
    /// The replicas' machines.
    pub pace: Pace,
    /// What there is to decide.
    pub load: Load,
    /// What clients order, where they order work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    /// How blocks are mined, for a protocol that mines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mining: Option<Miners>,
    /// Replicas that start later than the others, for the first time.
    #[serde(rename = "start", skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<Start>,
    /// Replicas whose power fails.
    #[serde(rename = "crash", skip_serializing_if = "Vec::is_empty")]
    pub crashes: Vec<Crash>,
    /// Times in which the network is parted.
    #[serde(rename = "partition", skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Partition>,
    /// Replicas that are liars, and of which kind.
    #[serde(rename = "byzantine", with = "liars", skip_serializing_if = "BTreeMap::is_empty")]
    pub adversaries: BTreeMap<usize, Kind>,
    /// What people without a key do to the replicas' machines.
    pub strangers: Strangers,
    /// More replicas may lie, never come back or lose their disks than are tolerated. No promise holds then, and the run
    /// shows what comes of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub beyond_tolerance: bool,
    /// When the run ends at the latest.
    pub stop: Stop,
    /// What came of it, in a file that is to be replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A place of replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// One of [`crate::REGIONS`].
    pub name: String,
    /// How many replicas are there.
    pub nodes: usize,
    /// What each can send; that of the links without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<Rate>,
    /// What each can receive; that of the links without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<Rate>,
}

/// How links treat messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Links {
    /// How long a message is under way, whatever its length. Where regions are given, that between them without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// A message takes any time up to this longer.
    #[serde(with = "humantime_serde")]
    pub jitter: Duration,
    /// What each replica can send and receive.
    pub bandwidth: Rate,
    /// How messages share that.
    pub model: Sharing,
    /// The share of messages that is lost.
    pub loss: f64,
    /// The share of messages that arrives twice.
    pub duplication: f64,
    /// The share of messages that takes its time twice, so that later ones overtake it.
    pub reordering: f64,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            latency: None,
            jitter: Duration::ZERO,
            bandwidth: Rate::UNLIMITED,
            model: Sharing::Shared,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
        }
    }
}

/// How messages share a replica's bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// Each replica has one uplink and one downlink, which all its messages share: frame by frame, each message in its
    /// turn.
    Shared,
    /// The model of the FPBFT simulator: every message has a connection of its own with all the bandwidth, and is sent in
    /// chunks of a tenth of a second's worth, each after a pause of 100 ms. So none takes less than 100 ms, and a
    /// thousand at a time take no longer than one. It takes a megabit for 2²⁰ bits.
    Fpbft,
}

/// Links from some replicas to some others, in this direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Who sends.
    pub from: Group,
    /// Who receives.
    pub to: Group,
    /// How long a message is under way there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The share of messages that is lost there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// Some replicas: those of a region, or one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a region's name, or a list of replicas such as [0, 1]")]
pub enum Group {
    /// All in a region.
    Region(String),
    /// These.
    Replicas(Vec<usize>),
}

/// What a network promises about the delay of messages (Dwork, Lynch & Stockmeyer, JACM 1988), and who chooses it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Synchrony {
    /// What it promises.
    pub model: Model,
    /// Δ: what no message exceeds while the promise holds. None without, unless a scheduler needs one.
    #[serde(with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    pub delta: Option<Duration>,
    /// Who chooses.
    pub scheduler: Scheduler,
}

/// When Δ holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Always.
    Synchronous,
    /// From the global stabilization time on; what was sent before is there a Δ later.
    #[default]
    Partial,
    /// Never: a message that the scheduler chooses arrives after the run.
    Asynchronous,
}

/// Who chooses how long messages take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheduler {
    /// Chance.
    #[default]
    Fair,
    /// An adversary that has all that its sender's primary says or hears take as long as the model allows.
    TargetPrimary,
    /// An adversary that has votes between replicas of even and of odd number take as long as the model allows.
    SplitVotes,
}

/// What becomes of signatures in a run. It takes as long, in virtual time, whichever it is: [`Pace::signing`] and
/// [`Pace::verifying`] say how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signatures {
    /// They are made and checked.
    Real,
    /// They are counted; what stands in for them names signer and digest.
    Counted,
}

/// What is handed in to be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    /// Who hands it in.
    pub source: Source,
    /// Blocks that are to be decided; of a random load, after nothing more happens to the replicas.
    pub blocks: u64,
    /// The transactions of each.
    pub transactions: usize,
    /// The encoded length of a transaction.
    pub transaction_bytes: usize,
    /// How long after what fills one block a client hands in what fills the next; all at once without.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// Replies to each block that a client waits for; the f + 1 of OSDI '99, §4.1, without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replies: Option<usize>,
    /// Whether a reply is as long as its block.
    pub long_replies: bool,
    /// The clients that take turns, where each request is a transaction of its own.
    pub clients: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            source: Source::Client,
            blocks: 1,
            transactions: 100,
            transaction_bytes: 310,
            every: Duration::ZERO,
            replies: None,
            long_replies: false,
            clients: 1,
        }
    }
}

/// Where there is something to decide from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A client hands it to the primary, and to everyone once it has waited for a view's time. It is content once enough
    /// replicas say that each block is final.
    Client,
    /// Every replica finds some requests now and then.
    Random,
    /// Clients hand each request to all replicas, and again once they have waited for a view's time. Each is a transaction
    /// of its own, and the time until it is final is measured.
    Requests,
    /// The same with orders of work, at hosts that have the real ledger. The replicas race for it, and the time until an
    /// order has its winner is measured.
    Orders,
}

impl Source {
    /// Whether each request is a transaction of its own.
    pub(crate) fn is_one_by_one(self) -> bool {
        matches!(self, Self::Requests | Self::Orders)
    }
}

/// How long things take at a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// How long a view lasts in which nothing is decided, before it doubles. Without, several times what the network
    /// takes to send a block to everybody and to vote on it ([`Scenario::view_timeout`]).
    #[serde(with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    pub view_timeout: Option<Duration>,
    /// How often hosts look after themselves; four times in a view's time without.
    #[serde(with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    pub housekeeping: Option<Duration>,
    /// The longest that a host gathers inputs before it works on them.
    #[serde(with = "humantime_serde")]
    pub gathering: Duration,
    /// The longest that a write takes.
    #[serde(with = "humantime_serde")]
    pub writing: Duration,
    /// What it takes to make a signature.
    #[serde(with = "humantime_serde")]
    pub signing: Duration,
    /// What it takes to check one.
    #[serde(with = "humantime_serde")]
    pub verifying: Duration,
}

impl Default for Pace {
    /// Signatures take what libsecp256k1 takes on one core of a server.
    fn default() -> Self {
        Self {
            view_timeout: None,
            housekeeping: None,
            gathering: Duration::from_millis(1),
            writing: Duration::from_millis(3),
            signing: Duration::from_micros(25),
            verifying: Duration::from_micros(45),
        }
    }
}

/// A power cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Whose.
    pub replica: usize,
    /// When it happens.
    pub at: When,
    /// After how long the replica starts again, at the stabilization time at the latest; never without.
    #[serde(default, with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    pub down: Option<Duration>,
    /// What disk it finds then.
    #[serde(default, skip_serializing_if = "DiskAfter::is_kept")]
    pub disk: DiskAfter,
}

impl Crash {
    /// One after which the replica finds its own disk.
    pub fn new(replica: usize, at: When, down: Option<Duration>) -> Self {
        Self { replica, at, down, disk: DiskAfter::Kept }
    }
}

/// The disk that a replica finds when it starts again, in a file `kept`, `lost`, or `as of` a time or a write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, SerializeDisplay, DeserializeFromStr)]
pub enum DiskAfter {
    /// Its own.
    #[default]
    Kept,
    /// An empty one: the replica knows that it does not remember what it said.
    Lost,
    /// A copy that was made earlier, at a time or after a write: nobody tells the replica that it is old.
    AsOf(When),
}

impl DiskAfter {
    fn is_kept(&self) -> bool {
        *self == Self::Kept
    }
}

impl std::fmt::Display for DiskAfter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kept => f.write_str("kept"),
            Self::Lost => f.write_str("lost"),
            Self::AsOf(when) => write!(f, "as of {when}"),
        }
    }
}

impl std::str::FromStr for DiskAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "kept" => Ok(Self::Kept),
            "lost" => Ok(Self::Lost),
            other => match other.strip_prefix("as of ") {
                Some(when) => when.parse().map(Self::AsOf),
                None => Err(format!("{text}: write kept, lost, or as of 2s")),
            },
        }
    }
}

/// A replica's first start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Whose.
    pub replica: usize,
    /// When.
    #[serde(with = "humantime_serde")]
    pub at: Duration,
}

/// What people without a key do to the replicas' machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Strangers {
    /// A flood of readers: a replica's machine takes so many times longer for everything.
    pub readers: f64,
    /// A spammer of lines: so many requests for each block that clients fill, from one sender and without end.
    pub lines: u64,
    /// Who holds connections: the links of a replica that starts again are there only after this.
    #[serde(with = "humantime_serde")]
    pub holding: Duration,
}

impl Default for Strangers {
    fn default() -> Self {
        Self { readers: 1.0, lines: 0, holding: Duration::ZERO }
    }
}

/// A time in which messages pass within groups only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Its start.
    #[serde(with = "humantime_serde")]
    pub from: Duration,
    /// Its end.
    #[serde(with = "humantime_serde")]
    pub until: Duration,
    /// The groups. Replicas of none of them are one together.
    pub groups: Vec<Group>,
    /// Replicas that hear all and are heard by all: liars whom whoever parts the network lets through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<usize>,
}

impl Partition {
    /// One that concerns everybody.
    pub fn new(from: Duration, until: Duration, groups: Vec<Group>) -> Self {
        Self { from, until, groups, through: Vec::new() }
    }
}

/// When a run ends although something is left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// So long after the last thing that happens to the replicas; without, 1,000 view timeouts and, where blocks are mined,
    /// their intervals.
    #[serde(with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// After so many events.
    pub events: u64,
}

impl Default for Stop {
    fn default() -> Self {
        Self { after: None, events: 1_000_000_000 }
    }
}

/// What came of a run, so that a replay can be told from another run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// How it ended.
    pub verdict: String,
    /// The number of events.
    pub events: u64,
    /// Of everything that happened.
    pub digest: String,
}

impl Default for Scenario {
    /// Four replicas decide one block of 100 transactions on links as the FPBFT simulator has them; signatures are
    /// counted.
    fn default() -> Self {
        Self {
            about: String::new(),
            seed: 0,
            engine: None,
            relays: false,
            lapse: None,
            n: 0,
            gst: None,
            base: 0,
            stable: 0,
            durability: Durability::Together,
            survival: Survival::Nothing,
            signatures: Signatures::Counted,
            regions: Vec::new(),
            links: Links::default(),
            routes: Vec::new(),
            synchrony: Synchrony::default(),
            pace: Pace::default(),
            load: Load::default(),
            work: None,
            mining: None,
            starts: Vec::new(),
            crashes: Vec::new(),
            partitions: Vec::new(),
            adversaries: BTreeMap::new(),
            strangers: Strangers::default(),
            beyond_tolerance: false,
            stop: Stop::default(),
            recorded: None,
        }
    }
}

impl Scenario {
    /// Nothing happens: everyone is correct and reachable. Signatures are real and take no time.
    pub fn calm(n: usize, seed: u64) -> Self {
        let (least, most) = (Duration::from_millis(1), Duration::from_millis(40));
        let timeout = Duration::from_secs(1);
        Self {
            seed,
            n,
            links: Links { latency: Some(Latency::Uniform { least, most }), ..Links::default() },
            pace: Pace {
                view_timeout: Some(timeout),
                housekeeping: Some(timeout / 4),
                signing: Duration::ZERO,
                verifying: Duration::ZERO,
                ..Pace::default()
            },
            signatures: Signatures::Real,
            load: Load { source: Source::Random, blocks: 8, transactions: 0, transaction_bytes: 0, ..Load::default() },
            stop: Stop { after: Some(Duration::from_secs(600)), ..Stop::default() },
            ..Self::default()
        }
    }

    /// A client hands in what fills so many blocks, on links that are stable from the start; the replicas have all that
    /// decided. The transactions are of `transaction_bytes` each.
    pub fn client(n: usize, seed: u64, blocks: u64, transactions: usize, transaction_bytes: usize) -> Self {
        let load = Load { blocks, transactions, transaction_bytes, ..Load::default() };
        Self { load, ..Self::calm(n, seed) }
    }

    /// How long the first view lasts without a decision. If the scenario does not say, longer than a network like this
    /// takes as long as all is well.
    pub fn view_timeout(&self) -> Duration {
        self.pace.view_timeout.unwrap_or_else(|| self.patient_view_timeout())
    }

    fn patient_view_timeout(&self) -> Duration {
        let limits = self.regions.iter().flat_map(|region| [region.up, region.down]).flatten();
        let slowest = limits.chain([self.links.bandwidth]).filter_map(Rate::bytes_per_second).reduce(f64::min);
        // As many blocks as are under way at a time.
        let blocks = self.load.blocks.min(PIPELINE) as f64;
        let block_bytes = blocks * self.load.transactions as f64 * self.load.transaction_bytes as f64;
        let copies = if self.links.model == Sharing::Shared { self.n as f64 } else { 4.0 };
        let votes = 4.0 * self.n as f64 * 200.0;
        let sending = slowest.map_or(0.0, |rate| ((block_bytes + 1000.0) * copies + blocks * votes) / rate);
        let routes = self.routes.iter().filter_map(|route| route.latency.as_ref());
        let latencies = routes.chain([&self.latency()]).map(Latency::most).max().unwrap_or_default();
        let working = (self.pace.signing + self.pace.verifying * 4 * self.n as u32).as_secs_f64();
        let under_way = (latencies + self.links.jitter).as_secs_f64();
        // A block may be confirmed here and, after a fork, not there until the next ones come.
        let mining = self.mining.as_ref().map_or(0.0, |mining| 4.0 * mining.block_interval.as_secs_f64());
        let seconds = 2.0 + 10.0 * under_way + 8.0 * sending + 4.0 * working + mining;
        Duration::from_secs_f64(seconds.min(MAX_PATIENT_TIMEOUT))
    }

    /// How often hosts look after themselves.
    pub fn housekeeping(&self) -> Duration {
        self.pace.housekeeping.unwrap_or_else(|| self.view_timeout() / 4)
    }

    /// The latency of links that no route names.
    pub fn latency(&self) -> Latency {
        let prototype = || Latency::up_to(Duration::from_millis(350));
        let without = || if self.regions.is_empty() { prototype() } else { Latency::Regions };
        self.links.latency.unwrap_or_else(without)
    }

    /// From when on nothing more happens to the replicas.
    pub fn settled(&self) -> Duration {
        let crash = |crash: &Crash| match crash.at {
            When::At(time) => time.saturating_add(crash.down.unwrap_or_default()),
            When::Write { .. } => Duration::ZERO,
        };
        let crashes = self.crashes.iter().map(crash);
        let starts = self.starts.iter().map(|start| start.at);
        let ends = crashes.chain(starts).chain(self.partitions.iter().map(|partition| partition.until));
        self.gst.unwrap_or_else(|| ends.max().unwrap_or_default())
    }

    /// When the run ends at the latest.
    pub fn end(&self) -> Duration {
        let patience = self.stop.after.unwrap_or_else(|| self.view_timeout().saturating_mul(PATIENCE));
        let mining = self.mining.as_ref().filter(|_| self.stop.after.is_none());
        let working = |mining: &Miners| mining.block_interval.saturating_mul(self.load.blocks.min(1 << 20) as u32);
        self.settled().saturating_add(patience).saturating_add(mining.map_or(Duration::ZERO, working))
    }

    /// Replicas that crash and do not start again.
    pub fn lost(&self) -> impl Iterator<Item = usize> {
        self.crashes.iter().filter(|crash| crash.down.is_none()).map(|crash| crash.replica)
    }

    /// Replicas that may forget what they said: their disks are replaced.
    pub fn forgetful(&self) -> impl Iterator<Item = usize> {
        self.crashes.iter().filter(|crash| !crash.disk.is_kept()).map(|crash| crash.replica)
    }

    /// The replicas of a group; nobody, if there is no such region.
    pub fn members(&self, group: &Group) -> Vec<usize> {
        match group {
            Group::Replicas(replicas) => replicas.clone(),
            Group::Region(name) => {
                let region = |replica: &usize| self.region_of(*replica).is_some_and(|region| region.name == *name);
                (0..self.n).filter(region).collect()
            }
        }
    }

    /// The region of a replica, if there are any. Who is beyond them, such as a client, is in the first.
    pub fn region_of(&self, replica: usize) -> Option<&Region> {
        let mut end = 0;
        let of = |region: &&Region| {
            end += region.nodes;
            replica < end
        };
        self.regions.iter().find(of).or(self.regions.first())
    }

    /// The liars that it tolerates.
    pub fn max_faulty(&self) -> usize {
        max_faulty(self.n)
    }
}

/// The moment of a power cut: a time, or `write 5` for the replica's fifth write, before it is durable, or
/// `write 5 durable` for right after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub enum When {
    /// At a time.
    At(Duration),
    /// At the replica's write of this number, from 1: before it is durable, or before anything else is done.
    Write {
        /// Which write.
        number: u64,
        /// Whether the write is durable.
        durable: bool,
    },
}

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(time) => humantime::format_duration(*time).fmt(f),
            Self::Write { number, durable } => write!(f, "write {number}{}", if *durable { " durable" } else { "" }),
        }
    }
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(write) = text.trim().strip_prefix("write ") else {
            let time = humantime::parse_duration(text.trim());
            return time.map(Self::At).map_err(|error| format!("{text}: {error}; write a time, or write 5"));
        };
        let (number, durable) = write.trim().strip_suffix(" durable").map_or((write, false), |number| (number, true));
        let number = number.trim().parse().map_err(|_| format!("{text}: give the number of a write"))?;
        Ok(Self::Write { number, durable })
    }
}
