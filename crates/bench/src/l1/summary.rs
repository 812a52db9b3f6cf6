//! What became of one load.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::{
    Watched,
    document::{Crash, Latency, PeerUse, Run},
    load::{Commit, Load},
};

/// A load that is over, and when it was measured.
pub(super) struct Summary<'a> {
    pub(super) load: &'a Load,
    pub(super) commits: Vec<Commit>,
    pub(super) begin: Instant,
    pub(super) end: Instant,
    pub(super) view_timeout: Duration,
}

impl Summary<'_> {
    /// Its figures: with what the peers used, and who was killed when.
    pub(super) fn run(&self, uses: &[Watched], killed: Option<(Vec<usize>, Instant)>, of_primary: bool) -> Run {
        let Self { load, begin, end, .. } = *self;
        let (due, done, latency) = self.latencies();
        let within: Vec<_> = self.commits.iter().filter(|commit| (begin..end).contains(&commit.at)).collect();
        let moments = [begin].into_iter().chain(within.iter().map(|commit| commit.at)).chain([end]);
        let moments: Vec<_> = moments.collect();
        let longest_gap = moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let count = within.len().max(1) as f64;
        let transactions: usize = within.iter().map(|commit| commit.transactions).sum();
        let peers = uses.iter().enumerate().map(|(peer, watched)| PeerUse {
            peer,
            killed: killed.as_ref().is_some_and(|(peers, _)| peers.contains(&peer)),
            cpu_seconds: watched.end.cpu_seconds - watched.start.cpu_seconds,
            cpu_ms_per_commit: 1e3 * (watched.end.cpu_seconds - watched.start.cpu_seconds) / count,
            forced_writes: watched.forced_writes,
            forced_writes_per_commit: watched.forced_writes.map(|writes| writes as f64 / count),
            written_bytes: watched.end.written_bytes.saturating_sub(watched.start.written_bytes),
            memory_start_bytes: watched.start.resident_bytes,
            memory_end_bytes: watched.end.resident_bytes,
            memory_peak_bytes: watched.peak,
        });
        Run {
            rate: load.rate,
            due,
            done,
            throughput: self.throughput(begin, end),
            commits_per_second: within.len() as f64 / (end - begin).as_secs_f64(),
            transactions_per_commit: transactions as f64 / count,
            latency,
            longest_gap_ms: longest_gap.as_secs_f64() * 1e3,
            put_off: load.put_off.load(Relaxed),
            retransmitted: load.retransmitted.load(Relaxed),
            peers: peers.collect(),
            client_cpu_seconds: uses.first().map_or(0.0, |watched| watched.client),
            crash: killed.map(|(peers, at)| self.crash(peers, at, of_primary)),
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.load.start).as_micros() as u64
    }

    /// How many items were due in the measured time, how many of them are final, and how long that took.
    fn latencies(&self) -> (u64, u64, Latency) {
        let Self { load, begin, end, .. } = *self;
        let items = load.items as u64;
        // Three digits of every latency up to an hour.
        let mut latencies = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).expect("such bounds are possible");
        let (mut due, mut done) = (0, 0);
        let measured = self.micros(begin)..self.micros(end);
        for (at, verified) in (0..load.count()).map(|place| (load.due(place), load.verified_at(place))) {
            if !measured.contains(&at) {
                continue;
            }
            due += items;
            if let Some(verified) = verified {
                done += items;
                latencies.saturating_record_n(verified.saturating_sub(at).max(1), items);
            }
        }
        (due, done, Latency::of(&latencies))
    }

    /// Items a second that were verified to be final.
    fn throughput(&self, from: Instant, to: Instant) -> f64 {
        let range = self.micros(from)..self.micros(to);
        let finished = (0..self.load.count()).filter_map(|place| self.load.verified_at(place));
        let count = finished.filter(|at| range.contains(at)).count() as u64 * self.load.items as u64;
        count as f64 / to.saturating_duration_since(from).as_secs_f64().max(1e-9)
    }

    fn crash(&self, peers: Vec<usize>, at: Instant, of_primary: bool) -> Crash {
        let before = self.commits.iter().filter(|commit| commit.at < at);
        let view = before.map(|commit| commit.view).max().unwrap_or(0);
        let back = self.commits.iter().find(|commit| commit.at > at && (!of_primary || commit.view > view));
        let outage = back.map(|commit| commit.at - at);
        Crash {
            peers,
            of_primary,
            after_seconds: (at - self.begin).as_secs_f64(),
            outage_ms: outage.map(|outage| outage.as_secs_f64() * 1e3),
            outage_per_view_timeout: outage.map(|outage| outage.div_duration_f64(self.view_timeout)),
            throughput_before: self.throughput(self.begin, at),
            throughput_after: self.throughput(at + outage.unwrap_or_default(), self.end),
        }
    }
}
