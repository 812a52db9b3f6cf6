//! What the network of a scenario does to each message.

use std::time::Duration;

use rand::{Rng, rngs::StdRng};

use crate::{
    Latency, Links, Model, Rate, Scenario, Scheduler, Sharing, Synchrony,
    links::{between, seconds},
    regions,
};

/// The pause of the FPBFT model before each chunk, and the share of a second that a chunk is.
const PAUSE: Duration = Duration::from_millis(100);

/// The megabit of the FPBFT model, against ours.
const ITS_MEGABIT: f64 = (1u64 << 20) as f64 / 1e6;

/// How long what an asynchronous network's scheduler chooses is under way: longer than any run.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The links between the replicas of a scenario, and with their client.
#[derive(Debug)]
pub(crate) struct Network {
    links: Links,
    latency: Latency,
    synchrony: Synchrony,
    gst: Option<Duration>,
    /// Each replica's place among the regions.
    places: Vec<usize>,
    routes: Vec<Override>,
    partitions: Vec<Parted>,
    /// Bytes a second of the FPBFT model.
    own_rate: Option<f64>,
}

/// A link that is different.
#[derive(Debug)]
struct Override {
    from: Vec<bool>,
    to: Vec<bool>,
    latency: Option<Latency>,
    loss: Option<f64>,
}

#[derive(Debug)]
struct Parted {
    from: Duration,
    until: Duration,
    /// The group of each replica.
    groups: Vec<usize>,
    /// Whom it does not concern.
    through: Vec<usize>,
}

/// The limits of a replica's links in bytes a second, if there are any.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) up: Option<f64>,
    pub(crate) down: Option<f64>,
}

/// What there is to know of a message to say how long it takes.
pub(crate) struct Passage {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) bytes: usize,
    pub(crate) is_vote: bool,
    /// The primary of its sender's view, for a scheduler that asks.
    pub(crate) primary: Option<usize>,
}

impl Network {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let place = |replica| scenario.region_of(replica).and_then(|region| regions::find(&region.name));
        let marked = |group| {
            let mut marked = vec![false; scenario.n];
            for replica in scenario.members(group) {
                if let Some(mark) = marked.get_mut(replica) {
                    *mark = true;
                }
            }
            marked
        };
        let parted = |partition: &crate::Partition| {
            let mut groups = vec![usize::MAX; scenario.n];
            for (number, group) in partition.groups.iter().enumerate() {
                for replica in scenario.members(group) {
                    if let Some(group) = groups.get_mut(replica) {
                        *group = number;
                    }
                }
            }
            Parted { from: partition.from, until: partition.until, groups, through: partition.through.clone() }
        };
        let own_rate = scenario.links.bandwidth.bytes_per_second().map(|rate| rate * ITS_MEGABIT);
        Self {
            links: scenario.links.clone(),
            latency: scenario.latency(),
            synchrony: scenario.synchrony.clone(),
            gst: scenario.gst,
            places: (0..=scenario.n).filter_map(place).collect(),
            routes: scenario
                .routes
                .iter()
                .map(|route| Override {
                    from: marked(&route.from),
                    to: marked(&route.to),
                    latency: route.latency,
                    loss: route.loss,
                })
                .collect(),
            partitions: scenario.partitions.iter().map(parted).collect(),
            own_rate: own_rate.filter(|_| scenario.links.model == Sharing::Fpbft),
        }
    }

    /// What all messages of a replica share. The client's, who is beyond the replicas, share nothing.
    pub(crate) fn rates(scenario: &Scenario, replica: usize) -> Rates {
        if scenario.links.model == Sharing::Fpbft || replica >= scenario.n {
            return Rates { up: None, down: None };
        }
        let region = scenario.region_of(replica);
        let limit = |own: Option<Rate>| own.unwrap_or(scenario.links.bandwidth).bytes_per_second();
        Rates { up: limit(region.and_then(|region| region.up)), down: limit(region.and_then(|region| region.down)) }
    }

    /// Whether nothing is lost any more.
    fn is_stable(&self, now: Duration) -> bool {
        self.gst.is_some_and(|gst| now >= gst)
    }

    fn route(&self, from: usize, to: usize) -> impl Iterator<Item = &Override> {
        let marked = |marks: &Vec<bool>, replica: usize| marks.get(replica).copied().unwrap_or_default();
        self.routes.iter().rev().filter(move |route| marked(&route.from, from) && marked(&route.to, to))
    }

    /// Whether a message that leaves now does not arrive.
    pub(crate) fn loses(&self, from: usize, to: usize, now: Duration, rng: &mut StdRng) -> bool {
        let loss = self.route(from, to).find_map(|route| route.loss).unwrap_or(self.links.loss);
        loss > 0.0 && !self.is_stable(now) && rng.random_bool(loss)
    }

    /// Whether a message that leaves now arrives once more.
    pub(crate) fn doubles(&self, now: Duration, rng: &mut StdRng) -> bool {
        self.links.duplication > 0.0 && !self.is_stable(now) && rng.random_bool(self.links.duplication)
    }

    /// How long a message that has left its sender now is under way.
    pub(crate) fn delay(&self, passage: &Passage, now: Duration, rng: &mut StdRng) -> Duration {
        let Passage { from, to, bytes, .. } = *passage;
        let mut delay = self.latency(from, to, rng);
        if self.links.reordering > 0.0 && !self.is_stable(now) && rng.random_bool(self.links.reordering) {
            delay += self.latency(from, to, rng);
        }
        if !self.links.jitter.is_zero() {
            delay += between(Duration::ZERO, self.links.jitter, rng);
        }
        let bound = self.bound(now);
        if bound.is_some_and(|bound| delay > bound) || self.is_chosen(passage) {
            delay = bound.unwrap_or(NEVER);
        }
        delay + self.own_time(bytes)
    }

    fn latency(&self, from: usize, to: usize, rng: &mut StdRng) -> Duration {
        let latency = self.route(from, to).find_map(|route| route.latency).unwrap_or(self.latency);
        match latency {
            Latency::Regions => {
                let place = |replica: usize| self.places.get(replica).copied().unwrap_or_default();
                Duration::from_micros(regions::one_way_micros(place(from), place(to)))
            }
            other => other.sample(rng),
        }
    }

    /// What no message that is sent now may exceed, if the model says anything about it.
    fn bound(&self, now: Duration) -> Option<Duration> {
        let delta = self.synchrony.delta?;
        match self.synchrony.model {
            Model::Synchronous => Some(delta),
            Model::Partial => self.gst.map(|gst| gst.saturating_sub(now) + delta),
            Model::Asynchronous => None,
        }
    }

    /// Whether the scheduler has it take as long as it may.
    fn is_chosen(&self, passage: &Passage) -> bool {
        let Passage { from, to, is_vote, primary, .. } = *passage;
        match self.synchrony.scheduler {
            Scheduler::Fair => false,
            Scheduler::TargetPrimary => [from, to].map(Some).contains(&primary),
            Scheduler::SplitVotes => is_vote && from % 2 != to % 2,
        }
    }

    /// What a message takes by itself, apart from what it shares.
    fn own_time(&self, bytes: usize) -> Duration {
        let Some(rate) = self.own_rate else { return Duration::ZERO };
        let chunks = (bytes as f64 / (rate * PAUSE.as_secs_f64())).ceil().max(1.0);
        seconds(chunks * PAUSE.as_secs_f64())
    }

    /// Whether messages pass between two replicas now.
    pub(crate) fn reaches(&self, from: usize, to: usize, now: Duration) -> bool {
        let mut parted = self.partitions.iter().filter(|parted| parted.from <= now && now < parted.until);
        parted.all(|parted| {
            let passes = parted.through.contains(&from) || parted.through.contains(&to);
            passes || parted.groups.get(from) == parted.groups.get(to)
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::{Group, Region, Route};

    fn statistics(scenario: &Scenario, (from, to): (usize, usize), at: Duration) -> (f64, f64) {
        let network = Network::new(scenario);
        let mut rng = StdRng::seed_from_u64(2);
        let passage = Passage { from, to, bytes: 1, is_vote: true, primary: Some(0) };
        let samples = 50_000;
        let total: Duration = (0..samples).map(|_| network.delay(&passage, at, &mut rng)).sum();
        let mut copies = 0;
        for _ in 0..samples {
            if !network.loses(from, to, at, &mut rng) {
                copies += 1 + u32::from(network.doubles(at, &mut rng));
            }
        }
        (total.as_secs_f64() / f64::from(samples), f64::from(copies) / f64::from(samples))
    }

    fn near(actual: f64, expected: f64) -> bool {
        (actual - expected).abs() <= 0.02 * expected
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn loss_duplication_reordering_and_jitter_have_the_shares_that_they_say_and_end_with_the_gst() {
        let mut scenario = Scenario { n: 4, gst: Some(ms(1000)), ..Scenario::default() };
        scenario.links.latency = Some(Latency::Constant(ms(100)));
        (scenario.links.loss, scenario.links.duplication, scenario.links.reordering) = (0.2, 0.1, 0.5);
        scenario.links.jitter = ms(40);
        let (delay, copies) = statistics(&scenario, (0, 1), ms(999));
        assert!(near(delay, 0.170) && near(copies, 0.8 * 1.1), "{delay} {copies}");
        assert!(matches!(statistics(&scenario, (0, 1), ms(1000)), (delay, 1.0) if near(delay, 0.120)));
        scenario.gst = None;
        assert!(near(statistics(&scenario, (0, 1), ms(100_000)).1, 0.88), "without one they do not end");
    }

    #[test]
    fn regions_are_as_far_apart_as_their_matrix_says_and_a_link_may_be_different() {
        let region = |name: &str, nodes| Region { name: name.into(), nodes, up: None, down: Some(Rate::mbps(8.0)) };
        let regions = vec![region("frankfurt", 2), region("sydney", 2)];
        let mut scenario = Scenario { n: 4, regions, ..Scenario::default() };
        let delay = |scenario: &Scenario, from, to| statistics(scenario, (from, to), Duration::ZERO).0;
        assert!(near(delay(&scenario, 0, 2), 0.133) && near(delay(&scenario, 0, 1), 0.0005));
        assert!(near(delay(&scenario, 4, 3), 0.133), "a client is in the first region");
        let (from, to) = (Group::Region("sydney".into()), Group::Replicas(vec![1]));
        scenario.routes = vec![Route { from, to, latency: Some(Latency::Constant(ms(400))), loss: Some(0.5) }];
        assert!(near(delay(&scenario, 3, 1), 0.4) && near(delay(&scenario, 1, 3), 0.133));
        assert!(near(statistics(&scenario, (2, 1), Duration::ZERO).1, 0.5));
        assert_eq!(Network::rates(&scenario, 3), Rates { up: None, down: Some(1e6) });
        assert_eq!(Network::rates(&scenario, 4), Rates { up: None, down: None }, "a client's");
    }

    #[test]
    fn the_scheduler_has_what_it_chooses_take_as_long_as_the_model_allows() {
        let mut scenario = Scenario { n: 4, gst: Some(ms(1000)), ..Scenario::default() };
        scenario.links.latency = Some(Latency::Constant(ms(100)));
        let delay = |scenario: &Scenario, link, at| statistics(scenario, link, at).0;
        for (scheduler, chosen, free) in
            [(Scheduler::TargetPrimary, (1, 0), (1, 2)), (Scheduler::SplitVotes, (1, 2), (1, 3))]
        {
            scenario.synchrony = Synchrony { model: Model::Partial, delta: Some(ms(300)), scheduler };
            assert!(near(delay(&scenario, chosen, ms(200)), 1.1), "until Δ after the stabilization");
            assert!(near(delay(&scenario, chosen, ms(1200)), 0.3) && near(delay(&scenario, free, ms(200)), 0.1));
            scenario.synchrony.model = Model::Synchronous;
            assert!(near(delay(&scenario, chosen, ms(200)), 0.3));
            scenario.synchrony.model = Model::Asynchronous;
            assert!(delay(&scenario, chosen, ms(200)) > 1e9 && near(delay(&scenario, free, ms(200)), 0.1));
        }
        scenario.synchrony = Synchrony { model: Model::Synchronous, delta: Some(ms(50)), scheduler: Scheduler::Fair };
        assert!(near(delay(&scenario, (0, 1), ms(0)), 0.05), "no message exceeds Δ");
    }

    #[test]
    fn a_message_of_the_fpbft_model_takes_100_ms_a_chunk_however_many_are_sent() {
        let mut scenario = Scenario { n: 4, ..Scenario::default() };
        (scenario.links.model, scenario.links.bandwidth) = (Sharing::Fpbft, Rate::mbps(0.1));
        let network = Network::new(&scenario);
        for (bytes, chunks) in [(0, 1), (1, 1), (1310, 1), (1311, 2), (31_100, 24)] {
            assert_eq!(network.own_time(bytes), PAUSE * chunks, "{bytes} bytes");
        }
        assert_eq!(Network::rates(&scenario, 0), Rates { up: None, down: None }, "nothing is shared");
    }
}
