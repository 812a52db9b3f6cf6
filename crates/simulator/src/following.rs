//! How far a host knows the others to be, and whom it asks for what it lacks.

use std::{cmp::Reverse, collections::BTreeMap};

use dtn_primitives::ValidatorIndex;

/// What the others have told, none of which need be true.
#[derive(Debug, Default)]
pub(crate) struct Following {
    heights: BTreeMap<ValidatorIndex, u64>,
    /// How often each was asked since it last gave what was asked for: who gives is asked before who promises more.
    unanswered: BTreeMap<ValidatorIndex, u64>,
}

impl Following {
    /// A peer told its height.
    pub(crate) fn heard(&mut self, from: ValidatorIndex, height: u64) {
        self.heights.insert(from, height);
    }

    /// Who is to be asked for what is above a height.
    pub(crate) fn ask(&mut self, height: u64) -> Option<ValidatorIndex> {
        let unanswered = |peer| self.unanswered.get(peer).copied().unwrap_or_default();
        let ahead = self.heights.iter().filter(|(_, theirs)| **theirs > height);
        let (&peer, _) = ahead.max_by_key(|(peer, theirs)| (Reverse(unanswered(*peer)), **theirs))?;
        *self.unanswered.entry(peer).or_default() += 1;
        Some(peer)
    }

    /// A peer gave what was asked for, as far as that holds.
    pub(crate) fn helped(&mut self, from: ValidatorIndex) {
        self.unanswered.remove(&from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_promises_most_and_gives_nothing_is_asked_once() {
        let [liar, honest] = [0, 1].map(ValidatorIndex);
        let mut following = Following::default();
        following.heard(liar, 1 << 60);
        following.heard(honest, 9);
        assert_eq!(following.ask(3), Some(liar));
        for height in 3..9 {
            assert_eq!(following.ask(height), Some(honest));
            following.helped(honest);
        }
        assert_eq!(following.ask(9), Some(liar), "nobody else says that there is more");
    }
}
