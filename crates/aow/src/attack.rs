//! What a worker might publish instead of its work. All of it is made in earnest, as whoever wants the reward would; nobody
//! may accept any of it.

use std::{fmt, ops::ControlFlow};

use dtn_primitives::{Address, B256, Domain, keccak256};
use serde::Serialize;

use crate::{Delay, Element, ProofError, Security, Start, Trace, verify};

/// What a worker publishes: the result of its steps, and a proof.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Where the steps are said to lead.
    pub result: Element,
    /// What is said to prove it.
    pub proof: Vec<u8>,
}

impl Claim {
    /// Does the work of a start and proves it, as an honest worker does.
    ///
    /// # Errors
    ///
    /// As [`Trace::run`] and [`Trace::prove`].
    pub fn honest(start: &Start, security: Security) -> Result<Self, ProofError> {
        Self::of(run(Delay::default(), start.element(), start.steps)?, start.context(), security)
    }

    fn of(trace: Trace, context: B256, security: Security) -> Result<Self, ProofError> {
        Ok(Self { result: trace.result(), proof: trace.prove(context, security)? })
    }
}

/// A way to get out of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Half the steps, which are claimed to be all.
    HalfTheWork,
    /// A result of one's choice, and the start to which it goes back: no slow step at all.
    ChosenStart,
    /// What another node has published.
    AnotherNode,
    /// What was published in the round before.
    LastRound,
    /// All steps, of a map with another constant.
    WrongAlpha,
    /// One step less.
    OneStepLess,
    /// All the work, proven with options that were not asked for.
    OtherOptions,
    /// What holds in another network.
    AnotherNetwork,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::HalfTheWork,
        Self::ChosenStart,
        Self::AnotherNode,
        Self::LastRound,
        Self::WrongAlpha,
        Self::OneStepLess,
        Self::OtherOptions,
        Self::AnotherNetwork,
    ];

    /// What the worker publishes instead of the work from a start, which a proof with these options was asked of. Steps that
    /// verifiers undo ([`MAX_REPLAYED_STEPS`](crate::MAX_REPLAYED_STEPS)) know no options, and there are none of one step.
    ///
    /// # Errors
    ///
    /// As [`Trace::run`] and [`Trace::prove`].
    pub fn claim(self, start: &Start, security: Security) -> Result<Claim, ProofError> {
        let (delay, steps, context) = (Delay::default(), start.steps, start.context());
        let instead = |trace| Claim::of(trace, context, security);
        match self {
            Self::HalfTheWork => instead(run(delay, start.element(), steps / 2)?),
            Self::OneStepLess => instead(run(delay, start.element(), steps - 1)?),
            Self::WrongAlpha => instead(run(Delay::new(Element::ZERO), start.element(), steps)?),
            Self::ChosenStart => instead(Trace::back_from(delay, Element::from_hash(keccak256("mine")), steps)?),
            Self::AnotherNode => {
                Claim::honest(&Start { node: Address::from_word(keccak256(start.node)), ..*start }, security)
            }
            Self::LastRound => {
                let round = start.round.wrapping_sub(1);
                Claim::honest(&Start { round, previous_block_hash: keccak256(context), ..*start }, security)
            }
            Self::AnotherNetwork => {
                let domain = Domain::new(keccak256(start.domain.network_id), start.domain.chain_id);
                Claim::honest(&Start { domain, ..*start }, security)
            }
            Self::OtherOptions => {
                let other = Security::ALL.into_iter().find(|other| *other != security).unwrap_or_default();
                Claim::honest(start, other)
            }
        }
    }
}

/// What came of an attempt to pass something as work.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// What was published; of none, the work itself.
    pub attack: Option<Attack>,
    /// How many accepted it.
    pub accepted: usize,
    /// Of how many.
    pub verifiers: u64,
    /// Why those who did not did not.
    pub reason: Option<String>,
}

impl Attempt {
    /// Publishes something to so many verifiers, each of whom hashes the start itself.
    ///
    /// # Errors
    ///
    /// As [`Attack::claim`].
    pub fn of(attack: Option<Attack>, start: &Start, security: Security, verifiers: u64) -> Result<Self, ProofError> {
        let claim = match attack {
            None => Claim::honest(start, security)?,
            Some(attack) => attack.claim(start, security)?,
        };
        let one = |_| verify(&start.statement(claim.result), security, &claim.proof);
        let verdicts: Vec<_> = (0..verifiers).map(one).collect();
        let reason = verdicts.iter().find_map(|verdict| verdict.as_ref().err()).map(ToString::to_string);
        let accepted = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
        Ok(Self { attack, accepted, verifiers, reason })
    }
}

fn run(delay: Delay, start: Element, steps: u64) -> Result<Trace, ProofError> {
    Trace::run(delay, start, steps, |_| ControlFlow::Continue(()))
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::HalfTheWork => "half the work, claimed as all",
            Self::ChosenStart => "a start of one's choice",
            Self::AnotherNode => "another node's proof",
            Self::LastRound => "last round's proof",
            Self::WrongAlpha => "another constant",
            Self::OneStepLess => "one step less",
            Self::OtherOptions => "other options of the proof",
            Self::AnotherNetwork => "what holds in another network",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::Address;

    use super::*;
    use crate::verify;

    fn refusal(attack: Attack) -> ProofError {
        let start = Start {
            domain: Domain::new(B256::repeat_byte(7), 31337),
            round: 3,
            previous_block_hash: B256::repeat_byte(9),
            node: Address::repeat_byte(1),
            steps: 6000,
        };
        let security = Security::Proven100;
        let honest = Claim::honest(&start, security).unwrap();
        assert_eq!(verify(&start.statement(honest.result), security, &honest.proof), Ok(()));
        let claim = attack.claim(&start, security).unwrap();
        // Neither does the honest result make the proof hold, nor the honest proof the result.
        assert!(
            attack == Attack::OtherOptions || verify(&start.statement(claim.result), security, &honest.proof).is_err()
        );
        assert!(verify(&start.statement(honest.result), security, &claim.proof).is_err());
        verify(&start.statement(claim.result), security, &claim.proof).unwrap_err()
    }

    /// The challenges are others, so the nonce does not fit, but for one in 2¹⁶.
    const OTHER_CHALLENGES: ProofError = ProofError::Grinding(16);

    #[test]
    fn half_the_work_is_not_accepted_as_all() {
        assert_eq!(refusal(Attack::HalfTheWork), ProofError::Options);
    }

    #[test]
    fn a_start_of_ones_choice_is_not_accepted() {
        assert_eq!(refusal(Attack::ChosenStart), OTHER_CHALLENGES);
    }

    #[test]
    fn another_nodes_proof_is_not_accepted() {
        assert_eq!(refusal(Attack::AnotherNode), OTHER_CHALLENGES);
    }

    #[test]
    fn last_rounds_proof_is_not_accepted() {
        assert_eq!(refusal(Attack::LastRound), OTHER_CHALLENGES);
    }

    #[test]
    fn another_constant_is_not_accepted() {
        assert_eq!(refusal(Attack::WrongAlpha), OTHER_CHALLENGES);
    }

    #[test]
    fn one_step_less_is_not_accepted() {
        assert_eq!(refusal(Attack::OneStepLess), OTHER_CHALLENGES);
    }

    #[test]
    fn options_that_were_not_asked_for_are_not_accepted() {
        assert_eq!(refusal(Attack::OtherOptions), ProofError::Options);
    }

    #[test]
    fn what_holds_in_another_network_is_not_accepted() {
        assert_eq!(refusal(Attack::AnotherNetwork), OTHER_CHALLENGES);
    }
}
