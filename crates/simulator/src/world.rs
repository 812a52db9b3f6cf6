//! Plays a scenario.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    fmt,
    time::Duration,
};

use dtn_consensus::{Evidence, Input, Protocol};
use dtn_primitives::{B256, ValidatorIndex};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Chain, Members, Scenario, Subject, Violation, When,
    adversary::{Adversary, Context, Outgoing},
    disk::Disk,
    host::{Arrival, Host, Outcome},
    oracle::Oracle,
    packet::Packet,
    trace::Trace,
};

/// How often hosts look after themselves.
const HOUSEKEEPING: Duration = Duration::from_millis(250);

/// The longest that a host gathers inputs before it works on them, and that a write takes.
const GATHERING: Duration = Duration::from_millis(1);
const WRITING: Duration = Duration::from_millis(3);

/// How long a view lasts in which nothing is decided, before it doubles.
const VIEW_TIMEOUT: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everyone correct decided what there was to decide, and alike.
    Pass,
    /// In time, some correct replica did not.
    NoProgress,
    /// A promise was broken.
    Diverged(Violation),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::NoProgress => f.write_str("no progress"),
            Self::Diverged(violation) => write!(f, "diverged: {violation}"),
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// The number of events until it did; of a violation, the event that it is.
    pub events: u64,
    /// The fingerprint of all of them.
    pub digest: B256,
    /// The virtual time that passed.
    pub elapsed: Duration,
    /// The height of each replica.
    pub heights: Vec<u64>,
    /// The number of writes of each replica.
    pub writes: Vec<u64>,
    /// The largest size of a correct replica at any housekeeping.
    pub size: usize,
    /// The faults that correct replicas found.
    pub faults: u64,
    /// The evidence that correct replicas found.
    pub evidence: Vec<Evidence>,
}

/// Something that is going to happen.
enum Event<P: Protocol> {
    Deliver { from: ValidatorIndex, to: ValidatorIndex, packet: Packet<P::Message> },
    Timer { host: usize, incarnation: u32, timer: P::Timer, generation: u64 },
    Work { host: usize, incarnation: u32 },
    Written { host: usize, incarnation: u32 },
    Housekeeping { host: usize },
    Crash { host: usize, down: Duration },
    Restart { host: usize },
    Healed,
}

/// An event in its place: by time, and at one time in the order in which it was foreseen.
struct Scheduled<P: Protocol> {
    at: Duration,
    number: u64,
    event: Event<P>,
}

impl<P: Protocol> PartialEq for Scheduled<P> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<P: Protocol> Eq for Scheduled<P> {}

impl<P: Protocol> PartialOrd for Scheduled<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P: Protocol> Ord for Scheduled<P> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

type Liar<P> = Box<dyn Adversary<<P as Protocol>::Message>>;

struct World<'a, P: Subject> {
    scenario: &'a Scenario,
    members: Members,
    hosts: Vec<Host<P>>,
    liars: Vec<Option<Liar<P>>>,
    oracle: Oracle,
    queue: BinaryHeap<Reverse<Scheduled<P>>>,
    scheduled: u64,
    now: Duration,
    rng: StdRng,
    trace: Trace,
    size: usize,
    faults: u64,
    evidence: Vec<Evidence>,
}

/// Plays a scenario to its end.
pub fn run<P: Subject>(scenario: &Scenario) -> Report {
    let mut world = World::<P>::new(scenario);
    let verdict = world.play();
    Report {
        verdict,
        events: world.trace.events(),
        digest: world.trace.digest(),
        elapsed: world.now,
        heights: world.hosts.iter().map(|host| host.chain.height()).collect(),
        writes: world.hosts.iter().map(|host| host.steps).collect(),
        size: world.size,
        faults: world.faults,
        evidence: world.evidence,
    }
}

impl<'a, P: Subject> World<'a, P> {
    fn new(scenario: &'a Scenario) -> Self {
        let members = Members::new(scenario.n, VIEW_TIMEOUT);
        let chain = Chain::new(&members, members.base(scenario.base));
        let stable = members.checkpoint(scenario.stable);
        let is_liar = |index: &usize| scenario.adversaries.contains_key(index);
        let host = |index: usize| {
            let disk = Disk::new(chain.clone(), stable.clone());
            Host::new(&members, ValidatorIndex(index as u16), disk)
        };
        let mut world = Self {
            scenario,
            hosts: (0..scenario.n).map(host).collect(),
            liars: (0..scenario.n)
                .map(|index| scenario.adversaries.get(&index).map(|kind| P::adversary(*kind)))
                .collect(),
            oracle: Oracle::new((0..scenario.n).map(|index| !is_liar(&index)).collect()),
            members,
            queue: BinaryHeap::new(),
            scheduled: 0,
            now: Duration::ZERO,
            rng: StdRng::seed_from_u64(scenario.seed),
            trace: Trace::default(),
            size: 0,
            faults: 0,
            evidence: Vec::new(),
        };
        for host in 0..scenario.n {
            world.arrive(host, Arrival::Input(Input::Start));
            let after = world.at_most(HOUSEKEEPING);
            world.schedule(after, Event::Housekeeping { host });
        }
        // What liars suffer proves nothing.
        for crash in scenario.crashes.iter().filter(|crash| crash.replica < scenario.n && !is_liar(&crash.replica)) {
            match crash.when {
                When::At(time) => world.schedule(time, Event::Crash { host: crash.replica, down: crash.down }),
                When::Write { number, durable } => _ = world.hosts[crash.replica].cuts.insert(number, durable),
            }
        }
        for partition in &scenario.partitions {
            world.schedule(partition.until, Event::Healed);
        }
        world
    }

    fn play(&mut self) -> Verdict {
        let end = self.scenario.stabilization + self.scenario.patience;
        let mut target = None;
        while let Some(Reverse(Scheduled { at, event, .. })) = self.queue.pop() {
            self.now = at;
            if self.now >= self.scenario.stabilization && target.is_none() {
                self.hosts.iter_mut().for_each(|host| host.cuts.clear());
                target = Some(self.oracle.height().max(self.scenario.base) + self.scenario.goal);
            }
            if let Err(violation) = self.happen(event) {
                return Verdict::Diverged(violation);
            }
            let mut correct = self.hosts.iter().filter(|host| self.oracle.is_correct(host.me));
            if target.is_some_and(|target| correct.all(|host| host.chain.height() >= target)) {
                return Verdict::Pass;
            }
            if self.now > end {
                break;
            }
        }
        Verdict::NoProgress
    }

    fn schedule(&mut self, after: Duration, event: Event<P>) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { at: self.now + after, number: self.scheduled, event }));
    }

    fn at_most(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.rng.random_range(0..=most.as_micros() as u64))
    }

    fn happen(&mut self, event: Event<P>) -> Result<(), Violation> {
        match event {
            Event::Deliver { from, to, packet } => self.deliver(from, to, packet),
            Event::Timer { host, incarnation, timer, generation } => {
                let known = &mut self.hosts[host];
                if known.up && known.incarnation == incarnation && known.expires(timer, generation) {
                    self.trace.add(&("timer", host, format!("{timer:?}")));
                    self.arrive(host, Arrival::Input(Input::Timer(timer)));
                }
            }
            Event::Work { host, incarnation } if self.is_current(host, incarnation) => self.work(host)?,
            Event::Written { host, incarnation } if self.is_current(host, incarnation) => self.written(host)?,
            Event::Work { .. } | Event::Written { .. } => {}
            Event::Housekeeping { host } => self.look_after(host),
            Event::Crash { host, down } => {
                // It may be down already, and power does not fail after the stabilization time.
                if self.hosts[host].up && self.now < self.scenario.stabilization {
                    self.trace.add(&("crash", host));
                    self.hosts[host].crash(self.scenario.survival, &mut self.rng);
                    self.restart_after(host, down);
                }
            }
            Event::Restart { host } => {
                self.trace.add(&("restart", host));
                self.hosts[host].restart(&self.members);
                self.wake(host);
                self.connect(|from, to| from == host || to == host);
            }
            Event::Healed => {
                self.trace.add(&"healed");
                self.connect(|_, _| true);
            }
        }
        Ok(())
    }

    fn is_current(&self, host: usize, incarnation: u32) -> bool {
        self.hosts[host].up && self.hosts[host].incarnation == incarnation
    }

    fn restart_after(&mut self, host: usize, down: Duration) {
        let latest = self.scenario.stabilization.saturating_sub(self.now);
        self.schedule(down.min(latest), Event::Restart { host });
    }

    /// Channels opened between these.
    fn connect(&mut self, between: impl Fn(usize, usize) -> bool) {
        for from in 0..self.hosts.len() {
            for to in (0..self.hosts.len()).filter(|to| *to != from) {
                if between(from, to) && self.hosts[from].up && self.hosts[to].up && self.reaches(from, to) {
                    self.arrive(from, Arrival::Input(Input::Connected(ValidatorIndex(to as u16))));
                }
            }
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let parted =
            self.scenario.partitions.iter().filter(|parted| parted.from <= self.now && self.now < parted.until);
        parted.into_iter().all(|parted| parted.groups.get(from) == parted.groups.get(to))
    }

    fn arrive(&mut self, host: usize, arrival: Arrival<P>) {
        let idle = self.hosts[host].inbox.is_empty() && !self.hosts[host].busy;
        self.hosts[host].inbox.push_back(arrival);
        if idle {
            self.wake(host);
        }
    }

    fn wake(&mut self, host: usize) {
        let after = self.at_most(GATHERING);
        let incarnation = self.hosts[host].incarnation;
        self.schedule(after, Event::Work { host, incarnation });
    }

    fn work(&mut self, host: usize) -> Result<(), Violation> {
        if self.hosts[host].busy {
            return Ok(());
        }
        let outcomes = self.hosts[host].work(&self.members);
        self.trace.add(&("work", host));
        let (me, incarnation) = (self.hosts[host].me, self.hosts[host].incarnation);
        let correct = self.oracle.is_correct(me);
        for outcome in outcomes {
            match outcome {
                Outcome::Timer { timer, after, generation } => {
                    self.schedule(after, Event::Timer { host, incarnation, timer, generation });
                }
                _ if !correct => {}
                Outcome::Decided(decision) => {
                    self.trace.add(&("decided", host, decision.certificate.height, decision.certificate.block_hash));
                    self.oracle.decides(me, &decision, &self.members)?;
                }
                Outcome::Misordered(decision) => {
                    return Err(Violation::Misordered { replica: me, height: decision.certificate.height });
                }
                Outcome::Stable(certificate) => self.oracle.stable(me, &certificate, &self.members)?,
                Outcome::Evidence(evidence) => {
                    self.oracle.accuses(&evidence, &self.members)?;
                    self.evidence.push(*evidence);
                }
                Outcome::Fault { from, fault } => {
                    self.faults += 1;
                    self.oracle.blames(me, from, format!("{fault:?}"))?;
                }
            }
        }
        self.hosts[host].busy = true;
        let after = if self.hosts[host].writes() { self.at_most(WRITING) } else { Duration::ZERO };
        self.schedule(after, Event::Written { host, incarnation });
        Ok(())
    }

    fn written(&mut self, host: usize) -> Result<(), Violation> {
        let Scenario { durability, survival, .. } = *self.scenario;
        let (sends, crashed) = self.hosts[host].release(durability, survival, &mut self.rng);
        let me = self.hosts[host].me;
        for (to, packet) in sends {
            match (&mut self.liars[host], packet) {
                (Some(liar), Packet::Consensus(message)) => {
                    let context = &mut Context { me, members: &self.members, rng: &mut self.rng };
                    let instead = liar.instead(to, message, context);
                    self.lie(me, instead);
                }
                // Liars do not help others to catch up, either.
                (Some(_), _) => {}
                (None, packet) => {
                    if let Packet::Consensus(message) = &packet {
                        self.oracle.says(me, P::statements(message))?;
                    }
                    self.send(me, to, packet, Duration::ZERO);
                }
            }
        }
        if crashed {
            self.trace.add(&("cut", host));
            let planned = self.scenario.crashes.iter().find(|crash| crash.replica == host);
            self.restart_after(host, planned.map_or(Duration::ZERO, |crash| crash.down));
            return Ok(());
        }
        self.hosts[host].busy = false;
        if !self.hosts[host].inbox.is_empty() {
            self.wake(host);
        }
        Ok(())
    }

    fn lie(&mut self, from: ValidatorIndex, messages: Vec<Outgoing<P::Message>>) {
        for Outgoing { to, message, delay } in messages {
            self.send(from, to, Packet::Consensus(message), delay);
        }
    }

    fn send(&mut self, from: ValidatorIndex, to: ValidatorIndex, packet: Packet<P::Message>, delay: Duration) {
        let links = self.scenario.links;
        let unstable = self.now < self.scenario.stabilization;
        if to.as_usize() >= self.hosts.len() || (unstable && self.rng.random_bool(links.loss)) {
            return;
        }
        let span = links.most.saturating_sub(links.least);
        if unstable && self.rng.random_bool(links.repetition) {
            let after = delay + links.least + self.at_most(span);
            self.schedule(after, Event::Deliver { from, to, packet: packet.clone() });
        }
        let after = delay + links.least + self.at_most(span);
        self.schedule(after, Event::Deliver { from, to, packet });
    }

    fn deliver(&mut self, from: ValidatorIndex, to: ValidatorIndex, packet: Packet<P::Message>) {
        let host = to.as_usize();
        if !self.hosts[host].up || !self.reaches(from.as_usize(), host) {
            return;
        }
        match &packet {
            Packet::Consensus(message) => self.trace.add(&("message", from, to, message)),
            Packet::Height(height) => self.trace.add(&("height", from, to, height)),
            Packet::Request(height) => self.trace.add(&("request", from, to, height)),
            Packet::Blocks(blocks) => self.trace.add(&("blocks", from, to, blocks.len())),
        }
        if let (Some(liar), Packet::Consensus(message)) = (&mut self.liars[host], &packet) {
            let context = &mut Context { me: to, members: &self.members, rng: &mut self.rng };
            let answers = liar.heard(from, message, context);
            self.lie(to, answers);
        }
        self.arrive(host, Arrival::Packet { from, packet });
    }

    fn look_after(&mut self, host: usize) {
        self.schedule(HOUSEKEEPING, Event::Housekeeping { host });
        if !self.hosts[host].up {
            return;
        }
        let requests = self.rng.random_range(0..=dtn_consensus::PIPELINE);
        self.arrive(host, Arrival::Housekeeping { requests });
        let me = self.hosts[host].me;
        if let Some(liar) = &mut self.liars[host] {
            let context = &mut Context { me, members: &self.members, rng: &mut self.rng };
            let lies = liar.unasked(self.hosts[host].chain.height(), self.hosts[host].protocol.view(), context);
            self.lie(me, lies);
        } else if !self.scenario.adversaries.is_empty() {
            self.size = self.size.max(self.hosts[host].protocol.size());
        }
    }
}
