//! What a decision costs, where nobody lies and nothing is lost.

use std::time::{Duration, Instant};

use dtn_consensus::coin::Local;
use serde::Serialize;

use super::{Case, Property, Textbook, case::DELTA, chains, play::CoinOf};
use crate::Latency;

/// How long each message takes.
const LATENCY: Duration = Duration::from_millis(10);

/// Which coin binary agreement tosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoinKind {
    /// A bit of a threshold signature, whose key the simulator deals.
    Threshold,
    /// The same, whose key all replicas deal together.
    Dealt,
    /// One that the simulator vouches for.
    Ideal,
    /// Each replica's own.
    Local,
}

/// Figures of several runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// Half are less.
    pub median: f64,
    /// The most.
    pub max: f64,
    /// The standard deviation.
    pub sd: f64,
}

impl Spread {
    /// That of some figures; `None` of none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<_> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let count = figures.len() as f64;
        let mean = figures.iter().sum::<f64>() / count;
        let sd = (figures.iter().map(|figure| (figure - mean).powi(2)).sum::<f64>() / count).sqrt();
        let median = f64::midpoint(figures[(figures.len() - 1) / 2], figures[figures.len() / 2]);
        Some(Self { min, mean, median, max, sd })
    }
}

/// What decisions of a protocol cost among so many.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Which protocol.
    pub protocol: Textbook,
    /// The number of replicas.
    pub n: usize,
    /// How many may be faulty.
    pub faulty: usize,
    /// How many decisions.
    pub runs: usize,
    /// The longest chain of messages that led to a decision: causal rounds.
    pub causal_rounds: Spread,
    /// Rounds of the protocol: those of agreement until the first decides, those that passed in lock step.
    pub rounds: Option<Spread>,
    /// Messages, once for each receiver.
    pub messages: Spread,
    /// The same by the closed form, from the rounds that each run took, where there is one.
    pub expected_messages: Option<Spread>,
    /// How many runs had another number of messages than the closed form says.
    pub off: usize,
    /// Bits of all messages, as they are encoded.
    pub bits: Spread,
    /// Time of this machine for a decision, in milliseconds.
    pub wall_ms: Spread,
    /// What was broken, which nothing may be.
    pub broken: Vec<(Property, String)>,
}

pub(super) struct Sample {
    pub(super) causal: f64,
    pub(super) rounds: Option<u64>,
    pub(super) messages: u64,
    pub(super) expected: Option<u64>,
    pub(super) bits: f64,
    pub(super) wall: f64,
    pub(super) broken: Vec<(Property, String)>,
}

/// Messages by the closed form: of Bracha's broadcast, of lock step with a correct sender, whose words are told on if anybody
/// may be faulty, and of binary agreement whose replicas begin alike, in a run in which they decide in some round.
///
/// A common subset is n broadcasts and n agreements, whose rounds are those of all of them together.
///
/// In agreement each round takes three words and a share; then the first words of the next round have left, and each says
/// once that it has decided. With a coin of one's own replicas decide in different rounds, and there is no such form.
fn closed_form(protocol: Textbook, (n, faulty): (u64, usize), round: u64, coin: CoinKind) -> Option<u64> {
    let all = n * (n - 1);
    Some(match protocol {
        Textbook::Broadcast => (n - 1) + 2 * all,
        Textbook::DolevStrong if faulty == 0 => n - 1,
        Textbook::DolevStrong => (n - 1) * (n - 1),
        Textbook::Agreement | Textbook::CommonSubset if coin == CoinKind::Local => return None,
        Textbook::Agreement => all * (4 * round + 2),
        Textbook::CommonSubset => n * ((n - 1) + 2 * all) + all * (4 * round + 2 * n),
        // A commitment and a reveal of each to each.
        Textbook::Lockstep => 2 * all * round,
        _ => return None,
    })
}

fn sample(protocol: Textbook, n: usize, faulty: usize, (coin, relays): (CoinKind, bool), seed: u64) -> Sample {
    if let Some(engine) = protocol.engine() {
        return chains::sample(engine, n, relays, seed);
    }
    let mut case = Case::calm(protocol, n, seed);
    case.faulty = faulty;
    (case.setting.latency, case.setting.writing) = (Latency::Constant(LATENCY), Duration::ZERO);
    case.lockstep.rounds = 1;
    case.values = vec![seed.is_multiple_of(2); n];
    let threshold: Option<CoinOf> = match coin {
        _ if ![Textbook::Agreement, Textbook::CommonSubset].contains(&protocol) => None,
        CoinKind::Threshold => Some(Box::new(case.threshold_coin())),
        CoinKind::Dealt => Some(Box::new(case.dealt_coin())),
        CoinKind::Ideal | CoinKind::Local => None,
    };
    let begun = Instant::now();
    let (broken, round, report) = match (protocol, coin, threshold) {
        (Textbook::Broadcast, ..) => case.broadcast(),
        (Textbook::DolevStrong, ..) => case.dolev_strong(),
        (Textbook::Agreement, _, Some(threshold)) => case.agreement(threshold),
        (Textbook::Agreement, CoinKind::Local, _) => case.agreement(|party| Local::new(party.clone())),
        (Textbook::Lockstep, ..) => case.lockstep(),
        (Textbook::CommonSubset, _, Some(threshold)) => case.common_subset(threshold),
        (Textbook::CommonSubset, CoinKind::Local, _) => case.common_subset(|party| Local::new(party.clone())),
        (Textbook::CommonSubset, ..) => case.common_subset(case.ideal_coin()),
        _ => case.agreement(case.ideal_coin()),
    };
    let wall = begun.elapsed().as_secs_f64() * 1e3;
    // All toss a coin in each round.
    let tossed = report.sent.get("share").map_or(0, |shares| shares.messages / (n * (n - 1)).max(1) as u64);
    let round = if protocol == Textbook::CommonSubset { tossed } else { round };
    let rounds = match protocol {
        Textbook::Broadcast => None,
        Textbook::DolevStrong => Some((report.elapsed.as_micros() / DELTA.as_micros()) as u64),
        _ => Some(round),
    };
    Sample {
        causal: report.rounds.into(),
        rounds,
        messages: report.sent.values().map(|traffic| traffic.messages).sum(),
        expected: closed_form(protocol, (n as u64, faulty), round, coin),
        bits: report.sent.values().map(|traffic| traffic.bytes as f64 * 8.0).sum(),
        wall,
        broken: broken.into_iter().collect(),
    }
}

/// Measures so many decisions among n, of which f may be faulty and none is. Replicas that chain blocks may pass on what they
/// hear. `None` of no run.
pub fn measure(
    protocol: Textbook,
    n: usize,
    faulty: usize,
    (coin, relays): (CoinKind, bool),
    seeds: std::ops::Range<u64>,
) -> Option<Measured> {
    let samples: Vec<_> = seeds.map(|seed| sample(protocol, n, faulty, (coin, relays), seed)).collect();
    let spread = |figure: &dyn Fn(&Sample) -> f64| Spread::of(samples.iter().map(figure));
    Some(Measured {
        protocol,
        n,
        faulty,
        runs: samples.len(),
        causal_rounds: spread(&|it| it.causal)?,
        rounds: Spread::of(samples.iter().filter_map(|it| it.rounds).map(|rounds| rounds as f64)),
        messages: spread(&|it| it.messages as f64)?,
        expected_messages: Spread::of(samples.iter().filter_map(|it| it.expected).map(|it| it as f64)),
        off: samples.iter().filter(|it| it.expected.is_some_and(|expected| it.messages != expected)).count(),
        bits: spread(&|it| it.bits)?,
        wall_ms: spread(&|it| it.wall)?,
        broken: samples.into_iter().flat_map(|it| it.broken).collect(),
    })
}

/// The exponent k of the n^k that fits these best, by least squares of the logarithms. `None` of fewer than two.
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<_> = points.iter().map(|(n, cost)| (n.ln(), cost.ln())).collect();
    let count = logs.len() as f64;
    let (mean_x, mean_y) =
        (logs.iter().map(|it| it.0).sum::<f64>() / count, logs.iter().map(|it| it.1).sum::<f64>() / count);
    let over: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let under: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (logs.len() > 1 && under > 0.0).then_some(over / under)
}
