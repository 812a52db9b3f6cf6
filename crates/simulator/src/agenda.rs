//! What is going to happen, and when.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

/// Microseconds of a stretch, as a power of two.
const STRETCH: u32 = 6;

/// Events by time in microseconds, and within one in the order in which they were foreseen. Only the stretch of time that
/// has begun is in order; what comes later is put where its stretch is. So an event costs the same whether a hundred or a
/// million are to come.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    begun: BinaryHeap<Reverse<Scheduled<E>>>,
    /// The first stretch that has not begun.
    next: u64,
    later: BTreeMap<u64, Vec<Scheduled<E>>>,
    foreseen: u64,
}

#[derive(Debug)]
struct Scheduled<E> {
    at: u64,
    number: u64,
    event: E,
}

impl<E> Scheduled<E> {
    fn place(&self) -> (u64, u64) {
        (self.at, self.number)
    }
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl<E> Eq for Scheduled<E> {}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self { begun: BinaryHeap::new(), next: 0, later: BTreeMap::new(), foreseen: 0 }
    }
}

impl<E> Agenda<E> {
    pub(crate) fn add(&mut self, at: Duration, event: E) {
        let at = at.as_micros() as u64;
        self.foreseen += 1;
        let scheduled = Scheduled { at, number: self.foreseen, event };
        let stretch = at >> STRETCH;
        if stretch < self.next {
            self.begun.push(Reverse(scheduled));
        } else {
            self.later.entry(stretch).or_default().push(scheduled);
        }
    }

    pub(crate) fn next(&mut self) -> Option<(Duration, E)> {
        if self.begun.is_empty() {
            let (stretch, events) = self.later.pop_first()?;
            self.next = stretch + 1;
            self.begun.extend(events.into_iter().map(Reverse));
        }
        let Reverse(Scheduled { at, event, .. }) = self.begun.pop()?;
        Some((Duration::from_micros(at), event))
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn events_happen_by_time_and_at_one_time_in_the_order_in_which_they_were_foreseen() {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut agenda, mut now, mut added, mut happened) = (Agenda::default(), 0, 0, Vec::new());
        while happened.len() < 5000 {
            for _ in 0..rng.random_range(0..4) {
                let at: u64 = now + rng.random_range(0..500);
                agenda.add(Duration::from_micros(at), (at, added));
                added += 1;
            }
            let Some((at, event)) = agenda.next() else { continue };
            assert_eq!(at.as_micros() as u64, event.0);
            now = event.0;
            happened.push(event);
        }
        assert!(happened.is_sorted(), "{happened:?}");
    }
}
