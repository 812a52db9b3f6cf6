//! A replica's uplink and downlink, which all its messages share.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::links::seconds;

/// What a link carries at a time: an Ethernet frame's worth.
const FRAME: usize = 1500;

/// One direction of a replica's link. It serves the connections with all peers in turn, a frame each; within one, a
/// message follows the other.
#[derive(Debug)]
pub(crate) struct Port<T> {
    /// Bytes a second, if there is a limit.
    rate: Option<f64>,
    /// By peer; none is empty.
    connections: HashMap<u16, VecDeque<Waiting<T>>>,
    /// The peers of those, in the order of their turns.
    turns: VecDeque<u16>,
    /// A frame is passing.
    busy: bool,
}

/// A message that waits for its next frame.
#[derive(Debug)]
struct Waiting<T> {
    left: usize,
    message: T,
}

/// A frame that has passed.
#[derive(Debug)]
pub(crate) struct Frame<T> {
    /// Its length.
    pub(crate) bytes: usize,
    /// Of which message.
    pub(crate) message: T,
    /// Whether it was the last of it.
    pub(crate) last: bool,
}

impl<T: Clone> Port<T> {
    pub(crate) fn new(rate: Option<f64>) -> Self {
        Self { rate, connections: HashMap::new(), turns: VecDeque::new(), busy: false }
    }

    /// Whether what passes has to wait.
    pub(crate) fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    /// Takes a message that is to pass between this replica and a peer; after how long a frame has, if none was on its way
    /// before.
    pub(crate) fn add(&mut self, peer: u16, bytes: usize, message: T) -> Option<Duration> {
        let connection = self.connections.entry(peer).or_default();
        if connection.is_empty() {
            self.turns.push_back(peer);
        }
        connection.push_back(Waiting { left: bytes.max(1), message });
        if std::mem::replace(&mut self.busy, true) { None } else { self.frame_time() }
    }

    /// The message whose frame passes next.
    pub(crate) fn front(&mut self) -> Option<&mut T> {
        let connection = self.connections.get_mut(self.turns.front()?)?;
        connection.front_mut().map(|waiting| &mut waiting.message)
    }

    fn frame_time(&self) -> Option<Duration> {
        let waiting = self.connections.get(self.turns.front()?)?.front()?;
        Some(seconds(waiting.left.min(FRAME) as f64 / self.rate?))
    }

    /// A frame has passed, and which, unless its message was dropped meanwhile; and after how long the next one will.
    pub(crate) fn pass(&mut self) -> (Option<Frame<T>>, Option<Duration>) {
        let frame = self.take();
        let next = self.frame_time();
        self.busy = next.is_some();
        (frame, next)
    }

    fn take(&mut self) -> Option<Frame<T>> {
        let peer = self.turns.pop_front()?;
        let connection = self.connections.get_mut(&peer)?;
        let waiting = connection.front_mut()?;
        let bytes = waiting.left.min(FRAME);
        waiting.left -= bytes;
        let (message, last) = (waiting.message.clone(), waiting.left == 0);
        if last {
            connection.pop_front();
        }
        if connection.is_empty() {
            self.connections.remove(&peer);
        } else {
            self.turns.push_back(peer);
        }
        Some(Frame { bytes, message, last })
    }

    /// Drops what has not passed: the power failed.
    pub(crate) fn clear(&mut self) {
        self.connections.clear();
        self.turns.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(actual: Duration, seconds: f64) -> bool {
        (actual.as_secs_f64() - seconds).abs() <= 0.01 * seconds
    }

    /// When the last frame of each message has passed.
    fn times(port: &mut Port<usize>, mut next: Option<Duration>) -> Vec<(usize, Duration)> {
        let (mut now, mut done) = (Duration::ZERO, Vec::new());
        while let Some(after) = next {
            now += after;
            let (frame, more) = port.pass();
            done.extend(frame.filter(|frame| frame.last).map(|frame| (frame.message, now)));
            next = more;
        }
        done
    }

    #[test]
    fn a_link_is_shared_in_frames_and_is_as_fast_as_it_says() {
        let mut port = Port::new(Some(1e6));
        // A long and many short messages: 3 MB take three seconds, and the short ones to another peer do not wait.
        let next = port.add(9, 2_000_000, 0);
        for message in 1..=1000 {
            assert_eq!(port.add(1, 1000, message), None, "a frame is under way");
        }
        let done = times(&mut port, next);
        assert_eq!(done.len(), 1001);
        assert!(matches!(done.last(), Some((0, at)) if near(*at, 3.0)), "{:?}", done.last());
        assert!(done[0].1 < Duration::from_millis(3), "{:?}", done[0]);
    }

    #[test]
    fn two_peers_get_half_each_and_messages_of_one_follow_each_other() {
        let mut port = Port::new(Some(1e6));
        let next = port.add(1, 10_000_000, 1);
        port.add(2, 5_000_000, 2);
        let done = times(&mut port, next);
        assert!(
            matches!(&done[..], [(2, second), (1, first)] if near(*second, 10.0) && near(*first, 15.0)),
            "{done:?}"
        );
    }

    #[test]
    fn a_port_goes_on_after_what_it_held_was_dropped() {
        let mut port = Port::new(Some(1e6));
        assert!(port.add(1, 10_000, 1).is_some());
        port.clear();
        assert_eq!(port.add(1, 1000, 2), None, "the frame that was on its way still is");
        let (frame, next) = port.pass();
        assert!(frame.is_some_and(|frame| frame.message == 2 && frame.last) && next.is_none());
        assert!(port.add(1, 1000, 3).is_some());
        port.clear();
        assert!(matches!(port.pass(), (None, None)));
        assert!(port.add(1, 1000, 4).is_some());
    }
}
