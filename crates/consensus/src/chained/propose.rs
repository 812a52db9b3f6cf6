//! How to propose and to vote.

use std::sync::Arc;

use dtn_primitives::{B256, Block, Evidence, ValidatorIndex, Vote, VoteKind};

use super::{
    Chained, Effects, Fault, Lapse, Message, Notarization, Offer, Proposal, Record, Rules, Standing, Timer,
    VIEWS_AHEAD, blocks::FAR,
};
use crate::{
    pbft::{Ask, Output},
    protocol::Effect,
    quorum::Added,
};

/// How many nullifications a proposal carries at most: who knows more of them does not need those.
const NULLIFICATIONS_CARRIED: usize = 16;

impl<R: Rules> Chained<R> {
    pub(super) fn sign(&self, kind: VoteKind, (view, height): (u64, u64), hash: B256) -> Arc<Vote> {
        let config = &self.config.replica;
        let place = (config.validators.epoch(), view, height);
        Arc::new(Vote::sign(kind, place, hash, config.me, &config.key, &config.domain))
    }

    /// Makes durable what it has said, before it says more.
    pub(super) fn persist(&self, effects: &mut Effects<R>) {
        let tip = self.standing.tip.clone().filter(|_| !self.lapses(Lapse::ForgetsTip));
        effects.push(Effect::Persist(Record::Standing(Box::new(Standing { tip, ..self.standing.clone() }))));
    }

    /// Whether it may still vote in its view.
    fn is_free(&self) -> bool {
        let said = self.standing.voted.is_some() || self.standing.nullified.is_some();
        !said && !self.is_silent()
    }

    /// Does what is possible now: what is certified is decided, then what is notarized committed to, then what is proposed
    /// voted for, and then something proposed.
    pub(super) fn advance(&mut self, effects: &mut Effects<R>) {
        while self.decide_next(effects) {}
        self.commit_if_executed(effects);
        self.vote_if_valid(effects);
        self.propose(effects);
    }

    fn vote_if_valid(&mut self, effects: &mut Effects<R>) {
        let view = self.standing.view;
        let Some(offer) = self.slots.get(&view).and_then(|slot| slot.offer.as_ref()) else { return };
        let proposal = offer.proposal;
        if !self.is_free() || self.leader(view) == self.config.replica.me || !R::may_vote(self, &proposal) {
            return;
        }
        if self.follow(proposal.block, proposal.height, effects) && self.is_on_parent(&proposal) {
            self.vote(&proposal, effects);
        }
    }

    /// Whether a proposal's block is that of its parent, or on top of it.
    fn is_on_parent(&self, proposal: &Proposal) -> bool {
        let block = self.blocks.get(proposal.block).map(|block| block.header.parent_hash);
        match self.notarized.get(&proposal.parent).map(|parent| parent.proposal) {
            Some(parent) => {
                let on_top = parent.block == proposal.block || block == Some(parent.block);
                on_top && Some(proposal.length) == parent.length.checked_add(1)
            }
            None => proposal.parent == 0 && block.is_some_and(|parent| parent == self.decided_hash()),
        }
    }

    /// Votes for a proposal: once a view.
    fn vote(&mut self, proposal: &Proposal, effects: &mut Effects<R>) -> Arc<Vote> {
        let vote = self.sign(VoteKind::Notarize, (proposal.view, 0), proposal.hash());
        self.standing.voted = Some(vote.clone());
        self.pace.quiet = 0;
        self.persist_blocks(proposal.block, proposal.height, effects);
        self.persist(effects);
        if R::LINEAR && self.lapses(Lapse::CommitsEarly) {
            let (proposal, signatures) = (*proposal, Vec::new());
            self.commit_to(&Arc::new(Notarization { proposal, signatures }), effects);
        }
        // A leader votes after it has proposed.
        if self.leader(proposal.view) != self.config.replica.me {
            self.say_vote(&vote, effects);
            self.count(vote.clone(), effects);
        }
        vote
    }

    pub(super) fn say_vote(&self, vote: &Arc<Vote>, effects: &mut Effects<R>) {
        let (message, leader) = (Message::Vote(vote.clone()), self.leader(vote.view));
        match R::LINEAR {
            true if leader == self.config.replica.me => {}
            true => effects.push(Effect::Send { to: leader, message }),
            false => effects.push(Effect::Broadcast(message)),
        }
    }

    /// What this replica extends, if it leads the view, has not proposed in it, and need not wait.
    fn wanted(&self) -> Option<Proposal> {
        let best = self.best();
        let leads = self.leader(self.standing.view) == self.config.replica.me && self.is_free();
        // What is final on top of something else cannot be extended.
        let stands = best.height > self.decided || (best.height == self.decided && best.block == self.decided_hash());
        (leads && stands && best.view < self.standing.view && R::may_propose(self)).then_some(best)
    }

    /// A leader asks for something to propose.
    fn propose(&mut self, effects: &mut Effects<R>) {
        let view = self.standing.view;
        let Some(parent) = self.wanted() else { return };
        if self.pace.asked == Some((view, parent.block)) || !self.follow(parent.block, parent.height, effects) {
            return;
        }
        let undecided = parent.height - self.decided;
        if undecided >= R::WINDOW {
            return self.offer(parent, None, effects);
        }
        self.pace.asked = Some((view, parent.block));
        let empty = self.heals();
        effects.push(Effect::Ask(Ask::Propose { height: parent.height + 1, parent: parent.block, empty }));
        if undecided > 0 {
            // Where nothing waits to be put into a block, the chain has to grow all the same.
            effects.push(Effect::SetTimer { timer: Timer::Propose, after: self.grace() });
        }
    }

    /// A leader has waited long enough: it proposes without a block, unless everything is final.
    pub(super) fn propose_again(&mut self, effects: &mut Effects<R>) {
        let parent = self.wanted().filter(|parent| parent.height > self.decided);
        let asked = |parent: &Proposal| self.pace.asked == Some((self.standing.view, parent.block));
        if let Some(parent) = parent.filter(asked) {
            self.offer(parent, None, effects);
        }
    }

    /// The host has something to propose.
    pub(super) fn proposed(&mut self, block: Arc<Block>, effects: &mut Effects<R>) {
        // Whether or not it is still of use, the host has executed it.
        let executed = self.executes(&block);
        let fits =
            |parent: &Proposal| block.header.parent_hash == parent.block && block.header.height == parent.height + 1;
        if let Some(parent) = self.wanted().filter(|parent| executed && fits(parent)) {
            self.offer(parent, Some(block), effects);
        }
    }

    /// Proposes in its view.
    fn offer(&mut self, parent: Proposal, block: Option<Arc<Block>>, effects: &mut Effects<R>) {
        let header = block.as_ref().map(|block| (block.header.height, block.header.hash()));
        let (height, hash) = header.unwrap_or((parent.height, parent.block));
        let (view, length) = (self.standing.view, parent.length + 1);
        let proposal = Proposal { view, parent: parent.view, length, height, block: hash };
        block.iter().for_each(|block| self.blocks.keep(block.clone(), false));
        let between = self.nullified.range(parent.view + 1..view).rev().take(NULLIFICATIONS_CARRIED);
        let nullified = between.map(|(_, proof)| proof.clone()).collect();
        let vote = self.vote(&proposal, effects);
        let parent = self.standing.tip.clone();
        let offer = Offer { proposal, vote: vote.clone(), block, parent, nullified };
        effects.push(Effect::Broadcast(Message::Propose(Box::new(offer.clone()))));
        self.slots.entry(view).or_default().offer = Some(offer);
        self.say_vote(&vote, effects);
        self.count(vote, effects);
    }

    pub(super) fn receive_offer(&mut self, mut offer: Offer, effects: &mut Effects<R>) -> Result<(), Fault> {
        let Offer { proposal, vote, .. } = &offer;
        let (view, standing) = (proposal.view, self.standing.view);
        // A proposal may come with the proof that ends the view in which this replica is.
        let ahead = view.saturating_sub(standing);
        if view < standing || (ahead > VIEWS_AHEAD && offer.parent.is_none() && offer.nullified.is_empty()) {
            return Ok(());
        }
        if vote.validator != self.leader(view) {
            return Err(Fault::NotLeader(vote.validator));
        }
        if vote.kind != VoteKind::Notarize || (vote.view, vote.block_hash) != (view, proposal.hash()) {
            return Err(Fault::WrongKind);
        }
        let known = self.slots.get(&view).and_then(|slot| slot.offer.as_ref());
        let known = known.map(|known| (known.proposal == *proposal, known.vote.clone()));
        match known {
            Some((true, _)) if offer.block.is_none() || self.blocks.get(proposal.block).is_some() => return Ok(()),
            Some((true, _)) => {}
            _ => vote.verify(&self.config.replica.domain, &self.config.replica.validators)?,
        }
        if let Some((false, first)) = &known {
            let evidence = Box::new(Evidence::new(first, vote));
            effects.push(Effect::Output(Output::Evidence(evidence)));
            if !self.lapses(Lapse::VotesTwice) {
                return Ok(());
            }
            self.standing.voted = None;
        }
        // A vote that was verified stays: the same one with another signature was not.
        if let Some((true, first)) = known {
            offer.vote = first;
        }
        let proposal = offer.proposal;
        self.check_chained(&offer)?;
        let near = proposal.height > self.decided && proposal.height <= self.decided.saturating_add(FAR);
        if let Some(block) = offer.block.as_ref().filter(|_| near) {
            // What is kept under a hash is what the hash says: a host that finds it invalid finds it so at all replicas.
            let whole = self.is_whole(block);
            let named = (block.header.hash(), block.header.height) == (proposal.block, proposal.height);
            if !whole || !named {
                return Err(Fault::WrongBlock);
            }
        }
        self.learn_from(&offer, effects)?;
        if view < self.standing.view || view > self.standing.view.saturating_add(VIEWS_AHEAD) {
            return Ok(());
        }
        self.relay((view, offer.vote.validator, true), || Message::Propose(Box::new(offer.clone())), effects);
        // One a view: its leader's first.
        let block = offer.block.clone().filter(|_| near);
        block.into_iter().for_each(|block| self.blocks.keep(block, false));
        let vote = offer.vote.clone();
        self.slots.entry(view).or_default().offer = Some(Offer { block: None, ..offer });
        self.count(vote, effects);
        Ok(())
    }

    /// Whether a proposal says of its parent what is so.
    fn check_chained(&self, offer: &Offer) -> Result<(), Fault> {
        let Proposal { view, parent, length, height, block } = offer.proposal;
        let root = (0, 0);
        let (at, long) = offer.parent.as_ref().map_or(root, |of| (of.proposal.view, of.proposal.length));
        let on_top = match offer.parent.as_ref().map(|of| of.proposal) {
            Some(of) => height == of.height.saturating_add(1) || (height == of.height && block == of.block),
            None => height > 0,
        };
        let holds = parent == at && parent < view && Some(length) == long.checked_add(1) && on_top;
        if holds { Ok(()) } else { Err(Fault::NotChained) }
    }

    /// Takes in what a proposal proves.
    fn learn_from(&mut self, offer: &Offer, effects: &mut Effects<R>) -> Result<(), Fault> {
        if let Some(parent) = &offer.parent {
            // What is known of its view does not make another one true.
            let known = self.notarized.get(&parent.proposal.view).map(|known| known.proposal);
            if known != Some(parent.proposal) {
                parent.verify(&self.config.replica.domain, &self.config.replica.validators, self.quorum())?;
            }
            self.receive_notarization(Arc::<Notarization>::clone(parent), effects)?;
        }
        for nullification in offer.nullified.iter().rev().filter(|_| R::NULLIFIES) {
            self.receive_nullification(nullification.clone(), effects)?;
        }
        Ok(())
    }

    /// Passes a message on, the first time, where that is an option that was taken.
    pub(super) fn relay(
        &mut self,
        what: (u64, ValidatorIndex, bool),
        message: impl FnOnce() -> Message,
        effects: &mut Effects<R>,
    ) {
        let echoes = self.config.relays && R::ECHOES && what.1 != self.config.replica.me;
        if echoes && self.relayed.insert(what) {
            effects.push(Effect::Broadcast(message()));
        }
    }

    /// Counts a vote for a proposal or against a view, whose signature is certain.
    pub(super) fn count(&mut self, vote: Arc<Vote>, effects: &mut Effects<R>) {
        let slot = self.slots.entry(vote.view).or_default();
        let tally = if vote.kind == VoteKind::Nullify { &mut slot.nullifies } else { &mut slot.notarizes };
        match tally.add(vote.clone()) {
            Added::New => self.counted(&vote, effects),
            Added::Duplicate => {}
            Added::Conflicting(first) => {
                effects.push(Effect::Output(Output::Evidence(Box::new(Evidence::new(&first, &vote)))));
            }
        }
    }
}
