//! Participants that cheat, for trials on development chains: what the rules of orders are there to stop.

use std::{fmt, ops::ControlFlow, str::FromStr};

use dtn_primitives::{Address, B256, keccak256};
use dtn_train::{Job, JobError, Run, state_hash};
use dtn_trainer::{Blob, Library, Trained, Unmet};
use dtn_training::{Call, Grades, Material, Order, Proof};

use crate::work::Task;

/// How a participant behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// By the rules.
    #[default]
    Honest,
    /// Claims the very model that another provider trains, with its trace. The seed has the worker, so the first segment does
    /// not hold.
    Thief(Address),
    /// Trains, and in the middle goes on from another run's state: one segment does not hold.
    Forger,
    /// Claims, and shows nothing.
    Withholder,
    /// States scores like those of others, and audits that it has not made.
    Lazy,
    /// States that every claim is worth nothing.
    Liar,
    /// Challenges what holds.
    Spammer,
}

/// A word that stands for no behaviour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no behaviour: it is honest, thief:ADDRESS, forger, withholder, lazy, liar or spammer")]
pub struct NoBehaviour(String);

impl FromStr for Behaviour {
    type Err = NoBehaviour;

    fn from_str(text: &str) -> Result<Self, NoBehaviour> {
        Ok(match text.split_once(':') {
            Some(("thief", of)) => Self::Thief(of.parse().map_err(|_| NoBehaviour(text.into()))?),
            None if text == "honest" => Self::Honest,
            None if text == "forger" => Self::Forger,
            None if text == "withholder" => Self::Withholder,
            None if text == "lazy" => Self::Lazy,
            None if text == "liar" => Self::Liar,
            None if text == "spammer" => Self::Spammer,
            _ => return Err(NoBehaviour(text.into())),
        })
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Honest => f.write_str("honest"),
            Self::Thief(of) => write!(f, "thief:{of}"),
            Self::Forger => f.write_str("forger"),
            Self::Withholder => f.write_str("withholder"),
            Self::Lazy => f.write_str("lazy"),
            Self::Liar => f.write_str("liar"),
            Self::Spammer => f.write_str("spammer"),
        }
    }
}

impl Behaviour {
    /// In whose name it trains.
    pub(crate) fn worker(self, me: Address) -> Address {
        if let Self::Thief(of) = self { of } else { me }
    }

    /// What lazy and lying members state in place of scores; none if it works. The others' grades are in final blocks.
    pub(crate) fn scores(self, order: &Order) -> Option<Call> {
        let claims = order.scored_claims();
        let grades = |claim: &u16| match self {
            Self::Lazy => order.claims().get(usize::from(*claim))?.opinions.first().map(|opinion| opinion.grades),
            Self::Liar => {
                let nothing = Some(dtn_training::Grade::default());
                Some(Grades { hidden: order.rows().and(nothing), fold: order.work().fold.and(nothing) })
            }
            _ => None,
        };
        let grades: Vec<_> = claims.iter().filter_map(grades).collect();
        (grades.len() == claims.len() && !claims.is_empty())
            .then(|| Call::Scores { grades, statements: claims.iter().map(|claim| made_up(*claim)).collect() })
    }

    /// Whether it makes its statements up once others have stated something to copy.
    pub(crate) fn waits_to_copy(self, order: &Order) -> bool {
        self == Self::Lazy && order.claims().iter().all(|claim| claim.opinions.is_empty())
    }

    /// What lazy members state in place of audits; none if it works.
    pub(crate) fn audit(self, claim: u8, segments: &[u16]) -> Option<Call> {
        let statements = || segments.iter().map(|segment| made_up(*segment)).collect();
        (self == Self::Lazy).then(|| Call::Audit { claim, statements: statements() })
    }
}

fn made_up(number: u16) -> B256 {
    keccak256(number.to_be_bytes())
}

/// Goes on from another run's state in the middle of a run, with a trace that says so: all segments hold but one.
pub(crate) fn splice(task: &Task, trained: Trained, library: &Library) -> Result<Trained, Unmet> {
    let Proof::Trace(Material { recipe, data, .. }) = &task.brief.terms.proof else { return Ok(trained) };
    let point = trained.manifest.point;
    let other = task.brief.train(point, (Address::repeat_byte(0xfe), 0), library, |_| ControlFlow::Continue(()))?;
    let (Some(other), Some(bytes)) = (other, library.get(task.id(), &Blob::Data(data.root))?) else {
        return Ok(trained);
    };
    let data = dtn_train::Dataset::decode(&bytes)?;
    let job = Job::new(recipe, point, &data, trained.manifest.origin.seed())?;
    let Trained { mut manifest, mut states, .. } = trained;
    let from = states.len() / 2;
    let mut run =
        Run::resume(&job, &other.states[from]).map_err(|_| Unmet::Job(JobError::Point { point, points: 0 }))?;
    states.truncate(from);
    states.push(run.state());
    while !run.is_over() {
        run.advance();
        states.push(run.state());
    }
    let model = run.model();
    manifest.states = states.iter().map(|state| state_hash(state)).collect();
    manifest.model = model.root();
    Ok(Trained { model, manifest, states })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviours_are_called_as_they_are_written() {
        let address = Address::repeat_byte(7);
        let all = [
            Behaviour::Honest,
            Behaviour::Thief(address),
            Behaviour::Forger,
            Behaviour::Withholder,
            Behaviour::Lazy,
            Behaviour::Liar,
            Behaviour::Spammer,
        ];
        for behaviour in all {
            assert_eq!(behaviour.to_string().parse(), Ok(behaviour));
        }
        for text in ["", "thief", "thief:0x12", "saint"] {
            assert_eq!(text.parse::<Behaviour>(), Err(NoBehaviour(text.into())));
        }
    }
}
