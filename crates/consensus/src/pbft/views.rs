//! When a replica leaves a view and how it enters the next (Castro & Liskov, OSDI '99, §4.4).

use std::sync::Arc;

use dtn_primitives::{Block, ValidatorIndex, VoteKind};

use super::{
    Effects, Fault, MAX_DOUBLINGS, Message, NewView, Pbft, PbftConfig, Record, Timer, View, ViewChange, required,
    slot::Slot,
};
use crate::protocol::Effect;

impl Pbft {
    /// Keeps the view's timer running exactly while something waits to be decided and a view is there to be given up.
    pub(super) fn watch(&mut self, effects: &mut Effects) {
        let asking = self.view_changes.values().filter(|(change, _)| change.view >= self.view.number).count();
        let wanted = match self.view.changing {
            _ if self.is_silent() => false,
            // A replica alone would run away from the others: the timer waits for a quorum to ask for the view.
            true => asking >= self.config.validators.quorum(),
            false => self.waiting || self.slots.get(&(self.decided + 1)).is_some_and(Slot::is_begun),
        };
        if wanted && !self.armed {
            let after = self.config.view_timeout * 2u32.pow(self.doublings.min(MAX_DOUBLINGS));
            effects.push(Effect::SetTimer { timer: Timer::ViewChange, after });
        } else if !wanted && self.armed {
            effects.push(Effect::CancelTimer(Timer::ViewChange));
        }
        self.armed = wanted;
    }

    pub(super) fn enter(&mut self, view: View, effects: &mut Effects) {
        if view.number != self.view.number {
            self.slots.clear();
        }
        self.view = view;
        self.armed = false;
        self.new_view = None;
        self.view_changes.retain(|_, (change, _)| change.view >= self.view.number);
        effects.push(Effect::Persist(Record::View(self.view.clone())));
    }

    /// What this replica says when it asks for its view.
    pub(super) fn own_view_change(&self) -> (ViewChange, Vec<Arc<Block>>) {
        let PbftConfig { me, key, domain, validators, .. } = &self.config;
        let (prepared, blocks) =
            self.prepared.values().map(|prepared| (prepared.certificate.clone(), prepared.block.clone())).unzip();
        let signer = (key, domain, validators.epoch());
        (ViewChange::sign(self.view.number, *me, self.certificate.clone(), prepared, signer), blocks)
    }

    /// Stops voting in the current view and asks for a higher one.
    pub(super) fn change_view(&mut self, number: u64, effects: &mut Effects) {
        self.doublings += 1;
        self.enter(View { number, changing: true, floor: self.decided, required: Vec::new() }, effects);
        let (change, blocks) = self.own_view_change();
        self.view_changes.insert(self.config.me, (change.clone(), blocks.clone()));
        effects.push(Effect::Broadcast(Message::ViewChange { change, blocks }));
        self.begin_view(effects);
    }

    pub(super) fn receive_view_change(
        &mut self,
        from: ValidatorIndex,
        change: ViewChange,
        blocks: Vec<Arc<Block>>,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let View { number, changing, .. } = self.view;
        if change.view < number || (change.view == number && !changing) {
            // The view that it asks for, or a higher one, has begun.
            if let Some(new_view) = &self.new_view {
                effects.push(Effect::Send { to: from, message: Message::NewView(new_view.clone()) });
            }
            return Ok(());
        }
        let known = self.view_changes.get(&change.validator);
        if known.is_some_and(|(known, _)| known.view >= change.view) {
            return Ok(());
        }
        change.verify(&self.config.domain, &self.config.validators, self.certificate.as_ref())?;
        let prepared = change.prepared.iter().map(|prepared| prepared.pre_prepare.block_hash);
        if !blocks.iter().map(|block| block.header.hash()).eq(prepared)
            || !blocks.iter().all(|block| self.is_whole(block))
        {
            return Err(Fault::WrongBlock);
        }
        self.view_changes.insert(change.validator, (change, blocks));

        // f + 1 ask for higher views: one of them is correct, so it is time.
        let mut higher: Vec<_> = self.view_changes.values().map(|(change, _)| change.view).collect();
        higher.retain(|view| *view > self.view.number);
        if higher.len() > self.config.validators.max_faulty() && !self.is_silent() {
            let smallest = higher.into_iter().min().unwrap_or(self.view.number);
            self.change_view(smallest, effects);
        } else {
            self.begin_view(effects);
        }
        Ok(())
    }

    /// The new primary begins the view once a quorum asks for it. The required blocks are at hand, since each view change
    /// brings the blocks that it says are prepared. One that has decided more than this replica does not count until this
    /// replica has caught up with it: a view may only begin above blocks that a correct replica has and gives to others,
    /// and a liar may keep to itself what it alone has seen decided.
    pub(super) fn begin_view(&mut self, effects: &mut Effects) {
        if !self.view.changing || !self.is_primary() || self.is_silent() {
            return;
        }
        let view = self.view.number;
        let counts = |change: &ViewChange| change.view == view && change.height() <= self.decided;
        let changes = self.view_changes.values().filter(|(change, _)| counts(change));
        let changes: Vec<_> = changes.map(|(change, _)| change.clone()).collect();
        if changes.len() < self.config.validators.quorum() {
            return;
        }
        let (base, required) = required(&changes, &self.config.domain);
        let blocks = || self.view_changes.values().flat_map(|(_, blocks)| blocks);
        let propose = |(height, block_hash)| {
            let block = blocks().find(|block| block.header.hash() == block_hash)?.clone();
            Some((self.sign(VoteKind::PrePrepare, height, block_hash), block))
        };
        let Some(proposals) = (base + 1..).zip(required).map(propose).collect() else { return };
        let PbftConfig { key, domain, validators, .. } = &self.config;
        let new_view = NewView::sign(view, changes, proposals, (key, domain, validators.epoch()));
        self.enter_new_view(new_view, true, effects);
    }

    pub(super) fn receive_new_view(&mut self, new_view: NewView, effects: &mut Effects) -> Result<(), Fault> {
        let View { number, changing, .. } = self.view;
        if new_view.view < number || (new_view.view == number && !changing) {
            return Ok(());
        }
        let known =
            |change: &ViewChange| self.view_changes.get(&change.validator).is_some_and(|(known, _)| known == change);
        new_view.verify(&self.config.domain, &self.config.validators, known, self.certificate.as_ref())?;
        self.enter_new_view(new_view, false, effects);
        Ok(())
    }

    /// Enters a view that has begun; `own` if this replica begins it.
    fn enter_new_view(&mut self, new_view: NewView, own: bool, effects: &mut Effects) {
        let (floor, required) = required(&new_view.view_changes, &self.config.domain);
        self.enter(View { number: new_view.view, changing: false, floor, required }, effects);
        for (vote, block) in new_view.proposals.iter().filter(|(vote, _)| vote.height > self.decided) {
            self.slots.entry(vote.height).or_default().accept(vote.clone(), block.clone());
        }
        if own {
            effects.push(Effect::Broadcast(Message::NewView(new_view.clone())));
        }
        self.new_view = Some(new_view);
        self.advance(effects);
    }
}
