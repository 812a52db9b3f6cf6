//! The protocols that chain blocks, held to what they promise, and what a block costs in them: in the world of replicas with
//! disks and hosts, with its oracle and its liars.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use dtn_consensus::chained::Lapse;
use dtn_primitives::{max_faulty, quorum};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{Case, Lie, Mutant, Played, Property, Textbook, complexity::Sample};
use crate::{
    Crash, Engine, Group, Latency, Partition, Report, Scenario, Verdict, Violation, When, adversary::Kind, play,
    random::pick,
};

/// How long one waits for what was promised after the last thing that happens to a replica.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long each message takes where it is counted what a block costs.
const LATENCY: Duration = Duration::from_millis(10);

/// Of how many cases one is of a liar with a scheme.
const SCHEMED: u64 = 4;

/// How long a network is parted for a scheme: until the liar leads for the second time.
const SCHEME: Duration = Duration::from_secs(30);

/// How long one waits for a fork after the network is whole again.
const FORKING: Duration = Duration::from_secs(5);

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
            Self::Broadcast | Self::DolevStrong | Self::Agreement | Self::CommonSubset | Self::Lockstep => None,
        }
    }
}

/// The scenario of a seed.
pub(super) fn random(engine: Engine, seed: u64) -> Scenario {
    if engine != Engine::Pbft && seed.is_multiple_of(SCHEMED) {
        return schemed(engine, seed / SCHEMED);
    }
    let mut scenario = Scenario::random_chained(engine, seed);
    scenario.stop.after = Some(PATIENCE);
    scenario
}

/// Nothing happens but that these lie.
pub(super) fn lying(engine: Engine, n: usize, liars: &[(usize, Kind)], seed: u64) -> Scenario {
    let mut scenario = Scenario { engine: Some(engine), ..Scenario::calm(n, seed) };
    scenario.adversaries = liars.iter().copied().collect();
    scenario.beyond_tolerance = liars.len() > scenario.max_faulty();
    scenario.stop.after = Some(PATIENCE);
    scenario
}

/// These cannot hear each other for so long, and all hear the liars and are heard by them.
fn part(scenario: &mut Scenario, groups: [&[usize]; 2], until: Duration) {
    let groups = groups.map(|group| Group::Replicas(group.into())).into();
    let through = scenario.adversaries.keys().copied().collect();
    scenario.partitions = vec![Partition { through, ..Partition::new(Duration::ZERO, until, groups) }];
}

/// The one that leads first has a scheme, and one of the others hears nobody but it. The power of those who hear each other may
/// fail at once.
fn schemed(engine: Engine, seed: u64) -> Scenario {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut scenario = lying(engine, 4, &[(1, Kind::Schemer)], seed);
    let pair = [0, 2];
    part(&mut scenario, [&pair, &[3]], SCHEME);
    if rng.random() {
        let at = When::At(Duration::from_millis(rng.random_range(3_000..6_000)));
        let down = Duration::from_millis(rng.random_range(0..300));
        scenario.crashes = pair.map(|replica| Crash::new(replica, at, Some(down))).into();
    }
    scenario
}

/// More liars than are tolerated, and fewer than a quorum, between two parts of the others: in half of the cases they are a quorum
/// with either.
pub(super) fn outnumbered(engine: Engine, seed: u64) -> Scenario {
    let mut rng = StdRng::seed_from_u64(seed);
    let n = *pick(&mut rng, &[4, 4, 6, 7]);
    let mut order: Vec<_> = (0..n).collect();
    order.shuffle(&mut rng);
    let (liars, others) = order.split_at(rng.random_range(max_faulty(n) + 1..quorum(n)));
    let lies = [Kind::Accomplice, Kind::Equivocator, Kind::Amnesiac, Kind::LyingState, Kind::Revoter];
    let helps = rng.random();
    let liar = |liar: &usize| (*liar, if helps { Kind::Accomplice } else { *pick(&mut rng, &lies) });
    let mut scenario = lying(engine, n, &liars.iter().map(liar).collect::<Vec<_>>(), seed);
    let (some, rest) = others.split_at(rng.random_range(1..others.len()));
    part(&mut scenario, [some, rest], SCHEME);
    scenario.stop.after = Some(FORKING);
    scenario
}

/// A quorum of liars has two replicas decide two blocks without contradicting itself.
pub(super) fn conspiring(engine: Engine, seed: u64) -> Scenario {
    let liars = [2, 3, 4, 5].map(|liar| (liar, Kind::Conspirator));
    let mut scenario = lying(engine, 6, &liars, seed);
    part(&mut scenario, [&[0], &[1]], SCHEME);
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

/// Whether a replica lies, or its disk is not its own any more.
fn is_faulty(scenario: &Scenario, replica: usize) -> bool {
    scenario.adversaries.contains_key(&replica) || scenario.forgetful().any(|it| it == replica)
}

/// How many are faulty.
pub(super) fn faulty(scenario: &Scenario) -> usize {
    (0..scenario.n).filter(|replica| is_faulty(scenario, *replica)).count()
}

/// How many were convicted, if replicas decided differently.
fn convicted(report: &Report) -> Option<usize> {
    let forked = matches!(report.verdict, Verdict::Diverged(Violation::Forked { .. }));
    forked.then_some(report.culprits.len())
}

/// What a run broke.
fn broken(scenario: &Scenario, report: &Report) -> BTreeMap<Property, String> {
    let how = report.offence.as_ref().map_or_else(String::new, |offence| offence.what.clone());
    let mut broken = BTreeMap::new();
    match &report.verdict {
        Verdict::Pass => {}
        Verdict::NoProgress => _ = broken.insert(Property::Termination, how.clone()),
        Verdict::Diverged(violation) => _ = broken.insert(breaks(violation), how.clone()),
    }
    for violation in &report.suspended {
        broken.entry(breaks(violation)).or_insert_with(|| violation.to_string());
    }
    let culprits: Vec<_> = report.culprits.iter().map(|it| it.validator().as_usize()).collect();
    if let Some(innocent) = culprits.iter().find(|who| !is_faulty(scenario, **who)) {
        broken.entry(Property::Innocence).or_insert_with(|| format!("{innocent} is convicted, and did not lie"));
    }
    let least = max_faulty(scenario.n) + 1;
    if let Some(convicted) = convicted(report) {
        let names = culprits.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let how = format!("{how}; convicted: {}", if names.is_empty() { "nobody" } else { &names });
        if convicted < least {
            broken.insert(Property::Accountability, format!("{how}, of {least}"));
        }
        broken.insert(Property::Agreement, how);
    }
    broken
}

fn breaks(violation: &Violation) -> Property {
    match violation {
        Violation::Forked { .. }
        | Violation::Divided { .. }
        | Violation::StatesDiffer { .. }
        | Violation::TwoStates(_) => Property::Agreement,
        Violation::Accused(_) | Violation::Contradicted { .. } | Violation::Blamed { .. } => Property::Innocence,
        _ => Property::Validity,
    }
}

impl Case {
    /// Plays a protocol that chains blocks.
    pub(super) fn play_chain(&self, scenario: &Scenario) -> Played {
        let lapse = if let Some(Mutant::Lapse(_, lapse)) = self.mutant { Some(lapse) } else { None };
        let report = play(&Scenario { lapse, ..scenario.clone() });
        Played {
            broken: broken(scenario, &report),
            assumptions: self.assumes(),
            witnessed: self.is_witnessed(),
            convicted: convicted(&report),
            round: 0,
            report: None,
        }
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
        broken: broken(&scenario, &report).into_iter().collect(),
    }
}

/// Rules that are left out, and what that breaks.
pub(super) const LAPSES: [(Textbook, Lapse, Property); 21] = [
    (Textbook::Pbft, Lapse::KeepsCertificates, Property::Accountability),
    (Textbook::Streamlet, Lapse::SmallQuorum, Property::Agreement),
    (Textbook::Streamlet, Lapse::WaitsForAll, Property::Termination),
    (Textbook::Streamlet, Lapse::VotesTwice, Property::Innocence),
    (Textbook::Streamlet, Lapse::VotesBelow, Property::Agreement),
    (Textbook::Streamlet, Lapse::CommitsEarly, Property::Agreement),
    (Textbook::Streamlet, Lapse::ForgetsTip, Property::Agreement),
    (Textbook::Simplex, Lapse::SmallQuorum, Property::Agreement),
    (Textbook::Simplex, Lapse::WaitsForAll, Property::Termination),
    (Textbook::Simplex, Lapse::HelpsNobody, Property::Termination),
    (Textbook::Simplex, Lapse::VotesTwice, Property::Innocence),
    (Textbook::Simplex, Lapse::CommitsEarly, Property::Innocence),
    (Textbook::Simplex, Lapse::VotesBelow, Property::Agreement),
    (Textbook::Simplex, Lapse::KeepsCertificates, Property::Accountability),
    (Textbook::HotStuff2, Lapse::SmallQuorum, Property::Agreement),
    (Textbook::HotStuff2, Lapse::WaitsForAll, Property::Termination),
    (Textbook::HotStuff2, Lapse::VotesTwice, Property::Innocence),
    (Textbook::HotStuff2, Lapse::CommitsEarly, Property::Agreement),
    (Textbook::HotStuff2, Lapse::VotesBelow, Property::Agreement),
    (Textbook::HotStuff2, Lapse::ForgetsTip, Property::Agreement),
    (Textbook::HotStuff2, Lapse::KeepsCertificates, Property::Accountability),
];

/// How people name a lapse of a protocol.
pub(super) fn name(protocol: Textbook, lapse: Lapse) -> &'static str {
    match (lapse, protocol) {
        (Lapse::SmallQuorum, _) => "waits for 2n/3, rounded down",
        (Lapse::WaitsForAll, _) => "waits for everybody",
        (Lapse::VotesTwice, _) => "votes twice a view",
        (Lapse::CommitsEarly, Textbook::Streamlet) => "takes two in a row for final",
        (Lapse::CommitsEarly, Textbook::Simplex) => "commits after it has nullified",
        (Lapse::CommitsEarly, _) => "commits without a certificate",
        (Lapse::HelpsNobody, _) => "certificates are not sent again",
        (Lapse::KeepsCertificates, _) => "keeps nothing but certificates",
        (Lapse::VotesBelow, Textbook::Streamlet) => "votes for a shorter chain",
        (Lapse::VotesBelow, Textbook::Simplex) => "votes over a view that nobody gave up",
        (Lapse::VotesBelow, _) => "votes below its lock",
        (Lapse::ForgetsTip, Textbook::Streamlet) => "forgets the longest chain when it restarts",
        (Lapse::ForgetsTip, _) => "forgets its lock when it restarts",
    }
}
