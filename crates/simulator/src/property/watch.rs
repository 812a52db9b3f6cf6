//! Sees what correct replicas come to, and says which property that breaks.

use std::collections::BTreeMap;

use dtn_consensus::{Agreement, Broadcast, Coin, CommonSubset, DolevStrong, agreement::Decided, common_subset::Subset};
use dtn_primitives::{Bytes, ValidatorIndex};

use super::Property;
use crate::standalone::{Oracle, Report, Verdict};

/// What is to be seen.
#[derive(Debug)]
pub(super) struct Watch {
    /// Those to whom promises are kept.
    correct: Vec<ValidatorIndex>,
    /// What validity allows, as it is shown; anything without.
    only: Option<String>,
    /// Whether all have to come to something, whoever lies.
    all_come: bool,
    came: BTreeMap<ValidatorIndex, String>,
    broken: BTreeMap<Property, String>,
    /// The latest round of a protocol of rounds in which one decided first.
    pub(super) round: u64,
}

impl Watch {
    pub(super) fn new(correct: Vec<ValidatorIndex>, only: Option<String>, all_come: bool) -> Self {
        Self { correct, only, all_come, came: BTreeMap::new(), broken: BTreeMap::new(), round: 0 }
    }

    fn breaks(&mut self, property: Property, how: String) {
        self.broken.entry(property).or_insert(how);
    }

    pub(super) fn see(&mut self, replica: ValidatorIndex, value: String) {
        if let Some((other, theirs)) = self.came.iter().find(|(_, theirs)| **theirs != value) {
            let how = format!("{replica} comes to {}, and {other} to {}", value, theirs);
            self.breaks(Property::Agreement, how);
        }
        if self.only.as_ref().is_some_and(|only| *only != value) {
            self.breaks(Property::Validity, format!("{replica} comes to {}", value));
        }
        self.came.entry(replica).or_insert(value);
    }

    pub(super) fn is_content(&self) -> bool {
        let some = self.all_come || !self.came.is_empty();
        some && self.correct.iter().all(|replica| self.came.contains_key(replica))
    }

    /// What was broken, now that the run is over.
    pub(super) fn end(mut self, report: &Report) -> BTreeMap<Property, String> {
        let missing = self.correct.iter().find(|replica| !self.came.contains_key(replica)).copied();
        if let Verdict::Broken(how) = &report.verdict {
            self.breaks(Property::Innocence, how.clone());
        } else if let Some(missing) = missing {
            if self.all_come {
                self.breaks(Property::Termination, format!("{missing} has come to nothing"));
            }
            if !self.came.is_empty() {
                self.breaks(Property::Totality, format!("{missing} has come to nothing, and others have"));
            }
        }
        self.broken
    }
}

/// What a replica comes to that comes to this.
pub(super) fn shown(value: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(value))
}

impl Oracle<Broadcast> for Watch {
    fn comes(&mut self, replica: ValidatorIndex, output: &Bytes) -> Result<(), String> {
        self.see(replica, shown(output));
        Ok(())
    }

    fn is_content(&self) -> bool {
        self.is_content()
    }
}

impl Oracle<DolevStrong> for Watch {
    fn comes(&mut self, replica: ValidatorIndex, output: &Option<Bytes>) -> Result<(), String> {
        self.see(replica, output.as_ref().map_or_else(|| "nothing".to_owned(), |value| shown(value)));
        Ok(())
    }

    fn is_content(&self) -> bool {
        self.is_content()
    }
}

impl<C: Coin> Oracle<Agreement<C>> for Watch {
    fn comes(&mut self, replica: ValidatorIndex, output: &Decided) -> Result<(), String> {
        self.round = if self.round == 0 { output.round } else { self.round.min(output.round) };
        self.see(replica, output.value.to_string());
        Ok(())
    }

    fn is_content(&self) -> bool {
        self.is_content()
    }
}

/// What is to be seen of a common subset.
#[derive(Debug)]
pub(super) struct Subsets {
    pub(super) watch: Watch,
    /// How many values there are in it at least.
    pub(super) least: usize,
    /// What correct replicas begin with.
    pub(super) told: BTreeMap<ValidatorIndex, Bytes>,
}

impl<C: Coin> Oracle<CommonSubset<C>> for Subsets {
    fn comes(&mut self, replica: ValidatorIndex, Subset(values): &Subset) -> Result<(), String> {
        if values.len() < self.least {
            let how = format!("{replica} comes to {} values, and there are {} or more", values.len(), self.least);
            self.watch.breaks(Property::Validity, how);
        }
        let other = values.iter().find(|(of, value)| self.told.get(of).is_some_and(|told| told != *value));
        if let Some((of, value)) = other {
            self.watch.breaks(Property::Validity, format!("{replica} comes to {} of {of}", shown(value)));
        }
        let each: Vec<_> = values.values().map(|value| shown(value)).collect();
        self.watch.see(replica, each.join(", "));
        Ok(())
    }

    fn is_content(&self) -> bool {
        self.watch.is_content()
    }
}
