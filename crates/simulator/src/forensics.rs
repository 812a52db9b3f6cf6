//! Whom a fork convicts, and by what (Sheng, Wang, Nayak, Kannan & Viswanath, "BFT Protocol Forensics", CCS 2021).
//!
//! Where two correct replicas decided differently, two quorums said what no correct replica says both of, and any two quorums share
//! f + 1 validators. Which two things these are is what protocols differ in; what correct replicas heard and said, their
//! [`Transcript`], has both, signed:
//!
//! - in one view, or in Streamlet, whose commits are in no view: two **commits** at one height;
//! - in Simplex, in two views v < w: the chain that was committed to in w has a proposal of v, or none. A proposal other than the one
//!   that was committed to in v was **notarized** twice in v. None means that v was **nullified** by a quorum, and committed in by
//!   one;
//! - in HotStuff-2, in two views v < w: the chain of w has another proposal of v, as above, or the first one of it above v has a parent
//!   below v. Those who **voted for it** and had **committed** in v were locked on v;
//! - in PBFT, in two views v < w: those who **committed** in v and asked for a view above it, up to w, showing in their
//!   **view change** nothing that they had prepared in v or later.
//!
//! The paper has the cases of PBFT and HotStuff; that of Simplex is its skip lemma, read backwards. Between two views a certificate
//! alone convicts nobody: the proposals of the chain and what notarized or nullified them have to be at hand, which are with
//! whoever voted for them. So somebody correct must have: liars that are a quorum by themselves can fork and show nothing.

use std::{collections::BTreeMap, sync::Arc};

use dtn_consensus::{
    Evidence, ViewChange,
    chained::{Notarization, Nullification, Proposal},
};
use dtn_primitives::{B256, Certificate, Domain, Signature, ValidatorIndex, ValidatorSet, Vote, VoteKind};

use crate::Members;

/// Something that a validator has signed, or what it stands for.
#[derive(Debug, Clone)]
pub enum Signed {
    /// A vote.
    Vote(Arc<Vote>),
    /// What a `Notarize` of its hash is for, where whoever commits is bound in what it votes for later.
    Proposal(Proposal),
    /// A request for a view.
    Leave(Box<ViewChange>),
}

impl Signed {
    /// The votes of a quorum.
    fn votes<'a>(
        kind: VoteKind,
        (epoch, view, height): (u64, u64, u64),
        block_hash: B256,
        signatures: &'a [(ValidatorIndex, Signature)],
    ) -> impl Iterator<Item = Self> + 'a {
        signatures.iter().map(move |(validator, signature)| {
            let (validator, signature) = (*validator, *signature);
            Self::Vote(Arc::new(Vote { kind, epoch, view, height, block_hash, validator, signature }))
        })
    }

    /// Those that make a block final.
    pub fn certificate(it: &Certificate) -> impl Iterator<Item = Self> + '_ {
        Self::votes(VoteKind::Commit, (it.epoch, it.view, it.height), it.block_hash, &it.signatures)
    }

    /// Those that notarize a proposal.
    pub fn notarization(it: &Notarization, epoch: u64) -> impl Iterator<Item = Self> + '_ {
        Self::votes(VoteKind::Notarize, (epoch, it.proposal.view, 0), it.proposal.hash(), &it.signatures)
    }

    /// Those that give a view up.
    pub fn nullification(it: &Nullification, epoch: u64) -> impl Iterator<Item = Self> + '_ {
        Self::votes(VoteKind::Nullify, (epoch, it.view, 0), B256::ZERO, &it.signatures)
    }
}

/// What convicts a validator. Whoever knows who the validators are can check it, and needs to believe nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conviction {
    /// Two votes of which a correct validator casts one.
    Contradicted(Evidence),
    /// It committed in a view, and voted in a later one for a proposal whose parent is of an older one.
    VotedBelow {
        /// What it committed to.
        commit: Arc<Vote>,
        /// What it voted for.
        vote: Arc<Vote>,
        /// What that vote is for.
        proposal: Proposal,
    },
    /// It committed in a view, and asked for a later one as if it had not.
    Left {
        /// What it committed to.
        commit: Arc<Vote>,
        /// What it says that it had prepared.
        leave: Box<ViewChange>,
    },
}

impl Conviction {
    /// Whose.
    pub fn validator(&self) -> ValidatorIndex {
        match self {
            Self::Contradicted(evidence) => evidence.validator(),
            Self::VotedBelow { commit, .. } | Self::Left { commit, .. } => commit.validator,
        }
    }

    /// Whether it is one, and signed by whose it is.
    pub fn holds(&self, domain: &Domain, validators: &ValidatorSet) -> bool {
        let signed = |vote: &Vote| vote.verify(domain, validators).is_ok();
        match self {
            Self::Contradicted(evidence) => evidence.verify(domain, validators).is_ok(),
            Self::VotedBelow { commit, vote, proposal } => {
                let of =
                    (vote.kind, vote.view, vote.block_hash) == (VoteKind::Notarize, proposal.view, proposal.hash());
                let same = (commit.kind, commit.validator) == (VoteKind::Commit, vote.validator);
                of && same && is_below(commit.view, proposal) && signed(commit) && signed(vote)
            }
            Self::Left { commit, leave } => {
                let same = (commit.kind, commit.validator) == (VoteKind::Commit, leave.validator);
                same && is_silent_about(leave, commit) && signed(commit) && leave.verify(domain, validators).is_ok()
            }
        }
    }
}

/// Whether a proposal of a later view is on top of one of an older view than that of a commit.
fn is_below(committed_in: u64, proposal: &Proposal) -> bool {
    proposal.parent < committed_in && committed_in < proposal.view
}

/// Whether a request for a later view shows nothing of a commit: neither what was prepared there, then or later, nor that another
/// block has taken the place of one below since.
fn is_silent_about(leave: &ViewChange, commit: &Vote) -> bool {
    let decided = leave.decided.as_ref();
    let is_undecided = leave.height() < commit.height && decided.is_none_or(|decided| decided.view <= commit.view);
    let shows = leave.prepared.iter().map(|it| it.prepared()).any(|(view, height, _)| {
        (height == commit.height && view >= commit.view) || (height < commit.height && view > commit.view)
    });
    leave.view > commit.view && is_undecided && !shows
}

/// Whose vote, of which kind, and its view and height.
type Place = (ValidatorIndex, VoteKind, u64, u64);

/// What correct replicas have heard and said that is signed.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// Of each hash one.
    votes: BTreeMap<Place, BTreeMap<B256, Arc<Vote>>>,
    proposals: BTreeMap<B256, Proposal>,
    leaves: BTreeMap<(ValidatorIndex, u64), Vec<ViewChange>>,
}

impl Transcript {
    /// Takes in what is signed by whom it names.
    pub(crate) fn hear(&mut self, signed: impl IntoIterator<Item = Signed>, members: &Members) {
        let (domain, validators) = (members.domain(), members.validators());
        for signed in signed {
            match signed {
                Signed::Vote(vote) => {
                    let of = self.votes.entry((vote.validator, vote.kind, vote.view, vote.height)).or_default();
                    if !of.contains_key(&vote.block_hash) && vote.verify(domain, validators).is_ok() {
                        of.insert(vote.block_hash, vote);
                    }
                }
                Signed::Proposal(proposal) => _ = self.proposals.insert(proposal.hash(), proposal),
                Signed::Leave(leave) => {
                    let known = self.leaves.entry((leave.validator, leave.view)).or_default();
                    if !known.contains(&leave) && leave.verify(domain, validators).is_ok() {
                        known.push(*leave);
                    }
                }
            }
        }
    }

    /// What a validator has said of this kind, in ascending order of views.
    fn of(&self, validator: ValidatorIndex, kind: VoteKind) -> impl Iterator<Item = &Arc<Vote>> {
        let (first, last) = ((validator, kind, 0, 0), (validator, kind, u64::MAX, u64::MAX));
        self.votes.range(first..=last).flat_map(|(_, votes)| votes.values())
    }

    /// The first thing that convicts a validator, if there is one.
    fn conviction(&self, validator: ValidatorIndex) -> Option<Conviction> {
        let own = self.votes.range((validator, VoteKind::PrePrepare, 0, 0)..).take_while(|(at, _)| at.0 == validator);
        let twice = own.filter(|(_, votes)| votes.len() > 1).find_map(|(_, votes)| {
            let mut votes = votes.values();
            Some(Evidence::new(votes.next()?, votes.next()?))
        });
        let commits: Vec<_> = self.of(validator, VoteKind::Commit).collect();
        let skipped = || {
            let given_up = |commit: &&Arc<Vote>| self.votes.get(&(validator, VoteKind::Nullify, commit.view, 0));
            commits.iter().find_map(|commit| Some(Evidence::new(given_up(commit)?.values().next()?, commit)))
        };
        let below = || {
            self.of(validator, VoteKind::Notarize).find_map(|vote| {
                let proposal = *self.proposals.get(&vote.block_hash)?;
                let commit = commits.iter().find(|commit| is_below(commit.view, &proposal))?;
                Some(Conviction::VotedBelow { commit: Arc::clone(commit), vote: vote.clone(), proposal })
            })
        };
        let left = || {
            let mut leaves = self.leaves.range((validator, 0)..=(validator, u64::MAX)).flat_map(|(_, leaves)| leaves);
            leaves.find_map(|leave| {
                let commit = commits.iter().find(|commit| is_silent_about(leave, commit))?;
                Some(Conviction::Left { commit: Arc::clone(commit), leave: Box::new(leave.clone()) })
            })
        };
        twice.or_else(skipped).map(Conviction::Contradicted).or_else(below).or_else(left)
    }

    /// Everybody whom it convicts.
    pub(crate) fn culprits(&self, members: &Members) -> Vec<Conviction> {
        let all = (0..members.len()).map(|index| ValidatorIndex(index as u16));
        all.filter_map(|validator| self.conviction(validator)).collect()
    }
}

#[cfg(test)]
mod tests;
