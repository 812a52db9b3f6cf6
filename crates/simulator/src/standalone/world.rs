//! Plays a trial.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use dtn_consensus::{Input, Protocol, Standalone};
use dtn_primitives::{ValidatorIndex, codec};
use rand::{Rng, SeedableRng, rngs::StdRng};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Answering, Create, Liar, Oracle, Report, Setting, Told, Trial, Verdict,
    machine::{Action, Cut, Machine, Outcome},
};
use crate::{
    DiskAfter, Members, When,
    adversary::{Adversary, Context, Outgoing},
    agenda::Agenda,
    network::{Network, Passage},
    trace::Trace,
};

/// How often liars speak unasked, and twins show themselves to others.
const TICK: Duration = Duration::from_millis(250);

/// A message, said to one or to many.
struct Sent<M> {
    from: ValidatorIndex,
    message: M,
    kind: &'static str,
    bytes: usize,
    digest: u64,
    /// What a liar has it take longer.
    delay: Duration,
    /// One more than that of the longest chain of messages that had come to its sender.
    depth: u32,
}

/// Something that is going to happen.
enum Event<P: Protocol> {
    /// To a machine, if it is still the process that the channel was to.
    Deliver {
        to: usize,
        incarnation: u32,
        sent: Rc<Sent<P::Message>>,
    },
    Timer {
        machine: usize,
        incarnation: u32,
        timer: P::Timer,
        generation: u64,
    },
    /// An answer to this process.
    Answer {
        machine: usize,
        incarnation: u32,
        answer: P::Answer,
    },
    /// What was to be told, by its number.
    Told(usize),
    Written {
        machine: usize,
        incarnation: u32,
    },
    Crash {
        machine: usize,
        down: Option<Duration>,
        disk: DiskAfter,
    },
    Restart(usize),
    Healed,
    Tick,
}

/// How a run comes to its end before its time.
struct Broken(String);

pub(super) struct World<'a, 'o, P: Standalone> {
    setting: Setting,
    members: Members,
    create: Box<Create<'a, P>>,
    answering: Box<Answering<'a, P>>,
    told: Vec<Told<P>>,
    oracle: &'o mut dyn Oracle<P>,
    correct: Vec<bool>,
    /// By replica; the second ones of twins follow.
    machines: Vec<Machine<P>>,
    liars: Vec<Option<Box<dyn Adversary<P::Message>>>>,
    /// The second one of a replica that is twins.
    twins: BTreeMap<usize, usize>,
    /// Which of the twins in a replica's place another replica sees: the first, the second or both.
    sees: BTreeMap<(usize, usize), [bool; 2]>,
    network: Network,
    /// What each machine can send in a second, and from when on what it has sent is gone.
    uplinks: Vec<(Option<f64>, Duration)>,
    agenda: Agenda<Event<P>>,
    now: Duration,
    rng: StdRng,
    trace: Trace,
    report: Report,
}

impl<'a, 'o, P> World<'a, 'o, P>
where
    P: Standalone<Message: 'static, Answer: Clone>,
{
    pub(super) fn new(trial: Trial<'a, P>, oracle: &'o mut dyn Oracle<P>) -> Self {
        let correct = trial.correct();
        let Trial { setting, members, create, answering, told, liars } = trial;
        let n = setting.n;
        let is_twins = |replica: &usize| matches!(liars.get(replica), Some(Liar::Twins));
        let twins: BTreeMap<_, _> = (0..n).filter(is_twins).zip(n..).collect();
        let images = |replica: usize| {
            let mut crashes = setting.crashes.iter().filter(|crash| crash.replica == replica);
            crashes.any(|crash| matches!(crash.disk, DiskAfter::AsOf(_)))
        };
        let machine = |replica: usize| {
            let me = ValidatorIndex(replica as u16);
            Machine::new(me, create(&members, me, Vec::new()), images(replica))
        };
        let machines: Vec<_> = (0..n).chain(twins.keys().copied()).map(machine).collect();
        let crashes = setting.crashes.iter().filter(|it| it.replica < n && !liars.contains_key(&it.replica));
        let crashes: Vec<_> = crashes.cloned().collect();
        let mut lie: Vec<Option<Box<dyn Adversary<P::Message>>>> = (0..n).map(|_| None).collect();
        liars.into_iter().filter(|(replica, _)| *replica < n).for_each(|(it, liar)| lie[it] = liar.adversary());
        let report = Report {
            seed: setting.seed,
            verdict: Verdict::NoProgress,
            events: 0,
            elapsed: Duration::ZERO,
            digest: 0,
            sent: BTreeMap::new(),
            faults: 0,
            writes: Vec::new(),
            rounds: 0,
        };
        let scenario = setting.scenario();
        let up = |machine: &Machine<P>| (Network::rates(&scenario, machine.me.as_usize()).up, Duration::ZERO);
        let mut world = Self {
            network: Network::new(&scenario),
            uplinks: machines.iter().map(up).collect(),
            rng: StdRng::seed_from_u64(setting.seed),
            correct: (0..n).map(|replica| correct.contains(&ValidatorIndex(replica as u16))).collect(),
            agenda: Agenda::default(),
            now: Duration::ZERO,
            trace: Trace::default(),
            sees: BTreeMap::new(),
            liars: lie,
            setting,
            members,
            create,
            answering,
            told,
            oracle,
            machines,
            twins,
            report,
        };
        for crash in crashes {
            let (machine, down, disk) = (crash.replica, crash.down, crash.disk);
            match crash.at {
                When::At(at) => world.agenda.add(at, Event::Crash { machine, down, disk }),
                When::Write { number, durable } => {
                    _ = world.machines[machine].cuts.insert(number, Cut { durable, down, disk })
                }
            }
        }
        world.setting.partitions.iter().for_each(|partition| world.agenda.add(partition.until, Event::Healed));
        (0..world.told.len()).for_each(|told| world.agenda.add(world.told[told].at, Event::Told(told)));
        world
    }

    pub(super) fn play(mut self) -> Report {
        let settled = self.setting.settled();
        let (end, events) = (settled.saturating_add(self.setting.patience), self.setting.events);
        let mut outcome = self.begin();
        let mut is_settled = false;
        while outcome.is_ok() {
            if self.now >= settled && !std::mem::replace(&mut is_settled, true) {
                self.machines.iter_mut().for_each(|machine| machine.cuts.clear());
            }
            if is_settled && self.oracle.is_content() {
                self.report.verdict = Verdict::Pass;
                break;
            }
            let Some((at, event)) = self.agenda.next() else {
                // Nothing happens any more.
                self.report.verdict = if self.oracle.is_content() { Verdict::Pass } else { Verdict::NoProgress };
                break;
            };
            if at > end || self.report.events >= events {
                break;
            }
            (self.now, self.report.events) = (at, self.report.events + 1);
            outcome = self.happen(event);
        }
        if let Err(Broken(promise)) = outcome {
            self.report.verdict = Verdict::Broken(promise);
        }
        let writes = self.machines.iter().take(self.setting.n).map(|machine| machine.writes).collect();
        Report { elapsed: self.now, digest: self.trace.digest(), writes, ..self.report }
    }

    fn begin(&mut self) -> Result<(), Broken> {
        self.show_twins();
        for machine in 0..self.machines.len() {
            let start = self.machines[machine].start();
            self.arrive(machine, start)?;
        }
        self.connect(|_, _| true)?;
        if !self.twins.is_empty() || self.liars.iter().any(Option::is_some) {
            self.agenda.add(TICK, Event::Tick);
        }
        Ok(())
    }

    fn happen(&mut self, event: Event<P>) -> Result<(), Broken> {
        match event {
            Event::Deliver { to, incarnation, sent } => self.deliver(to, incarnation, &sent),
            Event::Timer { machine, incarnation, timer, generation } => {
                if self.is_current(machine, incarnation) && self.machines[machine].expires(timer, generation) {
                    self.trace.add("timer", self.now, machine, &[]);
                    self.arrive(machine, Input::Timer(timer))?;
                }
                Ok(())
            }
            Event::Answer { machine, incarnation, answer } if self.is_current(machine, incarnation) => {
                self.trace.add("answer", self.now, machine, &[]);
                self.arrive(machine, Input::Answer(answer))
            }
            Event::Told(number) => self.tell(number, None),
            Event::Written { machine, incarnation } if self.is_current(machine, incarnation) => {
                self.machines[machine].busy = false;
                self.let_out(machine)?;
                self.work(machine)
            }
            Event::Answer { .. } | Event::Written { .. } => Ok(()),
            Event::Crash { machine, down, disk } => {
                // It may be down already, and power does not fail after the stabilization time.
                if self.machines[machine].up && self.setting.gst.is_none_or(|gst| self.now < gst) {
                    self.machines[machine].crash(self.setting.survival, disk, &mut self.rng);
                    self.crashed(machine, down);
                }
                Ok(())
            }
            Event::Restart(machine) => self.restart(machine),
            Event::Healed => {
                self.trace.add("healed", self.now, 0, &[]);
                self.connect(|_, _| true)
            }
            Event::Tick => self.tick(),
        }
    }

    fn is_current(&self, machine: usize, incarnation: u32) -> bool {
        self.machines[machine].up && self.machines[machine].incarnation == incarnation
    }

    // Power.

    fn crashed(&mut self, machine: usize, down: Option<Duration>) {
        self.trace.add("crash", self.now, machine, &[]);
        if let Some(down) = down {
            let latest = self.setting.gst.map_or(down, |gst| gst.saturating_sub(self.now));
            self.agenda.add(self.now + down.min(latest), Event::Restart(machine));
        }
    }

    fn restart(&mut self, machine: usize) -> Result<(), Broken> {
        self.trace.add("restart", self.now, machine, &[]);
        let (create, members) = (&self.create, &self.members);
        self.machines[machine].restart(|me, records| create(members, me, records));
        let start = self.machines[machine].start();
        self.arrive(machine, start)?;
        self.connect(|from, to| from == machine || to == machine)?;
        (0..self.told.len())
            .filter(|told| self.told[*told].at <= self.now)
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|told| self.tell(told, Some(machine)))
    }

    /// Tells a replica what it is to know, or only this machine, which starts again.
    fn tell(&mut self, number: usize, only: Option<usize>) -> Result<(), Broken> {
        let Told { replica, twin, ref answer, .. } = self.told[number];
        let answer = answer.clone();
        let has_own = |told: &Told<P>| told.twin && told.replica == replica;
        let second = self.twins.get(&replica).copied().filter(|_| twin || !self.told.iter().any(has_own));
        let first = Some(replica).filter(|_| !twin);
        for machine in first.into_iter().chain(second).filter(|it| only.is_none_or(|only| only == *it)) {
            if self.machines.get(machine).is_some_and(|it| it.up) {
                self.trace.add("told", self.now, machine, &[]);
                self.arrive(machine, Input::Answer(answer.clone()))?;
            }
        }
        Ok(())
    }

    // Channels.

    /// The replica in whose place a machine is, and which one of it.
    fn place(&self, machine: usize) -> (usize, usize) {
        (self.machines[machine].me.as_usize(), usize::from(machine >= self.setting.n))
    }

    /// Whether two machines have a channel, as far as twins show themselves.
    fn is_shown(&self, from: usize, to: usize) -> bool {
        let ((a, which), (b, other)) = (self.place(from), self.place(to));
        let shows =
            |twins: usize, which: usize, whom: usize| self.sees.get(&(twins, whom)).is_none_or(|shown| shown[which]);
        a != b && shows(a, which, b) && shows(b, other, a)
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let (a, b) = (self.machines[from].me.as_usize(), self.machines[to].me.as_usize());
        self.machines[from].up && self.machines[to].up && self.network.reaches(a, b, self.now)
    }

    /// Channels opened between these machines.
    fn connect(&mut self, between: impl Fn(usize, usize) -> bool) -> Result<(), Broken> {
        for from in 0..self.machines.len() {
            for to in 0..self.machines.len() {
                if between(from, to) && self.is_shown(from, to) && self.reaches(from, to) {
                    let peer = self.machines[to].me;
                    self.arrive(from, Input::Connected(peer))?;
                }
            }
        }
        Ok(())
    }

    /// Twins choose anew who of the others sees which of them.
    fn show_twins(&mut self) {
        for twins in self.twins.keys().copied().collect::<Vec<_>>() {
            for other in (0..self.setting.n).filter(|other| *other != twins) {
                let shown = [[true, false], [false, true], [true, true]][self.rng.random_range(0..3)];
                self.sees.insert((twins, other), shown);
            }
        }
    }

    fn tick(&mut self) -> Result<(), Broken> {
        self.agenda.add(self.now + TICK, Event::Tick);
        for replica in 0..self.setting.n {
            let me = ValidatorIndex(replica as u16);
            if let Some(liar) = &mut self.liars[replica] {
                let lies = liar.unasked(0, 0, &mut Context { seat: self.members.seat(me), rng: &mut self.rng });
                self.lie(me, lies);
            }
        }
        let before = self.sees.clone();
        self.show_twins();
        let n = self.setting.n;
        let seconds: Vec<_> = self.twins.iter().map(|(first, second)| (*first, *second)).collect();
        for (first, second) in seconds {
            for other in (0..n).filter(|other| *other != first) {
                let (old, new) = (before[&(first, other)], self.sees[&(first, other)]);
                for (machine, which) in [(first, 0), (second, 1)] {
                    // The others notice nothing: their channel is to a replica, and goes on.
                    if new[which] && !old[which] {
                        self.arrive(machine, Input::Connected(ValidatorIndex(other as u16)))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, to: usize, incarnation: u32, sent: &Rc<Sent<P::Message>>) -> Result<(), Broken> {
        let (from, me) = (sent.from, self.machines[to].me);
        if !self.is_current(to, incarnation) || !self.network.reaches(from.as_usize(), me.as_usize(), self.now) {
            return Ok(());
        }
        self.trace.delivered(sent.kind, self.now, [from.0, to as u16], sent.digest);
        if let Some(liar) = &mut self.liars[me.as_usize()] {
            let context = &mut Context { seat: self.members.seat(me), rng: &mut self.rng };
            let answers = liar.heard(from, &sent.message, context);
            self.lie(me, answers);
        }
        let depth = &mut self.machines[to].depth;
        *depth = sent.depth.max(*depth);
        self.arrive(to, Input::Message { from, message: sent.message.clone() })
    }

    // Replicas.

    fn arrive(&mut self, machine: usize, input: Input<P>) -> Result<(), Broken> {
        self.machines[machine].inbox.push_back(input);
        self.work(machine)
    }

    /// Works off what has arrived, unless it is writing.
    fn work(&mut self, machine: usize) -> Result<(), Broken> {
        let (me, incarnation) = (self.machines[machine].me, self.machines[machine].incarnation);
        if !self.machines[machine].up || self.machines[machine].busy {
            return Ok(());
        }
        while let Some(input) = self.machines[machine].inbox.pop_front() {
            for outcome in self.machines[machine].handle(input) {
                match outcome {
                    Outcome::Timer { timer, after, generation } => {
                        let event = Event::Timer { machine, incarnation, timer, generation };
                        self.agenda.add(self.now + after, event);
                    }
                    Outcome::Fault { from, fault } if self.is_correct(me) => {
                        self.report.faults += 1;
                        if self.is_correct(from) {
                            return Err(Broken(format!("{me} accuses {from}, which is correct: {fault}")));
                        }
                    }
                    Outcome::Fault { .. } => {}
                }
            }
        }
        if self.machines[machine].has_to_write() {
            self.machines[machine].busy = true;
            let most = self.setting.writing.as_micros() as u64;
            let after = Duration::from_micros(self.rng.random_range(0..=most));
            self.agenda.add(self.now + after, Event::Written { machine, incarnation });
            return Ok(());
        }
        self.let_out(machine)
    }

    fn is_correct(&self, replica: ValidatorIndex) -> bool {
        self.correct.get(replica.as_usize()).copied().unwrap_or_default()
    }

    /// What a machine has to say leaves, after what it rests on is durable.
    fn let_out(&mut self, machine: usize) -> Result<(), Broken> {
        let Setting { durability, survival, .. } = self.setting;
        let (actions, cut) = self.machines[machine].release(durability, survival, (self.now, &mut self.rng));
        let (me, incarnation, depth) = {
            let machine = &self.machines[machine];
            (machine.me, machine.incarnation, machine.depth)
        };
        for action in actions {
            match action {
                Action::Write(_) => {}
                Action::Send(to, message) => self.say(machine, to, message, depth)?,
                Action::Ask(ask) => {
                    if let Some((after, answer)) = (self.answering)(me, &ask, &mut self.rng) {
                        self.agenda.add(self.now + after, Event::Answer { machine, incarnation, answer });
                    }
                }
                Action::Output(output) => {
                    self.trace.add("output", self.now, machine, &[]);
                    if self.is_correct(me) {
                        self.report.rounds = self.report.rounds.max(depth);
                        self.oracle.comes(me, &output).map_err(Broken)?;
                    }
                }
            }
        }
        if let Some(cut) = cut {
            self.crashed(machine, cut.down);
        }
        Ok(())
    }

    fn say(
        &mut self,
        machine: usize,
        to: Option<ValidatorIndex>,
        message: P::Message,
        depth: u32,
    ) -> Result<(), Broken> {
        let me = self.machines[machine].me;
        let to: Vec<_> = to.map_or_else(|| self.members.others(me).collect(), |to| vec![to]);
        if let Some(liar) = &mut self.liars[me.as_usize()] {
            let mut lies = Vec::new();
            for to in to {
                let context = &mut Context { seat: self.members.seat(me), rng: &mut self.rng };
                lies.extend(liar.instead(to, message.clone(), context));
            }
            self.lie(me, lies);
            return Ok(());
        }
        if self.is_correct(me) {
            self.oracle.says(me, &message).map_err(Broken)?;
        }
        self.dispatch(machine, &to, Duration::ZERO, (message, depth + 1));
        Ok(())
    }

    fn lie(&mut self, me: ValidatorIndex, lies: Vec<Outgoing<P::Message>>) {
        for Outgoing { to, message, delay } in lies {
            let depth = self.machines[me.as_usize()].depth + 1;
            self.dispatch(me.as_usize(), &[to], delay, (message, depth));
        }
    }

    /// A message goes on its way to each of these.
    fn dispatch(&mut self, from: usize, to: &[ValidatorIndex], delay: Duration, (message, depth): (P::Message, u32)) {
        let (encoded, kind, me) = (codec::encode(&message), P::kind(&message), self.machines[from].me);
        let (bytes, digest) = (encoded.len(), xxh3_64(&encoded));
        let sent = Rc::new(Sent { from: me, message, kind, bytes, digest, delay, depth });
        let n = self.setting.n;
        for to in to.iter().map(|to| to.as_usize()).filter(|to| *to < n) {
            self.report.sent.entry(kind).or_default().add(1, bytes);
            for machine in [Some(to), self.twins.get(&to).copied()].into_iter().flatten() {
                if self.is_shown(from, machine) {
                    self.depart(from, machine, &sent);
                }
            }
        }
    }

    fn depart(&mut self, from: usize, to: usize, sent: &Rc<Sent<P::Message>>) {
        let (a, b) = (self.machines[from].me.as_usize(), self.machines[to].me.as_usize());
        if !self.reaches(from, to) || self.network.loses(a, b, self.now, &mut self.rng) {
            return;
        }
        let copies = 1 + usize::from(self.network.doubles(self.now, &mut self.rng));
        for _ in 0..copies {
            let passage = Passage { from: a, to: b, bytes: sent.bytes, is_vote: false, primary: None };
            let (rate, free) = &mut self.uplinks[from];
            let takes = rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(sent.bytes as f64 / rate));
            *free = (*free).max(self.now) + takes;
            let waits = free.saturating_sub(self.now);
            let delay = sent.delay + waits + self.network.delay(&passage, self.now, &mut self.rng);
            let incarnation = self.machines[to].incarnation;
            self.agenda.add(self.now + delay, Event::Deliver { to, incarnation, sent: sent.clone() });
        }
    }
}
