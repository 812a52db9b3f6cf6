//! Counting: who has said what, and whether that is enough.
//!
//! Every protocol counts distinct validators against the same two thresholds of a [`ValidatorSet`]: any two quorums have a
//! correct member in common, and of f + 1 at least one is correct.

use std::{collections::BTreeMap, sync::Arc};

use dtn_primitives::{B256, Certificate, Evidence, ValidatorIndex, ValidatorSet, Vote};

/// Something that a validator says once, for one of several things.
pub trait Ballot {
    /// What it may be for.
    type Choice: Copy + Ord;

    /// Who says it.
    fn voter(&self) -> ValidatorIndex;

    /// What for.
    fn choice(&self) -> Self::Choice;
}

impl Ballot for Arc<Vote> {
    type Choice = B256;

    fn voter(&self) -> ValidatorIndex {
        self.validator
    }

    fn choice(&self) -> B256 {
        self.block_hash
    }
}

/// A ballot without a signature, for where the channel that it came over says whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cast<C> {
    /// Who says it.
    pub by: ValidatorIndex,
    /// What for.
    pub choice: C,
}

impl<C: Copy + Ord> Ballot for Cast<C> {
    type Choice = C;

    fn voter(&self) -> ValidatorIndex {
        self.by
    }

    fn choice(&self) -> C {
        self.choice
    }
}

/// The ballots on one question: at most one a validator.
#[derive(Debug, Clone)]
pub struct Tally<B: Ballot> {
    /// By validator. Only ballots of members of the set get here, so it is no longer than the set.
    ballots: Vec<Option<B>>,
    /// How many are for each choice: counting costs the same in a network of a thousand.
    counts: BTreeMap<B::Choice, usize>,
}

impl<B: Ballot> Default for Tally<B> {
    fn default() -> Self {
        Self { ballots: Vec::new(), counts: BTreeMap::new() }
    }
}

/// What became of a ballot.
#[derive(Debug, PartialEq, Eq)]
pub enum Added<B> {
    /// It counts.
    New,
    /// It was there already.
    Duplicate,
    /// The validator has chosen otherwise; that ballot is returned and still the one that counts.
    Conflicting(B),
}

impl<B: Ballot + Clone> Tally<B> {
    /// Counts a ballot whose voter is certain: its signature was verified, or its channel is authenticated.
    pub fn add(&mut self, ballot: B) -> Added<B> {
        let index = ballot.voter().as_usize();
        if self.ballots.len() <= index {
            self.ballots.resize(index + 1, None);
        }
        match &mut self.ballots[index] {
            Some(known) if known.choice() == ballot.choice() => Added::Duplicate,
            Some(known) => Added::Conflicting(known.clone()),
            free => {
                *self.counts.entry(ballot.choice()).or_default() += 1;
                *free = Some(ballot);
                Added::New
            }
        }
    }

    /// Counts ballots that were verified before.
    pub fn extend(&mut self, ballots: impl IntoIterator<Item = B>) {
        ballots.into_iter().for_each(|ballot| _ = self.add(ballot));
    }

    /// The ballot of a validator, if it has cast one.
    pub fn of(&self, voter: ValidatorIndex) -> Option<&B> {
        self.ballots.get(voter.as_usize())?.as_ref()
    }

    /// The ballots for a choice, in ascending order of validator.
    pub fn ballots_for(&self, choice: B::Choice) -> impl Iterator<Item = &B> {
        self.ballots.iter().flatten().filter(move |ballot| ballot.choice() == choice)
    }

    /// How many distinct validators chose anything.
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// How many distinct validators chose this.
    pub fn count(&self, choice: B::Choice) -> usize {
        self.counts.get(&choice).copied().unwrap_or_default()
    }

    /// What so many chose, once they did.
    pub fn choice_of(&self, enough: usize) -> Option<B::Choice> {
        self.counts.iter().find(|(_, count)| **count >= enough).map(|(choice, _)| *choice)
    }

    /// The ballots of a quorum that chose this, once there is one: no more than it takes.
    pub fn quorum_for(&self, choice: B::Choice, validators: &ValidatorSet) -> Option<impl Iterator<Item = &B>> {
        let enough = is_quorum(self.count(choice), validators);
        enough.then(|| self.ballots_for(choice).take(validators.quorum()))
    }
}

impl Tally<Arc<Vote>> {
    /// Proof against each whose vote here is for another block than one of the same height and view in a certificate. Where two
    /// were told two things, this is how the one learns of it that did not decide.
    pub fn against(&self, certificate: &Certificate) -> impl Iterator<Item = Box<Evidence>> {
        let evidence = |signed: Vote| {
            let known = self.of(signed.validator)?;
            let contradicts = (known.kind, known.view, known.height) == (signed.kind, signed.view, signed.height)
                && known.block_hash != signed.block_hash;
            contradicts.then(|| Box::new(Evidence::new(known, &signed)))
        };
        certificate.votes().filter_map(evidence)
    }
}

/// Whether so many distinct validators are a quorum.
pub fn is_quorum(distinct: usize, validators: &ValidatorSet) -> bool {
    distinct >= validators.quorum()
}

/// Whether one of so many distinct validators must be correct.
pub fn has_correct(distinct: usize, validators: &ValidatorSet) -> bool {
    distinct > validators.max_faulty()
}

#[cfg(test)]
mod tests {
    use dtn_primitives::{Domain, SecretKey, VoteKind};

    use super::*;

    fn bit(by: u16, choice: bool) -> Cast<bool> {
        Cast { by: ValidatorIndex(by), choice }
    }

    #[test]
    fn a_validator_counts_once_and_for_what_it_chose_first() {
        let mut tally = Tally::default();
        assert_eq!(tally.add(bit(3, true)), Added::New);
        assert_eq!(tally.add(bit(3, true)), Added::Duplicate);
        assert_eq!(tally.add(bit(3, false)), Added::Conflicting(bit(3, true)));
        tally.extend([bit(0, true), bit(1, false)]);
        assert_eq!((tally.count(true), tally.count(false)), (2, 1));
        assert!(tally.ballots_for(true).eq(&[bit(0, true), bit(3, true)]));
        assert_eq!((tally.of(ValidatorIndex(1)), tally.of(ValidatorIndex(2))), (Some(&bit(1, false)), None));
    }

    #[test]
    fn whoever_told_this_replica_otherwise_than_a_certificate_says_is_proven_to_have_said_both() {
        let mut keys: Vec<_> =
            (1..=3).map(|seed| SecretKey::from_bytes(&[seed; 32]).expect("small numbers are keys")).collect();
        keys.sort_by_key(SecretKey::address);
        let domain = Domain::new(B256::repeat_byte(7), 1);
        let vote = |by: usize, (view, hash): (u64, u8)| {
            let (slot, index) = ((0, view, 5), ValidatorIndex(by as u16));
            Vote::sign(VoteKind::Commit, slot, B256::repeat_byte(hash), index, &keys[by], &domain)
        };
        let certificate = Certificate::from_votes(&[0, 1, 2].map(|by| vote(by, (1, 9)))).expect("there are votes");
        let mut tally = Tally::default();
        // One said the same, one another block, and one another block in another view.
        tally.extend([vote(0, (1, 9)), vote(1, (1, 8)), vote(2, (0, 8))].map(Arc::new));
        let evidence: Vec<_> = tally.against(&certificate).collect();
        assert_eq!(evidence.iter().map(|it| it.validator()).collect::<Vec<_>>(), [ValidatorIndex(1)]);
        let validators = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key));
        assert_eq!(evidence[0].verify(&domain, &validators), Ok(()));
    }

    #[test]
    fn a_quorum_is_as_many_as_it_takes_and_no_more() {
        for (n, quorum, correct) in [(4, 3, 2), (5, 4, 2), (6, 4, 2), (7, 5, 3), (10, 7, 4)] {
            let key = |seed: u8| SecretKey::from_bytes(&[seed; 32]).expect("small numbers are keys").public_key();
            let validators = ValidatorSet::new(0, (1..=n).map(key));
            let mut tally = Tally::default();
            for voter in 0..u16::from(n) {
                let have = usize::from(voter);
                assert_eq!(
                    tally.quorum_for(true, &validators).map(Iterator::count),
                    (have >= quorum).then_some(quorum)
                );
                assert_eq!(has_correct(have, &validators), have >= correct);
                tally.add(bit(voter, true));
            }
        }
    }
}
