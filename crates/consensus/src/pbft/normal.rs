//! The normal case: pre-prepare, prepare, commit (Castro & Liskov, OSDI '99, §4.2).

use std::sync::Arc;

use dtn_primitives::{B256, Block, Certificate, Evidence, ValidatorIndex, Vote, VoteKind};

use super::{
    Effects, Fault, Message, PIPELINE, PRE_PREPARE_WINDOW, Pbft, Prepared, PreparedCertificate, Record, View,
    slot::Validity, votes::Added,
};
use crate::protocol::{Decision, Effect};

impl Pbft {
    pub(super) fn receive_pre_prepare(
        &mut self,
        from: ValidatorIndex,
        vote: Arc<Vote>,
        block: Arc<Block>,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        if vote.kind != VoteKind::PrePrepare {
            return Err(Fault::WrongKind);
        }
        let height = vote.height;
        let in_window = height > self.decided && height <= self.decided.saturating_add(PRE_PREPARE_WINDOW);
        if vote.view != self.view.number || self.view.changing || !in_window || height > self.high_water_mark() {
            return Ok(());
        }
        if vote.validator != self.primary() {
            return Err(Fault::NotPrimary(vote.validator));
        }
        let known = self.slots.get(&height).and_then(|slot| slot.accepted.as_ref());
        if known.is_some_and(|(known, _)| *known == vote) {
            return Ok(());
        }
        vote.verify(&self.config.domain, &self.config.validators)?;
        // A block that is passed on is checked against its header here, lest the primary be blamed for what the peer did
        // to it. One from the primary itself is judged by the host.
        let whole = from == vote.validator || self.is_whole(&block);
        if block.header.height != height || block.header.hash() != vote.block_hash || !whole {
            return Err(Fault::WrongBlock);
        }
        if !self.view.allows(height, vote.block_hash) {
            return Err(Fault::NotRequired);
        }
        let slot = self.slots.entry(height).or_default();
        if let Some((first, _)) = &slot.accepted {
            if first.block_hash != vote.block_hash {
                let evidence = Evidence::new(first, &vote);
                effects.push(Effect::Evidence(Box::new(evidence)));
            }
            return Ok(());
        }
        slot.accept(vote, block);
        self.advance(effects);
        Ok(())
    }

    pub(super) fn receive_vote(&mut self, vote: Arc<Vote>, effects: &mut Effects) -> Result<(), Fault> {
        let Vote { height, kind, .. } = *vote;
        if vote.view != self.view.number || height <= self.decided || height > self.high_water_mark() {
            return Ok(());
        }
        match kind {
            VoteKind::PrePrepare | VoteKind::Checkpoint => return Err(Fault::WrongKind),
            VoteKind::Prepare if vote.validator == self.primary() => return Err(Fault::PrimaryPrepared),
            VoteKind::Prepare | VoteKind::Commit => {}
        }
        let known = self.slots.get(&height).and_then(|slot| slot.votes(kind).of(vote.validator));
        if known == Some(&vote) {
            return Ok(());
        }
        vote.verify(&self.config.domain, &self.config.validators)?;
        match self.slots.entry(height).or_default().votes_mut(kind).add(vote.clone()) {
            Added::New => self.advance(effects),
            Added::Duplicate => {}
            Added::Conflicting(first) => {
                effects.push(Effect::Evidence(Box::new(Evidence::new(&first, &vote))));
            }
        }
        Ok(())
    }

    /// The primary assigns the next height to the block and multicasts it.
    pub(super) fn propose(&mut self, block: Arc<Block>, effects: &mut Effects) {
        let (height, block_hash) = (block.header.height, block.header.hash());
        if self.wanted() != Some((height, block.header.parent_hash)) || !self.view.allows(height, block_hash) {
            return;
        }
        let vote = self.sign(VoteKind::PrePrepare, height, block_hash);
        let slot = self.slots.entry(height).or_default();
        slot.accept(vote.clone(), block.clone());
        slot.validity = Validity::Valid;
        slot.voted = true;
        effects.push(Effect::Persist(Record::Accepted { vote: vote.clone(), block: block.clone() }));
        effects.push(Effect::Broadcast(Message::PrePrepare { vote, block }));
        self.advance(effects);
    }

    /// What this replica, if it is the primary, may propose next: the height and the parent.
    fn wanted(&self) -> Option<(u64, B256)> {
        if !self.is_primary() || self.view.changing || self.decided < self.view.floor {
            return None;
        }
        let (mut height, mut parent) = (self.decided + 1, self.decided_hash());
        while let Some((vote, _)) = self.slots.get(&height).and_then(|slot| slot.accepted.as_ref()) {
            (height, parent) = (height + 1, vote.block_hash);
        }
        let last = (self.decided + PIPELINE).min(self.high_water_mark());
        (height <= last && height >= self.vote_from).then_some((height, parent))
    }

    pub(super) fn validated(&mut self, block_hash: B256, valid: bool, effects: &mut Effects) {
        let asked = self
            .slots
            .iter_mut()
            .find(|(_, slot)| slot.validity == Validity::Asked && slot.accepted_hash() == Some(block_hash));
        let Some((&height, slot)) = asked else { return };
        if !valid {
            // Not for good: it may only be ahead of this host's clock. It is judged again when it is said again; but a
            // replica that has voted for it never accepts another.
            slot.validity = Validity::Unknown;
            if !slot.voted {
                slot.accepted = None;
                effects.push(Effect::Fault { from: self.primary(), fault: Fault::InvalidBlock });
            }
            return;
        }
        slot.validity = Validity::Valid;
        self.prepare(height, effects);
        self.advance(effects);
    }

    /// Accepts the block at a height: makes that durable and says so.
    fn prepare(&mut self, height: u64, effects: &mut Effects) {
        let (me, primary) = (self.config.me, self.primary());
        let Some(slot) = self.slots.get_mut(&height).filter(|_| height >= self.vote_from) else { return };
        let Some((vote, block)) = slot.accepted.clone() else { return };
        slot.voted = true;
        let prepare = (me != primary).then(|| self.sign(VoteKind::Prepare, height, vote.block_hash));
        effects.push(Effect::Persist(Record::Accepted { vote, block }));
        if let Some(prepare) = prepare {
            self.slots.entry(height).or_default().prepares.add(prepare.clone());
            effects.push(Effect::Broadcast(Message::Vote(prepare)));
        }
    }

    /// Does what the blocks and votes allow, height by height, and decides what is committed.
    pub(super) fn advance(&mut self, effects: &mut Effects) {
        while !self.view.changing {
            self.extend_chain(effects);
            let Some((block, certificate)) = self.certified(self.decided + 1) else { break };
            self.decide(certificate.clone());
            effects.push(Effect::Decide(Decision { block, certificate }));
        }
        if let Some((height, parent)) = self.wanted() {
            effects.push(Effect::Propose { height, parent });
        }
    }

    /// Has the accepted blocks judged in order, each on top of the one below, and commits in order to those that are
    /// prepared.
    fn extend_chain(&mut self, effects: &mut Effects) {
        let (mut parent, mut committing) = (self.decided_hash(), true);
        for height in self.decided + 1..=self.decided + PIPELINE {
            let Some(slot) = self.slots.get_mut(&height) else { return };
            let Some((vote, block)) = slot.accepted.clone() else { return };
            if block.header.parent_hash != parent {
                if !slot.voted {
                    slot.accepted = None;
                    slot.validity = Validity::Unknown;
                    effects.push(Effect::Fault { from: vote.validator, fault: Fault::NotChained });
                }
                return;
            }
            match slot.validity {
                Validity::Unknown => {
                    slot.validity = Validity::Asked;
                    effects.push(Effect::Validate(block));
                    return;
                }
                Validity::Asked => return,
                Validity::Valid => {}
            }
            committing = committing && self.commit_if_prepared(height, effects);
            parent = vote.block_hash;
        }
    }

    /// *Prepared* is the pre-prepare and matching prepares of a quorum; then the replica commits. False if it has not.
    fn commit_if_prepared(&mut self, height: u64, effects: &mut Effects) -> bool {
        let quorum = self.config.validators.quorum();
        let Some(slot) = self.slots.get(&height) else { return false };
        if slot.commits.of(self.config.me).is_some() {
            return true;
        }
        let (Some(block_hash), Some((pre_prepare, block))) = (slot.prepared(quorum), slot.accepted.clone()) else {
            return false;
        };
        if height < self.vote_from {
            return false;
        }
        let prepares = slot.prepares.votes_for(block_hash).cloned().collect();
        let certificate = PreparedCertificate { header: block.header.clone(), pre_prepare, prepares };
        let commit = self.sign(VoteKind::Commit, height, block_hash);
        effects.push(Effect::Persist(Record::Prepared(certificate.clone())));
        effects.push(Effect::Broadcast(Message::Vote(commit.clone())));
        self.prepared.insert(height, Prepared { certificate, block });
        self.unchain();
        self.slots.entry(height).or_default().commits.add(commit);
        true
    }

    /// *Committed*: a quorum of matching commits for the block at this height.
    fn certified(&self, height: u64) -> Option<(Arc<Block>, Certificate)> {
        let slot = self.slots.get(&height)?;
        let (vote, block) = slot.accepted.as_ref().filter(|_| slot.validity == Validity::Valid)?;
        let certificate = slot.commits.certificate(vote.block_hash, self.config.validators.quorum())?;
        Some((block.clone(), certificate))
    }

    fn decide(&mut self, certificate: Certificate) {
        let (height, view) = (certificate.height, certificate.view);
        self.decided = height;
        self.certificate = Some(certificate);
        self.slots.retain(|above, _| *above > height);
        self.prepared.retain(|above, _| *above > height);
        self.unchain();
        self.doublings = 0;
        // The view's timer starts anew for what comes next.
        self.armed = false;
        if view == self.view.number && height >= self.view.floor + self.view.required.len() as u64 {
            self.new_view = None;
        }
    }

    /// Others decided up to here. If they did so in a higher view than this replica's, that view has begun.
    pub(super) fn caught_up(&mut self, certificate: Certificate, effects: &mut Effects) {
        if certificate.height <= self.decided {
            return;
        }
        let (number, changing) = (self.view.number, self.view.changing);
        let view = certificate.view;
        self.decide(certificate);
        if view > number || (view == number && changing) {
            self.enter(View { number: view, changing: false, floor: self.decided, required: Vec::new() }, effects);
        }
        self.advance(effects);
        self.begin_view(effects);
    }
}
