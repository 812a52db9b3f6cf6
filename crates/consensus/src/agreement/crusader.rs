//! Binding crusader agreement: replicas come to one of two values, or to neither, and once the first has come to something,
//! only one of the values can still be come to.

use dtn_primitives::ValidatorIndex;
use serde::{Deserialize, Serialize};

use super::{Fault, Rules};
use crate::{
    Party,
    quorum::{Added, Cast, Tally},
};

/// What a replica says in one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Word {
    /// Somebody correct may have begun with this. Said of one value, or of both.
    Echo1(bool),
    /// Somebody correct has begun with this. Said once.
    Echo2(bool),
    /// Nobody comes to another value than this; or somebody correct has begun with each. Said once.
    Echo3(Option<bool>),
}

/// What one replica has heard and said in one instance.
#[derive(Debug, Clone, Default)]
pub(super) struct Crusader {
    echo1: [Tally<Cast<()>>; 2],
    echo2: Tally<Cast<bool>>,
    echo3: Tally<Cast<Option<bool>>>,
}

impl Crusader {
    /// Counts what somebody says, oneself included.
    pub(super) fn hear(&mut self, by: ValidatorIndex, word: Word, rules: Rules) -> Result<(), Fault> {
        let contradicts = match word {
            Word::Echo1(value) => {
                self.echo1[usize::from(value)].add(Cast { by, choice: () });
                !rules.forgives_echoes && self.has_echoed(by, !value)
            }
            Word::Echo2(choice) => matches!(self.echo2.add(Cast { by, choice }), Added::Conflicting(_)),
            Word::Echo3(choice) => matches!(self.echo3.add(Cast { by, choice }), Added::Conflicting(_)),
        };
        if contradicts { Err(Fault::Contradiction) } else { Ok(()) }
    }

    fn has_echoed(&self, by: ValidatorIndex, value: bool) -> bool {
        self.echo1[usize::from(value)].of(by).is_some()
    }

    /// Whether somebody correct has begun with this value, and all will know.
    fn is_approved(&self, value: bool, party: &Party) -> bool {
        party.is_quorum(self.echo1[usize::from(value)].total())
    }

    fn both_approved(&self, party: &Party) -> bool {
        [false, true].iter().all(|value| self.is_approved(*value, party))
    }

    /// What is to be said next, if anything is.
    pub(super) fn next(&self, party: &Party, rules: Rules) -> Option<Word> {
        let me = party.me;
        let values = [false, true];
        let heard_enough = |value: &bool| {
            let heard = self.echo1[usize::from(*value)].total();
            if rules.echoes_correct { party.has_correct(heard) } else { heard > 0 }
        };
        if let Some(value) = values.into_iter().filter(heard_enough).find(|value| !self.has_echoed(me, *value)) {
            return Some(Word::Echo1(value));
        }
        if self.echo2.of(me).is_none()
            && let Some(value) = values.into_iter().find(|value| self.is_approved(*value, party))
        {
            return Some(Word::Echo2(value));
        }
        if self.echo3.of(me).is_some() || !rules.binding {
            return None;
        }
        let agreed = values.into_iter().find(|value| party.is_quorum(self.echo2.count(*value)));
        (agreed.is_some() || self.both_approved(party)).then_some(Word::Echo3(agreed))
    }

    /// What it comes to, once it does: a value, or neither.
    pub(super) fn output(&self, party: &Party, rules: Rules) -> Option<Option<bool>> {
        let of = |value: bool| if rules.binding { self.echo3.count(Some(value)) } else { self.echo2.count(value) };
        let value = [false, true].into_iter().find(|value| party.is_quorum(of(*value)));
        let neither = self.both_approved(party) && (!rules.binding || party.is_quorum(self.echo3.total()));
        if value.is_some() || neither { Some(value) } else { None }
    }
}
