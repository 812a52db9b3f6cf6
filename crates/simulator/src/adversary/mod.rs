//! Liars among the replicas.
//!
//! In a liar's place a correct replica runs, and the liar decides what becomes of what that replica would say: so a liar
//! knows what a correct one knows and is where the others are, and its lies are about what happens.

mod accomplice;
mod amnesiac;
mod censor;
mod certifier;
mod chained;
mod conspirator;
mod equivocator;
mod exhauster;
mod forger;
mod height_liar;
mod miner;
mod permuter;
mod replayer;
mod revoter;
mod schemer;
mod silent;
mod slow;
mod slow_primary;
mod spammer;
mod stale;
mod withholder;

use std::{fmt, str::FromStr, time::Duration};

use dtn_consensus::{Decision, Message, chained as chains, nakamoto};
use dtn_primitives::ValidatorIndex;
use rand::rngs::StdRng;
use serde_with::{DeserializeFromStr, SerializeDisplay};

use crate::{Members, Miners};

pub(crate) use self::{replayer::Replayer, silent::Silent, slow::Slow};

/// Which lie an adversary tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SerializeDisplay, DeserializeFromStr)]
pub enum Kind {
    /// Says different things to different replicas: as the primary two blocks, otherwise votes for both.
    Equivocator,
    /// Says nothing.
    Silent,
    /// Says everything as late as it may.
    Slow,
    /// Says again what it and others said long ago, to everyone.
    Replayer,
    /// Changes others' messages, and signs in their names.
    Forger,
    /// Votes in all views but the one that the others are in.
    WrongViewSpammer,
    /// Sends as much as it can that has to be kept: every height, every view, huge messages.
    MemoryExhauster,
    /// Leaves views with certificates of what nobody prepared, and begins its own with that.
    FalseCertifier,
    /// Leaves views as if it had decided and prepared nothing, and begins its own with that.
    LyingState,
    /// Gives the same block to some in another order of its transactions.
    Permuter,
    /// As the primary leaves out one client's requests for ever, while it proposes those of others.
    Censor,
    /// Tells heights that nobody is at.
    HeightLiar,
    /// Begins views with what a replica asked for before it lost its disk.
    Amnesiac,
    /// As the primary proposes as late as it can without losing its view.
    SlowPrimary,
    /// As the primary has a replica that lost its disk vote again, for another block.
    Revoter,
    /// As the leader plays out, with one replica cut off, what a rule of a protocol that chains blocks is there to prevent.
    Schemer,
    /// Says to each of the others what that one has said itself.
    Accomplice,
    /// One of the last so many that are a quorum, who have the second replica decide another block than the others and contradict
    /// themselves in nothing.
    Conspirator,
    /// A miner that keeps its blocks to itself until there are so many ([`Miners::secret`]), and releases them at once.
    Withholder,
    /// A miner that releases its blocks when that makes most of others' work useless (Eyal & Sirer, "Majority is not
    /// Enough: Bitcoin Mining is Vulnerable", 2014, Algorithm 1).
    SelfishMiner,
}

impl Kind {
    /// Every kind that lies in any protocol.
    pub const ALL: [Self; 15] = [
        Self::Equivocator,
        Self::Silent,
        Self::Slow,
        Self::Replayer,
        Self::Forger,
        Self::WrongViewSpammer,
        Self::MemoryExhauster,
        Self::FalseCertifier,
        Self::LyingState,
        Self::Permuter,
        Self::Censor,
        Self::HeightLiar,
        Self::Amnesiac,
        Self::SlowPrimary,
        Self::Revoter,
    ];

    /// Every kind whose lie takes a certain network or certain others, which is said where it is played.
    pub const AIMED: [Self; 3] = [Self::Schemer, Self::Accomplice, Self::Conspirator];

    /// Every kind that lies where blocks are mined.
    pub const MINERS: [Self; 2] = [Self::Withholder, Self::SelfishMiner];

    /// Whether such a liar has something to lie about only where blocks are mined.
    pub fn mines(self) -> bool {
        Self::MINERS.contains(&self)
    }

    /// Whether such a liar's host leaves out a client's requests.
    pub(crate) fn censors(self) -> bool {
        self == Self::Censor
    }

    /// Such a liar, for PBFT; a silent one where it has nothing to lie about.
    pub fn create(self) -> Box<dyn Adversary<Message>> {
        match self {
            Self::Equivocator => Box::new(equivocator::Equivocator::default()),
            Self::Silent | Self::Withholder | Self::SelfishMiner | Self::Schemer => Box::new(Silent),
            Self::Slow => Box::new(Slow),
            Self::Replayer => Box::new(Replayer::default()),
            Self::Forger => Box::new(forger::Forger::default()),
            Self::WrongViewSpammer => Box::new(spammer::WrongViewSpammer),
            Self::MemoryExhauster => Box::new(exhauster::MemoryExhauster),
            Self::FalseCertifier => Box::new(certifier::FalseCertifier),
            Self::LyingState => Box::new(stale::LyingState::default()),
            Self::Permuter => Box::new(permuter::Permuter),
            Self::Censor => Box::new(censor::Censor),
            Self::HeightLiar => Box::new(height_liar::HeightLiar),
            Self::Amnesiac => Box::new(amnesiac::Amnesiac::default()),
            Self::SlowPrimary => Box::new(slow_primary::SlowPrimary),
            Self::Revoter => Box::new(revoter::Revoter::default()),
            Self::Accomplice => Box::new(accomplice::Accomplice::default()),
            Self::Conspirator => Box::new(conspirator::Conspirator),
        }
    }

    /// Such a liar, for replicas that chain blocks by these rules; a silent one in the place of a miner. Of several schemes the
    /// seed says which.
    pub fn create_chained<R: chains::Rules>(self, seed: u64) -> Box<dyn Adversary<chains::Message>> {
        match self {
            Self::Equivocator => Box::new(chained::TwoFaced::default()),
            Self::Silent | Self::Withholder | Self::SelfishMiner => Box::new(Silent),
            Self::Slow => Box::new(Slow),
            Self::Replayer => Box::new(Replayer::default()),
            Self::Forger => Box::new(chained::Forger::default()),
            Self::WrongViewSpammer => Box::new(chained::Spammer),
            Self::MemoryExhauster => Box::new(chained::Exhauster),
            Self::FalseCertifier => Box::new(chained::FalseNotary),
            Self::LyingState => Box::new(chained::StaleLeader::default()),
            Self::Permuter => Box::new(chained::Shuffler),
            Self::Censor => Box::new(censor::Censor),
            Self::HeightLiar => Box::new(height_liar::HeightLiar),
            Self::Amnesiac => Box::new(chained::Unbound::default()),
            Self::SlowPrimary => Box::new(chained::SlowLeader),
            Self::Revoter => Box::new(chained::Selective),
            Self::Schemer => Box::new(schemer::Schemer::new::<R>(seed)),
            Self::Accomplice => Box::new(accomplice::Accomplice::default()),
            Self::Conspirator => Box::new(conspirator::Conspirator),
        }
    }

    /// Such a liar, for miners that make blocks final with PBFT.
    pub fn create_miner(self, miners: &Miners) -> Box<dyn Adversary<nakamoto::Message>> {
        match self {
            Self::Silent => Box::new(Silent),
            Self::Slow => Box::new(Slow),
            Self::Replayer => Box::new(Replayer::default()),
            Self::Forger => Box::new(miner::FalseMiner::new(self.create())),
            Self::MemoryExhauster => Box::new(miner::Rumourmonger::new(self.create())),
            Self::Withholder => Box::new(withholder::Withholder::until(miners)),
            Self::SelfishMiner => Box::new(withholder::Withholder::selfish(miners)),
            Self::HeightLiar => Box::new(height_liar::HeightLiar),
            Self::Censor => Box::new(censor::Censor),
            Self::Equivocator
            | Self::WrongViewSpammer
            | Self::FalseCertifier
            | Self::LyingState
            | Self::Permuter
            | Self::Amnesiac
            | Self::SlowPrimary
            | Self::Revoter
            | Self::Schemer
            | Self::Accomplice
            | Self::Conspirator => Box::new(miner::Finalizing(self.create())),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equivocator => "equivocator",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Replayer => "replayer",
            Self::Forger => "forger",
            Self::WrongViewSpammer => "wrong-view-spammer",
            Self::MemoryExhauster => "memory-exhauster",
            Self::FalseCertifier => "false-certifier",
            Self::LyingState => "lying-state",
            Self::Permuter => "permuter",
            Self::Censor => "censor",
            Self::HeightLiar => "height-liar",
            Self::Amnesiac => "amnesiac",
            Self::SlowPrimary => "slow-primary",
            Self::Revoter => "revoter",
            Self::Schemer => "schemer",
            Self::Accomplice => "accomplice",
            Self::Conspirator => "conspirator",
            Self::Withholder => "withholder",
            Self::SelfishMiner => "selfish-miner",
        })
    }
}

fn all() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().chain(Kind::AIMED).chain(Kind::MINERS)
}

/// There is no adversary of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no adversary {0}; there are {names}", names = all().map(|kind| kind.to_string()).collect::<Vec<_>>().join(", "))]
pub struct UnknownKind(String);

/// Liars in a file: a list of who lies, and how.
pub(crate) mod list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::Kind;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Liar {
        replica: usize,
        behaviour: Kind,
    }

    pub(crate) fn serialize<S: Serializer>(liars: &BTreeMap<usize, Kind>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_seq(liars.iter().map(|(replica, behaviour)| Liar { replica: *replica, behaviour: *behaviour }))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<usize, Kind>, D::Error> {
        let mut liars = BTreeMap::new();
        for Liar { replica, behaviour } in Vec::deserialize(deserializer)? {
            if liars.insert(replica, behaviour).is_some() {
                return Err(D::Error::custom(format!("replica {replica} lies in one way only")));
            }
        }
        Ok(liars)
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let known = |kind: &Kind| kind.to_string() == name || (name == "equivocate" && *kind == Self::Equivocator);
        all().find(known).ok_or_else(|| UnknownKind(name.into()))
    }
}

/// What an adversary has to lie with.
pub struct Context<'a> {
    /// In whose place it is; the only key that it uses.
    pub me: ValidatorIndex,
    /// Everyone.
    pub members: &'a Members,
    /// Its dice.
    pub rng: &'a mut StdRng,
}

/// A message that an adversary sends.
#[derive(Debug, Clone)]
pub struct Outgoing<M> {
    /// To whom.
    pub to: ValidatorIndex,
    /// What.
    pub message: M,
    /// What the link takes longer than it would.
    pub delay: Duration,
}

impl<M: Clone> Outgoing<M> {
    /// Without delay.
    pub fn new(to: ValidatorIndex, message: M) -> Self {
        Self { to, message, delay: Duration::ZERO }
    }

    /// To every other replica.
    pub fn to_all(message: &M, context: &Context<'_>) -> Vec<Self> {
        context.members.others(context.me).map(|to| Self::new(to, message.clone())).collect()
    }
}

/// A liar that speaks a protocol.
pub trait Adversary<M> {
    /// What it says instead of what a correct replica would.
    fn instead(&mut self, to: ValidatorIndex, message: M, context: &mut Context<'_>) -> Vec<Outgoing<M>>;

    /// What it says when it hears something.
    fn heard(&mut self, _from: ValidatorIndex, _message: &M, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        Vec::new()
    }

    /// What it says unasked, now and then, given the height and view that it is at.
    fn unasked(&mut self, _height: u64, _view: u64, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        Vec::new()
    }

    /// What it tells a replica instead of the height that it is at, when a correct one would tell that.
    fn height(&mut self, _own: u64, _to: ValidatorIndex) -> Option<u64> {
        None
    }

    /// What it gives a replica that fell behind instead of these decided blocks.
    fn blocks(&mut self, _decided: &[Decision], _context: &mut Context<'_>) -> Option<Vec<Decision>> {
        None
    }

    /// Whether it asks others for what they have decided without it.
    fn catches_up(&self) -> bool {
        false
    }
}
