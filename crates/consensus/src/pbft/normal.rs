//! The normal case: pre-prepare, prepare, commit (Castro & Liskov, OSDI '99, §4.2).

use std::sync::Arc;

use dtn_primitives::{B256, Block, Certificate, Evidence, ValidatorIndex, Vote, VoteKind};

use super::{
    Ask, Effects, Fault, Message, Output, PIPELINE, PRE_PREPARE_WINDOW, Pbft, PreparedCertificate, Record, View,
    slot::Validity, view_change::proposers, votes::certificate,
};
use crate::{Decision, protocol::Effect, quorum::Added};

impl Pbft {
    /// Takes the primary's word, with its block or without.
    pub(super) fn receive_pre_prepare(
        &mut self,
        from: ValidatorIndex,
        vote: Arc<Vote>,
        block: Option<Arc<Block>>,
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
        if !self.may_propose(vote.validator, height) {
            // Who joined the view through a certificate does not know that another was to begin it.
            let mistaken = proposers(&self.config.validators, vote.view, height).contains(&vote.validator);
            return if mistaken { Ok(()) } else { Err(Fault::NotPrimary(vote.validator)) };
        }
        let known = self.slots.get(&height).filter(|slot| slot.accepted.as_ref() == Some(&vote));
        if known.is_some_and(|slot| slot.body.is_some() || block.is_none()) {
            return Ok(());
        }
        if known.is_none() {
            vote.verify(&self.config.domain, &self.config.validators)?;
        }
        if let Some(block) = &block {
            // A block that is passed on is checked against its header here, lest the primary be blamed for what the peer did
            // to it. One from the primary itself is judged by the host.
            let whole = from == vote.validator || self.is_whole(block);
            if block.header.height != height || block.header.hash() != vote.block_hash || !whole {
                return Err(Fault::WrongBlock);
            }
        }
        if !self.view.allows(height, vote.block_hash) {
            return Err(Fault::NotRequired);
        }
        self.recall.heard(&vote);
        let now = self.looks;
        let slot = self.slots.entry(height).or_default();
        match &slot.accepted {
            Some(first) if first.block_hash != vote.block_hash => {
                // Of two that may propose here, each may have proposed.
                if first.validator == vote.validator {
                    effects.push(Effect::Output(Output::Evidence(Box::new(Evidence::new(first, &vote)))));
                }
                return Ok(());
            }
            Some(_) => slot.body = slot.body.take().or(block),
            None => slot.accept(vote, block, now),
        }
        self.advance(effects);
        Ok(())
    }

    /// Whose block counts at a height: the primary's, or that of who has begun the view where the view has to begin with it.
    /// Nobody if this replica cannot tell.
    fn expected(&self, height: u64) -> Option<ValidatorIndex> {
        let View { number, floor, joined, .. } = self.view;
        let inherited = self.view.is_inherited(height);
        let at = if inherited { floor.saturating_add(1) } else { height };
        (!(joined && inherited)).then(|| self.config.validators.primary(number, at))
    }

    fn may_propose(&self, validator: ValidatorIndex, height: u64) -> bool {
        let proposers = proposers(&self.config.validators, self.view.number, height);
        self.expected(height).map_or_else(|| proposers.contains(&validator), |expected| expected == validator)
    }

    pub(super) fn receive_vote(&mut self, vote: Arc<Vote>, effects: &mut Effects) -> Result<(), Fault> {
        let Vote { height, kind, .. } = *vote;
        if vote.view != self.view.number || height <= self.decided || height > self.high_water_mark() {
            return Ok(());
        }
        match kind {
            VoteKind::PrePrepare | VoteKind::Checkpoint | VoteKind::Notarize | VoteKind::Nullify => {
                return Err(Fault::WrongKind);
            }
            VoteKind::Prepare if self.proposer(height) == Some(vote.validator) => return Err(Fault::PrimaryPrepared),
            VoteKind::Prepare | VoteKind::Commit => {}
        }
        let known = self.slots.get(&height).and_then(|slot| slot.votes(kind).of(vote.validator));
        if known == Some(&vote) {
            return Ok(());
        }
        vote.verify(&self.config.domain, &self.config.validators)?;
        self.recall.heard(&vote);
        match self.slots.entry(height).or_default().votes_mut(kind).add(vote.clone()) {
            Added::New => self.advance(effects),
            Added::Duplicate => {}
            Added::Conflicting(first) => {
                effects.push(Effect::Output(Output::Evidence(Box::new(Evidence::new(&first, &vote)))));
            }
        }
        Ok(())
    }

    /// Whose block is accepted at a height, or would be.
    fn proposer(&self, height: u64) -> Option<ValidatorIndex> {
        let accepted = self.slots.get(&height).and_then(|slot| slot.accepted.as_ref());
        accepted.map(|vote| vote.validator).or_else(|| self.expected(height))
    }

    /// The primary assigns the next height to the block and multicasts it.
    pub(super) fn propose(&mut self, block: Arc<Block>, effects: &mut Effects) {
        let (height, block_hash) = (block.header.height, block.header.hash());
        if self.wanted() != Some((height, block.header.parent_hash)) || !self.view.allows(height, block_hash) {
            return;
        }
        let vote = self.sign(VoteKind::PrePrepare, height, block_hash);
        let now = self.looks;
        self.bodies.insert(block_hash, block.clone());
        let slot = self.slots.entry(height).or_default();
        slot.accept(vote.clone(), Some(block.clone()), now);
        slot.validity = Validity::Valid;
        slot.voted = true;
        self.quiet = 0;
        effects.push(Effect::Persist(Record::Accepted { vote: vote.clone(), block: block.clone() }));
        effects.push(Effect::Broadcast(Message::PrePrepare { vote, block }));
        self.advance(effects);
    }

    /// What this replica, if it is the primary there, may propose next: the height and the parent.
    fn wanted(&self) -> Option<(u64, B256)> {
        if self.view.changing || self.decided < self.view.floor || self.is_silent() {
            return None;
        }
        let (mut height, mut parent) = (self.decided + 1, self.decided_hash());
        while let Some(slot) = self.slots.get(&height).filter(|slot| slot.is_begun()) {
            // Nothing is built on a block before the host has found it valid.
            parent = slot.accepted_hash().filter(|_| slot.validity == Validity::Valid)?;
            height += 1;
        }
        let last = (self.decided + self.window).min(self.high_water_mark());
        let mine = self.config.validators.primary(self.view.number, height) == self.config.me;
        (mine && height <= last && height >= self.view.vote_from).then_some((height, parent))
    }

    pub(super) fn validated(&mut self, block_hash: B256, valid: bool, effects: &mut Effects) {
        let asked = self
            .slots
            .iter_mut()
            .find(|(_, slot)| slot.validity == Validity::Asked && slot.accepted_hash() == Some(block_hash));
        let Some((&height, slot)) = asked else { return };
        if !valid {
            // Not for good: it is judged again when it is said again; but a replica that has voted for it never accepts
            // another.
            slot.validity = Validity::Unknown;
            if !slot.voted {
                let from = slot.accepted.as_ref().map(|vote| vote.validator);
                slot.reject();
                effects.extend(from.map(|from| Effect::Fault { from, fault: Fault::InvalidBlock }));
            }
            return;
        }
        slot.validity = Validity::Valid;
        if let Some(block) = &slot.body {
            self.bodies.insert(block_hash, block.clone());
        }
        self.prepare(height, effects);
        self.advance(effects);
    }

    /// Accepts the block at a height: makes that durable and says so.
    fn prepare(&mut self, height: u64, effects: &mut Effects) {
        let (me, silent, vote_from) = (self.config.me, self.is_silent(), self.view.vote_from);
        let Some(slot) = self.slots.get_mut(&height).filter(|_| !silent && height >= vote_from) else { return };
        let Some((vote, block)) = slot.proposal().filter(|_| !slot.voted) else { return };
        slot.voted = true;
        let prepare = (me != vote.validator).then(|| self.sign(VoteKind::Prepare, height, vote.block_hash));
        self.quiet = 0;
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
            effects.push(Effect::Output(Output::Decide(Decision { block, certificate })));
        }
        if let Some((height, parent)) = self.wanted() {
            effects.push(Effect::Ask(Ask::Propose { height, parent, empty: self.heals() }));
        }
    }

    /// Has the accepted blocks judged in order, each on top of the one below, and commits in order to those that are
    /// prepared.
    fn extend_chain(&mut self, effects: &mut Effects) {
        let (mut parent, mut committing) = (self.decided_hash(), true);
        for height in self.decided + 1..=self.decided + PIPELINE {
            let inherited = self.view.is_inherited(height);
            let Some(slot) = self.slots.get_mut(&height) else { return };
            let Some((vote, block)) = slot.proposal() else { return };
            if block.header.parent_hash != parent {
                if !slot.voted {
                    slot.reject();
                    effects.push(Effect::Fault { from: vote.validator, fault: Fault::NotChained });
                }
                return;
            }
            match slot.validity {
                Validity::Unknown => {
                    slot.validity = Validity::Asked;
                    let fresh = !slot.voted && !inherited;
                    effects.push(Effect::Ask(Ask::Validate { block, fresh }));
                    return;
                }
                Validity::Asked => return,
                // It may have been found valid while this replica was silent.
                Validity::Valid => self.prepare(height, effects),
            }
            committing = committing && self.commit_if_prepared(height, effects);
            parent = vote.block_hash;
        }
    }

    /// *Prepared* is the pre-prepare and matching prepares of a quorum; then the replica commits. False if it has not.
    fn commit_if_prepared(&mut self, height: u64, effects: &mut Effects) -> bool {
        let Some(slot) = self.slots.get(&height) else { return false };
        if slot.commits.of(self.config.me).is_some() {
            return true;
        }
        let (Some(block_hash), Some((pre_prepare, block))) = (slot.prepared(&self.config.validators), slot.proposal())
        else {
            return false;
        };
        // Who commits has accepted: a replica that was silent when the block came has not.
        if !slot.voted || self.is_silent() || height < self.view.vote_from {
            return false;
        }
        let prepares = slot.matching_prepares().cloned().collect();
        let certificate = PreparedCertificate { header: block.header.clone(), pre_prepare, prepares };
        let commit = self.sign(VoteKind::Commit, height, block_hash);
        effects.push(Effect::Persist(Record::Prepared(certificate.clone())));
        effects.push(Effect::Broadcast(Message::Vote(commit.clone())));
        self.prepared.insert(height, certificate);
        self.bodies.insert(block_hash, block);
        self.quiet = 0;
        self.unchain();
        self.slots.entry(height).or_default().commits.add(commit);
        true
    }

    /// *Committed*: a quorum of matching commits for the block at this height.
    fn certified(&self, height: u64) -> Option<(Arc<Block>, Certificate)> {
        let slot = self.slots.get(&height)?;
        let (vote, block) = slot.proposal().filter(|_| slot.validity == Validity::Valid)?;
        let certificate = certificate(&slot.commits, vote.block_hash, &self.config.validators)?;
        Some((block, certificate))
    }

    fn decide(&mut self, certificate: Certificate) {
        let (height, view) = (certificate.height, certificate.view);
        if let Some(slot) = self.slots.get(&height)
            && let Some(accepted) = &slot.accepted
        {
            self.patience.succeeded(accepted.validator);
            self.pace(self.looks - slot.began);
        }
        self.decided = height;
        self.certificate = Some(certificate);
        self.slots.retain(|above, _| *above > height);
        self.prepared.retain(|above, _| *above > height);
        self.bodies.retain(|_, block| block.header.height > height);
        self.unchain();
        self.doublings = 0;
        self.quiet = 0;
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
        let known = self.slots.get(&certificate.height).into_iter();
        let evidence = known.flat_map(|slot| slot.commits.against(&certificate)).map(Output::Evidence);
        effects.extend(evidence.map(Effect::Output));
        self.decide(certificate);
        self.patience.skips_to(self.decided);
        if view > number || (view == number && changing) {
            self.drop_bodies();
            self.enter(View { number: view, floor: self.decided, joined: true, ..View::default() }, effects);
        } else if changing && !self.is_silent() {
            // Who is far behind does not count: it has to say that it is so no more.
            self.ask_for_view(effects);
        }
        self.advance(effects);
        self.begin_view(effects);
    }
}
