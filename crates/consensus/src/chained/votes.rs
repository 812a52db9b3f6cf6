//! What votes come to: notarizations, nullifications and commits.

use std::sync::Arc;

use dtn_primitives::{B256, Block, Evidence, Signature, ValidatorIndex, Vote, VoteKind};

use super::{
    Chained, Effects, Fault, Message, NOTARIZATIONS, NULLIFICATIONS, Notarization, Nullification, Proposal, Record,
    Rules, VIEWS_AHEAD, VIEWS_BELOW, blocks::FAR,
};
use crate::{
    pbft::Output,
    protocol::Effect,
    quorum::{Added, Tally, has_correct},
};

impl<R: Rules> Chained<R> {
    /// Whether votes of a view are counted.
    fn is_near(&self, view: u64) -> bool {
        let own = self.standing.view;
        view > 0 && view.saturating_add(VIEWS_BELOW) >= own && view <= own.saturating_add(VIEWS_AHEAD)
    }

    pub(super) fn receive_vote(&mut self, vote: Arc<Vote>, effects: &mut Effects<R>) -> Result<(), Fault> {
        let notarizes = match vote.kind {
            VoteKind::Notarize => true,
            VoteKind::Nullify if R::NULLIFIES => false,
            _ => return Err(Fault::WrongKind),
        };
        if !self.is_near(vote.view) {
            return Ok(());
        }
        let slot = self.slots.get(&vote.view);
        let known = slot.and_then(|slot| {
            if notarizes { slot.notarizes.of(vote.validator) } else { slot.nullifies.of(vote.validator) }
        });
        let is_known = known == Some(&vote);
        if !is_known {
            vote.verify(&self.config.replica.domain, &self.config.replica.validators)?;
        }
        self.relay((vote.view, vote.validator, false), || Message::Vote(vote.clone()), effects);
        if !is_known {
            self.count(vote, effects);
        }
        Ok(())
    }

    /// A vote counts that did not before.
    pub(super) fn counted(&mut self, vote: &Vote, effects: &mut Effects<R>) {
        match vote.kind {
            VoteKind::Nullify => {
                let committed = self.commits.iter().filter(|((_, view), _)| *view == vote.view);
                let committed = committed.filter_map(|(_, tally)| tally.of(vote.validator));
                let evidence: Vec<_> = committed.take(1).map(|commit| Box::new(Evidence::new(vote, commit))).collect();
                effects.extend(evidence.into_iter().map(|evidence| Effect::Output(Output::Evidence(evidence))));
                self.form_nullification(vote.view, effects);
            }
            _ => self.form_notarization(vote.view, effects),
        }
    }

    fn signatures(&self, tally: &Tally<Arc<Vote>>, choice: B256) -> Option<Vec<(ValidatorIndex, Signature)>> {
        let quorum = self.quorum();
        let votes = (tally.count(choice) >= quorum).then(|| tally.ballots_for(choice).take(quorum))?;
        Some(votes.map(|vote| (vote.validator, vote.signature)).collect())
    }

    /// The votes of a quorum for a proposal that is known are its notarization.
    fn form_notarization(&mut self, view: u64, effects: &mut Effects<R>) {
        if self.notarized.contains_key(&view) {
            return;
        }
        let Some(slot) = self.slots.get(&view) else { return };
        let Some(proposal) = slot.offer.as_ref().map(|offer| offer.proposal) else { return };
        let Some(signatures) = self.signatures(&slot.notarizes, proposal.hash()) else { return };
        let notarization = Arc::new(Notarization { proposal, signatures });
        if R::LINEAR {
            effects.push(Effect::Broadcast(Message::Notarized(notarization.clone())));
        }
        self.learn(notarization, effects);
    }

    pub(super) fn receive_notarization(
        &mut self,
        notarization: Arc<Notarization>,
        effects: &mut Effects<R>,
    ) -> Result<(), Fault> {
        let Proposal { view, height, .. } = notarization.proposal;
        let is_old = self.notarized.len() >= NOTARIZATIONS && self.notarized.keys().next() > Some(&view);
        if view == 0 || self.notarized.contains_key(&view) || is_old || height < self.decided {
            return Ok(());
        }
        notarization.verify(&self.config.replica.domain, &self.config.replica.validators, self.quorum())?;
        self.learn(notarization, effects);
        Ok(())
    }

    /// A proposal is notarized.
    fn learn(&mut self, notarization: Arc<Notarization>, effects: &mut Effects<R>) {
        let proposal = notarization.proposal;
        self.notarized.insert(proposal.view, notarization.clone());
        while self.notarized.len() > NOTARIZATIONS {
            self.notarized.pop_first();
        }
        if self.tip().is_none_or(|tip| !R::is_as_good(tip, &proposal)) {
            self.standing.tip = Some(notarization.clone());
            self.nullified.retain(|view, _| *view > proposal.view);
        }
        if self.config.relays && R::NULLIFIES {
            effects.push(Effect::Broadcast(Message::Notarized(notarization.clone())));
        }
        self.pace.quiet = 0;
        R::notarized(self, &notarization, effects);
    }

    /// The votes of a quorum against a view end it; those of f + 1 are joined, for one of them is correct.
    fn form_nullification(&mut self, view: u64, effects: &mut Effects<R>) {
        let validators = &self.config.replica.validators;
        let Some(slot) = self.slots.get(&view) else { return };
        if let Some(signatures) = self.signatures(&slot.nullifies, B256::ZERO) {
            return self.learn_nullification(Arc::new(Nullification { view, signatures }), effects);
        }
        if has_correct(slot.nullifies.count(B256::ZERO), validators) && view == self.standing.view {
            self.nullify(effects);
        }
    }

    /// Gives up its view: it commits to nothing there any more.
    pub fn nullify(&mut self, effects: &mut Effects<R>) {
        let view = self.standing.view;
        let committed = self.standing.commits.first().is_some_and(|commit| commit.view == view);
        if self.standing.nullified.is_some() || committed || self.is_silent() {
            return;
        }
        let vote = self.sign(VoteKind::Nullify, (view, 0), B256::ZERO);
        self.standing.nullified = Some(vote.clone());
        self.committing.take_if(|committing| committing.proposal.view == view);
        self.persist(effects);
        effects.push(Effect::Broadcast(Message::Vote(vote.clone())));
        self.count(vote, effects);
    }

    pub(super) fn receive_nullification(
        &mut self,
        nullification: Arc<Nullification>,
        effects: &mut Effects<R>,
    ) -> Result<(), Fault> {
        if !R::NULLIFIES {
            return Err(Fault::WrongKind);
        }
        let view = nullification.view;
        let below = self.tip().map_or(0, |tip| tip.view);
        // What is below what is notarized may still be what a proposal rests on, if its view is at hand.
        let is_old = view < below && view.saturating_add(VIEWS_BELOW) < self.standing.view;
        if view == 0 || is_old || self.nullified.contains_key(&view) {
            return Ok(());
        }
        nullification.verify(&self.config.replica.domain, &self.config.replica.validators, self.quorum())?;
        self.learn_nullification(nullification, effects);
        Ok(())
    }

    fn learn_nullification(&mut self, nullification: Arc<Nullification>, effects: &mut Effects<R>) {
        let view = nullification.view;
        if self.nullified.insert(view, nullification.clone()).is_some() {
            return;
        }
        while self.nullified.len() > NULLIFICATIONS {
            self.nullified.pop_first();
        }
        let height = self.best().height.max(self.decided) + 1;
        effects.push(Effect::Persist(Record::Nullified { height, nullification: nullification.clone() }));
        if self.config.relays {
            effects.push(Effect::Broadcast(Message::Nullified(nullification)));
        }
        self.enter(view.saturating_add(1), effects);
    }

    /// Commits, as soon as its host has executed it, to a notarized proposal that is final, or that its votes make so.
    pub fn commit_to(&mut self, notarization: &Arc<Notarization>, effects: &mut Effects<R>) {
        if notarization.proposal.height > self.decided {
            self.committing = Some(notarization.clone());
            self.commit_if_executed(effects);
        }
    }

    pub(super) fn commit_if_executed(&mut self, effects: &mut Effects<R>) {
        let Some(Proposal { view, height, block, .. }) = self.committing.as_ref().map(|it| it.proposal) else { return };
        if height <= self.decided || self.standing.vote_from > view || self.has_given_up(view) {
            self.committing = None;
            return;
        }
        if !self.follow(block, height, effects) {
            return;
        }
        self.committing = None;
        let at = if R::BY_HEIGHT { 0 } else { view };
        let chain = self.chain_to(block, height).unwrap_or_default();
        let sign = |block: &Arc<Block>| self.sign(VoteKind::Commit, (at, block.header.height), block.header.hash());
        let votes: Vec<_> = chain.iter().map(sign).collect();
        let earlier = |vote: &Arc<Vote>| {
            self.standing.commits.iter().find(|known| (known.view, known.height) == (vote.view, vote.height)).cloned()
        };
        // Where more lie than are tolerated, a replica stands by what it has said.
        if votes.iter().any(|vote| earlier(vote).is_some_and(|known| known.block_hash != vote.block_hash)) {
            return;
        }
        if votes.iter().all(|vote| earlier(vote).is_some()) {
            return;
        }
        self.persist_blocks(block, height, effects);
        self.standing.commits = votes.clone();
        self.persist(effects);
        self.pace.quiet = 0;
        self.say_commits(&votes, effects);
        votes.into_iter().for_each(|vote| self.count_commit(vote, effects));
        while self.decide_next(effects) {}
    }

    /// Who collects them is the leader of the view in which they were cast.
    pub(super) fn say_commits(&self, votes: &[Arc<Vote>], effects: &mut Effects<R>) {
        let Some(view) = votes.first().map(|vote| vote.view) else { return };
        let message = Message::Commit(votes.to_vec());
        match self.leader(view) {
            _ if !R::LINEAR => effects.push(Effect::Broadcast(message)),
            leader if leader == self.config.replica.me => {}
            leader => effects.push(Effect::Send { to: leader, message }),
        }
    }

    pub(super) fn receive_commits(&mut self, votes: Vec<Arc<Vote>>, effects: &mut Effects<R>) -> Result<(), Fault> {
        for vote in votes {
            if vote.kind != VoteKind::Commit {
                return Err(Fault::WrongKind);
            }
            let Vote { view, height, validator, .. } = *vote;
            let near = height > self.decided && height <= self.decided.saturating_add(FAR);
            let known = self.commits.get(&(height, view)).and_then(|tally| tally.of(validator));
            if !near || known == Some(&vote) || !self.counts_commits_of(view) {
                continue;
            }
            vote.verify(&self.config.replica.domain, &self.config.replica.validators)?;
            self.count_commit(vote, effects);
        }
        Ok(())
    }

    fn counts_commits_of(&self, view: u64) -> bool {
        if R::BY_HEIGHT { view == 0 } else { self.is_near(view) }
    }

    fn count_commit(&mut self, vote: Arc<Vote>, effects: &mut Effects<R>) {
        let Vote { view, height, validator, .. } = *vote;
        let given_up = self.slots.get(&view).and_then(|slot| slot.nullifies.of(validator));
        let skipped = given_up.map(|nullify| Evidence::new(nullify, &vote));
        let evidence = match self.commits.entry((height, view)).or_default().add(vote.clone()) {
            Added::New => skipped,
            Added::Duplicate => None,
            Added::Conflicting(first) => Some(Evidence::new(&first, &vote)),
        };
        effects.extend(evidence.map(|evidence| Effect::Output(Output::Evidence(Box::new(evidence)))));
    }

    /// What of others' commits is remembered: those of views at hand.
    fn forget_commits(&mut self) {
        let oldest = self.standing.view.saturating_sub(VIEWS_BELOW);
        let own = self.standing.commits.first().map(|vote| vote.view);
        self.commits.retain(|(_, view), _| R::BY_HEIGHT || *view >= oldest || Some(*view) == own);
    }

    /// Enters a view, and leaves those below for ever.
    pub fn enter(&mut self, view: u64, effects: &mut Effects<R>) {
        if view <= self.standing.view {
            return;
        }
        (self.standing.view, self.standing.voted, self.standing.nullified) = (view, None, None);
        let oldest = view.saturating_sub(VIEWS_BELOW);
        self.slots.retain(|known, _| *known >= oldest);
        self.relayed.retain(|(known, ..)| *known >= oldest);
        self.forget_commits();
        let offered = self.slots.values().filter_map(|slot| slot.offer.as_ref()).map(|offer| offer.proposal.block);
        let notarized = self.notarized.values().map(|notarization| notarization.proposal.block);
        let committed = self.standing.commits.iter().map(|vote| vote.block_hash);
        let certified = self.finals.values().map(|certificate| certificate.block_hash);
        let best = self.tip().map(|tip| tip.block);
        let named: Vec<_> = offered.chain(notarized).chain(committed).chain(certified).chain(best).collect();
        self.blocks.keep_only(named.into_iter());
        self.pace.enter(view);
        self.entered(effects);
    }
}
