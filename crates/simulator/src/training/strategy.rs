//! What accounts do that do not do as they should, each by its name.

use std::{fmt, str::FromStr};

use serde::Serialize;
use serde_with::{DeserializeFromStr, SerializeDisplay};

/// In which part of an order a strategy differs from an honest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Who orders and pays.
    Requester,
    /// Who trains and claims.
    Worker,
    /// A validator that the order draws.
    Member,
    /// Anybody who looks on.
    Challenger,
}

/// What an account does. One that deviates in one role is honest in all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub enum Strategy {
    /// Does its work, says what it has found, and challenges what is false where it has looked anyway.
    Honest,
    /// Claims a copy of a better model that it has from elsewhere, with the copied trace. The seed has the worker in it, so
    /// no segment of the copy leads where it should: its first auditor sees it.
    Thief,
    /// Trains as it should but for one segment, which ends in a better state than it leads to. Every segment of a leader
    /// is audited, and whoever has trained it again knows.
    Forger,
    /// Trains half of its run, and goes on with the trace of a better one: all segments from there on are false, and seen as
    /// a forger's is.
    Splicer,
    /// Trains on the rows that everybody knows at last: its last segment is false, and the rows that decide are drawn after
    /// it has committed.
    TestTrainer,
    /// Shows no trace when it leads. The next best leads, and its stake pays for the wait.
    Withholder,
    /// Claims without a model, to keep others out, and reveals nothing: each claim stakes, and there is room for many.
    ClaimSpammer,
    /// Trains three times and claims the best by the rows that everybody knows: each try costs a training, and the rows that
    /// decide are others.
    Grinder,
    /// Trains and claims three times, as three persons would: each claim stakes and trains for itself, and only one wins.
    Sybil,
    /// Holds out rows that nobody gets right, to have the models for nothing. The rows that everybody knows show it, and
    /// decide.
    Poisoner,
    /// Does not open the drawn rows. The rows that everybody knows decide, and its deposit is the workers'.
    RowWithholder,
    /// States the scores of another member without a look at a model. A statement that only the work shows is bound to who
    /// makes it: what is copied is refused, what is invented challenged.
    ScoreCopier,
    /// Evaluates, and states about segments what it has not trained again. Another auditor of the same segment knows what the
    /// work shows.
    Lazy,
    /// States with others of its kind that the last claim is the best of all. One who states otherwise has all peers rule.
    Liar,
    /// States nothing. Each thing that is due and does not come costs a tenth of its stake.
    Idle,
    /// Challenges what is true. Each time costs a bond, which is more than what all peers spend on the ruling.
    Spammer,
}

/// All of them with their names.
const NAMES: [(Strategy, &str, Role); 16] = [
    (Strategy::Honest, "honest", Role::Worker),
    (Strategy::Thief, "thief", Role::Worker),
    (Strategy::Forger, "forger", Role::Worker),
    (Strategy::Splicer, "splicer", Role::Worker),
    (Strategy::TestTrainer, "test-trainer", Role::Worker),
    (Strategy::Withholder, "withholder", Role::Worker),
    (Strategy::ClaimSpammer, "claim-spammer", Role::Worker),
    (Strategy::Grinder, "grinder", Role::Worker),
    (Strategy::Sybil, "sybil", Role::Worker),
    (Strategy::Poisoner, "poisoner", Role::Requester),
    (Strategy::RowWithholder, "row-withholder", Role::Requester),
    (Strategy::ScoreCopier, "score-copier", Role::Member),
    (Strategy::Lazy, "lazy", Role::Member),
    (Strategy::Liar, "liar", Role::Member),
    (Strategy::Idle, "idle", Role::Member),
    (Strategy::Spammer, "spammer", Role::Challenger),
];

/// There is no strategy of that name.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0:?} is no strategy: there are {names}", names = names())]
pub struct UnknownStrategy(String);

fn names() -> String {
    Strategy::deviations().map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
}

impl Strategy {
    /// All but the honest one.
    pub fn deviations() -> impl Iterator<Item = Self> {
        NAMES.into_iter().map(|(strategy, _, _)| strategy).filter(|strategy| *strategy != Self::Honest)
    }

    /// Where it differs.
    pub fn role(self) -> Role {
        NAMES.into_iter().find(|(strategy, _, _)| *strategy == self).map_or(Role::Worker, |(_, _, role)| role)
    }

    /// What it does in a role: as it is if it differs there, otherwise honest.
    pub(super) fn within(self, role: Role) -> Self {
        if self.role() == role { self } else { Self::Honest }
    }

    /// How many claims it makes.
    pub(super) fn claims(self) -> usize {
        if self == Self::Sybil { 3 } else { 1 }
    }

    /// Whether it breaks no rule: it may do better or worse than others, and is not slashed.
    pub fn is_fair(self) -> bool {
        matches!(self, Self::Honest | Self::Grinder | Self::Sybil)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.into_iter().find(|(strategy, _, _)| strategy == self).map_or("honest", |(_, name, _)| name))
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, UnknownStrategy> {
        let known = NAMES.into_iter().find(|(_, known, _)| *known == name);
        known.map(|(strategy, _, _)| strategy).ok_or_else(|| UnknownStrategy(name.into()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requester => "requester",
            Self::Worker => "worker",
            Self::Member => "member",
            Self::Challenger => "challenger",
        })
    }
}

/// What colluders do once they see that an auditor of their false segment is none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, SerializeDisplay, DeserializeFromStr)]
pub enum Tactic {
    /// Hope, and lose the stake: the closed form's.
    #[default]
    Stay,
    /// Do not reveal: the committee is known before, and who is late loses a part of the stake only.
    Quit,
    /// Challenge the own segment before anybody else has trained it again, for half of the stake and the bounty.
    Denounce,
}

impl Tactic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stay, Self::Quit, Self::Denounce];
}

impl fmt::Display for Tactic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stay => "stay",
            Self::Quit => "quit",
            Self::Denounce => "denounce",
        })
    }
}

impl FromStr for Tactic {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|tactic| tactic.to_string() == name);
        known.ok_or_else(|| format!("{name:?} is no tactic: there are stay, quit, denounce"))
    }
}
