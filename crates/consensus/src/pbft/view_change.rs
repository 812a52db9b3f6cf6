//! The messages of a view change and when they hold (Castro & Liskov, OSDI '99, §4.4).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dtn_primitives::{
    B256, Certificate, CertificateError, Domain, Header, KeyError, SecretKey, Signature, ValidatorIndex, ValidatorSet,
    Vote, VoteKind, new_view_digest, view_change_digest,
};
use serde::{Deserialize, Serialize};

use super::{PIPELINE, STALE_WINDOW};
use crate::quorum::is_quorum;

/// Proof that a quorum prepared a block in a view: the primary's `PRE-PREPARE` and the others' `PREPARE`s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedCertificate {
    /// The block's header, which names the parent on which it can be proposed again.
    pub header: Header,
    /// Signed by the primary of its view.
    pub pre_prepare: Arc<Vote>,
    /// Matching, of distinct other replicas.
    pub prepares: Vec<Arc<Vote>>,
}

/// A replica's `VIEW-CHANGE`: it votes in no view below this one any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChange {
    /// The view that it asks for.
    pub view: u64,
    /// Who asks.
    pub validator: ValidatorIndex,
    /// The commit certificate of the last block that it has decided; none above the genesis. It takes the place of the
    /// paper's stable checkpoint.
    pub decided: Option<Certificate>,
    /// What it has prepared at the heights above, in ascending order without a gap, each on top of the one before it
    /// and in the highest view in which it did.
    pub prepared: Vec<PreparedCertificate>,
    /// Over all of that.
    pub signature: Signature,
}

/// A primary's `NEW-VIEW`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewView {
    /// The view that begins.
    pub view: u64,
    /// The view changes of a quorum for it, in ascending order of validator.
    pub view_changes: Vec<ViewChange>,
    /// The `PRE-PREPARE`s in the new view of what has to be proposed first, in ascending order of height.
    pub proposals: Vec<Arc<Vote>>,
    /// Of the view's primary.
    pub signature: Signature,
}

/// Why a view-change message does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewChangeError {
    /// A signature in it.
    #[error(transparent)]
    Signature(#[from] KeyError),
    /// Its commit certificate.
    #[error("decided: {0}")]
    Decided(#[from] CertificateError),
    /// Its prepared certificate is not one.
    #[error("the prepared certificate does not hold: {0}")]
    Prepared(&'static str),
    /// The view changes do not make a quorum for the view.
    #[error("the view changes are not those of a quorum for the view")]
    Quorum,
    /// A view change is so far behind the others that its sender may have forgotten it.
    #[error("a view change is more than {STALE_WINDOW} heights behind another")]
    Stale,
    /// It proposes something else than its view changes require.
    #[error("the proposal is not what the view changes require")]
    Proposal,
}

/// What was proven already, so that many view changes that say the same need one proof of it: it takes the place of theirs,
/// which nobody has looked at.
#[derive(Debug, Default)]
pub(super) struct Proven {
    decided: BTreeMap<(u64, B256), Certificate>,
    prepared: BTreeMap<(u64, u64, B256), PreparedCertificate>,
}

impl Proven {
    /// That a block is decided at a height.
    pub(super) fn decided(certificate: Option<&Certificate>) -> Self {
        let decided = certificate.map(|known| ((known.height, known.block_hash), known.clone()));
        Self { decided: decided.into_iter().collect(), prepared: BTreeMap::new() }
    }
}

/// Who may propose a block at a height in a view: the primary, or who has begun the view, up to so many heights below.
pub(super) fn proposers(validators: &ValidatorSet, view: u64, height: u64) -> [ValidatorIndex; 2] {
    [validators.primary(view, height.saturating_sub(PIPELINE - 1)), validators.primary(view, height)]
}

impl PreparedCertificate {
    /// The view, height and block that are prepared.
    pub fn prepared(&self) -> (u64, u64, B256) {
        (self.pre_prepare.view, self.pre_prepare.height, self.pre_prepare.block_hash)
    }

    fn verify(
        &mut self,
        domain: &Domain,
        validators: &ValidatorSet,
        proven: &mut Proven,
    ) -> Result<(), ViewChangeError> {
        let Self { header, pre_prepare, prepares } = &*self;
        if (header.hash(), header.height) != (pre_prepare.block_hash, pre_prepare.height) {
            return Err(ViewChangeError::Prepared("the header is another block's"));
        }
        if let Some(known) = proven.prepared.get(&self.prepared()) {
            *self = known.clone();
            return Ok(());
        }
        let proposers = proposers(validators, pre_prepare.view, pre_prepare.height);
        if pre_prepare.kind != VoteKind::PrePrepare || !proposers.contains(&pre_prepare.validator) {
            return Err(ViewChangeError::Prepared("the pre-prepare is not the primary's"));
        }
        let slot = |vote: &Vote| (vote.epoch, vote.view, vote.height, vote.block_hash);
        let matching = |vote: &Arc<Vote>| vote.kind == VoteKind::Prepare && slot(vote) == slot(pre_prepare);
        if !prepares.iter().all(matching) {
            return Err(ViewChangeError::Prepared("a prepare does not match"));
        }
        let voters: BTreeSet<_> = prepares.iter().chain([pre_prepare]).map(|vote| vote.validator).collect();
        if voters.len() != prepares.len() + 1 || !is_quorum(voters.len(), validators) {
            return Err(ViewChangeError::Prepared("it is below the quorum"));
        }
        for vote in prepares.iter().chain([pre_prepare]) {
            vote.verify(domain, validators)?;
        }
        proven.prepared.insert(self.prepared(), self.clone());
        Ok(())
    }
}

impl ViewChange {
    /// Signs a view change.
    pub fn sign(
        view: u64,
        validator: ValidatorIndex,
        decided: Option<Certificate>,
        prepared: Vec<PreparedCertificate>,
        (key, domain, epoch): (&SecretKey, &Domain, u64),
    ) -> Self {
        let mut unsigned = Self { view, validator, decided, prepared, signature: Signature([0; 65]) };
        unsigned.signature = key.sign(unsigned.digest(domain, epoch));
        unsigned
    }

    /// What its signature is over.
    pub fn digest(&self, domain: &Domain, epoch: u64) -> B256 {
        let prepared =
            self.prepared.iter().map(|PreparedCertificate { pre_prepare: vote, .. }| (vote.view, vote.block_hash));
        let decided = self.decided.as_ref().map(|decided| (decided.height, decided.block_hash));
        view_change_digest(domain, epoch, self.view, decided.unwrap_or_default(), &prepared.collect::<Vec<_>>())
    }

    /// The hash of the last block that the replica had decided.
    fn decided_hash(&self, domain: &Domain) -> B256 {
        self.decided.as_ref().map_or(domain.network_id, |decided| decided.block_hash)
    }

    /// The height up to which the replica had decided.
    pub fn height(&self) -> u64 {
        self.decided.as_ref().map_or(0, |decided| decided.height)
    }

    /// Whether it is too far behind to count where others have decided so much: its sender may have forgotten it.
    pub(super) fn is_stale(&self, highest: u64) -> bool {
        self.height().saturating_add(STALE_WINDOW) < highest
    }

    /// Succeeds only if it is signed by who it says.
    pub(super) fn verify_signature(&self, domain: &Domain, validators: &ValidatorSet) -> Result<(), KeyError> {
        let signer = validators
            .get(self.validator)
            .ok_or(KeyError::UnknownValidator { index: self.validator.0, epoch: validators.epoch() })?;
        self.signature.verify(self.digest(domain, validators.epoch()), signer.address)
    }

    /// Succeeds only if it and everything that it rests on is signed as it must be.
    pub fn verify(&self, domain: &Domain, validators: &ValidatorSet) -> Result<(), ViewChangeError> {
        self.clone().verify_unless(domain, validators, &mut Proven::default())
    }

    /// The same without proofs of what is proven already, to which it adds what it proves.
    pub(super) fn verify_unless(
        &mut self,
        domain: &Domain,
        validators: &ValidatorSet,
        proven: &mut Proven,
    ) -> Result<(), ViewChangeError> {
        if self.prepared.len() as u64 > PIPELINE {
            return Err(ViewChangeError::Prepared("it is more than can have been under way"));
        }
        self.verify_signature(domain, validators)?;
        if let Some(decided) = &mut self.decided {
            let place = (decided.height, decided.block_hash);
            match proven.decided.get(&place) {
                Some(known) => *decided = known.clone(),
                None => {
                    decided.verify(domain, validators)?;
                    proven.decided.insert(place, decided.clone());
                }
            }
        }
        let (asked, mut parent) = (self.view, self.decided_hash(domain));
        for (expected, prepared) in (self.height() + 1..).zip(&mut self.prepared) {
            let (view, height, block_hash) = prepared.prepared();
            if view >= asked || height != expected {
                return Err(ViewChangeError::Prepared("it is not of an earlier view above the decided height"));
            }
            if prepared.header.parent_hash != parent {
                return Err(ViewChangeError::Prepared("it is not on top of the block below"));
            }
            prepared.verify(domain, validators, proven)?;
            parent = block_hash;
        }
        Ok(())
    }
}

/// What a quorum of view changes requires: the highest decided height among them, and the blocks that have to be
/// proposed above it: at each height the one that was prepared in the highest view on top of the one below.
///
/// Had any block been committed there, a quorum would have prepared it and all below it, since replicas commit in order,
/// and one correct replica of that quorum is among these; so it is among these blocks (the paper's §4.4, where a chain
/// takes the place of a window of independent sequence numbers, and needs no null requests for its gaps).
pub fn required(view_changes: &[ViewChange], domain: &Domain) -> (u64, Vec<B256>) {
    let highest = view_changes.iter().max_by_key(|change| change.height());
    let Some((base, mut parent)) = highest.map(|change| (change.height(), change.decided_hash(domain))) else {
        return (0, Vec::new());
    };
    let mut blocks = Vec::new();
    for height in base + 1..=base + PIPELINE {
        let prepared = view_changes.iter().flat_map(|change| &change.prepared);
        let on_top =
            prepared.filter(|prepared| prepared.header.height == height && prepared.header.parent_hash == parent);
        let Some(chosen) = on_top.max_by_key(|prepared| prepared.pre_prepare.view) else { break };
        parent = chosen.pre_prepare.block_hash;
        blocks.push(parent);
    }
    (base, blocks)
}

impl NewView {
    /// Signs a new view.
    pub fn sign(
        view: u64,
        view_changes: Vec<ViewChange>,
        proposals: Vec<Arc<Vote>>,
        (key, domain, epoch): (&SecretKey, &Domain, u64),
    ) -> Self {
        let mut unsigned = Self { view, view_changes, proposals, signature: Signature([0; 65]) };
        unsigned.signature = key.sign(unsigned.digest(domain, epoch));
        unsigned
    }

    fn digest(&self, domain: &Domain, epoch: u64) -> B256 {
        let digests: Vec<_> = self.view_changes.iter().map(|change| change.digest(domain, epoch)).collect();
        new_view_digest(domain, epoch, self.view, &digests)
    }

    /// Succeeds only if a quorum asked for this view and it proposes what their view changes require. View changes that
    /// `verified` knows are not verified again, and a certificate that is `trusted` neither: it takes the place of others
    /// for the same block.
    pub fn verify(
        &mut self,
        domain: &Domain,
        validators: &ValidatorSet,
        verified: impl Fn(&ViewChange) -> bool,
        trusted: Option<&Certificate>,
    ) -> Result<(), ViewChangeError> {
        let changes = &self.view_changes;
        let ascending = changes.windows(2).all(|pair| pair[0].validator < pair[1].validator);
        let for_this_view = changes.iter().all(|change| change.view == self.view);
        if !is_quorum(changes.len(), validators) || !ascending || !for_this_view {
            return Err(ViewChangeError::Quorum);
        }
        let (base, required) = required(changes, domain);
        if changes.iter().any(|change| change.is_stale(base)) {
            return Err(ViewChangeError::Stale);
        }
        let proposer = validators.primary(self.view, base.saturating_add(1));
        let primary = validators.get(proposer).ok_or(ViewChangeError::Quorum)?;
        self.signature.verify(self.digest(domain, validators.epoch()), primary.address)?;
        if self.proposals.len() != required.len() {
            return Err(ViewChangeError::Proposal);
        }
        for ((height, block_hash), vote) in (base + 1..).zip(required).zip(&self.proposals) {
            let expected = (VoteKind::PrePrepare, proposer, self.view, height, block_hash);
            if (vote.kind, vote.validator, vote.view, vote.height, vote.block_hash) != expected {
                return Err(ViewChangeError::Proposal);
            }
            vote.verify(domain, validators)?;
        }
        let mut proven = Proven::decided(trusted);
        for change in self.view_changes.iter_mut().filter(|change| !verified(change)) {
            change.verify_unless(domain, validators, &mut proven)?;
        }
        Ok(())
    }
}
