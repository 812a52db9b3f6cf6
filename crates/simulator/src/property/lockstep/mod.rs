//! Rounds of events in lock step, played: everybody has a secret choice in each round, and liars would like to know that of
//! one of the others before they commit to theirs.

mod liars;
mod watch;

use std::{collections::BTreeMap, time::Duration};

use dtn_consensus::{
    Lockstep, Party,
    lockstep::{self, Answer, Config, Gather, History, Limits, Message, Mode, Record, Rules},
};
use dtn_primitives::{Bytes, ValidatorIndex, codec, keccak256};
use rand::{Rng, rngs::StdRng};

use super::{Case, Lie, Mutant, Property, Textbook};
use crate::{
    Members,
    standalone::{Liar, Report, Setting, Trial},
};

pub use liars::Cheat;
use watch::Watch;

/// Rounds of a case.
pub(super) const ROUNDS: u64 = 24;

/// How many choices there are.
pub const CHOICES: u8 = 64;

/// The longest that a host takes to give its events.
const GATHERING: Duration = Duration::from_millis(5);

/// The deadline of a case whose messages take up to 40 ms.
pub(super) const DEADLINE: Duration = Duration::from_millis(400);

/// How long one waits for rounds to end that need not.
const UNPROMISED: Duration = Duration::from_secs(20);

/// How often a bucket begins, and after how long it is over.
pub(super) const BUCKET: Mode = Mode::Bucket { tick: Duration::from_millis(100), delay: Duration::from_millis(300) };

/// What a peer chooses in a round.
pub fn choice(seed: u64, by: ValidatorIndex, round: u64) -> u8 {
    keccak256(codec::encode(&("choice", seed, by, round)))[0] % CHOICES
}

/// The only event of a correct peer in a round: what it chose in the one before, and what it chooses.
pub fn event(seed: u64, by: ValidatorIndex, round: u64) -> Bytes {
    vec![choice(seed, by, round - 1), choice(seed, by, round)].into()
}

/// What everybody has who plays.
#[derive(Debug, Clone)]
pub struct Table {
    /// What choices follow from.
    pub seed: u64,
    /// How the group goes on.
    pub config: Config,
    /// Whose choices liars would like to know.
    pub victim: ValidatorIndex,
    /// The rules.
    pub rules: Rules,
}

impl Table {
    /// A peer.
    pub fn create(&self, party: Party, records: Vec<Record<History>>) -> Lockstep<History> {
        Lockstep::new(party, self.config, History::default(), records).with_rules(self.rules)
    }

    /// How hosts gather events.
    pub fn answer(&self, me: ValidatorIndex, Gather(round): Gather, rng: &mut StdRng) -> (Duration, Answer) {
        let after = Duration::from_micros(rng.random_range(0..=GATHERING.as_micros() as u64));
        (after, Answer::Events(round, vec![event(self.seed, me, round)]))
    }
}

impl Case {
    /// The rules of its peers.
    fn lockstep_rules(&self) -> Rules {
        Rules {
            waits_for_last: self.mutant != Some(Mutant::LockstepRevealsEarly),
            fresh_salts: self.mutant != Some(Mutant::LockstepReusesSalt),
            seals_place: self.mutant != Some(Mutant::LockstepSealsNoPlace),
            by_beacon: self.mutant != Some(Mutant::LockstepOrdersByPeer),
            drops_excluded: self.mutant != Some(Mutant::LockstepKeepsExcluded),
            in_order: self.mutant != Some(Mutant::LockstepRevealsOutOfOrder),
            compares_views: self.mutant != Some(Mutant::LockstepComparesNoViews),
            forgives_views: self.mutant != Some(Mutant::LockstepAccusesOtherViews),
            excludes: self.mutant != Some(Mutant::LockstepExcludesNobody),
        }
    }

    pub(super) fn lockstep(&self) -> (BTreeMap<Property, String>, u64, Report) {
        let victim = (0..self.n()).find(|who| !self.liars.contains_key(who)).unwrap_or_default();
        let (seed, victim) = (self.setting.seed, ValidatorIndex(victim as u16));
        let table = Table { seed, config: self.lockstep, victim, rules: self.lockstep_rules() };
        let create = |members: &Members, me, records| table.create(self.party(members, me), records);
        let trial = Trial::new(self.setting.clone(), create)
            .answering(|me, gather: &Gather, rng: &mut StdRng| Some(table.answer(me, *gather, rng)));
        let members = Members::new(self.n(), Duration::ZERO);
        let liar = |who: &usize, lie: Lie| -> Liar<Message> {
            let me = self.party(&members, ValidatorIndex(*who as u16));
            match Cheat::of(lie) {
                Some(cheat) => Liar::Own(cheat.adversary(me, table.clone())),
                None => lie.plain().unwrap_or(Liar::Silent),
            }
        };
        let trial = self.liars.iter().fold(trial, |trial, (who, lie)| trial.with(*who, liar(who, *lie)));
        let is_promised = self.liars.is_empty() || self.faulty == 0 || matches!(self.lockstep.mode, Mode::Timed { .. });
        let observer = self.party(&members, victim);
        let mut watch = Watch::new(trial.correct(), table.clone(), observer, is_promised);
        let report = trial.play(&mut watch);
        let round = watch.reached();
        (watch.end(&report), round, report)
    }
}

/// In which mode a case is played that chance chooses, and with how many faulty peers.
pub(super) fn random(n: usize, rng: &mut StdRng) -> (Config, usize) {
    if rng.random_bool(0.4) {
        (timed(), rng.random_range(1..=(n - 1) / 2))
    } else {
        let pipeline = [1, 1, 2, 3][rng.random_range(0..4)];
        (Config { pipeline, rounds: ROUNDS, ..Config::new(Mode::Strict) }, rng.random_range(1..n))
    }
}

/// Some rounds, for which nobody waits for ever, of so few events that hundreds of peers fit into a report.
pub(super) fn timed() -> Config {
    let limits = Limits { events: 2, bytes: 32 };
    Config { rounds: ROUNDS, limits, ..Config::new(Mode::Timed { deadline: DEADLINE }) }
}

/// What the theorem needs and a case does not have, in words.
pub(super) fn assumes(case: &Case) -> Result<(), String> {
    case.lockstep.assumes(case.n(), case.faulty).map_err(|unmet| unmet.to_string())?;
    let lockstep::Mode::Timed { deadline } = case.lockstep.mode else { return Ok(()) };
    if 8 * (case.setting.latency.most() + case.setting.writing) > deadline {
        return Err("a message takes longer than an eighth of a deadline".into());
    }
    if !case.setting.crashes.is_empty() {
        return Err(format!("{} with deadlines takes who was down for faulty", Textbook::Lockstep));
    }
    Ok(())
}

/// Has a mutant meet what its rule is for.
pub(super) fn provoke(case: &mut Case, mutant: Mutant) {
    let lie = match mutant {
        Mutant::LockstepRevealsEarly | Mutant::LockstepReusesSalt | Mutant::LockstepRevealsOutOfOrder => Lie::Peeker,
        Mutant::LockstepSealsNoPlace => Lie::Copier,
        Mutant::LockstepKeepsExcluded => Lie::Refuser,
        _ => return,
    };
    if mutant == Mutant::LockstepKeepsExcluded {
        (case.lockstep, case.setting) = (timed(), Setting::calm(case.n(), case.setting.seed));
    } else {
        (case.lockstep.mode, case.lockstep.pipeline) = (Mode::Strict, 1);
    }
    if mutant == Mutant::LockstepRevealsOutOfOrder {
        case.lockstep.pipeline = 2;
    }
    case.faulty = 1;
    case.liars = BTreeMap::from([(case.sender, lie)]);
}

/// Takes out what so many liars have nothing to lie about with, and waits no longer than it takes where nothing is promised.
pub(super) fn bound(case: &mut Case, liars: usize, lies: &mut Vec<Lie>) {
    if 2 * liars >= case.n() {
        // As many as the others could sign what state they like, and name a correct one.
        lies.retain(|lie| *lie != Lie::Desynced);
    }
    if liars > 0 && case.lockstep.mode == Mode::Strict {
        case.setting.patience = UNPROMISED;
    }
}
