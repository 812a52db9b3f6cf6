//! Lies by name.

use std::{fmt, str::FromStr};

use dtn_consensus::{Message, chained as chains, nakamoto};
use serde_with::{DeserializeFromStr, SerializeDisplay};

use crate::{
    Adversary, Silent, Slow, accomplice, amnesiac, censor, certifier, chained, conspirator, equivocator, exhauster,
    forger, height_liar, miner, permuter, replayer::Replayer, revoter, schemer, slow_primary, spammer, stale,
    withholder::Withholder,
};

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
    /// A miner that keeps its blocks to itself until there are so many, and releases them at once.
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
    pub fn censors(self) -> bool {
        self == Self::Censor
    }

    /// Such a liar, for PBFT; a silent one where it has nothing to lie about.
    pub fn create(self) -> Box<dyn Adversary<Message> + Send> {
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
    pub fn create_chained<R: chains::Rules>(self, seed: u64) -> Box<dyn Adversary<chains::Message> + Send> {
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

    /// Such a liar, for miners that make a block final with PBFT once it has so many confirmations. A withholder releases its
    /// blocks once it has `secret`, or one more than the confirmations.
    pub fn create_miner(self, confirmations: u64, secret: Option<u64>) -> Box<dyn Adversary<nakamoto::Message> + Send> {
        match self {
            Self::Silent => Box::new(Silent),
            Self::Slow => Box::new(Slow),
            Self::Replayer => Box::new(Replayer::default()),
            Self::Forger => Box::new(miner::FalseMiner::new(self.create())),
            Self::MemoryExhauster => Box::new(miner::Rumourmonger::new(self.create())),
            Self::Withholder => Box::new(Withholder::until(secret.unwrap_or(confirmations + 1))),
            Self::SelfishMiner => Box::new(Withholder::selfish(confirmations)),
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

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let known = |kind: &Kind| kind.to_string() == name || (name == "equivocate" && *kind == Self::Equivocator);
        all().find(known).ok_or_else(|| UnknownKind(name.into()))
    }
}
