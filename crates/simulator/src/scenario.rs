//! What happens to the replicas in a run.

use std::{collections::BTreeMap, time::Duration};

use dtn_primitives::max_faulty;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{Bandwidth, Durability, Latency, Links, Survival, adversary::Kind};

/// A run before it is played. Times count from its start.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Seeds whatever the scenario leaves open: delays, losses, the order of what happens at one time.
    pub seed: u64,
    /// The number of replicas.
    pub n: usize,
    /// The height that is decided when the run begins.
    pub base: u64,
    /// The height of the checkpoint that is stable when the run begins; 0 for none.
    pub stable: u64,
    /// When hosts make things durable.
    pub durability: Durability,
    /// What a power cut leaves of what was not durable.
    pub survival: Survival,
    /// The links.
    pub links: Links,
    /// The replicas' machines.
    pub pace: Pace,
    /// What there is to decide.
    pub load: Load,
    /// Replicas whose power fails.
    pub crashes: Vec<Crash>,
    /// Times in which the network is parted.
    pub partitions: Vec<Partition>,
    /// Replicas that are liars, and of which kind.
    pub adversaries: BTreeMap<usize, Kind>,
    /// The global stabilization time: from then on nothing is lost and everyone runs.
    pub stabilization: Duration,
    /// How many heights are to be decided after that.
    pub goal: u64,
    /// How long after it the replicas may take for them.
    pub patience: Duration,
}

/// What is handed in to be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// Every replica finds some requests now and then.
    Random,
    /// A client hands all to the primary at the start, and to everyone once it has waited for a view's time. It is
    /// content once enough replicas say that each block is final.
    Client {
        /// Blocks that it fills.
        blocks: u64,
        /// The transactions of each.
        transactions: usize,
        /// The encoded length of a transaction.
        transaction_bytes: usize,
        /// Replies to each block that it waits for; the f + 1 of OSDI '99, §4.1, without.
        replies: Option<usize>,
        /// Whether a reply is as long as its block.
        long_replies: bool,
    },
}

/// How long things take at a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long a view lasts in which nothing is decided, before it doubles.
    pub view_timeout: Duration,
    /// How often hosts look after themselves.
    pub housekeeping: Duration,
    /// The longest that a host gathers inputs before it works on them.
    pub gathering: Duration,
    /// The longest that a write takes.
    pub writing: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            view_timeout: Duration::from_secs(1),
            housekeeping: Duration::from_millis(250),
            gathering: Duration::from_millis(1),
            writing: Duration::from_millis(3),
        }
    }
}

/// A power cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// Whose.
    pub replica: usize,
    /// When it happens.
    pub when: When,
    /// After how long the replica starts again, at the stabilization time at the latest.
    pub down: Duration,
}

/// The moment of a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A time in which messages pass within groups only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its start.
    pub from: Duration,
    /// Its end.
    pub until: Duration,
    /// The group of each replica.
    pub groups: Vec<u8>,
}

impl Scenario {
    /// Nothing happens: everyone is correct and reachable.
    pub fn calm(n: usize, seed: u64) -> Self {
        let (least, most) = (Duration::from_millis(1), Duration::from_millis(40));
        let latency = Latency::Uniform { least, most };
        Self {
            seed,
            n,
            base: 0,
            stable: 0,
            durability: Durability::Together,
            survival: Survival::Nothing,
            links: Links { latency, bandwidth: Bandwidth::Unlimited, loss: 0.0, repetition: 0.0 },
            pace: Pace::default(),
            load: Load::Random,
            crashes: Vec::new(),
            partitions: Vec::new(),
            adversaries: BTreeMap::new(),
            stabilization: Duration::ZERO,
            goal: 8,
            patience: Duration::from_secs(600),
        }
    }

    /// A client hands in what fills so many blocks, on links that are stable from the start; the replicas have all that
    /// decided. The transactions are of `transaction_bytes` each.
    pub fn client(n: usize, seed: u64, blocks: u64, transactions: usize, transaction_bytes: usize) -> Self {
        let load = Load::Client { blocks, transactions, transaction_bytes, replies: None, long_replies: false };
        Self { load, goal: blocks, ..Self::calm(n, seed) }
    }

    /// The scenario of a seed: power cuts at any moment and any write, losses, repetitions, partitions, liars, or none
    /// of them.
    pub fn random(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let n = rng.random_range(4..=7);
        let mut scenario = Self::calm(n, rng.random());
        // Some cross the first checkpoint.
        scenario.base = *pick(&mut rng, &[0, 0, 0, 124]);
        scenario.durability = *pick(&mut rng, &[Durability::Together, Durability::Each]);
        scenario.survival = *pick(&mut rng, &[Survival::Nothing, Survival::Everything, Survival::Any]);
        scenario.stabilization = Duration::from_millis(rng.random_range(1_000..6_000));
        let (least, most) = (Duration::from_millis(1), Duration::from_millis(rng.random_range(2..200)));
        scenario.links.latency = Latency::Uniform { least, most };
        scenario.links.loss = if rng.random() { rng.random_range(0.0..0.3) } else { 0.0 };
        scenario.links.repetition = if rng.random() { rng.random_range(0.0..0.2) } else { 0.0 };
        let end = scenario.stabilization.as_millis() as u64;
        for _ in 0..rng.random_range(0..=5) {
            let when = if rng.random() {
                When::At(Duration::from_millis(rng.random_range(0..end)))
            } else {
                When::Write { number: rng.random_range(1..60), durable: rng.random() }
            };
            let down = Duration::from_millis(rng.random_range(0..1_500));
            scenario.crashes.push(Crash { replica: rng.random_range(0..n), when, down });
        }
        for _ in 0..rng.random_range(0..=3) {
            let from = rng.random_range(0..end);
            let until = (from + rng.random_range(0..3_000)).min(end);
            let groups = (0..n).map(|_| rng.random_range(0..3)).collect();
            let [from, until] = [from, until].map(Duration::from_millis);
            scenario.partitions.push(Partition { from, until, groups });
        }
        if rng.random() {
            for _ in 0..rng.random_range(1..=max_faulty(n)) {
                scenario.adversaries.insert(rng.random_range(0..n), *pick(&mut rng, &Kind::ALL));
            }
        }
        scenario
    }

    /// Scenarios in which less happens than in this one, those with least first.
    pub fn smaller(&self) -> Vec<Self> {
        let change = |change: &dyn Fn(&mut Self)| {
            let mut smaller = self.clone();
            change(&mut smaller);
            smaller
        };
        let mut all = vec![
            change(&|scenario| scenario.crashes.clear()),
            change(&|scenario| scenario.partitions.clear()),
            change(&|scenario| scenario.adversaries.clear()),
            change(&|scenario| scenario.links.loss = 0.0),
            change(&|scenario| scenario.links.repetition = 0.0),
            change(&|scenario| scenario.base = 0),
            change(&|scenario| scenario.survival = Survival::Nothing),
            change(&|scenario| scenario.stabilization /= 2),
            change(&|scenario| scenario.goal /= 2),
        ];
        all.extend((0..self.crashes.len()).map(|index| change(&|scenario| _ = scenario.crashes.remove(index))));
        all.extend((0..self.partitions.len()).map(|index| change(&|scenario| _ = scenario.partitions.remove(index))));
        all.extend(self.adversaries.keys().map(|liar| change(&|scenario| _ = scenario.adversaries.remove(liar))));
        all.retain(|smaller| smaller != self && smaller.goal > 0);
        all
    }
}

fn pick<'a, T>(rng: &mut StdRng, choices: &'a [T]) -> &'a T {
    &choices[rng.random_range(0..choices.len())]
}
