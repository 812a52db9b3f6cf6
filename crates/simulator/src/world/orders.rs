//! Clients that order work, replicas that race for it, and whoever keeps them busy with something else.

use std::{num::NonZeroUsize, rc::Rc, time::Duration};

use dtn_pow::{Cancel, Ended, Solution, Turn, mine};
use dtn_primitives::{
    Line, MAX_LINE_HASHES, MAX_ORDER_HASHES, Order, Payload, SecretKey, U256, ValidatorIndex, Work as Effort,
};

use super::{Event, World};
use crate::{
    Load, Members, Subject, Work,
    host::Arrival,
    packet::{Packet, Sent},
    pool::Request,
};

/// The number of the first stranger, above those of clients.
const STRANGERS: u64 = 1 << 32;

/// A turn of a replica.
struct Running {
    turn: Turn,
    began: Duration,
    found: Option<Solution>,
}

/// What replicas work on.
#[derive(Default)]
pub(super) struct Turns {
    running: Vec<Option<Running>>,
    /// Counts each replica's turns, so that what was scheduled for an earlier one is recognized.
    numbers: Vec<u64>,
}

impl Turns {
    pub(super) fn new(n: usize) -> Self {
        Self { running: (0..n).map(|_| None).collect(), numbers: vec![0; n] }
    }

    /// A replica works on nothing any more.
    pub(super) fn stop(&mut self, host: usize) {
        self.take(host);
    }

    fn take(&mut self, host: usize) -> Option<Running> {
        self.numbers[host] += 1;
        self.running[host].take()
    }
}

fn order_of(nonce: u64, dataset: String, expected_hashes: u64) -> Payload {
    let (model, metric) = ("a model".into(), "a metric".into());
    let work = Some(Effort { expected_hashes });
    Payload::Order(Order { nonce, dataset, model, metric, reward: U256::ONE, work })
}

impl<P: Subject> World<'_, P> {
    fn work_of_scenario(&self) -> Work {
        self.scenario.work.clone().unwrap_or_default()
    }

    /// The order of a client, by its number.
    pub(super) fn order_of_client(&self, number: u64) -> Request {
        let (client, nonce) = (number % self.scenario.load.clients, number / self.scenario.load.clients);
        let payload = order_of(nonce, format!("order {number}"), self.work_of_scenario().expected_hashes);
        Request::sign(payload, &Members::client_key(client), self.members.domain())
    }

    /// What keeps replicas busy with each block of orders, the first of which is handed in as number `round`.
    pub(super) fn hand_in_chores(&mut self, round: u64) {
        let Load { blocks, every, clients, .. } = self.scenario.load;
        let Work { expected_hashes, hard_lines, easy_lines, hard_orders, notes, .. } = self.work_of_scenario();
        for number in 0..notes {
            let key = Members::client_key(STRANGERS + round * notes + number);
            let payload = Payload::Data { nonce: 0, items: vec![vec![1]].into() };
            let request = Request::sign(payload, &key, self.members.domain());
            self.give(request);
        }
        let validator =
            |world: &Self, last: usize| world.members.key(ValidatorIndex((world.hosts.len() - last) as u16)).clone();
        let line = |hashes: u64| {
            move |nonce, name: String| {
                Payload::Line(Line { nonce, data: name.into_bytes().into(), expected_hashes: hashes })
            }
        };
        let key = validator(self, 1);
        self.hand_in_many(&key, hard_lines, round, line(MAX_LINE_HASHES));
        let key = validator(self, 2);
        self.hand_in_many(&key, easy_lines, round, line((expected_hashes * 7 / 8).max(1)));
        let key = Members::client_key(clients);
        self.hand_in_many(&key, hard_orders, round, |nonce, name| order_of(nonce, name, MAX_ORDER_HASHES));
        if round + 1 < blocks {
            self.schedule(every, Event::Junk { number: round + 1 });
        }
    }

    fn hand_in_many(&mut self, key: &SecretKey, count: u64, round: u64, payload: impl Fn(u64, String) -> Payload) {
        let next = self.hosts.first().and_then(|host| host.books.as_ref()).map_or(0, |it| it.free_nonce(key.address()));
        for number in 0..count {
            let payload = payload(next + number, format!("{} {round} {number}", key.address()));
            let request = Request::sign(payload, key, self.members.domain());
            self.give(request);
        }
    }

    /// A replica works on what it should.
    pub(super) fn keep_working(&mut self, host: usize) {
        let Some(books) = &mut self.hosts[host].books else { return };
        if std::mem::take(&mut books.interrupted) && self.turns.running[host].is_some() {
            self.end_turn(host, false);
        }
        self.begin_turn(host);
    }

    fn begin_turn(&mut self, host: usize) {
        let (work, n) = (self.work_of_scenario(), self.hosts.len());
        let Some(turn) = self.hosts[host].books.as_mut().and_then(|books| books.races.begin()) else { return };
        // What takes longer than any run is not tried.
        let is_hopeless = turn.puzzle.target().expected_hashes() >= MAX_LINE_HASHES;
        let search = || mine(&turn.puzzle, turn.nonces.clone(), NonZeroUsize::MIN, &Cancel::new()).solution;
        let found = if is_hopeless { None } else { search() };
        let last = found.map_or(*turn.nonces.end(), |found| found.nonce);
        let after = work.takes(last - turn.nonces.start() + 1, n);
        self.turns.running[host] = Some(Running { turn, began: self.now, found });
        let number = self.turns.numbers[host];
        self.schedule(after, Event::TurnEnded { host, number });
    }

    /// A replica's turn has come to its end.
    pub(super) fn turn_ended(&mut self, host: usize, number: u64) {
        if self.turns.numbers[host] == number {
            self.end_turn(host, true);
            self.begin_turn(host);
        }
    }

    fn end_turn(&mut self, host: usize, is_over: bool) {
        let (work, n) = (self.work_of_scenario(), self.hosts.len());
        let Some(Running { turn, began, found }) = self.turns.take(host) else { return };
        let (first, last) = (*turn.nonces.start(), *turn.nonces.end());
        let found = found.filter(|_| is_over);
        let next_nonce = match found {
            Some(found) => found.nonce.checked_add(1),
            None if is_over => last.checked_add(1),
            None => Some(first.saturating_add(work.tries_in(self.now - began, n)).min(last)),
        };
        let (order, hashes_tried) = (turn.puzzle.transaction(), next_nonce.unwrap_or(u64::MAX) - first);
        let Some(books) = &mut self.hosts[host].books else { return };
        let solved = books.races.end(Ended { order, hashes_tried, solution: found, next_nonce });
        let Some(claim) = solved.map(|(puzzle, solution)| books.claim(&puzzle, solution)) else { return };
        let me = self.hosts[host].me;
        let sent = Rc::new(Sent::new(Packet::Transaction(claim), P::kind));
        let others = self.members.others(me);
        self.dispatch(me, others, &sent);
        self.arrive(host, Arrival::Packet { from: me, sent });
    }
}
