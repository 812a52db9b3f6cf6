//! The protocols that chain blocks, held to what they promise, and what a block costs in them: in the world of replicas with
//! disks and hosts, with its oracle and its liars.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use dtn_consensus::chained::Lapse;

use super::{Case, Lie, Mutant, Played, Property, Textbook, complexity::Sample};
use crate::{Engine, Group, Latency, Partition, Report, Scenario, Verdict, Violation, adversary::Kind, play};

/// How long one waits for what was promised after the last thing that happens to a replica.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long each message takes where it is counted what a block costs.
const LATENCY: Duration = Duration::from_millis(10);

/// What is not said by the protocol, but by clients and hosts.
const OTHERS: [&str; 6] = ["order", "reply", "height", "block_request", "blocks", "transaction"];

impl Textbook {
    /// The engine that it is, if it agrees on blocks.
    pub fn engine(self) -> Option<Engine> {
        match self {
            Self::Pbft => Some(Engine::Pbft),
            Self::Streamlet => Some(Engine::Streamlet),
            Self::Simplex => Some(Engine::Simplex),
            Self::HotStuff2 => Some(Engine::HotStuff2),
            Self::Broadcast | Self::DolevStrong | Self::Agreement | Self::Lockstep => None,
        }
    }
}

/// The scenario of a seed.
pub(super) fn random(engine: Engine, seed: u64) -> Scenario {
    let mut scenario = Scenario::random_chained(engine, seed);
    scenario.stop.after = Some(PATIENCE);
    scenario
}

/// Nothing happens but that these lie.
pub(super) fn lying(engine: Engine, n: usize, liars: &[(usize, Kind)], seed: u64) -> Scenario {
    let mut scenario = Scenario { engine: Some(engine), ..Scenario::calm(n, seed) };
    scenario.adversaries = liars.iter().copied().collect();
    scenario.stop.after = Some(PATIENCE);
    scenario
}

/// Two and two cannot hear each other for so long that each half has leaders of its own. Chance seldom has it so: with too
/// small a quorum whoever misses a decision never catches up, since its certificate convinces no host.
pub(super) fn parted(engine: Engine, seed: u64) -> Scenario {
    let mut scenario = lying(engine, 4, &[], seed);
    let halves = vec![Group::Replicas(vec![0, 1]), Group::Replicas(vec![2, 3])];
    scenario.partitions = vec![Partition::new(PATIENCE / 400, PATIENCE / 4, halves)];
    scenario
}

/// The same lie among replicas that chain blocks.
pub(super) fn kind(lie: Lie) -> Kind {
    match lie {
        Lie::Silent => Kind::Silent,
        Lie::Slow | Lie::Peeker => Kind::Slow,
        Lie::Replayer => Kind::Replayer,
        Lie::Withholder | Lie::Isolator | Lie::Refuser => Kind::Revoter,
        Lie::Flooder => Kind::MemoryExhauster,
        Lie::Impostor | Lie::ShareForger | Lie::Copier | Lie::Desynced => Kind::Forger,
        Lie::LateReleaser | Lie::LateReleaserOfLess | Lie::LateReleaserOfRepeats => Kind::LyingState,
        Lie::Twins | Lie::TwoFaced => Kind::Equivocator,
    }
}

/// How many are faulty: who lies, and whose disk is not its own any more.
pub(super) fn faulty(scenario: &Scenario) -> usize {
    let mut faulty: Vec<_> = scenario.adversaries.keys().copied().chain(scenario.forgetful()).collect();
    faulty.sort_unstable();
    faulty.dedup();
    faulty.len()
}

/// What a run broke.
fn broken(report: &Report) -> BTreeMap<Property, String> {
    let how = report.offence.as_ref().map_or_else(String::new, |offence| offence.what.clone());
    let property = match &report.verdict {
        Verdict::Pass => None,
        Verdict::NoProgress => Some(Property::Termination),
        Verdict::Diverged(violation) => Some(breaks(violation)),
    };
    let suspended = report.suspended.iter().map(|violation| (breaks(violation), violation.to_string()));
    property.map(|property| (property, how)).into_iter().chain(suspended).collect()
}

fn breaks(violation: &Violation) -> Property {
    match violation {
        Violation::Forked { .. } | Violation::StatesDiffer { .. } | Violation::TwoStates(_) => Property::Agreement,
        Violation::Accused(_) | Violation::Contradicted { .. } | Violation::Blamed { .. } => Property::Innocence,
        _ => Property::Validity,
    }
}

impl Case {
    /// Plays a protocol that chains blocks.
    pub(super) fn play_chain(&self, scenario: &Scenario) -> Played {
        let lapse = if let Some(Mutant::Lapse(_, lapse)) = self.mutant { Some(lapse) } else { None };
        let report = play(&Scenario { lapse, ..scenario.clone() });
        Played { broken: broken(&report), assumptions: self.assumes(), round: 0, report: None }
    }
}

/// Messages of a block by the closed form, with what it takes to settle. In Streamlet a block is final after three epochs; in the
/// others after its view.
fn closed_form(engine: Engine, n: u64, relays: bool) -> u64 {
    let (all, others) = (n * (n - 1), n - 1);
    match (engine, relays) {
        // The client's request and the replies to it are part of it (OSDI '99, §4.1).
        (Engine::Pbft | Engine::Nakamoto, _) => 2 * n * n - n + 1,
        (Engine::Streamlet, false) => 3 * (n * n - 1) + all,
        (Engine::Streamlet, true) => 3 * (n + 1) * all + all,
        (Engine::Simplex, false) => others + 2 * all,
        (Engine::Simplex, true) => others + 3 * all,
        (Engine::HotStuff2, _) => 5 * others,
    }
}

/// A block among replicas of which none is faulty.
pub(super) fn sample(engine: Engine, n: usize, relays: bool, seed: u64) -> Sample {
    let mut scenario = Scenario { engine: Some(engine), relays, ..Scenario::client(n, seed, 1, 0, 0) };
    scenario.links.latency = Some(Latency::Constant(LATENCY));
    (scenario.pace.gathering, scenario.pace.writing) = (Duration::ZERO, Duration::ZERO);
    // Nothing is said again, and no host looks after itself.
    scenario.pace.view_timeout = Some(Duration::from_secs(4));
    scenario.pace.housekeeping = Some(Duration::from_secs(3600));
    let begun = Instant::now();
    let report = play(&scenario);
    let wall = begun.elapsed().as_secs_f64() * 1e3;
    let with_client = engine == Engine::Pbft;
    let counted = |kind: &str| {
        let client = ["order", "reply"].contains(&kind);
        !OTHERS.contains(&kind) || (client && with_client)
    };
    let traffic: Vec<_> = report.measured.kinds.iter().filter(|(kind, _)| counted(kind)).map(|(_, it)| *it).collect();
    // The client's request is no round of the protocol.
    let causal = report.measured.rounds.get(&1).map_or(0.0, |rounds| f64::from(rounds.saturating_sub(1)));
    Sample {
        causal,
        rounds: None,
        messages: traffic.iter().map(|it| it.messages).sum(),
        expected: Some(closed_form(engine, n as u64, relays)),
        bits: traffic.iter().map(|it| it.bytes as f64 * 8.0).sum(),
        wall,
        broken: broken(&report).into_iter().collect(),
    }
}

/// Rules that are left out, and what that breaks.
pub(super) const LAPSES: [(Textbook, Lapse, Property); 12] = [
    (Textbook::Streamlet, Lapse::SmallQuorum, Property::Agreement),
    (Textbook::Streamlet, Lapse::WaitsForAll, Property::Termination),
    (Textbook::Streamlet, Lapse::VotesTwice, Property::Innocence),
    (Textbook::Simplex, Lapse::SmallQuorum, Property::Agreement),
    (Textbook::Simplex, Lapse::WaitsForAll, Property::Termination),
    (Textbook::Simplex, Lapse::HelpsNobody, Property::Termination),
    (Textbook::Simplex, Lapse::VotesTwice, Property::Innocence),
    (Textbook::Simplex, Lapse::CommitsEarly, Property::Innocence),
    (Textbook::HotStuff2, Lapse::SmallQuorum, Property::Validity),
    (Textbook::HotStuff2, Lapse::WaitsForAll, Property::Termination),
    (Textbook::HotStuff2, Lapse::VotesTwice, Property::Innocence),
    (Textbook::HotStuff2, Lapse::CommitsEarly, Property::Agreement),
];

/// How people name a lapse of a protocol.
pub(super) fn name(protocol: Textbook, lapse: Lapse) -> &'static str {
    match (lapse, protocol) {
        (Lapse::SmallQuorum, _) => "waits for 2n/3, rounded down",
        (Lapse::WaitsForAll, _) => "waits for everybody",
        (Lapse::VotesTwice, _) => "votes twice a view",
        (Lapse::CommitsEarly, Textbook::Simplex) => "commits after it has nullified",
        (Lapse::CommitsEarly, _) => "commits without a certificate",
        (Lapse::HelpsNobody, _) => "certificates are not sent again",
    }
}
