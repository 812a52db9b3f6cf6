//! Scenarios by chance, and smaller ones of any.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Crash, DiskAfter, Durability, Engine, Group, Latency, Miners, Partition, Scenario, Start, Strangers, Survival,
    When, adversary::Kind,
};

impl Scenario {
    /// The scenario of a seed: power cuts at any moment and any write, losses, repetitions, partitions, liars, or none
    /// of them.
    pub fn random(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let n = rng.random_range(4..=7);
        let mut scenario = Self::calm(n, rng.random());
        // More than one tell their order.
        scenario.load.transactions = *pick(&mut rng, &[0, 2, 3]);
        // Some cross the first checkpoint.
        scenario.base = *pick(&mut rng, &[0, 0, 0, 124]);
        scenario.durability = *pick(&mut rng, &[Durability::Together, Durability::Each]);
        scenario.survival = *pick(&mut rng, &[Survival::Nothing, Survival::Everything, Survival::Any]);
        let end = rng.random_range(1_000..6_000);
        scenario.gst = Some(Duration::from_millis(end));
        let (least, most) = (Duration::from_millis(1), Duration::from_millis(rng.random_range(2..200)));
        scenario.links.latency = Some(Latency::Uniform { least, most });
        scenario.links.loss = if rng.random() { rng.random_range(0.0..0.3) } else { 0.0 };
        scenario.links.duplication = if rng.random() { rng.random_range(0.0..0.2) } else { 0.0 };
        scenario.crashes = crashes(n, end, &mut rng);
        scenario.partitions = partitions(n, end, &mut rng);
        if rng.random() {
            for _ in 0..rng.random_range(1..=scenario.max_faulty()) {
                scenario.adversaries.insert(rng.random_range(0..n), *pick(&mut rng, liars()));
            }
        }
        // What liars suffer proves nothing.
        let Self { crashes, adversaries, .. } = &mut scenario;
        crashes.retain(|crash| !adversaries.contains_key(&crash.replica));
        let late = rng.random_range(0..4 * n);
        if late < n && !scenario.adversaries.contains_key(&late) {
            scenario.starts.push(Start { replica: late, at: Duration::from_millis(rng.random_range(0..end)) });
        }
        scenario.replace_disks(&mut rng);
        scenario
    }

    /// Some power cuts cost a disk, or bring back an old one: those of as many replicas as may be faulty beside the liars.
    fn replace_disks(&mut self, rng: &mut StdRng) {
        let mut victims: Vec<_> = self.crashes.iter().map(|crash| crash.replica).collect();
        victims.sort_unstable();
        victims.dedup();
        victims.truncate(self.max_faulty() - self.adversaries.len());
        for crash in self.crashes.iter_mut().filter(|crash| victims.contains(&crash.replica)) {
            crash.disk = match (rng.random_range(0..4), crash.at) {
                (0 | 1, _) => DiskAfter::Kept,
                // What was written by then is not nothing.
                (2, When::Write { number, .. }) if number > 3 => {
                    DiskAfter::AsOf(When::Write { number: rng.random_range(2..number), durable: true })
                }
                _ => DiskAfter::Lost,
            };
        }
    }

    /// The same with as many liars as are tolerated and, beside them, one replica that loses its disk, once or more often.
    /// They may stand still then, and may not disagree.
    pub fn random_forgetful(seed: u64) -> Self {
        let mut scenario = Self::random(seed);
        let mut rng = StdRng::seed_from_u64(seed.rotate_left(32));
        let victim = rng.random_range(0..scenario.n);
        scenario.crashes.iter_mut().for_each(|crash| crash.disk = DiskAfter::Kept);
        scenario.adversaries.remove(&victim);
        while scenario.adversaries.len() < scenario.max_faulty() {
            let liar = rng.random_range(0..scenario.n);
            if liar != victim {
                let kind = if rng.random() { Kind::Amnesiac } else { *pick(&mut rng, liars()) };
                scenario.adversaries.insert(liar, kind);
            }
        }
        let Self { crashes, starts, adversaries, .. } = &mut scenario;
        crashes.retain(|crash| !adversaries.contains_key(&crash.replica));
        starts.retain(|start| !adversaries.contains_key(&start.replica));
        let end = scenario.gst.unwrap_or_default().as_millis() as u64;
        for _ in 0..rng.random_range(1..=3) {
            let at = When::At(Duration::from_millis(rng.random_range(0..end)));
            let down = Some(Duration::from_millis(rng.random_range(0..500)));
            scenario.crashes.push(Crash { disk: DiskAfter::Lost, ..Crash::new(victim, at, down) });
        }
        (scenario.beyond_tolerance, scenario.stop.after) = (true, Some(Duration::from_secs(30)));
        scenario
    }

    /// The same for miners: the work is anybody's, and liars may withhold theirs, whatever it is.
    pub fn random_miners(seed: u64) -> Self {
        let mut scenario = Self::random(seed);
        let mut rng = StdRng::seed_from_u64(!seed);
        let shares = if rng.random() {
            (0..scenario.n).map(|_| f64::from(rng.random_range(1..10u8))).collect()
        } else {
            Vec::new()
        };
        scenario.mining = Some(Miners {
            block_interval: Duration::from_millis(rng.random_range(100..1_000)),
            confirmations: rng.random_range(1..5),
            expected_hashes: rng.random_range(20..200),
            secret: rng.random::<bool>().then(|| rng.random_range(1..12)),
            shares,
            ..Miners::default()
        });
        for kind in scenario.adversaries.values_mut() {
            if rng.random_bool(0.4) {
                *kind = *pick(&mut rng, &Kind::MINERS);
            }
        }
        scenario
    }

    /// The same for a protocol that chains blocks. Its liars know one more lie: votes that only some hear.
    pub fn random_chained(engine: Engine, seed: u64) -> Self {
        let mut scenario = Self { engine: Some(engine), ..Self::random(seed) };
        let mut rng = StdRng::seed_from_u64(!seed);
        for kind in scenario.adversaries.values_mut() {
            if rng.random_bool(0.1) {
                *kind = Kind::Revoter;
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
            change(&|scenario| scenario.starts.clear()),
            change(&|scenario| scenario.crashes.iter_mut().for_each(|crash| crash.disk = DiskAfter::Kept)),
            change(&|scenario| scenario.strangers = Strangers::default()),
            change(&|scenario| scenario.routes.clear()),
            change(&|scenario| scenario.synchrony = crate::Synchrony::default()),
            change(&|scenario| scenario.links.loss = 0.0),
            change(&|scenario| scenario.links.duplication = 0.0),
            change(&|scenario| scenario.links.reordering = 0.0),
            change(&|scenario| scenario.links.jitter = Duration::ZERO),
            change(&|scenario| scenario.base = 0),
            change(&|scenario| scenario.survival = Survival::Nothing),
            change(&|scenario| scenario.gst = scenario.gst.map(|gst| gst / 2)),
            change(&|scenario| scenario.load.blocks /= 2),
            change(&|scenario| scenario.load.transactions /= 2),
            change(&|scenario| scenario.resize(scenario.n / 2)),
            change(&|scenario| scenario.resize(scenario.n - 1)),
        ];
        if self.mining.is_some() {
            let calmer = |change: &dyn Fn(&mut Miners)| {
                let mut smaller = self.clone();
                smaller.mining.iter_mut().for_each(change);
                smaller
            };
            all.push(calmer(&|mining| mining.shares.clear()));
            all.push(calmer(&|mining| mining.changes.clear()));
            all.push(calmer(&|mining| mining.secret = None));
            all.push(calmer(&|mining| mining.confirmations = 1));
        }
        all.extend((0..self.crashes.len()).map(|index| change(&|scenario| _ = scenario.crashes.remove(index))));
        all.extend((0..self.starts.len()).map(|index| change(&|scenario| _ = scenario.starts.remove(index))));
        all.extend((0..self.partitions.len()).map(|index| change(&|scenario| _ = scenario.partitions.remove(index))));
        all.extend(self.adversaries.keys().map(|liar| change(&|scenario| _ = scenario.adversaries.remove(liar))));
        all.retain(|smaller| smaller != self && smaller.check().is_ok());
        all
    }
}

impl Scenario {
    fn resize(&mut self, n: usize) {
        self.n = n;
        self.mining.iter_mut().for_each(|mining| mining.shares.truncate(n));
    }
}

/// Liars that chance chooses from: all but the last, a revoter, whose lie takes the partitions and the lost disk of its
/// scenario.
fn liars() -> &'static [Kind] {
    Kind::ALL.split_last().map_or(&[], |(_, others)| others)
}

/// Power cuts before a time in milliseconds, at any moment and any write.
pub(crate) fn crashes(n: usize, end: u64, rng: &mut StdRng) -> Vec<Crash> {
    let count = rng.random_range(0..=5);
    let crash = |_| {
        let at = if rng.random() {
            When::At(Duration::from_millis(rng.random_range(0..end)))
        } else {
            When::Write { number: rng.random_range(1..60), durable: rng.random() }
        };
        let down = Some(Duration::from_millis(rng.random_range(0..1_500)));
        Crash::new(rng.random_range(0..n), at, down)
    };
    (0..count).map(crash).collect()
}

/// Partitions into up to three groups, one after the other, before a time in milliseconds.
pub(crate) fn partitions(n: usize, end: u64, rng: &mut StdRng) -> Vec<Partition> {
    let (mut from, mut partitions) = (0, Vec::new());
    for _ in 0..rng.random_range(0..=3) {
        from += rng.random_range(0..end / 2);
        let until = (from + rng.random_range(1..3_000)).min(end);
        if from >= until {
            break;
        }
        let mut groups = vec![Vec::new(); 3];
        (0..n).for_each(|replica| groups[rng.random_range(0..3)].push(replica));
        let [begin, finish] = [from, until].map(Duration::from_millis);
        from = until;
        let groups = groups.into_iter().filter(|group| !group.is_empty()).map(Group::Replicas).collect();
        partitions.push(Partition::new(begin, finish, groups));
    }
    partitions
}

pub(crate) fn pick<'a, T>(rng: &mut StdRng, choices: &'a [T]) -> &'a T {
    &choices[rng.random_range(0..choices.len())]
}
