//! Plays a scenario.

mod client;
mod mining;
mod orders;
mod requests;
mod traffic;

use std::{collections::BTreeMap, fmt, time::Duration};

use dtn_consensus::{Evidence, Input, Protocol};
use dtn_primitives::{ValidatorIndex, memo, signatures};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Chain, Crash, DiskAfter, Happening, Load, Measured, Members, Observer, Pace, Scenario, Signatures, Source, Stop,
    Subject, Violation, What, When,
    adversary::{Adversary, Context},
    agenda::Agenda,
    disk::Disk,
    host::{Arrival, Cut, Host, Outcome, Proposing},
    network::Network,
    oracle::Oracle,
    port::Port,
    trace::Trace,
};
use client::Client;
use mining::Searches;
use orders::Turns;
use requests::Requests;
use traffic::{Departing, Letter};

/// What a signed reply takes on the wire.
const REPLY_BYTES: usize = 160;

/// Signatures that are remembered, so that each is made and checked once although a thousand replicas do.
const REMEMBERED_SIGNATURES: usize = 1 << 20;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everyone correct decided what there was to decide, and alike.
    Pass,
    /// Some correct replica did not, before the run's bound on time or on events.
    NoProgress,
    /// A promise was broken.
    Diverged(Violation),
}

impl Verdict {
    /// The verdict without what was broken.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NoProgress => "no progress",
            Self::Diverged(_) => "diverged",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::Diverged(violation) = self { write!(f, ": {violation}") } else { Ok(()) }
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// Of a run that does not pass: the first event that breaks a promise, or the last after which nothing was decided,
    /// and what was wrong then.
    pub offence: Option<Offence>,
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
    /// Of replicas that leave out a rule, or among too many liars: what was broken and did not end the run.
    pub suspended: Vec<Violation>,
    /// If replicas decided differently there, whom what the correct ones heard and said convicts: of each one offence.
    pub culprits: Vec<crate::Conviction>,
}

/// Where a run went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// The number of the event.
    pub event: u64,
    /// Its time.
    pub at: Duration,
    /// What was wrong.
    pub what: String,
}

/// Something that is going to happen.
enum Event<P: Protocol> {
    Deliver {
        letter: Letter<P::Message>,
    },
    /// Bytes of it, a frame or all, have come to the receiver's downlink.
    Arrive {
        letter: Letter<P::Message>,
        bytes: usize,
        last: bool,
    },
    /// The downlink of a replica has taken in a frame.
    FrameReceived {
        host: usize,
    },
    /// The uplink of a replica has sent a frame.
    FrameSent {
        host: usize,
    },
    /// A client hands in what fills the blocks up to this number.
    Order {
        blocks: u64,
    },
    /// A client hands in the request of this number, or the strangers theirs.
    HandIn {
        number: u64,
    },
    Junk {
        number: u64,
    },
    /// A client looks whether it has waited too long.
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
        down: Option<Duration>,
        disk: DiskAfter,
    },
    /// A replica starts, again or for the first time.
    Restart {
        host: usize,
    },
    /// A replica that started has its links.
    Linked {
        host: usize,
        incarnation: u32,
    },
    /// A replica's disk is copied, for later.
    Copy {
        host: usize,
        at: Duration,
    },
    /// A replica's search of this number goes on.
    Search {
        host: usize,
        number: u64,
    },
    /// A replica's search of this number ends.
    Found {
        host: usize,
        number: u64,
        nonce: u64,
    },
    /// A replica's turn of this number at a race ends.
    TurnEnded {
        host: usize,
        number: u64,
    },
    Healed,
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
    /// How often hosts look after themselves.
    housekeeping: Duration,
    /// How many have happened.
    events: u64,
    rng: StdRng,
    trace: Trace,
    size: usize,
    faults: u64,
    evidence: Vec<Evidence>,
    network: Network,
    up: Vec<Port<Departing<P::Message>>>,
    /// What came in, and whether a packet ends with it.
    down: Vec<Port<(Letter<P::Message>, bool)>>,
    /// The view that each replica was last seen in.
    views: Vec<u64>,
    /// The last event at which something was decided.
    progress: (u64, Duration),
    observer: Option<Observer<'a>>,
    client: Option<Client>,
    requests: Option<Requests>,
    searches: Searches,
    turns: Turns,
    measured: Measured,
    /// Something was decided, or the client heard of it, since the end was last looked for.
    advanced: bool,
}

/// Plays a scenario to its end. Signatures are remembered while it runs, or longer if the thread does so already
/// ([`memo`]).
pub fn run<P: Subject>(scenario: &Scenario) -> Report {
    play::<P>(scenario, None)
}

/// Plays a scenario to its end and tells what happens: the same run as [`run`] plays.
pub fn observe<'a, P: Subject>(scenario: &'a Scenario, observer: Observer<'a>) -> Report {
    play::<P>(scenario, Some(observer))
}

fn play<'a, P: Subject>(scenario: &'a Scenario, observer: Option<Observer<'a>>) -> Report {
    let _remembering = (!memo::is_remembering()).then(|| memo::remember(REMEMBERED_SIGNATURES));
    let _stand_in = (scenario.signatures == Signatures::Counted).then(signatures::stand_in);
    let mut world = World::<P>::new(scenario, observer);
    let verdict = world.play();
    let forked = matches!(verdict, Verdict::Diverged(Violation::Forked { .. }));
    Report {
        culprits: if forked { world.oracle.culprits(&world.members) } else { Vec::new() },
        offence: world.offence(&verdict),
        verdict,
        events: world.events,
        digest: world.trace.digest(),
        elapsed: world.now,
        heights: world.hosts.iter().map(|host| host.chain.height()).collect(),
        writes: world.hosts.iter().map(|host| host.steps).collect(),
        size: world.size,
        faults: world.faults,
        evidence: world.evidence,
        measured: world.measured,
        suspended: world.oracle.suspended,
    }
}

impl<'a, P: Subject> World<'a, P> {
    fn new(scenario: &'a Scenario, observer: Option<Observer<'a>>) -> Self {
        let mut members =
            Members::new(scenario.n, scenario.view_timeout()).relaying(scenario.relays).lapsing(scenario.lapse);
        let mut client = None;
        let mut reply_bytes = None;
        let Load { source, transactions, transaction_bytes, replies, long_replies, .. } = scenario.load;
        if source == Source::Orders {
            members = members.with_ledger(&scenario.work.clone().unwrap_or_default());
        } else if source != Source::Requests {
            members = members.with_transactions(transactions, transaction_bytes);
        }
        let miners = scenario.mining.clone().unwrap_or_default();
        if P::MINES {
            members = members.with_mining(miners.rule());
        } else if source == Source::Client {
            let block_bytes = transactions * transaction_bytes;
            let needed = replies.unwrap_or(members.validators().max_faulty() + 1);
            let heard = BTreeMap::new();
            client = Some(Client { handed_in: 0, news: Duration::ZERO, asked: 0, block_bytes, needed, heard });
            reply_bytes = Some(if long_replies { block_bytes } else { REPLY_BYTES });
        }
        let chain = Chain::new(&members, members.base(scenario.base));
        let stable = members.checkpoint(scenario.stable);
        let is_liar = |index: &usize| scenario.adversaries.contains_key(index);
        let proposing = Proposing { source, most: transactions, reply_bytes };
        let host = |index: usize| {
            let disk = Disk::new(chain.clone(), stable.clone());
            Host::new(&members, ValidatorIndex(index as u16), disk, proposing)
        };
        let mut world = Self {
            scenario,
            hosts: (0..scenario.n).map(host).collect(),
            liars: (0..scenario.n)
                .map(|index| scenario.adversaries.get(&index).map(|kind| P::adversary(*kind, scenario)))
                .collect(),
            oracle: Oracle::new(scenario, members.mining(), &chain),
            members,
            agenda: Agenda::default(),
            now: Duration::ZERO,
            housekeeping: scenario.housekeeping(),
            events: 0,
            rng: StdRng::seed_from_u64(scenario.seed),
            trace: Trace::default(),
            size: 0,
            faults: 0,
            evidence: Vec::new(),
            network: Network::new(scenario),
            up: (0..=scenario.n).map(|index| Port::new(Network::rates(scenario, index).up)).collect(),
            down: (0..=scenario.n).map(|index| Port::new(Network::rates(scenario, index).down)).collect(),
            views: vec![0; scenario.n],
            progress: (0, Duration::ZERO),
            observer,
            client,
            requests: (source.is_one_by_one() && !P::MINES).then(Requests::default),
            searches: Searches::new(miners, scenario.n),
            turns: Turns::new(scenario.n),
            measured: Measured::new(scenario.n),
            advanced: true,
        };
        for start in scenario.starts.iter().filter(|start| start.replica < scenario.n) {
            let host = &mut world.hosts[start.replica];
            host.wait();
            world.schedule(start.at, Event::Restart { host: start.replica });
        }
        for host in 0..scenario.n {
            if world.hosts[host].up {
                world.hosts[host].begin();
                world.wake(host);
            }
            let after = world.at_most(world.housekeeping);
            world.schedule(after, Event::Housekeeping { host });
        }
        if world.client.is_some() {
            let Load { blocks, every, .. } = scenario.load;
            if every.is_zero() {
                (1..=blocks).for_each(|block| world.hand_in(block));
            } else {
                world.hand_in(1);
                (1..blocks).for_each(|block| world.schedule(every * block as u32, Event::Order { blocks: block + 1 }));
            }
            world.schedule(scenario.view_timeout(), Event::Impatient);
        }
        world.begin_requests();
        // What liars suffer proves nothing.
        for crash in scenario.crashes.iter().filter(|crash| crash.replica < scenario.n && !is_liar(&crash.replica)) {
            let Crash { replica: host, at, down, disk } = *crash;
            if let DiskAfter::AsOf(when) = disk {
                world.hosts[host].expect_image(when);
                if let When::At(at) = when {
                    world.schedule(at, Event::Copy { host, at });
                }
            }
            match at {
                When::At(time) => world.schedule(time, Event::Crash { host, down, disk }),
                When::Write { number, durable } => {
                    _ = world.hosts[host].cuts.insert(number, Cut { durable, down, disk })
                }
            }
        }
        for partition in &scenario.partitions {
            world.schedule(partition.until, Event::Healed);
        }
        world
    }

    fn play(&mut self) -> Verdict {
        let Scenario { base, load: Load { source, blocks, .. }, stop: Stop { events, .. }, .. } = *self.scenario;
        let (settled, end) = (self.scenario.settled(), self.scenario.end());
        let mut target = None;
        while let Some((at, event)) = self.agenda.next() {
            (self.now, self.events) = (at, self.events + 1);
            let newly_stable = self.now >= settled && target.is_none();
            if newly_stable {
                self.hosts.iter_mut().for_each(|host| host.cuts.clear());
                target = Some(match source {
                    _ if P::MINES => self.oracle.height().max(base) + blocks,
                    Source::Random => self.oracle.height().max(base) + blocks,
                    Source::Client => base + blocks,
                    Source::Requests | Source::Orders => base,
                });
            }
            if let Err(violation) = self.happen(event) {
                self.tell(|| What::Violated(violation.to_string()));
                return Verdict::Diverged(violation);
            }
            if let Some(target) = target
                && (std::mem::take(&mut self.advanced) || newly_stable)
                && self.is_done(target)
            {
                return Verdict::Pass;
            }
            if self.now > end || self.events >= events {
                break;
            }
        }
        Verdict::NoProgress
    }

    /// All correct replicas have decided up to a height, and the client, if there is one, has heard of all that it
    /// handed in.
    fn is_done(&self, target: u64) -> bool {
        let lost = |host: &&Host<P>| !host.up && self.scenario.lost().any(|lost| lost == host.me.as_usize());
        let mut correct = self.hosts.iter().filter(|host| self.oracle.is_correct(host.me) && !lost(host));
        correct.all(|host| host.chain.height() >= target.max(self.last_requested())) && self.is_content()
    }

    /// Where a run that did not pass went wrong.
    fn offence(&self, verdict: &Verdict) -> Option<Offence> {
        match verdict {
            Verdict::Pass => None,
            Verdict::Diverged(violation) => {
                Some(Offence { event: self.events, at: self.now, what: violation.to_string() })
            }
            Verdict::NoProgress => {
                let correct = || self.hosts.iter().filter(|host| self.oracle.is_correct(host.me));
                let least = correct().map(|host| host.chain.height()).min().unwrap_or_default();
                let behind = correct().filter(|host| host.chain.height() == least);
                let names: Vec<_> =
                    behind.map(|host| format!("{} in view {}", host.me, host.protocol.view())).collect();
                let (event, at) = self.progress;
                let shown = names.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if names.len() > 4 { format!(" and {} more", names.len() - 4) } else { String::new() };
                let bound = if self.now > self.scenario.end() { "time" } else { "events" };
                let replied = self.measured.replies.len();
                let client = if self.is_content() { String::new() } else { format!("; the client knows of {replied}") };
                let when = if event == 0 { "nothing was decided" } else { "nothing was decided after this" };
                let what = format!(
                    "{when}, until the run's bound on {bound}; at height {least}: replica {shown}{more}{client}"
                );
                Some(Offence { event, at, what })
            }
        }
    }

    fn tell(&mut self, what: impl FnOnce() -> What) {
        if let Some(observer) = &mut self.observer {
            observer(&Happening { at: self.now, event: self.events, what: what() });
        }
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
            Event::Arrive { letter, bytes, last } => self.arrive_at_port(letter, bytes, last),
            Event::FrameReceived { host } => self.frame_received(host),
            Event::FrameSent { host } => self.frame_sent(host),
            Event::Order { blocks } => self.hand_in(blocks),
            Event::HandIn { number } => self.hand_in_request(number),
            Event::Junk { number } => self.hand_in_junk(number),
            Event::Impatient if self.requests.is_some() => self.hand_in_again(),
            Event::Impatient => self.look_impatient(),
            Event::Timer { host, incarnation, timer, generation } => {
                let known = &mut self.hosts[host];
                if known.up && known.incarnation == incarnation && known.expires(timer, generation) {
                    let name = format!("{timer:?}");
                    self.trace.add("timer", self.now, host, name.as_bytes());
                    self.tell(|| What::Timer { replica: host as u16, timer: name });
                    self.arrive(host, Arrival::input(Input::Timer(timer)));
                }
            }
            Event::Work { host, incarnation } if self.is_current(host, incarnation) => self.work(host)?,
            Event::Written { host, incarnation } if self.is_current(host, incarnation) => self.written(host)?,
            Event::Work { .. } | Event::Written { .. } => {}
            Event::Housekeeping { host } => self.look_after(host),
            Event::Crash { host, down, disk } => {
                // It may be down already, and power does not fail after the stabilization time.
                if self.hosts[host].up && self.scenario.gst.is_none_or(|gst| self.now < gst) {
                    self.trace.add("crash", self.now, host, &[]);
                    self.hosts[host].crash(self.scenario.survival, &mut self.rng);
                    self.hosts[host].replace(disk);
                    self.crashed(host, down, disk);
                }
            }
            Event::Restart { host } => self.restart(host),
            Event::Linked { host, incarnation } if self.is_current(host, incarnation) => self.link(host),
            Event::Linked { .. } => {}
            Event::Copy { host, at } => self.hosts[host].keep_image(When::At(at)),
            Event::Search { host, number } => self.go_on(host, number),
            Event::Found { host, number, nonce } => self.found(host, number, nonce),
            Event::TurnEnded { host, number } => self.turn_ended(host, number),
            Event::Healed => {
                self.trace.add("healed", self.now, 0, &[]);
                self.tell(|| What::Healed);
                self.connect(|_, _| true);
            }
        }
        Ok(())
    }

    fn is_current(&self, host: usize, incarnation: u32) -> bool {
        self.hosts[host].up && self.hosts[host].incarnation == incarnation
    }

    /// What a power cut leads to beside the replica.
    fn crashed(&mut self, host: usize, down: Option<Duration>, disk: DiskAfter) {
        self.tell(|| What::Crashed(host as u16));
        self.searches.stop(host);
        self.turns.stop(host);
        self.up[host].clear();
        if disk != DiskAfter::Kept {
            self.oracle.forgets(self.hosts[host].me);
        }
        if let Some(down) = down {
            self.restart_after(host, down);
        }
    }

    /// A replica starts, and has its links unless somebody holds all connections to it.
    fn restart(&mut self, host: usize) {
        self.trace.add("restart", self.now, host, &[]);
        self.tell(|| What::Restarted(host as u16));
        self.hosts[host].restart(&self.members);
        self.wake(host);
        let holding = self.scenario.strangers.holding;
        if holding.is_zero() {
            self.link(host);
        } else {
            self.hosts[host].linked = false;
            let incarnation = self.hosts[host].incarnation;
            self.schedule(holding, Event::Linked { host, incarnation });
        }
    }

    fn link(&mut self, host: usize) {
        self.hosts[host].linked = true;
        self.connect(|from, to| from == host || to == host);
    }

    fn restart_after(&mut self, host: usize, down: Duration) {
        let latest = self.scenario.gst.map_or(down, |gst| gst.saturating_sub(self.now));
        self.schedule(down.min(latest), Event::Restart { host });
    }

    /// Channels opened between these.
    fn connect(&mut self, between: impl Fn(usize, usize) -> bool) {
        for from in 0..self.hosts.len() {
            for to in (0..self.hosts.len()).filter(|to| *to != from) {
                if between(from, to) && self.hosts[from].up && self.hosts[to].up && self.reaches(from, to) {
                    self.arrive(from, Arrival::input(Input::Connected(ValidatorIndex(to as u16))));
                }
            }
        }
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
        let before = signatures::counts();
        let outcomes = self.hosts[host].work(&self.members, self.now);
        let signatures = signatures::counts();
        self.trace.add("work", self.now, host, &[]);
        let (me, incarnation) = (self.hosts[host].me, self.hosts[host].incarnation);
        let correct = self.oracle.is_correct(me);
        let mut search = None;
        for outcome in outcomes {
            match outcome {
                Outcome::Mine { puzzle, height } => search = Some((puzzle, height)),
                Outcome::Timer { timer, after, generation } => {
                    self.schedule(after, Event::Timer { host, incarnation, timer, generation });
                }
                _ if !correct => {}
                Outcome::Decided { decision, state, requests, open, round } => {
                    let height = decision.certificate.height;
                    let (height_bytes, hash) = (height.to_le_bytes(), decision.certificate.block_hash);
                    self.trace.add("decided", self.now, host, &[&height_bytes, &hash[..]].concat());
                    self.measured.decisions.push((self.now, me.0, height));
                    self.measured.view = self.measured.view.max(decision.certificate.view);
                    self.advanced = true;
                    let rounds = self.measured.rounds.entry(height).or_default();
                    *rounds = round.max(*rounds);
                    self.progress = (self.events, self.now);
                    let block = &decision.certificate.block_hash;
                    self.tell(|| What::Decided { replica: me.0, height, block: block.to_string()[2..10].into() });
                    self.measured.mined.decides(hash, self.now);
                    self.oracle.decides(me, &decision, state, &self.members)?;
                    open.map_or(Ok(()), |open| self.oracle.has_open(me, open, &self.members))?;
                    self.requests_decided(&requests, height);
                }
                Outcome::Sealed { block, nonce } => self.oracle.keeps(me, &block, nonce)?,
                Outcome::Astray(height) => return Err(Violation::Left { replica: me, height }),
                Outcome::Notice(notice) => self.notice(me, &notice)?,
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
        if let Some((puzzle, height)) = search {
            self.search(host, puzzle, height);
        }
        self.keep_working(host);
        let view = self.hosts[host].protocol.view();
        if correct && std::mem::replace(&mut self.views[host], view) != view {
            self.measured.view_changes += 1;
            self.tell(|| What::View { replica: me.0, view });
        }
        let Pace { signing, verifying, writing, .. } = self.scenario.pace;
        let (made, checked) = (signatures.made - before.made, signatures.checked - before.checked);
        let mut after = signing * made as u32 + verifying * checked as u32;
        if self.hosts[host].writes() {
            after += self.at_most(writing);
        }
        after = after.mul_f64(self.scenario.strangers.readers);
        if after.is_zero() && !self.hosts[host].acts() {
            return Ok(());
        }
        self.hosts[host].busy = true;
        self.schedule(after, Event::Written { host, incarnation });
        Ok(())
    }

    fn written(&mut self, host: usize) -> Result<(), Violation> {
        let Scenario { durability, survival, .. } = *self.scenario;
        let (sends, cut) = self.hosts[host].release(durability, survival, &mut self.rng);
        let me = self.hosts[host].me;
        for (to, packet, round) in sends {
            self.let_out(me, to, packet, round)?;
        }
        if let Some(cut) = cut {
            self.trace.add("cut", self.now, host, &[]);
            self.crashed(host, cut.down, cut.disk);
            return Ok(());
        }
        self.hosts[host].busy = false;
        if !self.hosts[host].inbox.is_empty() {
            self.wake(host);
        }
        Ok(())
    }

    fn look_after(&mut self, host: usize) {
        self.schedule(self.housekeeping, Event::Housekeeping { host });
        if !self.hosts[host].up {
            return;
        }
        let random = self.scenario.load.source == Source::Random;
        let requests = random.then(|| self.rng.random_range(0..=dtn_consensus::PIPELINE));
        self.arrive(host, Arrival::Housekeeping { requests });
        let me = self.hosts[host].me;
        if self.liars[host].is_some() {
            self.boast(host);
        }
        if let Some(liar) = &mut self.liars[host] {
            let context = &mut Context { seat: self.members.seat(me), rng: &mut self.rng };
            let lies = liar.unasked(self.hosts[host].chain.height(), self.hosts[host].protocol.view(), context);
            self.lie(me, lies);
        } else if !self.scenario.adversaries.is_empty() {
            self.size = self.size.max(self.hosts[host].protocol.size());
        }
    }
}
