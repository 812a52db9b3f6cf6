//! Scenarios that cannot be.

use std::{collections::BTreeSet, fmt, time::Duration};

use dtn_consensus::{CHECKPOINT_INTERVAL, LOG_WINDOW};

use crate::{
    Crash, DiskAfter, Engine, Group, Latency, Model, REGIONS, Scenario, Scheduler, Sharing, Source, Start, Strangers,
    When, Work, pool::MAX_WAITING,
};

/// The fewest replicas that tolerate a liar.
pub const MIN_NODES: usize = 4;

/// The most replicas that a run of seconds can hold.
pub const MAX_NODES: usize = 1000;

/// The longest latency that is taken for meant.
pub const MAX_LATENCY: Duration = Duration::from_secs(60);

/// The longest time between two blocks that clients fill.
const MAX_APART: Duration = Duration::from_secs(3600);

/// The longest view, which doubles while nothing is decided.
const MAX_VIEW_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The longest time in a scenario.
const MAX_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The longest that a machine takes for one thing.
const MAX_WORK: Duration = Duration::from_secs(10);

/// The shortest view, and the least time between two looks of a host after itself.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

/// The most links, crashes or partitions.
const MAX_ENTRIES: usize = 1000;

/// The least and the most time between two mined blocks, as in a genesis.
const BLOCK_INTERVAL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3600));

/// The most confirmations, as in a genesis.
const MAX_CONFIRMATIONS: u64 = 100;

/// The most hashes that a block is expected to take, and that are tried in a block interval: they are computed.
const MAX_HASHES: u64 = 1 << 24;

/// The most blocks that a withholder keeps: mining pauses 64 above what is final and to be confirmed.
const MAX_SECRET: u64 = dtn_primitives::MAX_UNDECIDED;

/// The most clients: each has a key.
const MAX_CLIENTS: u64 = 1_000;

/// How many times longer a machine takes for everything at the most.
const MAX_READERS: f64 = 1e6;

/// The most requests of strangers for each block of the clients': each is signed.
const MAX_LINES: u64 = 10_000;

const MAX_BLOCKS: u64 = 10_000;

const MAX_TRANSACTIONS: usize = 1_000_000;

/// What a transaction takes beside its bytes.
const TRANSACTION_OVERHEAD: u128 = 300;

/// The most bytes of transactions in a run, all blocks together.
const MAX_BYTES: u128 = 1 << 30;

/// What a scenario asks for that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Impossible {
    /// Where it does: the names and numbers that lead there, such as `partition`, `1`, `until`.
    pub place: Vec<String>,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place.join("."), self.reason)
    }
}

fn ensure(holds: bool, place: &str, reason: impl FnOnce() -> String) -> Result<(), Impossible> {
    let place = || place.split('.').map(str::to_string).collect();
    if holds { Ok(()) } else { Err(Impossible { place: place(), reason: reason() }) }
}

impl Scenario {
    /// Succeeds if the scenario can be played and its outcome means something.
    pub fn check(&self) -> Result<(), Impossible> {
        let n = self.n;
        ensure((MIN_NODES..=MAX_NODES).contains(&n), "nodes", || {
            format!("{n}: a network has {MIN_NODES} to {MAX_NODES} replicas")
        })?;
        self.check_lengths()?;
        self.check_regions()?;
        self.check_links()?;
        self.check_load()?;
        self.check_work()?;
        self.check_mining()?;
        self.check_machines()?;
        self.check_faults()?;
        self.check_partitions()
    }

    /// Each entry is looked at again and again.
    fn check_lengths(&self) -> Result<(), Impossible> {
        for (name, length, most) in [
            ("region", self.regions.len(), MAX_NODES),
            ("link", self.routes.len(), MAX_ENTRIES),
            ("start", self.starts.len(), MAX_NODES),
            ("crash", self.crashes.len(), MAX_ENTRIES),
            ("partition", self.partitions.len(), MAX_ENTRIES),
        ] {
            ensure(length <= most, name, || format!("{length} entries: {most} at most"))?;
        }
        Ok(())
    }

    fn check_regions(&self) -> Result<(), Impossible> {
        for (number, region) in self.regions.iter().enumerate() {
            ensure(crate::regions::find(&region.name).is_some(), &format!("region.{number}.name"), || {
                let known: Vec<_> = REGIONS.iter().map(|(name, _)| *name).collect();
                format!("there is no region {:?}; there are {}", region.name, known.join(", "))
            })?;
            ensure(region.nodes > 0, &format!("region.{number}.nodes"), || "a region has at least one replica".into())?;
        }
        let together = self.regions.iter().fold(0usize, |sum, region| sum.saturating_add(region.nodes));
        ensure(self.regions.is_empty() || together == self.n, "nodes", || {
            format!("{}: the regions have {together} replicas together", self.n)
        })
    }

    fn check_links(&self) -> Result<(), Impossible> {
        let latency = |latency: &Option<Latency>, place: &str| {
            let Some(latency) = latency else { return Ok(()) };
            let (longest, sane) = match latency {
                Latency::Constant(delay) => (*delay, true),
                Latency::Uniform { least, most } => (*most, least <= most),
                Latency::Normal { mean, deviation } => (*mean.max(deviation), true),
                Latency::LogNormal { median, sigma } => (*median, (0.0..=5.0).contains(sigma) && !median.is_zero()),
                Latency::Regions => (Duration::ZERO, true),
            };
            ensure(longest <= MAX_LATENCY, place, || {
                format!("{latency}: more than {} s one way", MAX_LATENCY.as_secs())
            })?;
            ensure(sane, place, || format!("{latency}: the values do not fit each other"))?;
            let known = *latency != Latency::Regions || !self.regions.is_empty();
            ensure(known, place, || "no regions are given".into())
        };
        let share = |share: f64, place: &str| {
            ensure((0.0..1.0).contains(&share), place, || format!("{share} is not a share from 0 to below 1"))
        };
        latency(&self.links.latency, "links.latency")?;
        ensure(self.links.jitter <= MAX_LATENCY, "links.jitter", || "more than a minute".into())?;
        share(self.links.loss, "links.loss")?;
        share(self.links.duplication, "links.duplication")?;
        share(self.links.reordering, "links.reordering")?;
        for (number, route) in self.routes.iter().enumerate() {
            latency(&route.latency, &format!("link.{number}.latency"))?;
            share(route.loss.unwrap_or_default(), &format!("link.{number}.loss"))?;
            self.check_group(&route.from, &format!("link.{number}.from"))?;
            self.check_group(&route.to, &format!("link.{number}.to"))?;
        }
        let synchrony = &self.synchrony;
        ensure(synchrony.delta.unwrap_or_default() <= MAX_LATENCY, "synchrony.delta", || "more than a minute".into())?;
        let bounded = synchrony.model != Model::Asynchronous;
        let needed = synchrony.scheduler != Scheduler::Fair || synchrony.model == Model::Synchronous;
        ensure(!bounded || !needed || synchrony.delta.is_some(), "synchrony", || {
            "delta is needed: the longest that a message may take".into()
        })?;
        ensure(bounded || synchrony.delta.is_none(), "synchrony.delta", || "an asynchronous network has none".into())?;
        let lossless = self.links.loss == 0.0 && self.routes.iter().all(|route| route.loss.unwrap_or_default() == 0.0);
        let whole = lossless && self.partitions.is_empty();
        ensure(synchrony.model != Model::Synchronous || whole, "synchrony.model", || {
            "in a synchronous network nothing is lost, and it is not parted".into()
        })?;
        ensure(bounded || self.gst.is_none(), "gst", || "an asynchronous network has none".into())?;
        let own = self.regions.iter().position(|region| region.up.or(region.down).is_some());
        ensure(self.links.model == Sharing::Shared || own.is_none(), "links.model", || {
            format!("fpbft has one bandwidth for all, and region {} its own", own.unwrap_or_default())
        })?;
        let lasting = synchrony.model == Model::Partial && needed && self.gst.is_none();
        ensure(!lasting, "synchrony", || "gst is needed: from when on delta holds".into())
    }

    fn check_machines(&self) -> Result<(), Impossible> {
        for (name, work) in [
            ("gathering", self.pace.gathering),
            ("writing", self.pace.writing),
            ("signing", self.pace.signing),
            ("verifying", self.pace.verifying),
        ] {
            ensure(work <= MAX_WORK, &format!("pace.{name}"), || "more than 10 s".into())?;
        }
        let timeout = self.view_timeout();
        ensure(timeout >= MIN_TIMEOUT, "pace.view_timeout", || "a view lasts a millisecond at least".into())?;
        ensure(timeout <= MAX_VIEW_TIMEOUT, "pace.view_timeout", || "a view lasts 30 days at most".into())?;
        ensure((MIN_TIMEOUT..=MAX_VIEW_TIMEOUT).contains(&self.housekeeping()), "pace.housekeeping", || {
            "a millisecond at least and 30 days at most".into()
        })?;
        ensure(self.gst.unwrap_or_default() <= MAX_TIME, "gst", || "more than 10 years".into())?;
        ensure(self.stop.after.unwrap_or_default() <= MAX_TIME, "stop.after", || "more than 10 years".into())?;
        ensure(self.stop.events > 0, "stop.events", || "a run without events shows nothing".into())?;
        let (step, stable) = (CHECKPOINT_INTERVAL, self.stable);
        ensure(stable.is_multiple_of(step), "stable", || format!("{stable}: checkpoints are {step} heights apart"))?;
        ensure(stable <= self.base && self.base - stable < LOG_WINDOW, "stable", || {
            format!("{stable}: the base, {}, is below it or more than {LOG_WINDOW} above", self.base)
        })?;
        ensure(self.base <= 1 << 40, "base", || "more than 2⁴⁰".into())
    }

    fn check_load(&self) -> Result<(), Impossible> {
        let load = &self.load;
        ensure(load.transactions <= MAX_TRANSACTIONS, "load.transactions", || {
            format!("{}: {MAX_TRANSACTIONS} at most", load.transactions)
        })?;
        let each = load.transaction_bytes as u128 + TRANSACTION_OVERHEAD;
        let bytes = u128::from(load.blocks) * load.transactions as u128 * each;
        ensure((1..=MAX_BLOCKS).contains(&load.blocks), "load.blocks", || "1 to 10,000 blocks can be decided".into())?;
        ensure(bytes <= MAX_BYTES, "load", || {
            format!(
                "{} blocks of {} transactions of {} B take more than 1 GiB",
                load.blocks, load.transactions, load.transaction_bytes
            )
        })?;
        ensure(load.every <= MAX_APART, "load.every", || "more than an hour".into())?;
        let one_by_one = load.source.is_one_by_one();
        ensure(!one_by_one || (load.transactions > 0 && self.mining.is_none()), "load.source", || {
            "requests are transactions, and there is no client where blocks are mined".into()
        })?;
        ensure((1..=MAX_CLIENTS).contains(&load.clients), "load.clients", || format!("1 to {MAX_CLIENTS} clients"))?;
        let Strangers { readers, lines, holding } = self.strangers;
        ensure((1.0..=MAX_READERS).contains(&readers), "strangers.readers", || {
            format!("{readers}: a machine takes 1 to {MAX_READERS} times as long")
        })?;
        ensure(lines <= MAX_LINES && (lines == 0 || load.source == Source::Requests), "strangers.lines", || {
            format!("{lines}: {MAX_LINES} at most, beside requests of clients")
        })?;
        ensure(holding <= MAX_TIME, "strangers.holding", || "more than 10 years".into())?;
        let replies = load.replies.unwrap_or(1);
        ensure((1..=self.n).contains(&replies), "load.replies", || format!("{} replicas send a reply each", self.n))
    }

    fn check_work(&self) -> Result<(), Impossible> {
        let ordered = self.load.source == Source::Orders;
        ensure(ordered || self.work.is_none(), "work", || "nobody orders any: load.source is not orders".into())?;
        ensure(!ordered || self.base == 0, "base", || "who orders work begins with a new network".into())?;
        let Work { expected_hashes, hash_rate, requesters, hard_lines, easy_lines, hard_orders, notes, room } =
            self.work.clone().unwrap_or_default();
        ensure((1..=MAX_HASHES).contains(&expected_hashes), "work.expected_hashes", || {
            format!("{expected_hashes}: an order takes 1 to {MAX_HASHES} hashes")
        })?;
        ensure((1.0..=MAX_HASHES as f64).contains(&hash_rate), "work.hash_rate", || {
            format!("{hash_rate}: 1 to {MAX_HASHES} hashes a second")
        })?;
        ensure(!ordered || (self.load.clients < requesters && requesters <= MAX_CLIENTS), "work.requesters", || {
            format!("{requesters}: more than clients, and {MAX_CLIENTS} at most")
        })?;
        let most = hard_lines.max(easy_lines).max(hard_orders).max(notes);
        ensure(most <= MAX_LINES, "work", || {
            format!("{most}: {MAX_LINES} lines, orders or notes for each block at most")
        })?;
        ensure((1..=MAX_WAITING).contains(&room), "work.room", || format!("{room}: 1 to {MAX_WAITING}"))
    }

    fn check_mining(&self) -> Result<(), Impossible> {
        ensure(self.mining.is_none() || Engine::of(self) == Engine::Nakamoto, "mining", || {
            "this engine does not mine".into()
        })?;
        let Some(mining) = &self.mining else {
            return ensure(self.engine != Some(Engine::Nakamoto), "engine", || {
                "nobody mines: there is no [mining]".into()
            });
        };
        let (shortest, longest) = BLOCK_INTERVAL;
        ensure((shortest..=longest).contains(&mining.block_interval), "mining.block_interval", || {
            format!("a block takes from {} ms to {} s", shortest.as_millis(), longest.as_secs())
        })?;
        ensure((1..=MAX_CONFIRMATIONS).contains(&mining.confirmations), "mining.confirmations", || {
            format!("{}: 1 to {MAX_CONFIRMATIONS}", mining.confirmations)
        })?;
        ensure((1..=MAX_HASHES).contains(&mining.expected_hashes), "mining.expected_hashes", || {
            format!("{}: a block takes 1 to {MAX_HASHES} hashes", mining.expected_hashes)
        })?;
        let sane = |rate: f64| rate > 0.0 && rate * mining.block_interval.as_secs_f64() <= MAX_HASHES as f64;
        ensure(sane(mining.hash_rate()), "mining.hash_rate", || {
            format!("{}: more than 0, and {MAX_HASHES} in a block interval at most", mining.hash_rate())
        })?;
        for (number, change) in mining.changes.iter().enumerate() {
            let place = |field: &str| format!("mining.change.{number}.{field}");
            ensure(sane(mining.hash_rate() * change.factor), &place("factor"), || {
                format!("{}: more than 0, and {MAX_HASHES} hashes in a block interval at most", change.factor)
            })?;
            let ordered = mining.changes[..number].iter().all(|earlier| earlier.at <= change.at);
            ensure(ordered && change.at <= MAX_TIME, &place("at"), || "before an earlier change, or too late".into())?;
        }
        ensure(mining.changes.len() <= MAX_ENTRIES, "mining.change", || format!("{MAX_ENTRIES} entries at most"))?;
        let (shares, n) = (&mining.shares, self.n);
        ensure(shares.is_empty() || shares.len() == n, "mining.shares", || {
            format!("{} shares, and {n} replicas", shares.len())
        })?;
        let negative = shares.iter().find(|share| !(0.0..=1e9).contains(*share));
        ensure(negative.is_none(), "mining.shares", || format!("{} is no share", negative.unwrap_or(&0.0)))?;
        ensure(shares.is_empty() || shares.iter().sum::<f64>() > 0.0, "mining.shares", || "nobody mines".into())?;
        let secret = mining.secret.unwrap_or(1);
        ensure((1..=MAX_SECRET).contains(&secret), "mining.secret", || format!("{secret}: 1 to {MAX_SECRET} blocks"))
    }

    fn check_faults(&self) -> Result<(), Impossible> {
        for liar in self.adversaries.keys() {
            self.check_replica(*liar, &format!("byzantine.replica={liar}.replica"))?;
        }
        let miner = self.adversaries.iter().find(|(_, kind)| kind.mines() && self.mining.is_none());
        let place = miner.map_or_else(String::new, |(liar, _)| format!("byzantine.replica={liar}.behaviour"));
        ensure(miner.is_none(), &place, || "nobody mines: there is no [mining]".into())?;
        for (number, Start { replica, at }) in self.starts.iter().enumerate() {
            let place = |field: &str| format!("start.{number}.{field}");
            self.check_replica(*replica, &place("replica"))?;
            ensure(*at <= MAX_TIME && self.gst.is_none_or(|gst| *at <= gst), &place("at"), || {
                "everyone runs from the gst on, and within 10 years".into()
            })?;
            let twice = self.starts[..number].iter().any(|earlier| earlier.replica == *replica);
            ensure(!twice, &place("replica"), || format!("replica {replica} starts for the first time twice"))?;
        }
        for (number, Crash { replica, at, down, disk }) in self.crashes.iter().enumerate() {
            let place = |field: &str| format!("crash.{number}.{field}");
            self.check_replica(*replica, &place("replica"))?;
            ensure(!self.adversaries.contains_key(replica), &place("replica"), || {
                format!("replica {replica} is Byzantine: what happens to it proves nothing")
            })?;
            ensure(down.unwrap_or_default() <= MAX_TIME, &place("down"), || "more than 10 years".into())?;
            let earlier = match (disk, at) {
                (DiskAfter::AsOf(When::At(copied)), When::At(cut)) => copied < cut,
                (DiskAfter::AsOf(When::Write { number: copied, .. }), When::Write { number: cut, .. }) => copied < cut,
                _ => true,
            };
            ensure(earlier, &place("disk"), || "no disk is copied before it is what it is then".into())?;
            match at {
                When::At(time) => {
                    ensure(*time <= MAX_TIME, &place("at"), || "more than 10 years".into())?;
                    ensure(self.gst.is_none_or(|gst| *time < gst), &place("at"), || {
                        "from the gst on everyone runs: nobody crashes then".into()
                    })?;
                }
                When::Write { number: write, .. } => {
                    ensure(*write > 0, &place("at"), || "writes count from 1".into())?;
                    ensure(self.gst.is_some(), &place("at"), || "gst is needed: until when it may happen".into())?;
                }
            }
        }
        let (faulty, tolerated) = (
            self.adversaries.len() + self.lost().chain(self.forgetful()).collect::<BTreeSet<_>>().len(),
            self.max_faulty(),
        );
        let place = if self.adversaries.is_empty() { "crash" } else { "byzantine" };
        ensure(faulty <= tolerated || self.beyond_tolerance, place, || {
            format!(
                "{faulty} replicas lie, never come back or lose their disks: {} replicas tolerate {tolerated} at most \
                 (beyond_tolerance shows what comes of more)",
                self.n
            )
        })
    }

    fn check_partitions(&self) -> Result<(), Impossible> {
        for (number, partition) in self.partitions.iter().enumerate() {
            let place = |field: &str| format!("partition.{number}.{field}");
            ensure(partition.from < partition.until, &place("until"), || "it ends before it begins".into())?;
            ensure(partition.until <= MAX_TIME, &place("until"), || "more than 10 years".into())?;
            ensure(self.gst.is_none_or(|gst| partition.until <= gst), &place("until"), || {
                "from the gst on everyone hears everyone".into()
            })?;
            let overlaps = |other: &&crate::Partition| other.from < partition.until && partition.from < other.until;
            let overlapped = self.partitions[..number].iter().position(|other| overlaps(&other));
            ensure(overlapped.is_none(), &place("from"), || {
                format!("it overlaps partition {}: one ends before the next begins", overlapped.unwrap_or_default())
            })?;
            let mut seen = BTreeSet::new();
            for (index, group) in partition.groups.iter().enumerate() {
                let place = format!("{}.{index}", place("groups"));
                self.check_group(group, &place)?;
                let twice = self.members(group).into_iter().find(|replica| !seen.insert(*replica));
                ensure(twice.is_none(), &place, || {
                    format!("replica {} is in it twice, or in two groups", twice.unwrap_or_default())
                })?;
            }
            partition.through.iter().try_for_each(|replica| self.check_replica(*replica, &place("through")))?;
            ensure(!seen.is_empty(), &place("groups"), || "nobody is in a group".into())?;
        }
        Ok(())
    }

    fn check_replica(&self, replica: usize, place: &str) -> Result<(), Impossible> {
        ensure(replica < self.n, place, || format!("there is no replica {replica}: the last of them is {}", self.n - 1))
    }

    fn check_group(&self, group: &Group, place: &str) -> Result<(), Impossible> {
        match group {
            Group::Region(name) => ensure(self.regions.iter().any(|region| region.name == *name), place, || {
                format!("no replica is in {name:?}")
            }),
            Group::Replicas(replicas) => replicas.iter().try_for_each(|replica| self.check_replica(*replica, place)),
        }
    }
}
