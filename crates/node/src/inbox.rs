//! What the network has for the core: a queue for each peer, served in turn, so that a loud peer makes none of the others
//! wait. Votes come before what is bulky.
//!
//! Queues have no limit of their own: what waits in them is bounded where it comes from, by the charge of each frame, the
//! requests that a peer may have unanswered and the links that it may open in a second.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::{
    network::{Event, Remote},
    wire::Frame,
};

/// What one validator may cost the core in a step, in signatures to be checked: some 25 ms, a fraction of the time that a
/// view is given.
const STEP_COST: usize = 256;

/// The same for an observer.
const STEP_COST_OF_OBSERVERS: usize = 32;

/// Where an event waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Lane {
    peer: Option<Remote>,
    bulky: bool,
}

impl Lane {
    fn of(event: &Event) -> Self {
        let (peer, bulky) = match event {
            Event::Twin => return Self { peer: None, bulky: false },
            Event::Connected(peer) | Event::Disconnected(peer) => (*peer, false),
            Event::Frame { from, frame, .. } => (*from, matches!(frame, Frame::Transactions(_) | Frame::Evidence(_))),
            Event::Requested { from, .. } => (from.peer, true),
            Event::Response { from, .. } => (*from, true),
        };
        Self { peer: Some(peer), bulky }
    }

    /// What may be taken from it in a step.
    fn limit(self) -> usize {
        match self.peer {
            Some(Remote::Observer(_)) => STEP_COST_OF_OBSERVERS,
            Some(Remote::Validator(_)) | None => STEP_COST,
        }
    }
}

/// Signatures that an event brings to be checked, about.
fn cost(event: &Event) -> usize {
    match event {
        Event::Frame { frame: Frame::Transactions(transactions), .. } => transactions.len().max(1),
        _ => 1,
    }
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    /// Taken in this step.
    taken: usize,
}

#[derive(Debug, Default)]
struct Lanes {
    queues: HashMap<Lane, Queue>,
    /// Lanes that are not empty, in the order of their turns: the urgent ones and the bulky ones.
    turns: [VecDeque<Lane>; 2],
    length: usize,
    closed: bool,
}

impl Lanes {
    fn push(&mut self, event: Event) {
        let lane = Lane::of(&event);
        let queue = self.queues.entry(lane).or_default();
        if queue.events.is_empty() {
            self.turns[usize::from(lane.bulky)].push_back(lane);
        }
        queue.events.push_back(event);
        self.length += 1;
    }

    /// The next event of a lane that has not cost too much in this step.
    fn pop(&mut self) -> Option<Event> {
        for turns in &mut self.turns {
            for _ in 0..turns.len() {
                let Some(lane) = turns.pop_front() else { break };
                let Some(queue) = self.queues.get_mut(&lane) else { continue };
                let affordable = queue.taken < lane.limit();
                let event = if affordable { queue.events.pop_front() } else { None };
                if !queue.events.is_empty() {
                    turns.push_back(lane);
                }
                if let Some(event) = event {
                    queue.taken += cost(&event);
                    self.length -= 1;
                    return Some(event);
                }
            }
        }
        None
    }

    fn begin_step(&mut self) {
        self.queues.retain(|_, queue| {
            queue.taken = 0;
            !queue.events.is_empty()
        });
    }
}

#[derive(Debug, Default)]
struct Shared {
    lanes: Mutex<Lanes>,
    changed: Notify,
    senders: AtomicUsize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // Nothing panics under the lock.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both ends of a new inbox.
pub(crate) fn inbox() -> (InboxSender, Inbox) {
    let shared = Arc::new(Shared { senders: AtomicUsize::new(1), ..Shared::default() });
    (InboxSender(shared.clone()), Inbox(shared))
}

/// Where events are put.
#[derive(Debug)]
pub(crate) struct InboxSender(Arc<Shared>);

impl InboxSender {
    /// Puts an event in its place; false if nobody will take it any more.
    pub(crate) fn push(&self, event: Event) -> bool {
        let mut lanes = self.0.lock();
        if lanes.closed {
            return false;
        }
        lanes.push(event);
        drop(lanes);
        self.0.changed.notify_one();
        true
    }

    /// Tells how many events wait, for as long as the inbox is there.
    pub(crate) fn depth(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.0);
        move || shared.upgrade().map_or(0, |shared| shared.lock().length)
    }
}

impl Clone for InboxSender {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for InboxSender {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_one();
        }
    }
}

/// Where the core takes events.
#[derive(Debug)]
pub(crate) struct Inbox(Arc<Shared>);

impl Inbox {
    /// Begins a step with its first event; `None` once nobody is left who could bring one.
    pub(crate) async fn recv(&mut self) -> Option<Event> {
        loop {
            {
                let mut lanes = self.0.lock();
                lanes.begin_step();
                if let Some(event) = lanes.pop() {
                    return Some(event);
                }
            }
            if self.0.senders.load(Ordering::Acquire) == 0 {
                return None;
            }
            self.0.changed.notified().await;
        }
    }

    /// How many events wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().length
    }

    /// The next event of the step, if there is one.
    pub(crate) fn try_recv(&mut self) -> Option<Event> {
        self.0.lock().pop()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // What waits holds room at its senders.
        let mut lanes = self.0.lock();
        *lanes = Lanes { closed: true, ..Lanes::default() };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::ValidatorIndex;
    use libp2p::PeerId;

    use super::*;
    use crate::link::Charge;

    const LOUD: Remote = Remote::Validator(ValidatorIndex(1));
    const QUIET: Remote = Remote::Validator(ValidatorIndex(2));

    fn height(from: Remote, height: u64) -> Event {
        Event::Frame { from, frame: Frame::Height(height), _charge: Charge::default() }
    }

    fn said(event: &Event) -> (Remote, Option<u64>) {
        match event {
            Event::Frame { from, frame: Frame::Height(height), .. } => (*from, Some(*height)),
            Event::Frame { from, .. } => (*from, None),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_loud_peer_gets_its_turn_and_no_more_and_what_one_peer_says_stays_in_order() {
        let (sender, mut inbox) = inbox();
        (0..10_000).for_each(|at| assert!(sender.push(height(LOUD, at))));
        (0..3).for_each(|at| assert!(sender.push(height(QUIET, at))));
        let mut taken = vec![said(&inbox.recv().await.unwrap())];
        taken.extend(std::iter::from_fn(|| inbox.try_recv()).map(|event| said(&event)));
        assert!(taken[..6].iter().filter(|(from, _)| *from == QUIET).count() == 3, "{:?}", &taken[..6]);
        assert_eq!(taken.len(), STEP_COST + 3, "a step is bounded");
        let loud: Vec<_> = taken.iter().filter(|(from, _)| *from == LOUD).map(|(_, at)| at.unwrap()).collect();
        assert!(loud.iter().copied().eq(0..STEP_COST as u64));
        // The next step goes on where this one ended.
        assert_eq!(said(&inbox.recv().await.unwrap()), (LOUD, Some(STEP_COST as u64)));
    }

    #[tokio::test]
    async fn votes_come_before_transactions_and_an_observer_costs_less_than_a_validator_may() {
        let (sender, mut inbox) = inbox();
        let observer = Remote::Observer(PeerId::random());
        let transactions =
            |from| Event::Frame { from, frame: Frame::Transactions(Vec::new()), _charge: Charge::default() };
        for _ in 0..1000 {
            sender.push(transactions(LOUD));
            sender.push(transactions(observer));
        }
        sender.push(height(QUIET, 7));
        assert_eq!(said(&inbox.recv().await.unwrap()), (QUIET, Some(7)));
        let rest: Vec<_> = std::iter::from_fn(|| inbox.try_recv()).map(|event| said(&event).0).collect();
        assert_eq!(rest.iter().filter(|from| **from == LOUD).count(), STEP_COST);
        assert_eq!(rest.iter().filter(|from| **from == observer).count(), STEP_COST_OF_OBSERVERS);
    }

    #[tokio::test]
    async fn it_ends_with_its_last_sender_and_takes_nothing_once_nobody_takes_it_out() {
        let (sender, mut inbox) = inbox();
        let (other, depth) = (sender.clone(), sender.depth());
        sender.push(height(LOUD, 1));
        drop((sender, other));
        assert_eq!(depth(), 1);
        assert!(inbox.recv().await.is_some());
        assert!(inbox.recv().await.is_none());
        let (sender, inbox) = super::inbox();
        drop(inbox);
        assert!(!sender.push(height(LOUD, 1)));
    }
}
