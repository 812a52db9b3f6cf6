//! What is going to happen, and when.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Microseconds of a stretch, as a power of two.
const STRETCH: u32 = 10;

const WORDS: usize = 1 << (STRETCH - u64::BITS.ilog2());

/// Events by time in microseconds, and within one in the order in which they were foreseen. The stretch of time that has
/// begun has a queue for each microsecond; what comes later is put where its stretch is. So nothing is ever compared, and
/// an event costs the same whether a hundred or a million are to come.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    /// The microseconds of the stretch that has begun.
    queues: Vec<VecDeque<E>>,
    /// Which of them hold something, a bit each.
    occupied: [u64; WORDS],
    /// The stretch that has begun.
    stretch: u64,
    later: BTreeMap<u64, Vec<(u64, E)>>,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        let queues = (0..1 << STRETCH).map(|_| VecDeque::new()).collect();
        Self { queues, occupied: [0; WORDS], stretch: 0, later: BTreeMap::new() }
    }
}

impl<E> Agenda<E> {
    /// Foresees an event, no earlier than the last one that has happened.
    pub(crate) fn add(&mut self, at: Duration, event: E) {
        let at = at.as_micros() as u64;
        let stretch = at >> STRETCH;
        if stretch == self.stretch {
            self.enqueue(at, event);
        } else {
            self.later.entry(stretch).or_default().push((at, event));
        }
    }

    pub(crate) fn next(&mut self) -> Option<(Duration, E)> {
        loop {
            if let Some(word) = self.occupied.iter().position(|word| *word != 0) {
                let bit = self.occupied[word].trailing_zeros();
                let place = (word << u64::BITS.ilog2()) + bit as usize;
                let event = self.queues[place].pop_front();
                if self.queues[place].is_empty() {
                    self.occupied[word] &= !(1 << bit);
                }
                return Some((Duration::from_micros((self.stretch << STRETCH) + place as u64), event?));
            }
            let (stretch, events) = self.later.pop_first()?;
            self.stretch = stretch;
            for (at, event) in events {
                self.enqueue(at, event);
            }
        }
    }

    fn enqueue(&mut self, at: u64, event: E) {
        let place = (at & ((1 << STRETCH) - 1)) as usize;
        self.occupied[place >> u64::BITS.ilog2()] |= 1 << (place & 63);
        self.queues[place].push_back(event);
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
