//! A replica and what it runs on.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use dtn_consensus::{Effect, Input, Memory, Standalone};
use dtn_primitives::ValidatorIndex;
use rand::{Rng, rngs::StdRng};

use crate::{DiskAfter, Durability, Survival, When};

/// A power cut at a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// After the write is durable; before it otherwise.
    pub(super) durable: bool,
    /// After how long the replica starts again, if it does.
    pub(super) down: Option<Duration>,
    /// Which disk it finds then.
    pub(super) disk: DiskAfter,
}

/// What leaves a machine, in the order in which the replica asked for it.
pub(super) enum Action<P: Standalone> {
    Write(P::Record),
    /// To one, or to all others.
    Send(Option<ValidatorIndex>, P::Message),
    Ask(P::Ask),
    Output(P::Output),
}

/// What stays inside.
pub(super) enum Outcome<P: Standalone> {
    Timer { timer: P::Timer, after: Duration, generation: u64 },
    Fault { from: ValidatorIndex, fault: String },
}

/// What a replica finds when it starts: of each slot the last record.
#[derive(Debug, Clone)]
struct Disk<R> {
    records: BTreeMap<u64, R>,
    memory: Memory,
}

/// When a disk was so, after how many writes, and what was on it.
type Image<R> = (Duration, u64, Disk<R>);

impl<R> Disk<R> {
    fn put(&mut self, slot: u64, record: R) {
        self.memory = Memory::Kept;
        self.records.insert(slot, record);
    }
}

/// A replica and its machine.
pub(super) struct Machine<P: Standalone> {
    pub(super) me: ValidatorIndex,
    protocol: P,
    disk: Disk<P::Record>,
    unsynced: Vec<P::Record>,
    /// Earlier states of the disk, where one of them will be put back.
    images: Option<Vec<Image<P::Record>>>,
    pub(super) up: bool,
    /// It is writing; what arrives waits.
    pub(super) busy: bool,
    /// Counts restarts, so that what was scheduled before a crash is recognized.
    pub(super) incarnation: u32,
    pub(super) inbox: VecDeque<Input<P>>,
    /// Writes so far.
    pub(super) writes: u64,
    /// The writes at which the power fails.
    pub(super) cuts: BTreeMap<u64, Cut>,
    actions: Vec<Action<P>>,
    timers: BTreeMap<P::Timer, u64>,
    generation: u64,
    /// The longest chain of messages that has come to it.
    pub(super) depth: u32,
}

impl<P: Standalone> Machine<P> {
    pub(super) fn new(me: ValidatorIndex, protocol: P, keeps_images: bool) -> Self {
        Self {
            me,
            protocol,
            disk: Disk { records: BTreeMap::new(), memory: Memory::NeverVoted },
            unsynced: Vec::new(),
            images: keeps_images.then(Vec::new),
            up: true,
            busy: false,
            incarnation: 0,
            inbox: VecDeque::new(),
            writes: 0,
            cuts: BTreeMap::new(),
            actions: Vec::new(),
            timers: BTreeMap::new(),
            generation: 0,
            depth: 0,
        }
    }

    /// What its replica begins with.
    pub(super) fn start(&self) -> Input<P> {
        Input::Start { memory: self.disk.memory, boot: u64::from(self.incarnation) }
    }

    /// Gives its replica an input.
    pub(super) fn handle(&mut self, input: Input<P>) -> Vec<Outcome<P>> {
        let mut outcomes = Vec::new();
        for effect in self.protocol.handle(input) {
            match effect {
                Effect::Send { to, message } => self.actions.push(Action::Send(Some(to), message)),
                Effect::Broadcast(message) => self.actions.push(Action::Send(None, message)),
                Effect::Persist(record) => self.actions.push(Action::Write(record)),
                Effect::Ask(ask) => self.actions.push(Action::Ask(ask)),
                Effect::Output(output) => self.actions.push(Action::Output(output)),
                Effect::SetTimer { timer, after } => {
                    self.generation += 1;
                    self.timers.insert(timer, self.generation);
                    outcomes.push(Outcome::Timer { timer, after, generation: self.generation });
                }
                Effect::CancelTimer(timer) => _ = self.timers.remove(&timer),
                Effect::Fault { from, fault } => outcomes.push(Outcome::Fault { from, fault: fault.to_string() }),
            }
        }
        outcomes
    }

    /// Whether this timer, set at that time, still runs; it does not any more then.
    pub(super) fn expires(&mut self, timer: P::Timer, generation: u64) -> bool {
        let runs = self.timers.get(&timer) == Some(&generation);
        if runs {
            self.timers.remove(&timer);
        }
        runs
    }

    /// Whether what its replica asked for has a write in it.
    pub(super) fn has_to_write(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Write(_)))
    }

    /// Makes durable what is to be, and gives what may leave then. If the power fails at one of these writes, what comes
    /// after it never leaves, and the second value is that cut.
    pub(super) fn release(
        &mut self,
        durability: Durability,
        survival: Survival,
        (now, rng): (Duration, &mut StdRng),
    ) -> (Vec<Action<P>>, Option<Cut>) {
        let mut actions = std::mem::take(&mut self.actions);
        if durability == Durability::Together {
            actions.sort_by_key(|action| !matches!(action, Action::Write(_)));
        }
        let mut left = Vec::new();
        let mut actions = actions.into_iter().peekable();
        while let Some(action) = actions.next() {
            let Action::Write(record) = action else {
                left.push(action);
                continue;
            };
            self.unsynced.push(record);
            if durability == Durability::Together && matches!(actions.peek(), Some(Action::Write(_))) {
                continue;
            }
            self.writes += 1;
            let cut = self.cuts.remove(&self.writes);
            if cut.is_none_or(|cut| cut.durable) {
                self.sync(now);
            }
            if let Some(cut) = cut {
                self.crash(survival, cut.disk, rng);
                return (left, Some(cut));
            }
        }
        (left, None)
    }

    fn sync(&mut self, now: Duration) {
        for record in std::mem::take(&mut self.unsynced) {
            self.disk.put(P::slot(&record), record);
        }
        if let Some(images) = &mut self.images {
            images.push((now, self.writes, self.disk.clone()));
        }
    }

    /// Power is cut: what was not synced is gone, or some of it is not. Then another disk may take the place of this one.
    pub(super) fn crash(&mut self, survival: Survival, disk: DiskAfter, rng: &mut StdRng) {
        let asked_for = std::mem::take(&mut self.actions);
        let written = asked_for.into_iter().filter_map(|it| if let Action::Write(it) = it { Some(it) } else { None });
        self.unsynced.extend(written);
        for record in std::mem::take(&mut self.unsynced) {
            let survives = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Any => rng.random_bool(0.5),
            };
            if survives {
                self.disk.put(P::slot(&record), record);
            }
        }
        match disk {
            DiskAfter::Kept => {}
            DiskAfter::Lost => self.disk = Disk { records: BTreeMap::new(), memory: Memory::Lost },
            DiskAfter::AsOf(when) => {
                let by_then = |(at, writes, _): &&Image<P::Record>| match when {
                    When::At(time) => *at <= time,
                    When::Write { number, .. } => *writes <= number,
                };
                let image = self.images.as_ref().and_then(|images| images.iter().rfind(by_then));
                self.disk = image.map_or_else(
                    || Disk { records: BTreeMap::new(), memory: Memory::NeverVoted },
                    |(_, _, disk)| disk.clone(),
                );
            }
        }
        (self.up, self.busy) = (false, false);
        self.incarnation += 1;
        self.inbox.clear();
        self.timers.clear();
    }

    /// Starts from what the disk holds.
    pub(super) fn restart(&mut self, create: impl FnOnce(ValidatorIndex, Vec<P::Record>) -> P) {
        self.protocol = create(self.me, self.disk.records.values().cloned().collect());
        self.up = true;
    }
}
