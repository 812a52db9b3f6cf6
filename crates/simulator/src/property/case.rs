//! What is played: a protocol, who lies, and what happens to the replicas.

use std::{collections::BTreeMap, time::Duration};

use dtn_consensus::{
    Agreement, Broadcast, CommonSubset, DolevStrong, Unmet,
    chained::Lapse,
    lockstep::{Config, Mode},
};
use dtn_primitives::{max_faulty, quorum};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{Course, Lie, Mutant, Textbook, chains, lockstep};
use crate::{Latency, Scenario, random::pick, standalone::Setting};

/// A round in lock step.
pub(super) const DELTA: Duration = Duration::from_millis(50);

/// The longest that a message takes where it may take all of a round.
const WITHIN_DELTA: Duration = Duration::from_millis(40);

/// Of how many cases of binary agreement one is scheduled by somebody who plans.
const SCHEDULED: u64 = 4;

/// How long one waits for what was promised after the last thing that happens to a replica.
const PATIENCE: Duration = Duration::from_secs(200);

/// Rounds after which one that is scheduled counts as undecided: with a coin that the scheduler cannot know, the chance of so
/// many is 2⁻⁴⁰.
const UNDECIDED: u64 = 40;

/// Binary agreement among three correct replicas and a liar, or two and two, whose messages somebody delivers who plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// The plan.
    pub course: Course,
    /// Rounds after which it counts as undecided.
    pub rounds: u64,
}

/// A protocol, and what happens to it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Which protocol.
    pub protocol: Textbook,
    /// How many faulty replicas it is made for, f.
    pub faulty: usize,
    /// Who lies, and how.
    pub liars: BTreeMap<usize, Lie>,
    /// Who has something to say, where one has.
    pub sender: usize,
    /// What each begins with, where each has something.
    pub values: Vec<bool>,
    /// A rule that is left out.
    pub mutant: Option<Mutant>,
    /// What happens to the network and to machines.
    pub setting: Setting,
    /// One that begins so late, where all are to begin together.
    pub late: Option<(usize, Duration)>,
    /// Somebody plans when messages arrive, instead of what the setting says.
    pub scheduled: Option<Scheduled>,
    /// How rounds of events go on.
    pub lockstep: Config,
    /// What happens, where the protocol chains blocks: nothing of what is said above then, but for how many it is made and the
    /// rule that is left out.
    pub chain: Option<Box<Scenario>>,
}

impl Case {
    /// Nothing happens, and nobody lies, among so many.
    pub fn calm(protocol: Textbook, n: usize, seed: u64) -> Self {
        let mut setting = Setting::calm(n, seed);
        setting.patience = PATIENCE;
        Self {
            protocol,
            faulty: max_faulty(n),
            liars: BTreeMap::new(),
            sender: 0,
            values: vec![true; n],
            mutant: None,
            setting,
            late: None,
            scheduled: None,
            lockstep: Config { rounds: lockstep::ROUNDS, ..Config::new(Mode::Strict) },
            chain: None,
        }
    }

    /// A protocol that chains blocks in a scenario.
    pub fn chained(protocol: Textbook, scenario: Scenario) -> Self {
        let case = Self::calm(protocol, scenario.n, scenario.seed);
        Self { chain: Some(Box::new(scenario)), ..case }
    }

    /// What the seed says, all of it inside the assumptions of the theorem.
    pub fn random(protocol: Textbook, seed: u64) -> Self {
        if let Some(engine) = protocol.engine() {
            return Self::chained(protocol, chains::random(engine, seed));
        }
        let mut rng = StdRng::seed_from_u64(seed);
        let n = *pick(&mut rng, &[4, 4, 5, 6, 7]);
        let mut case = Self::calm(protocol, n, seed);
        let mut lies = match protocol {
            Textbook::Broadcast => Lie::BROADCAST.to_vec(),
            Textbook::DolevStrong => Lie::LOCK_STEP.to_vec(),
            Textbook::Lockstep => Lie::EVENTS.to_vec(),
            Textbook::CommonSubset => Lie::COMMON_SUBSET.to_vec(),
            _ => Lie::AGREEMENT.to_vec(),
        };
        if protocol == Textbook::DolevStrong {
            case.faulty = rng.random_range(1..n);
            case.setting.latency = Latency::Uniform { least: Duration::ZERO, most: WITHIN_DELTA };
        } else if protocol == Textbook::Lockstep {
            (case.lockstep, case.faulty) = lockstep::random(n, &mut rng);
            if case.lockstep.mode == Mode::Strict {
                case.setting = Setting { patience: PATIENCE, ..Setting::random(n, seed) };
            }
        } else {
            case.setting = Setting { patience: PATIENCE, ..Setting::random(n, seed) };
        }
        case.sender = rng.random_range(0..n);
        case.values = if rng.random_bool(0.3) { vec![rng.random(); n] } else { (0..n).map(|_| rng.random()).collect() };
        let mut order: Vec<_> = (0..n).collect();
        order.shuffle(&mut rng);
        let most = case.faulty.min(n - 2);
        let liars = if rng.random_bool(0.2) { rng.random_range(0..=most) } else { most };
        if protocol == Textbook::Lockstep {
            lockstep::bound(&mut case, liars, &mut lies);
        }
        // A lie that all tell is worth more than many.
        let common = *pick(&mut rng, &lies);
        let mut lie = || if rng.random_bool(0.7) { common } else { *pick(&mut rng, &lies) };
        case.liars = order.into_iter().take(liars).map(|who| (who, lie())).collect();
        if protocol == Textbook::Agreement && seed.is_multiple_of(SCHEDULED) {
            let course = *pick(&mut rng, &[Course::CoinReader, Course::Clairvoyant, Course::ShareForger]);
            case.scheduled = Some(Scheduled { course, rounds: UNDECIDED });
            (case.setting.n, case.faulty) = (4, 1);
            case.liars.clear();
        }
        case
    }

    /// More liars than are tolerated, and fewer than a quorum, in a network that lets them play the others off against each other:
    /// what accountability is about. `None` where the protocol does not agree on blocks.
    pub fn outnumbered(protocol: Textbook, seed: u64) -> Option<Self> {
        Some(Self::chained(protocol, chains::outnumbered(protocol.engine()?, seed)))
    }

    /// Among so many replicas of a protocol that is made for so many faulty ones, as many as this tell this lie: the last
    /// ones, the last of all being the sender if a sender tells it.
    pub fn chosen(protocol: Textbook, (n, faulty): (usize, usize), (liars, lie): (usize, Lie), seed: u64) -> Self {
        if let Some(engine) = protocol.engine() {
            let lying: Vec<_> = (n.saturating_sub(liars)..n).map(|who| (who, chains::kind(lie))).collect();
            return Self { faulty, ..Self::chained(protocol, chains::lying(engine, n, &lying, seed)) };
        }
        let mut case = Self::calm(protocol, n, seed);
        case.faulty = faulty;
        case.liars = (n.saturating_sub(liars)..n).map(|who| (who, lie)).collect();
        case.sender = if lie.is_senders() && liars > 0 { n - 1 } else { 0 };
        let mut rng = StdRng::seed_from_u64(seed);
        case.values = (0..n).map(|_| rng.random()).collect();
        match protocol {
            Textbook::DolevStrong => {
                case.setting.latency = Latency::Uniform { least: Duration::ZERO, most: WITHIN_DELTA };
            }
            Textbook::Lockstep => case.lockstep = lockstep::timed(),
            _ => case.setting = Setting { patience: PATIENCE, ..Setting::random(n, seed) },
        }
        case
    }

    /// The same, with a rule left out. Where the rule is one that is needed against a certain lie only, the liars tell that
    /// in most cases.
    #[must_use]
    pub fn with(mut self, mutant: Mutant) -> Self {
        self.mutant = Some(mutant);
        lockstep::provoke(&mut self, mutant);
        let (lapse, seed) = (if let Mutant::Lapse(_, lapse) = mutant { Some(lapse) } else { None }, self.setting.seed);
        let provoked = self.protocol.engine().and_then(|engine| match lapse? {
            Lapse::SmallQuorum => Some(chains::parted(engine, seed)),
            Lapse::KeepsCertificates => Some(chains::outnumbered(engine, seed)),
            _ => None,
        });
        if let Some(scenario) = provoked {
            (self.setting.n, self.faulty) = (scenario.n, scenario.max_faulty());
            self.chain = Some(Box::new(scenario));
        }
        if mutant == Mutant::LockStepTellsFew {
            // All whom the victim hears of lie, and the sender with them.
            let n = self.setting.n.max(5);
            self.setting.n = n;
            let told_by = n - 1;
            (self.sender, self.faulty) = (told_by - 1, 2);
            self.liars = BTreeMap::from([(told_by, Lie::Isolator), (told_by - 1, Lie::Isolator)]);
        }
        self
    }

    /// The number of replicas.
    pub fn n(&self) -> usize {
        self.setting.n
    }

    /// How many replicas are faulty.
    pub fn actually_faulty(&self) -> usize {
        let lying = self.chain.as_deref().map_or(self.liars.len(), chains::faulty);
        self.scheduled.map_or(lying, |scheduled| scheduled.course.liars())
    }

    /// Whether there is somebody in every quorum who would tell what it has heard. The error says in words what is not so.
    pub fn is_witnessed(&self) -> Result<(), String> {
        let (liars, quorum) = (self.actually_faulty(), quorum(self.n()));
        let is_quorum = || format!("{quorum} of {} are a quorum, and {liars} are faulty", self.n());
        if liars < quorum { Ok(()) } else { Err(is_quorum()) }
    }

    /// Whether the theorem is about this case. The error says in words what it needs.
    pub fn assumes(&self) -> Result<(), String> {
        let (n, faulty) = (self.n(), self.faulty);
        match self.protocol {
            Textbook::Broadcast => Broadcast::assumes(n, faulty),
            Textbook::DolevStrong => DolevStrong::assumes(n, faulty),
            Textbook::Agreement => Agreement::<super::Ideal>::assumes(n, faulty),
            Textbook::CommonSubset => CommonSubset::<super::Ideal>::assumes(n, faulty),
            Textbook::Lockstep => Ok(()),
            _ if n > 3 * faulty => Ok(()),
            _ => {
                let (theorem, condition) =
                    ("Dwork, Lynch & Stockmeyer 1988", "more than three times as many replicas as faulty ones");
                Err(Unmet { protocol: self.protocol.name(), n, faulty, theorem, condition })
            }
        }
        .map_err(|unmet| unmet.to_string())?;
        if self.protocol == Textbook::Lockstep {
            lockstep::assumes(self)?;
        }
        let liars = self.actually_faulty();
        if liars > faulty {
            return Err(format!("{} is made for {faulty} faulty replicas, and {liars} are", self.protocol));
        }
        if self.protocol == Textbook::DolevStrong {
            if self.setting.latency.most() >= DELTA {
                return Err("a message takes longer than a round".into());
            }
            if self.late.is_some() {
                return Err("not all begin together".into());
            }
        }
        Ok(())
    }
}
