//! A replica's uplink and downlink, which all its messages share.

use std::{collections::VecDeque, time::Duration};

use crate::links::seconds;

/// What a replica sends at a time: an Ethernet frame's worth.
const FRAME: usize = 1500;

/// A message that waits for its next frame.
struct Flow<T> {
    left: usize,
    /// When its first frame began to leave.
    began: Option<Duration>,
    message: T,
}

/// One replica's end of the network.
pub(crate) struct Port<T> {
    up: Option<f64>,
    down: Option<f64>,
    sending: VecDeque<Flow<T>>,
    /// A frame is on its way out.
    busy: bool,
    /// Until when the downlink is taken.
    receiving_until: Duration,
}

/// What a port does once it has sent a frame.
pub(crate) struct Turn<T> {
    /// The message whose last frame is out, and for how long it was leaving.
    pub(crate) sent: Option<(T, Duration)>,
    /// The length of the frame.
    pub(crate) bytes: usize,
    /// After how long the next frame is.
    pub(crate) next: Option<Duration>,
}

impl<T> Port<T> {
    /// With limits in bytes a second, if there are any.
    pub(crate) fn new(up: Option<f64>, down: Option<f64>) -> Self {
        Self { up, down, sending: VecDeque::new(), busy: false, receiving_until: Duration::ZERO }
    }

    /// Whether what it sends waits for its uplink.
    pub(crate) fn is_limited(&self) -> bool {
        self.up.is_some()
    }

    /// Whether what it receives waits for its downlink.
    pub(crate) fn limits_receiving(&self) -> bool {
        self.down.is_some()
    }

    /// Takes a message to be sent; after how long its first frame is out, if none was on its way before.
    pub(crate) fn send(&mut self, bytes: usize, message: T) -> Option<Duration> {
        self.sending.push_back(Flow { left: bytes.max(1), began: None, message });
        if std::mem::replace(&mut self.busy, true) { None } else { self.frame_time() }
    }

    fn frame_time(&self) -> Option<Duration> {
        let flow = self.sending.front()?;
        Some(seconds(flow.left.min(FRAME) as f64 / self.up?))
    }

    /// A frame is out.
    pub(crate) fn frame_sent(&mut self, now: Duration) -> Turn<T> {
        let (mut sent, mut bytes) = (None, 0);
        let took = self.frame_time().unwrap_or_default();
        if let Some(mut flow) = self.sending.pop_front() {
            bytes = flow.left.min(FRAME);
            flow.left -= bytes;
            let began = *flow.began.get_or_insert(now.saturating_sub(took));
            if flow.left == 0 {
                sent = Some((flow.message, now - began));
            } else {
                self.sending.push_back(flow);
            }
        }
        let next = self.frame_time();
        self.busy = next.is_some();
        Turn { sent, bytes, next }
    }

    /// A message's last bit is here, `leaving` after its first; after how long the downlink has let it through. It came in
    /// while it left its sender, as far as the downlink was free.
    pub(crate) fn receive(&mut self, bytes: usize, now: Duration, leaving: Duration) -> Duration {
        let Some(rate) = self.down else { return Duration::ZERO };
        let takes = seconds(bytes as f64 / rate);
        let begins = self.receiving_until.max(now.saturating_sub(leaving));
        self.receiving_until = (begins + takes).max(now);
        self.receiving_until.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(actual: f64, expected: f64) -> bool {
        (actual - expected).abs() <= 0.01 * expected
    }

    #[test]
    fn an_uplink_is_shared_in_frames_and_is_as_fast_as_it_says() {
        let mut port = Port::new(Some(1e6), Some(1e6));
        // A long and many short messages: 3 MB take three seconds, and the short ones do not wait for the long one.
        let mut next = port.send(2_000_000, "long");
        for _ in 0..1000 {
            assert_eq!(port.send(1000, "short"), None, "a frame is under way");
        }
        let (mut now, mut done) = (Duration::ZERO, Vec::new());
        while let Some(after) = next {
            now += after;
            let turn = port.frame_sent(now);
            done.extend(turn.sent.map(|(message, leaving)| (message, now, leaving)));
            next = turn.next;
        }
        assert!(near(now.as_secs_f64(), 3.0), "{now:?}");
        assert_eq!(done.last().map(|(message, ..)| *message), Some("long"));
        assert!(done[0].1 < Duration::from_millis(3) && done[0].2 == Duration::from_millis(1), "{:?}", done[0]);
        assert_eq!(done.last().map(|(.., leaving)| *leaving), Some(now), "it was leaving all the time");
    }

    #[test]
    fn a_downlink_takes_in_what_it_can_and_what_comes_meanwhile_waits() {
        let mut port = Port::<()>::new(Some(1e6), Some(5e5));
        let second = Duration::from_secs(1);
        let half = second / 2;
        assert_eq!(port.receive(250_000, second, half), Duration::ZERO, "it came in while it was sent");
        assert_eq!(port.receive(250_000, second, half), half);
        assert_eq!(port.receive(250_000, second, half), second);
        assert_eq!(port.receive(250_000, second * 10, Duration::ZERO), half, "it came all at once");
        assert_eq!(port.receive(10, second * 20, second), Duration::ZERO, "and no sooner than its last bit");
        assert_eq!(Port::<()>::new(None, None).receive(1, second, half), Duration::ZERO);
    }
}
