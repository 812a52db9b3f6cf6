//! What peers say in a round, and what proves that one lies.

use dtn_primitives::{B256, Signature, ValidatorIndex};
use serde::{Deserialize, Serialize};

use super::Limits;
use crate::{
    Party, SignatureChain,
    sealed::{Opening, Place},
    signature_chain::ChainError,
};

/// The name under which everything is signed, and which peers that speak it have in common.
pub(super) const NAME: &str = "lockstep/1";

/// That a peer has chosen its events of a round, and what it takes the state for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The round, from 1.
    pub round: u64,
    /// Whose it is.
    pub by: ValidatorIndex,
    /// H(salt ‖ events ‖ group ‖ round ‖ peer).
    pub seal: B256,
    /// The digest of the state after the last round that was over: the one before, or as many before as are under way.
    pub state: B256,
    /// Over all of it.
    pub signature: Signature,
}

/// A peer's events of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reveal {
    /// The round.
    pub round: u64,
    /// Whose it is.
    pub by: ValidatorIndex,
    /// The events, and the salt of their seal.
    pub opening: Opening,
    /// The hash of all the seals that it waited for: peers that were told different ones notice.
    pub view: B256,
    /// Over all of it.
    pub signature: Signature,
}

/// That a peer has waited for another until a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeout {
    /// The round.
    pub round: u64,
    /// How many had been excluded before.
    pub attempt: u64,
    /// Who was waited for.
    pub accused: ValidatorIndex,
    /// Who has waited.
    pub by: ValidatorIndex,
    /// Over all of it.
    pub signature: Signature,
}

/// What peers say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// It has chosen.
    Commit(Commit),
    /// What it has chosen.
    Reveal(Box<Reveal>),
    /// It asks for what it has not heard of these in a round.
    Missing {
        /// The round.
        round: u64,
        /// Whose words.
        whom: Vec<ValidatorIndex>,
    },
    /// It has waited for somebody.
    Timeout(Timeout),
    /// What somebody knows of a round that does not end, as it is broadcast in lock step.
    Report {
        /// The round.
        round: u64,
        /// How many had been excluded before.
        attempt: u64,
        /// The report, and who has signed it.
        chain: SignatureChain,
    },
    /// Your events of this round came too late here, and were dropped.
    Late(u64),
}

impl Message {
    /// The round that it is about.
    pub fn round(&self) -> u64 {
        match self {
            Self::Commit(commit) => commit.round,
            Self::Reveal(reveal) => reveal.round,
            Self::Timeout(timeout) => timeout.round,
            Self::Missing { round, .. } | Self::Report { round, .. } | Self::Late(round) => *round,
        }
    }
}

/// The group among whom seals and words are good.
pub fn group(party: &Party) -> B256 {
    party.digest(NAME, &"group")
}

impl Commit {
    fn digest(&self, party: &Party) -> B256 {
        party.digest(NAME, &("commit", self.round, self.by, self.seal, self.state))
    }

    /// One of this peer.
    pub fn sign(party: &Party, round: u64, seal: B256, state: B256) -> Self {
        let unsigned = Self { round, by: party.me, seal, state, signature: Signature([0; 65]) };
        Self { signature: party.key.sign(unsigned.digest(party)), ..unsigned }
    }

    /// Whether it is of whom it says.
    pub fn is_genuine(&self, party: &Party) -> bool {
        party.is_genuine(self.by, &self.signature, self.digest(party))
    }
}

impl Reveal {
    /// The seal that its opening has in its place.
    pub fn seal(&self, party: &Party) -> B256 {
        self.opening.seal(&Place { group: group(party), round: self.round, by: self.by })
    }

    fn digest(&self, party: &Party) -> B256 {
        party.digest(NAME, &("reveal", self.round, self.by, self.view, self.seal(party)))
    }

    /// One of this peer.
    pub fn sign(party: &Party, round: u64, opening: Opening, view: B256) -> Self {
        let unsigned = Self { round, by: party.me, opening, view, signature: Signature([0; 65]) };
        Self { signature: party.key.sign(unsigned.digest(party)), ..unsigned }
    }

    /// Whether it is of whom it says.
    pub fn is_genuine(&self, party: &Party) -> bool {
        party.is_genuine(self.by, &self.signature, self.digest(party))
    }

    pub(super) fn fits(&self, limits: Limits) -> bool {
        let items = &self.opening.items;
        items.len() <= limits.events && items.iter().all(|event| event.len() <= limits.bytes)
    }
}

impl Timeout {
    fn digest(&self, party: &Party) -> B256 {
        party.digest(NAME, &("timeout", self.round, self.attempt, self.accused, self.by))
    }

    /// One of this peer.
    pub fn sign(party: &Party, round: u64, attempt: u64, accused: ValidatorIndex) -> Self {
        let unsigned = Self { round, attempt, accused, by: party.me, signature: Signature([0; 65]) };
        Self { signature: party.key.sign(unsigned.digest(party)), ..unsigned }
    }

    /// Whether it is of whom it says.
    pub fn is_genuine(&self, party: &Party) -> bool {
        party.is_genuine(self.by, &self.signature, self.digest(party))
    }
}

/// What no correct peer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A signature is not that of whom it names.
    #[error("a signature is not that of {0}")]
    Forged(ValidatorIndex),
    /// There are more events, or longer ones, than there may be.
    #[error("more events, or longer ones, than a round may have")]
    TooLarge,
    /// It has said two things of which a correct peer says one.
    #[error("two commitments of round {0}")]
    TwoCommits(u64),
    /// What it shows is not what it has chosen.
    #[error("a reveal that does not open the commitment of round {0}")]
    FalseReveal(u64),
    /// A report is none.
    #[error("a report: {0}")]
    Chain(#[from] ChainError),
}

/// Words of one peer that a correct one does not say. Whoever knows the group can check them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// Two commitments of a round.
    TwoCommits(Commit, Commit),
    /// A reveal that does not open the commitment of its round.
    FalseReveal(Commit, Box<Reveal>),
    /// A state that the majority has otherwise: the commitment of the accused first, and those of more than half.
    FalseState(Commit, Vec<Commit>),
}

impl Evidence {
    /// Who lies, or has lost its state.
    pub fn accused(&self) -> ValidatorIndex {
        match self {
            Self::TwoCommits(commit, _) | Self::FalseReveal(commit, _) | Self::FalseState(commit, _) => commit.by,
        }
    }

    /// Whether it proves what it says, to anybody who knows the group.
    pub fn verify(&self, party: &Party) -> bool {
        match self {
            Self::TwoCommits(one, other) => {
                (one.round, one.by) == (other.round, other.by)
                    && (one.seal, one.state) != (other.seal, other.state)
                    && one.is_genuine(party)
                    && other.is_genuine(party)
            }
            Self::FalseReveal(commit, reveal) => {
                (commit.round, commit.by) == (reveal.round, reveal.by)
                    && commit.seal != reveal.seal(party)
                    && commit.is_genuine(party)
                    && reveal.is_genuine(party)
            }
            Self::FalseState(commit, others) => {
                let mut signers: Vec<_> = others.iter().map(|other| other.by).collect();
                signers.sort_unstable();
                signers.dedup();
                let agree = |other: &Commit| {
                    (other.round, other.state) == (commit.round, others[0].state) && other.is_genuine(party)
                };
                2 * signers.len() > party.n()
                    && others[0].state != commit.state
                    && commit.is_genuine(party)
                    && others.iter().all(agree)
            }
        }
    }
}
