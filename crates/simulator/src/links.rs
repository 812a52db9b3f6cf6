//! What the network does to a message: how long it is under way, whether it arrives, and how often.

use std::{collections::VecDeque, time::Duration};

use rand::{Rng, rngs::StdRng};
use rand_distr::{Distribution, LogNormal, Normal};

/// How links treat messages.
#[derive(Debug, Clone, PartialEq)]
pub struct Links {
    /// How long a message is under way, whatever its length.
    pub latency: Latency,
    /// How long its length takes.
    pub bandwidth: Bandwidth,
    /// The share of messages that is lost before the stabilization time.
    pub loss: f64,
    /// The share of messages that arrives twice before the stabilization time.
    pub repetition: f64,
}

/// The propagation delay of messages.
#[derive(Debug, Clone, PartialEq)]
pub enum Latency {
    /// The same for all.
    Constant(Duration),
    /// Any in a range, its ends included.
    Uniform {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// Around a mean; what would be negative is zero.
    Normal {
        /// The mean.
        mean: Duration,
        /// The standard deviation.
        deviation: Duration,
    },
    /// With a long tail.
    LogNormal {
        /// Half of all messages take longer.
        median: Duration,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
    /// That between the regions of sender and receiver.
    Regions {
        /// The region of each replica; who is beyond the list is in the first.
        of: Vec<usize>,
        /// One-way delays, by the sender's and the receiver's region.
        one_way: Vec<Vec<Duration>>,
        /// The share by which a delay may be longer, any up to this.
        jitter: f64,
    },
}

impl Latency {
    pub(crate) fn sample(&self, from: usize, to: usize, rng: &mut StdRng) -> Duration {
        match self {
            Self::Constant(delay) => *delay,
            Self::Uniform { least, most } => between(*least, *most, rng),
            Self::Normal { mean, deviation } => {
                let normal = Normal::new(mean.as_secs_f64(), deviation.as_secs_f64());
                seconds(normal.map_or(mean.as_secs_f64(), |normal| normal.sample(rng)))
            }
            Self::LogNormal { median, sigma } => {
                let distribution = LogNormal::new(median.as_secs_f64().ln(), *sigma);
                seconds(distribution.map_or(median.as_secs_f64(), |distribution| distribution.sample(rng)))
            }
            Self::Regions { of, one_way, jitter } => {
                let region = |replica: usize| of.get(replica).copied().unwrap_or_default();
                let row = one_way.get(region(from));
                let delay = row.and_then(|row| row.get(region(to))).copied().unwrap_or_default();
                delay + between(Duration::ZERO, delay.mul_f64(*jitter), rng)
            }
        }
    }
}

/// What of a link's capacity a message takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Bandwidth {
    /// Nothing.
    Unlimited,
    /// The model of the FPBFT simulator: every message has a connection of its own with all the bandwidth, and is sent in
    /// chunks of a tenth of a second's worth, each after a pause of 100 ms. So none takes less than 100 ms, and a
    /// thousand at a time take no longer than one.
    PerConnection {
        /// Bytes a second.
        bytes_per_second: f64,
    },
    /// Each replica has one uplink and one downlink, which all its messages share: frame by frame, each message in its
    /// turn. Who is beyond the lists has no limit.
    Shared {
        /// Bytes a second that each replica can send.
        up: Vec<f64>,
        /// Bytes a second that each replica can receive.
        down: Vec<f64>,
    },
}

/// The pause of the FPBFT model before each chunk, and the share of a second that a chunk is.
const PAUSE: Duration = Duration::from_millis(100);

/// What a replica sends at a time: an Ethernet frame's worth.
const FRAME: usize = 1500;

impl Bandwidth {
    /// What a message takes by itself, apart from what it shares.
    pub(crate) fn own_time(&self, bytes: usize) -> Duration {
        match self {
            Self::PerConnection { bytes_per_second } => {
                let chunks = (bytes as f64 / (bytes_per_second * PAUSE.as_secs_f64())).ceil().max(1.0);
                PAUSE.mul_f64(chunks)
            }
            Self::Unlimited | Self::Shared { .. } => Duration::ZERO,
        }
    }

    fn up(&self, replica: usize) -> Option<f64> {
        if let Self::Shared { up, .. } = self { up.get(replica).copied() } else { None }
    }

    fn down(&self, replica: usize) -> Option<f64> {
        if let Self::Shared { down, .. } = self { down.get(replica).copied() } else { None }
    }
}

/// A message that waits for its next frame.
struct Flow<T> {
    left: usize,
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
    /// The message whose last frame is out.
    pub(crate) sent: Option<T>,
    /// After how long the next frame is.
    pub(crate) next: Option<Duration>,
}

impl<T> Port<T> {
    pub(crate) fn new(bandwidth: &Bandwidth, replica: usize) -> Self {
        let (up, down) = (bandwidth.up(replica), bandwidth.down(replica));
        Self { up, down, sending: VecDeque::new(), busy: false, receiving_until: Duration::ZERO }
    }

    /// Whether what it sends waits for its uplink.
    pub(crate) fn is_limited(&self) -> bool {
        self.up.is_some()
    }

    /// Takes a message to be sent; after how long its first frame is out, if none was on its way before.
    pub(crate) fn send(&mut self, bytes: usize, message: T) -> Option<Duration> {
        self.sending.push_back(Flow { left: bytes.max(1), message });
        if std::mem::replace(&mut self.busy, true) { None } else { self.frame_time() }
    }

    fn frame_time(&self) -> Option<Duration> {
        let flow = self.sending.front()?;
        Some(seconds(flow.left.min(FRAME) as f64 / self.up?))
    }

    /// A frame is out.
    pub(crate) fn frame_sent(&mut self) -> Turn<T> {
        let mut sent = None;
        if let Some(mut flow) = self.sending.pop_front() {
            flow.left -= flow.left.min(FRAME);
            if flow.left == 0 {
                sent = Some(flow.message);
            } else {
                self.sending.push_back(flow);
            }
        }
        let next = self.frame_time();
        self.busy = next.is_some();
        Turn { sent, next }
    }

    /// A message's last bit is here; after how long the downlink has let it through. It came in while it was sent, as far
    /// as the downlink was free.
    pub(crate) fn receive(&mut self, bytes: usize, now: Duration) -> Duration {
        let Some(rate) = self.down else { return Duration::ZERO };
        let takes = seconds(bytes as f64 / rate);
        let begins = self.receiving_until.max(now.saturating_sub(takes));
        self.receiving_until = begins + takes;
        self.receiving_until.saturating_sub(now)
    }
}

fn between(least: Duration, most: Duration, rng: &mut StdRng) -> Duration {
    let span = most.saturating_sub(least).as_micros() as u64;
    least + Duration::from_micros(rng.random_range(0..=span))
}

/// Never negative, and no longer than a century.
fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 3.2e9))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rand::SeedableRng;

    use super::*;

    fn statistics(latency: &Latency) -> (f64, f64) {
        let mut rng = StdRng::seed_from_u64(1);
        let samples: Vec<_> = (0..100_000).map(|_| latency.sample(0, 1, &mut rng).as_secs_f64()).collect();
        let mean = samples.iter().sum::<f64>() / samples.len() as f64;
        let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / samples.len() as f64;
        (mean, variance.sqrt())
    }

    fn near(actual: f64, expected: f64) -> bool {
        (actual - expected).abs() <= 0.01 * expected
    }

    #[test]
    fn every_latency_has_the_mean_and_the_spread_that_it_says() {
        let ms = Duration::from_millis;
        let (mean, spread) = statistics(&Latency::Constant(ms(40)));
        assert!(near(mean, 0.040) && spread < 1e-9, "{mean} {spread}");
        let (mean, spread) = statistics(&Latency::Uniform { least: ms(35), most: ms(350) });
        assert!(near(mean, 0.1925) && near(spread, 0.315 / 12f64.sqrt()), "{mean} {spread}");
        let (mean, spread) = statistics(&Latency::Normal { mean: ms(250), deviation: ms(50) });
        assert!(near(mean, 0.250) && near(spread, 0.050), "{mean} {spread}");
        let (mean, _) = statistics(&Latency::LogNormal { median: ms(100), sigma: 0.5 });
        assert!(near(mean, 0.1 * (0.125f64).exp()), "{mean}");
        let one_way = vec![vec![ms(1), ms(80)], vec![ms(90), ms(1)]];
        let (mean, _) = statistics(&Latency::Regions { of: vec![0, 1], one_way, jitter: 0.1 });
        assert!(near(mean, 0.084), "{mean}");
    }

    #[test]
    fn a_message_of_the_fpbft_model_takes_100_ms_a_chunk_however_many_are_sent() {
        let slow = Bandwidth::PerConnection { bytes_per_second: 13_107.2 };
        for (bytes, chunks) in [(0, 1), (1, 1), (1310, 1), (1311, 2), (31_100, 24)] {
            assert_eq!(slow.own_time(bytes), PAUSE * chunks, "{bytes} bytes");
        }
    }

    #[test]
    fn an_uplink_is_shared_in_frames_and_is_as_fast_as_it_says() {
        let bandwidth = Bandwidth::Shared { up: vec![1e6], down: vec![1e6, 5e5] };
        let mut port = Port::new(&bandwidth, 0);
        // A long and many short messages: 3 MB take three seconds, and the short ones do not wait for the long one.
        let mut next = port.send(2_000_000, "long");
        for _ in 0..1000 {
            assert_eq!(port.send(1000, "short"), None, "a frame is under way");
        }
        let (mut now, mut done) = (Duration::ZERO, Vec::new());
        while let Some(after) = next {
            now += after;
            let turn = port.frame_sent();
            done.extend(turn.sent.map(|message| (message, now)));
            next = turn.next;
        }
        assert!(near(now.as_secs_f64(), 3.0), "{now:?}");
        assert_eq!(done.last().unwrap().0, "long");
        assert!(done[0].1 < Duration::from_millis(3));

        // A downlink half as fast takes twice as long, and what comes meanwhile waits.
        let mut port = Port::<()>::new(&bandwidth, 1);
        let second = Duration::from_secs(1);
        assert_eq!(port.receive(250_000, second), Duration::ZERO, "it came in while it was sent");
        assert_eq!(port.receive(250_000, second), second / 2);
        assert_eq!(port.receive(250_000, second), second);
        assert_eq!(Port::<()>::new(&bandwidth, 7).receive(1, second), Duration::ZERO);
    }
}
