//! Clients whose requests are transactions of their own, and strangers who hand in more than is wanted.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    time::Duration,
};

use dtn_primitives::{B256, ValidatorIndex};

use super::{Event, World};
use crate::{
    Load, Members, Requested, Source, Subject, What,
    packet::{Packet, Sent},
    pool::Request,
};

/// The number of the client that strangers are.
const STRANGER: u64 = u64::MAX / 2;

/// What clients handed in.
#[derive(Default)]
pub(super) struct Requests {
    /// By hash: the number, and how many correct replicas have decided it.
    known: HashMap<B256, (usize, usize)>,
    /// By number, those that are not final, and when they were handed in last.
    open: BTreeMap<usize, (Request, Duration)>,
    /// The highest height at which one became final.
    last: u64,
}

impl<P: Subject> World<'_, P> {
    /// The requests of a run, one after the other.
    pub(super) fn begin_requests(&mut self) {
        if self.requests.is_none() {
            return;
        }
        let Load { blocks, transactions, every, clients, .. } = self.scenario.load;
        let most = transactions as u64;
        for number in 0..blocks * most {
            self.schedule(every.saturating_mul((number / most) as u32), Event::HandIn { number });
        }
        if self.scenario.strangers.lines > 0 || self.scenario.work.is_some() {
            self.schedule(Duration::ZERO, Event::Junk { number: 0 });
        }
        for host in 0..self.hosts.len() {
            let censored = self.scenario.adversaries.get(&host).is_some_and(|kind| kind.censors());
            self.hosts[host].pool.censored = censored.then(|| Members::client(clients - 1));
        }
        self.schedule(self.scenario.view_timeout(), Event::Impatient);
    }

    pub(super) fn hand_in_request(&mut self, number: u64) {
        let Load { transaction_bytes, clients, .. } = self.scenario.load;
        let client = number % clients;
        let request = match self.scenario.load.source {
            Source::Orders => self.order_of_client(number),
            _ => self.members.request(client, number, transaction_bytes),
        };
        let now = self.now;
        self.measured.requests.push(Requested { client, at: now, done: None });
        let number = self.measured.requests.len() - 1;
        if let Some(requests) = &mut self.requests {
            requests.known.insert(request.hash, (number, 0));
            requests.open.insert(number, (request.clone(), now));
        }
        self.give(request);
    }

    /// Strangers fill the queues, for as long as the run lasts.
    pub(super) fn hand_in_junk(&mut self, number: u64) {
        if self.scenario.work.is_some() {
            return self.hand_in_chores(number);
        }
        let Load { transaction_bytes, every, .. } = self.scenario.load;
        let lines = self.scenario.strangers.lines;
        for line in number..number + lines {
            let request = self.members.request(STRANGER, line, transaction_bytes);
            self.give(request);
        }
        let apart = if every.is_zero() { self.scenario.housekeeping() } else { every };
        self.schedule(apart, Event::Junk { number: number + lines });
    }

    /// Clients that have waited for a view's time hand in their requests again.
    pub(super) fn hand_in_again(&mut self) {
        let (now, timeout) = (self.now, self.scenario.view_timeout());
        let mut due = Vec::new();
        for (request, at) in self.requests.iter_mut().flat_map(|requests| requests.open.values_mut()) {
            if now.saturating_sub(*at) >= timeout {
                *at = now;
                due.push(request.clone());
            }
        }
        due.into_iter().for_each(|request| self.give(request));
        self.schedule(timeout, Event::Impatient);
    }

    pub(super) fn give(&mut self, request: Request) {
        let from = self.client_number();
        let sent = Rc::new(Sent::new(Packet::Transaction(request), P::kind));
        let all = (0..self.hosts.len()).map(|index| ValidatorIndex(index as u16));
        self.dispatch(from, all, &sent);
    }

    /// A correct replica has decided these.
    pub(super) fn requests_decided(&mut self, hashes: &[B256], height: u64) {
        let Some(requests) = &mut self.requests else { return };
        let enough = self.members.validators().max_faulty() + 1;
        let mut done = false;
        for hash in hashes {
            let Some((number, decided)) = requests.known.get_mut(hash) else { continue };
            *decided += 1;
            if *decided == enough {
                requests.open.remove(number);
                requests.last = height.max(requests.last);
                self.measured.requests[*number].done = Some(self.now);
                done = true;
            }
        }
        if done {
            self.advanced = true;
            self.tell(|| What::Replied { height });
        }
    }

    /// Whether all requests have been handed in and are final.
    pub(super) fn requests_done(&self) -> bool {
        let Load { blocks, transactions, .. } = self.scenario.load;
        let all = blocks * transactions as u64;
        self.requests
            .as_ref()
            .is_none_or(|requests| requests.open.is_empty() && self.measured.requests.len() as u64 >= all)
    }

    /// The height at which the last request became final.
    pub(super) fn last_requested(&self) -> u64 {
        self.requests.as_ref().map_or(0, |requests| requests.last)
    }
}
