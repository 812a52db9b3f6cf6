//! When a replica leaves a view and how it enters the next (Castro & Liskov, OSDI '99, §4.4).

use dtn_primitives::{ValidatorIndex, VoteKind};

use super::{
    Effects, Fault, Message, NewView, Pbft, PbftConfig, Record, View, ViewChange, required, view_change::Proven,
};
use crate::{
    protocol::Effect,
    quorum::{has_correct, is_quorum},
};

impl Pbft {
    pub(super) fn enter(&mut self, view: View, effects: &mut Effects) {
        if view.number != self.view.number {
            self.slots.clear();
        }
        self.view = View { vote_from: self.view.vote_from, ..view };
        self.awaited = None;
        self.new_view = None;
        self.quiet = 0;
        self.view_changes.retain(|_, change| change.view >= self.view.number);
        effects.push(Effect::Persist(Record::View(self.view.clone())));
    }

    /// What this replica says when it asks for its view.
    pub(super) fn own_view_change(&self) -> ViewChange {
        let PbftConfig { me, key, domain, validators, .. } = &self.config;
        let prepared = self.prepared.values().cloned().collect();
        let signer = (key, domain, validators.epoch());
        ViewChange::sign(self.view.number, *me, self.certificate.clone(), prepared, signer)
    }

    /// Stops voting in the current view and asks for a higher one.
    pub(super) fn change_view(&mut self, number: u64, effects: &mut Effects) {
        if !self.view.changing {
            self.patience.failed(self.primary());
        }
        self.doublings += 1;
        self.pace(u64::MAX);
        self.drop_bodies();
        let view = View { number, changing: true, floor: self.decided, ..View::default() };
        self.enter(view, effects);
        self.ask_for_view(effects);
        self.begin_view(effects);
    }

    /// After a restart, as soon as it may: asks for the view for which it had asked before.
    pub(super) fn keep_asking(&mut self, effects: &mut Effects) {
        if self.view.changing && !self.is_silent() && !self.view_changes.contains_key(&self.config.me) {
            self.ask_for_view(effects);
            self.begin_view(effects);
        }
    }

    /// Says, also once it has decided more since, that it asks for its view.
    pub(super) fn ask_for_view(&mut self, effects: &mut Effects) {
        let change = self.own_view_change();
        self.view_changes.insert(self.config.me, change.clone());
        effects.push(Effect::Broadcast(Message::ViewChange(change)));
    }

    pub(super) fn receive_view_change(
        &mut self,
        from: ValidatorIndex,
        mut change: ViewChange,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let View { number, changing, .. } = self.view;
        if change.view < number || (change.view == number && !changing) {
            // The view that it asks for, or a higher one, has begun. Only who asks needs to know, and not each time.
            if let Some(new_view) = self.new_view.as_ref().filter(|_| change.validator == from)
                && self.told.insert(from)
            {
                effects.push(Effect::Send { to: from, message: Message::NewView(new_view.clone()) });
            }
            return Ok(());
        }
        let rank = |change: &ViewChange| (change.view, change.height());
        if self.view_changes.get(&change.validator).is_some_and(|known| rank(known) >= rank(&change)) {
            return Ok(());
        }
        let mut proven = Proven::decided(self.certificate.as_ref());
        change.verify_unless(&self.config.domain, &self.config.validators, &mut proven)?;
        self.recall.heard_change(&change);
        self.view_changes.insert(change.validator, change);

        // f + 1 ask for higher views: one of them is correct, so it is time.
        let mut higher: Vec<_> = self.view_changes.values().map(|change| change.view).collect();
        higher.retain(|view| *view > self.view.number);
        if has_correct(higher.len(), &self.config.validators) && !self.is_silent() {
            let smallest = higher.into_iter().min().unwrap_or(self.view.number);
            self.change_view(smallest, effects);
        } else {
            self.begin_view(effects);
        }
        Ok(())
    }

    /// The new primary begins the view once a quorum asks for it. A view change of one that has decided more than this
    /// replica does not count until this replica has caught up with it: a view may only begin above blocks that a correct
    /// replica has and gives to others, and a liar may keep to itself what it alone has seen decided. One that is far
    /// behind does not count until it has caught up and says so.
    pub(super) fn begin_view(&mut self, effects: &mut Effects) {
        if !self.view.changing || self.is_silent() {
            return;
        }
        let view = self.view.number;
        let counts = |change: &&ViewChange| change.view == view && change.height() <= self.decided;
        let mut changes: Vec<_> = self.view_changes.values().filter(counts).cloned().collect();
        let (base, _) = required(&changes, &self.config.domain);
        changes.retain(|change| !change.is_stale(base));
        let proposer = self.config.validators.primary(view, base.saturating_add(1));
        if !is_quorum(changes.len(), &self.config.validators) || proposer != self.config.me {
            return;
        }
        let (base, required) = required(&changes, &self.config.domain);
        let propose = |(height, block_hash)| self.sign(VoteKind::PrePrepare, height, block_hash);
        let proposals = (base + 1..).zip(required).map(propose).collect();
        let PbftConfig { key, domain, validators, .. } = &self.config;
        let new_view = NewView::sign(view, changes, proposals, (key, domain, validators.epoch()));
        self.enter_new_view(self.config.me, new_view, effects);
    }

    pub(super) fn receive_new_view(
        &mut self,
        from: ValidatorIndex,
        mut new_view: NewView,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let View { number, changing, .. } = self.view;
        if new_view.view < number || (new_view.view == number && !changing) {
            return Ok(());
        }
        let known = |change: &ViewChange| self.view_changes.get(&change.validator) == Some(change);
        new_view.verify(&self.config.domain, &self.config.validators, known, self.certificate.as_ref())?;
        self.enter_new_view(from, new_view, effects);
        Ok(())
    }

    /// Enters a view that has begun, by this replica or as a peer shows.
    fn enter_new_view(&mut self, from: ValidatorIndex, new_view: NewView, effects: &mut Effects) {
        let (floor, required) = required(&new_view.view_changes, &self.config.domain);
        self.enter(View { number: new_view.view, floor, required, ..View::default() }, effects);
        if from == self.config.me {
            effects.push(Effect::Broadcast(Message::NewView(new_view.clone())));
        }
        for vote in new_view.proposals.iter().filter(|vote| vote.height > self.decided) {
            let body = self.body(vote.block_hash).cloned();
            self.slots.entry(vote.height).or_default().accept(vote.clone(), body, self.looks);
        }
        self.want_required(from, effects);
        self.new_view = Some(new_view);
        self.advance(effects);
    }
}
