//! What happens to the replicas of a trial.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Crash, DiskAfter, Durability, Latency, Links, Partition, Region, Scenario, Survival, When,
    random::{crashes, partitions, pick},
};

/// Writes of a small protocol among which chance has the power fail.
const WRITES: u64 = 8;

/// The network and the machines of a trial. Times count from its start.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Seeds whatever is left open: delays, losses, whom twins speak to.
    pub seed: u64,
    /// The number of replicas.
    pub n: usize,
    /// From then on nothing is lost, doubled or reordered, and no power fails. Without, links stay as they are.
    pub gst: Option<Duration>,
    /// How long a message is under way.
    pub latency: Latency,
    /// Where replicas are, for [`Latency::Regions`], and what each can send: what it sends at once leaves one after the
    /// other.
    pub regions: Vec<Region>,
    /// The share of messages that is lost.
    pub loss: f64,
    /// The share of messages that arrives twice.
    pub duplication: f64,
    /// The share of messages that takes its time twice, so that later ones overtake it.
    pub reordering: f64,
    /// Times in which the network is parted. What was to be said then is lost, and when one ends, channels open anew.
    pub partitions: Vec<Partition>,
    /// Replicas whose power fails.
    pub crashes: Vec<Crash>,
    /// When hosts make things durable.
    pub durability: Durability,
    /// What a power cut leaves of what was not durable.
    pub survival: Survival,
    /// The longest that a write takes.
    pub writing: Duration,
    /// How long the run waits for what was promised once nothing more happens to the replicas.
    pub patience: Duration,
    /// After how many events it ends at the latest.
    pub events: u64,
}

impl Setting {
    /// Nothing happens: everyone is reachable within 40 ms.
    pub fn calm(n: usize, seed: u64) -> Self {
        let (least, most) = (Duration::from_millis(1), Duration::from_millis(40));
        Self {
            seed,
            n,
            gst: None,
            latency: Latency::Uniform { least, most },
            regions: Vec::new(),
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            partitions: Vec::new(),
            crashes: Vec::new(),
            durability: Durability::Together,
            survival: Survival::Nothing,
            writing: Duration::from_millis(3),
            patience: Duration::from_secs(60),
            events: 10_000_000,
        }
    }

    /// What the seed says: power cuts at any moment and any write, losses, repetitions, reordering and partitions, or none
    /// of them. Nobody stays away or loses a disk.
    pub fn random(n: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut setting = Self::calm(n, seed);
        setting.durability = *pick(&mut rng, &[Durability::Together, Durability::Each]);
        setting.survival = *pick(&mut rng, &[Survival::Nothing, Survival::Everything, Survival::Any]);
        let end = rng.random_range(1_000..4_000);
        setting.gst = Some(Duration::from_millis(end));
        let most = Duration::from_millis(rng.random_range(2..200));
        setting.latency = Latency::Uniform { least: Duration::from_millis(1), most };
        for share in [&mut setting.loss, &mut setting.duplication, &mut setting.reordering] {
            *share = if rng.random() { rng.random_range(0.0..0.3) } else { 0.0 };
        }
        setting.crashes = crashes(n, end, &mut rng);
        for crash in &mut setting.crashes {
            if let When::Write { number, .. } = &mut crash.at {
                *number = 1 + *number % WRITES;
            }
        }
        setting.partitions = partitions(n, end, &mut rng);
        setting
    }

    /// From when on nothing more happens to the replicas.
    pub fn settled(&self) -> Duration {
        self.scenario().settled()
    }

    /// Whether a replica stays away, or may forget what it said.
    pub(super) fn is_faulty(&self, replica: usize) -> bool {
        let mut own = self.crashes.iter().filter(|crash| crash.replica == replica);
        own.any(|crash| crash.down.is_none() || crash.disk != DiskAfter::Kept)
    }

    /// The same for the network of a scenario.
    pub(super) fn scenario(&self) -> Scenario {
        let links = Links {
            latency: Some(self.latency),
            loss: self.loss,
            duplication: self.duplication,
            reordering: self.reordering,
            ..Links::default()
        };
        let (partitions, crashes, regions) = (self.partitions.clone(), self.crashes.clone(), self.regions.clone());
        Scenario {
            seed: self.seed,
            n: self.n,
            gst: self.gst,
            links,
            regions,
            partitions,
            crashes,
            ..Scenario::default()
        }
    }
}
