//! Plays a scenario.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    time::Duration,
};

use dtn_consensus::{Evidence, Input, Protocol};
use dtn_primitives::ValidatorIndex;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Chain, Load, Measured, Members, Scenario, Subject, Violation, When,
    adversary::{Adversary, Context, Outgoing},
    agenda::Agenda,
    disk::Disk,
    host::{Arrival, Host, Outcome, To},
    links::{Port, Turn},
    oracle::Oracle,
    packet::{Packet, Sent},
    trace::Trace,
};

/// What a signed reply takes on the wire.
const REPLY_BYTES: usize = 160;

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
    pub digest: u128,
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
    /// What it took.
    pub measured: Measured,
}

/// Something that is going to happen.
enum Event<P: Protocol> {
    Deliver {
        letter: Letter<P::Message>,
    },
    /// The last frame of it has come the way.
    Arrive {
        letter: Letter<P::Message>,
    },
    /// The uplink of a replica has sent a frame.
    FrameSent {
        host: usize,
    },
    /// A client waits no longer for the primary.
    Impatient,
    Timer {
        host: usize,
        incarnation: u32,
        timer: P::Timer,
        generation: u64,
    },
    Work {
        host: usize,
        incarnation: u32,
    },
    Written {
        host: usize,
        incarnation: u32,
    },
    Housekeeping {
        host: usize,
    },
    Crash {
        host: usize,
        down: Duration,
    },
    Restart {
        host: usize,
    },
    Healed,
}

/// A packet on its way from one to another. A client's number is one above the replicas'.
struct Letter<M> {
    from: ValidatorIndex,
    to: ValidatorIndex,
    sent: Rc<Sent<M>>,
    /// What a liar has it take longer.
    delay: Duration,
}

impl<M> Clone for Letter<M> {
    fn clone(&self) -> Self {
        Self { from: self.from, to: self.to, sent: self.sent.clone(), delay: self.delay }
    }
}

/// Who hands in what there is to decide, and waits for replies.
struct Client {
    blocks: u64,
    block_bytes: usize,
    /// Replies to each block that it waits for.
    needed: usize,
    heard: BTreeMap<u64, BTreeSet<ValidatorIndex>>,
}

type Liar<P> = Box<dyn Adversary<<P as Protocol>::Message>>;

struct World<'a, P: Subject> {
    scenario: &'a Scenario,
    members: Members,
    hosts: Vec<Host<P>>,
    liars: Vec<Option<Liar<P>>>,
    oracle: Oracle,
    agenda: Agenda<Event<P>>,
    now: Duration,
    rng: StdRng,
    trace: Trace,
    size: usize,
    faults: u64,
    evidence: Vec<Evidence>,
    ports: Vec<Port<Letter<P::Message>>>,
    client: Option<Client>,
    measured: Measured,
    /// Something was decided, or the client heard of it, since the end was last looked for.
    advanced: bool,
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
        measured: world.measured,
    }
}

impl<'a, P: Subject> World<'a, P> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut members = Members::new(scenario.n, scenario.pace.view_timeout);
        let mut client = None;
        let mut reply_bytes = None;
        if let Load::Client { blocks, transactions, transaction_bytes, replies, long_replies } = scenario.load {
            members = members.with_transactions(transactions, transaction_bytes);
            let block_bytes = transactions * transaction_bytes;
            let needed = replies.unwrap_or(members.validators().max_faulty() + 1);
            client = Some(Client { blocks, block_bytes, needed, heard: BTreeMap::new() });
            reply_bytes = Some(if long_replies { block_bytes } else { REPLY_BYTES });
        }
        let chain = Chain::new(&members, members.base(scenario.base));
        let stable = members.checkpoint(scenario.stable);
        let is_liar = |index: &usize| scenario.adversaries.contains_key(index);
        let host = |index: usize| {
            let disk = Disk::new(chain.clone(), stable.clone());
            Host::new(&members, ValidatorIndex(index as u16), disk, reply_bytes)
        };
        let mut world = Self {
            scenario,
            hosts: (0..scenario.n).map(host).collect(),
            liars: (0..scenario.n)
                .map(|index| scenario.adversaries.get(&index).map(|kind| P::adversary(*kind)))
                .collect(),
            oracle: Oracle::new((0..scenario.n).map(|index| !is_liar(&index)).collect()),
            members,
            agenda: Agenda::default(),
            now: Duration::ZERO,
            rng: StdRng::seed_from_u64(scenario.seed),
            trace: Trace::default(),
            size: 0,
            faults: 0,
            evidence: Vec::new(),
            ports: (0..=scenario.n).map(|index| Port::new(&scenario.links.bandwidth, index)).collect(),
            client,
            measured: Measured::new(scenario.n),
            advanced: true,
        };
        for host in 0..scenario.n {
            world.arrive(host, Arrival::Input(Input::Start));
            let after = world.at_most(scenario.pace.housekeeping);
            world.schedule(after, Event::Housekeeping { host });
        }
        if let Some(order) = world.order() {
            let primary = world.members.validators().primary(0);
            world.dispatch(world.client_number(), [primary], &order, Duration::ZERO);
            world.schedule(scenario.pace.view_timeout, Event::Impatient);
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
        while let Some((at, event)) = self.agenda.next() {
            self.now = at;
            let newly_stable = self.now >= self.scenario.stabilization && target.is_none();
            if newly_stable {
                self.hosts.iter_mut().for_each(|host| host.cuts.clear());
                target = Some(self.oracle.height().max(self.scenario.base) + self.scenario.goal);
            }
            if let Err(violation) = self.happen(event) {
                return Verdict::Diverged(violation);
            }
            if let Some(target) = target
                && (std::mem::take(&mut self.advanced) || newly_stable)
                && self.is_done(target)
            {
                return Verdict::Pass;
            }
            if self.now > end {
                break;
            }
        }
        Verdict::NoProgress
    }

    /// All correct replicas have decided up to a height, and the client, if there is one, has heard of all that it
    /// handed in.
    fn is_done(&self, target: u64) -> bool {
        let mut correct = self.hosts.iter().filter(|host| self.oracle.is_correct(host.me));
        correct.all(|host| host.chain.height() >= target) && self.is_content()
    }

    fn client_number(&self) -> ValidatorIndex {
        ValidatorIndex(self.hosts.len() as u16)
    }

    /// What the client hands in.
    fn order(&self) -> Option<Rc<Sent<P::Message>>> {
        let Client { blocks, block_bytes, .. } = self.client.as_ref()?;
        let bytes = block_bytes.saturating_mul(*blocks as usize);
        Some(Rc::new(Sent::new(Packet::Order { up_to: self.scenario.base + blocks, bytes }, P::kind)))
    }

    fn schedule(&mut self, after: Duration, event: Event<P>) {
        self.agenda.add(self.now + after, event);
    }

    fn at_most(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.rng.random_range(0..=most.as_micros() as u64))
    }

    fn happen(&mut self, event: Event<P>) -> Result<(), Violation> {
        match event {
            Event::Deliver { letter } => self.deliver(letter),
            Event::Arrive { letter } => {
                let after = self.ports[letter.to.as_usize()].receive(letter.sent.bytes, self.now);
                if after.is_zero() { self.deliver(letter) } else { self.schedule(after, Event::Deliver { letter }) }
            }
            Event::FrameSent { host } => {
                let Turn { sent, next } = self.ports[host].frame_sent();
                if let Some(letter) = sent {
                    self.travel(letter);
                }
                if let Some(after) = next {
                    self.schedule(after, Event::FrameSent { host });
                }
            }
            Event::Impatient => {
                if let Some(order) = self.order().filter(|_| !self.is_content()) {
                    let all = (0..self.hosts.len()).map(|index| ValidatorIndex(index as u16));
                    self.dispatch(self.client_number(), all, &order, Duration::ZERO);
                }
            }
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
        let after = self.at_most(self.scenario.pace.gathering);
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
                    let height = decision.certificate.height;
                    self.trace.add(&("decided", host, height, decision.certificate.block_hash));
                    self.measured.decisions.push((self.now, me.0, height));
                    self.measured.view = self.measured.view.max(self.hosts[host].protocol.view());
                    self.advanced = true;
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
        let after = if self.hosts[host].writes() { self.at_most(self.scenario.pace.writing) } else { Duration::ZERO };
        self.schedule(after, Event::Written { host, incarnation });
        Ok(())
    }

    fn written(&mut self, host: usize) -> Result<(), Violation> {
        let Scenario { durability, survival, .. } = *self.scenario;
        let (sends, crashed) = self.hosts[host].release(durability, survival, &mut self.rng);
        let me = self.hosts[host].me;
        for (to, packet) in sends {
            self.let_out(me, to, packet)?;
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

    /// Sends what a replica's machine lets out; in a liar's place, what the liar makes of it.
    fn let_out(&mut self, me: ValidatorIndex, to: To, packet: Packet<P::Message>) -> Result<(), Violation> {
        let host = me.as_usize();
        if self.liars[host].is_some() {
            // Liars do not help others to catch up, and owe clients nothing.
            let Packet::Consensus(message) = packet else { return Ok(()) };
            let to: Vec<_> = match to {
                To::One(to) => vec![to],
                To::Others => self.members.others(me).collect(),
                To::Client => Vec::new(),
            };
            for to in to {
                let context = &mut Context { me, members: &self.members, rng: &mut self.rng };
                let instead = self.liars[host].as_mut().map(|liar| liar.instead(to, message.clone(), context));
                self.lie(me, instead.unwrap_or_default());
            }
            return Ok(());
        }
        if let Packet::Consensus(message) = &packet {
            self.oracle.says(me, P::statements(message))?;
        }
        let sent = Rc::new(Sent::new(packet, P::kind));
        match to {
            To::One(to) => self.dispatch(me, [to], &sent, Duration::ZERO),
            To::Client => self.dispatch(me, [self.client_number()], &sent, Duration::ZERO),
            To::Others => {
                let others = self.members.others(me);
                self.dispatch(me, others, &sent, Duration::ZERO);
            }
        }
        Ok(())
    }

    fn lie(&mut self, from: ValidatorIndex, messages: Vec<Outgoing<P::Message>>) {
        for Outgoing { to, message, delay } in messages {
            let sent = Rc::new(Sent::new(Packet::Consensus(message), P::kind));
            self.dispatch(from, [to], &sent, delay);
        }
    }

    /// Gives a packet to the sender's port, once for each receiver.
    fn dispatch(
        &mut self,
        from: ValidatorIndex,
        to: impl IntoIterator<Item = ValidatorIndex>,
        sent: &Rc<Sent<P::Message>>,
        delay: Duration,
    ) {
        let unstable = self.now < self.scenario.stabilization;
        let links = &self.scenario.links;
        for to in to {
            let known = to.as_usize() < self.hosts.len() || (self.client.is_some() && to == self.client_number());
            if !known {
                continue;
            }
            self.measured.sent(from.as_usize(), sent.kind, sent.bytes, self.now);
            if unstable && self.rng.random_bool(links.loss) {
                continue;
            }
            let copies = if unstable && self.rng.random_bool(links.repetition) { 2 } else { 1 };
            for _ in 0..copies {
                let letter = Letter { from, to, sent: sent.clone(), delay };
                let port = &mut self.ports[from.as_usize()];
                if !port.is_limited() {
                    self.travel(letter);
                } else if let Some(after) = port.send(sent.bytes, letter) {
                    self.schedule(after, Event::FrameSent { host: from.as_usize() });
                }
            }
        }
    }

    /// A packet has left its sender.
    fn travel(&mut self, letter: Letter<P::Message>) {
        let links = &self.scenario.links;
        let (from, to) = (letter.from.as_usize(), letter.to.as_usize());
        let after =
            letter.delay + links.bandwidth.own_time(letter.sent.bytes) + links.latency.sample(from, to, &mut self.rng);
        self.schedule(after, Event::Arrive { letter });
    }

    fn deliver(&mut self, letter: Letter<P::Message>) {
        let Letter { from, to, sent, .. } = letter;
        if to == self.client_number() {
            return self.reply(from, &sent.packet);
        }
        let host = to.as_usize();
        let reached = from == self.client_number() || self.reaches(from.as_usize(), host);
        if !self.hosts[host].up || !reached {
            return;
        }
        self.trace.delivered(sent.kind, self.now, from.0, to.0, sent.digest);
        self.measured.received(host, sent.bytes);
        if let (Some(liar), Packet::Consensus(message)) = (&mut self.liars[host], &sent.packet) {
            let context = &mut Context { me: to, members: &self.members, rng: &mut self.rng };
            let answers = liar.heard(from, message, context);
            self.lie(to, answers);
        }
        self.arrive(host, Arrival::Packet { from, sent });
    }

    fn is_content(&self) -> bool {
        self.client.as_ref().is_none_or(|client| self.measured.replies.len() as u64 >= client.blocks)
    }

    /// The client hears from a replica.
    fn reply(&mut self, from: ValidatorIndex, packet: &Packet<P::Message>) {
        let (Some(client), Packet::Reply { height, .. }) = (&mut self.client, packet) else { return };
        let heard = client.heard.entry(*height).or_default();
        heard.insert(from);
        if heard.len() >= client.needed {
            self.measured.replies.entry(*height).or_insert(self.now);
            self.advanced = true;
        }
    }

    fn look_after(&mut self, host: usize) {
        self.schedule(self.scenario.pace.housekeeping, Event::Housekeeping { host });
        if !self.hosts[host].up {
            return;
        }
        let random = self.scenario.load == Load::Random;
        let requests = random.then(|| self.rng.random_range(0..=dtn_consensus::PIPELINE));
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
