//! Agreement on the state itself, every [`CHECKPOINT_INTERVAL`] heights (Castro & Liskov, OSDI '99, §4.3).

use std::{collections::BTreeMap, sync::Arc};

use dtn_primitives::{B256, CheckpointCertificate, Evidence, ValidatorIndex, Vote, VoteKind};

use super::{CHECKPOINT_INTERVAL, Effects, Fault, LOG_WINDOW, Message, Output, Pbft, Record, votes::VoteSet};
use crate::{protocol::Effect, quorum::Added};

/// The last stable checkpoint, and the votes for those above it.
#[derive(Debug, Clone)]
pub(super) struct Checkpoints {
    stable: Option<CheckpointCertificate>,
    votes: BTreeMap<u64, VoteSet>,
    /// This replica's own for a height beyond the window that it knows of, to which it has caught up. It says it until the
    /// others have told it what is stable: until then it can vote on nothing.
    beyond: Option<Arc<Vote>>,
}

impl Checkpoints {
    pub(super) fn new(stable: Option<CheckpointCertificate>) -> Self {
        Self { stable, votes: BTreeMap::new(), beyond: None }
    }

    /// Takes in a vote of this replica, also after a restart.
    pub(super) fn keep(&mut self, vote: Arc<Vote>) {
        if self.in_window(vote.height) {
            self.votes.entry(vote.height).or_default().extend([vote]);
        } else if vote.height > self.beyond.as_ref().map_or(self.height(), |beyond| beyond.height) {
            self.beyond = Some(vote);
        }
    }

    pub(super) fn stable(&self) -> Option<&CheckpointCertificate> {
        self.stable.as_ref()
    }

    /// The height of the last stable checkpoint (the paper's low-water mark).
    pub(super) fn height(&self) -> u64 {
        self.stable.as_ref().map_or(0, |stable| stable.height)
    }

    /// What a replica has said about checkpoints that are not stable yet.
    pub(super) fn own(&self, me: ValidatorIndex) -> impl Iterator<Item = Arc<Vote>> {
        self.votes.values().filter_map(move |votes| votes.of(me).cloned()).chain(self.beyond.clone())
    }

    fn in_window(&self, height: u64) -> bool {
        height > self.height() && height - self.height() <= LOG_WINDOW
    }
}

impl Pbft {
    /// The host has executed everything up to this height.
    pub(super) fn executed(&mut self, height: u64, state_root: B256, effects: &mut Effects) {
        if height == 0 || !height.is_multiple_of(CHECKPOINT_INTERVAL) || height <= self.checkpoints.height() {
            return;
        }
        let epoch = self.config.validators.epoch();
        let (me, key, domain) = (self.config.me, &self.config.key, &self.config.domain);
        let vote = Arc::new(Vote::sign(VoteKind::Checkpoint, (epoch, 0, height), state_root, me, key, domain));
        effects.push(Effect::Persist(Record::Checkpoint(vote.clone())));
        effects.push(Effect::Broadcast(Message::Checkpoint(vote.clone())));
        self.checkpoints.keep(vote);
        self.stabilize(height, state_root, effects);
    }

    pub(super) fn receive_checkpoint(
        &mut self,
        from: ValidatorIndex,
        vote: Arc<Vote>,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let Vote { kind, height, block_hash: state_root, .. } = *vote;
        if kind != VoteKind::Checkpoint {
            return Err(Fault::WrongKind);
        }
        if !height.is_multiple_of(CHECKPOINT_INTERVAL) {
            return Err(Fault::NotCheckpoint(height));
        }
        if let Some(stable) = self.checkpoints.stable.as_ref().filter(|stable| height <= stable.height) {
            if vote.validator == from {
                effects.push(Effect::Send { to: from, message: Message::Stable(stable.clone()) });
            }
            return Ok(());
        }
        let known = self.checkpoints.votes.get(&height).and_then(|votes| votes.of(vote.validator));
        if !self.checkpoints.in_window(height) || known == Some(&vote) {
            return Ok(());
        }
        vote.verify(&self.config.domain, &self.config.validators)?;
        match self.checkpoints.votes.entry(height).or_default().add(vote.clone()) {
            Added::New => self.stabilize(height, state_root, effects),
            Added::Duplicate => {}
            Added::Conflicting(first) => {
                effects.push(Effect::Output(Output::Evidence(Box::new(Evidence::new(&first, &vote)))));
            }
        }
        Ok(())
    }

    /// A peer says that a later checkpoint is stable, and proves it.
    pub(super) fn receive_stable(
        &mut self,
        certificate: CheckpointCertificate,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        if certificate.height <= self.checkpoints.height() {
            return Ok(());
        }
        if !certificate.height.is_multiple_of(CHECKPOINT_INTERVAL) {
            return Err(Fault::NotCheckpoint(certificate.height));
        }
        certificate.verify(&self.config.domain, &self.config.validators)?;
        self.set_stable(certificate, effects);
        Ok(())
    }

    /// §4.3: a checkpoint is stable once a quorum says the same about it.
    fn stabilize(&mut self, height: u64, state_root: B256, effects: &mut Effects) {
        let votes = self.checkpoints.votes.get(&height);
        let quorum = votes.and_then(|votes| votes.quorum_for(state_root, &self.config.validators));
        let certificate = quorum.and_then(|votes| CheckpointCertificate::from_votes(votes.map(Arc::as_ref)));
        if let Some(certificate) = certificate {
            self.set_stable(certificate, effects);
        }
    }

    fn set_stable(&mut self, certificate: CheckpointCertificate, effects: &mut Effects) {
        self.checkpoints.votes.retain(|height, _| *height > certificate.height);
        self.checkpoints.stable = Some(certificate.clone());
        if let Some(vote) = self.checkpoints.beyond.take() {
            self.checkpoints.keep(vote);
        }
        effects.push(Effect::Output(Output::Stable(certificate)));
        // The window has moved.
        self.advance(effects);
    }
}
