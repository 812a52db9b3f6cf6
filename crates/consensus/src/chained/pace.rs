//! How long a view lasts, how replicas come to the same one, and how often they say things again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dtn_primitives::{B256, ValidatorIndex};

use super::{Chained, Effects, Fault, Lapse, Message, Offer, Rules, Status, Timer};
use crate::{
    protocol::{Effect, Memory},
    quorum::{has_correct, is_quorum},
};

/// A view's time doubles with each leader that fails, at most this many times while nothing is decided.
const MAX_DOUBLINGS: u32 = 10;

/// While nothing changes, things are said again after 1, 2, 4 and 8 looks at the clock, and then after each 8 more.
const MAX_REPEAT: u32 = 8;

/// Proofs that who is behind is given at a time.
const PROOFS: usize = 16;

/// For how many views a silent replica has the others go on although nothing else waits.
const HEALING: u64 = 6;

/// For so many views after that it has no more: it may only pretend.
const HEALED: u64 = 64;

/// Where others are, and what this replica waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    /// The view for which the timer runs.
    pub(super) armed: Option<u64>,
    /// The highest view that it would be in.
    pub(super) wish: u64,
    /// The same of others, as they say.
    wishes: BTreeMap<ValidatorIndex, u64>,
    /// Views that failed since the last decision.
    pub(super) failures: u32,
    /// Looks at the clock since something changed.
    pub(super) quiet: u32,
    /// What its host was asked to propose on, and in which view.
    pub(super) asked: Option<(u64, B256)>,
    /// A leader has waited long enough.
    pub(super) has_waited: bool,
    /// Who was helped since the last look at the clock, and who was answered.
    told: BTreeSet<ValidatorIndex>,
    answered: BTreeSet<ValidatorIndex>,
    /// The number of this start.
    boot: u64,
    /// Where those are that have answered since the start.
    answers: BTreeMap<ValidatorIndex, u64>,
    /// Until which view others go on for the sake of each that is silent.
    silent: BTreeMap<ValidatorIndex, u64>,
}

impl Pace {
    /// A new view.
    pub(super) fn enter(&mut self, view: u64) {
        self.wish = self.wish.max(view);
        (self.quiet, self.asked, self.has_waited, self.armed) = (0, None, false, None);
    }
}

impl<R: Rules> Chained<R> {
    /// The replica begins.
    pub(super) fn start(&mut self, memory: Memory, boot: u64, effects: &mut Effects<R>) {
        let after = self.config.replica.retransmit_after();
        effects.push(Effect::SetTimer { timer: Timer::Retransmit, after });
        self.pace.boot = boot;
        if memory == Memory::Lost && !self.is_lost() {
            self.standing.vote_from = u64::MAX;
            self.persist(effects);
        }
        if memory != Memory::NeverVoted || self.is_lost() {
            effects.extend(self.said().into_iter().chain([self.status()]).map(Effect::Broadcast));
        }
        // What was known when it stopped may end the view in which it last spoke.
        if let Some(tip) = self.standing.tip.clone() {
            R::notarized(self, &tip, effects);
        }
        if let Some(view) = self.nullified.keys().next_back().copied() {
            self.enter(view.saturating_add(1), effects);
        }
        if let Some(view) = self.certificate.as_ref().map(|certificate| certificate.view) {
            R::decided(self, view, effects);
        }
        self.entered(effects);
    }

    /// Whether its memory is lost and it does not know yet from where on it may vote.
    fn is_lost(&self) -> bool {
        self.standing.vote_from == u64::MAX
    }

    /// Whether others' votes are awaited although nothing is to be decided, for the sake of one that is silent.
    pub(super) fn heals(&self) -> bool {
        self.pace.silent.values().any(|until| self.standing.view < *until)
    }

    /// Whether there is something to decide.
    fn is_pending(&self) -> bool {
        let undecided = |height: u64| height > self.decided;
        let offer = self.slots.get(&self.standing.view).and_then(|slot| slot.offer.as_ref());
        let begun = offer.is_some_and(|offer| undecided(offer.proposal.height));
        self.waiting.is_some() || begun || undecided(self.best().height) || self.heals()
    }

    /// Whether all is done in its view, and only its time has to pass.
    fn rests(&self) -> bool {
        R::BY_HEIGHT && self.notarized.contains_key(&self.standing.view)
    }

    /// Whether it lacks what others know.
    fn is_behind(&self) -> bool {
        self.is_lost() || self.is_silent() || self.tip().is_some_and(|tip| tip.height < self.decided)
    }

    /// How long a leader waits for others' words, or for something to put into a block.
    pub(super) fn grace(&self) -> Duration {
        let config = &self.config.replica;
        if R::LINEAR { config.view_timeout / 4 } else { R::patience(config) / 16 }
    }

    /// The view has failed: after as many of these as one leads in a row, views have more time.
    pub fn back_off(&mut self) {
        self.pace.failures = self.pace.failures.saturating_add(1);
    }

    /// Keeps the view's timer running exactly while there is something to decide, until its time is over.
    pub(super) fn watch(&mut self, effects: &mut Effects<R>) {
        let runs = self.is_pending() && !self.is_lost() && !self.is_changing_view();
        let wanted = runs.then_some(self.standing.view);
        if wanted == self.pace.armed {
            return;
        }
        effects.push(match wanted {
            Some(_) => {
                let leaders = u64::from(self.pace.failures) / R::TURN;
                let doublings = leaders.min(u64::from(MAX_DOUBLINGS)) as u32;
                let patience = R::patience(&self.config.replica).saturating_mul(2u32.pow(doublings));
                Effect::SetTimer { timer: Timer::View, after: patience.max(Duration::from_millis(1)) }
            }
            None => Effect::CancelTimer(Timer::View),
        });
        self.pace.armed = wanted;
    }

    /// A view has begun here.
    pub(super) fn entered(&mut self, effects: &mut Effects<R>) {
        if self.primary() == self.config.replica.me && !R::may_propose(self) {
            effects.push(Effect::SetTimer { timer: Timer::Propose, after: self.grace() });
        }
    }

    /// Asks for the next view: it begins once a quorum does.
    pub fn ask_for_next_view(&mut self, effects: &mut Effects<R>) {
        self.wish_for(self.standing.view.saturating_add(1), effects);
    }

    fn wish_for(&mut self, view: u64, effects: &mut Effects<R>) {
        if view > self.pace.wish {
            (self.pace.wish, self.pace.quiet) = (view, 0);
            effects.push(Effect::Broadcast(self.status()));
            self.consider_wishes(effects);
        }
    }

    /// What f + 1 others ask for is asked for, since one of them is correct; what a quorum asks for begins.
    fn consider_wishes(&mut self, effects: &mut Effects<R>) {
        if R::NULLIFIES {
            return;
        }
        let validators = &self.config.replica.validators;
        let mut wishes: Vec<_> = self.pace.wishes.values().copied().collect();
        wishes.sort_unstable_by(|one, other| other.cmp(one));
        let common = (0..wishes.len()).find(|place| has_correct(place + 1, validators)).map(|place| wishes[place]);
        wishes.push(self.pace.wish.max(common.unwrap_or_default()));
        wishes.sort_unstable_by(|one, other| other.cmp(one));
        let agreed = wishes.get(self.quorum() - 1).copied();
        if let Some(view) = common {
            self.wish_for(view, effects);
        }
        if let Some(view) = agreed.filter(|view| *view > self.standing.view) {
            self.enter(view, effects);
            if R::LINEAR && self.primary() != self.config.replica.me {
                // The new leader has to know what others are bound by.
                let status = self.status_with_proof();
                effects.push(Effect::Send { to: self.primary(), message: Message::Status(Box::new(status)) });
            }
        }
    }

    fn own_status(&self) -> Status {
        Status {
            view: self.pace.wish.max(self.standing.view),
            tip: self.tip().map_or(0, |tip| tip.view),
            proof: None,
            asks: if self.is_lost() { self.pace.boot.saturating_add(1) } else { 0 },
            answers: 0,
            silent: self.is_silent(),
        }
    }

    fn status_with_proof(&self) -> Status {
        Status { proof: self.standing.tip.clone(), ..self.own_status() }
    }

    /// Where it stands.
    pub(super) fn status(&self) -> Message {
        Message::Status(Box::new(self.own_status()))
    }

    pub(super) fn receive_status(
        &mut self,
        from: ValidatorIndex,
        status: Status,
        effects: &mut Effects<R>,
    ) -> Result<(), Fault> {
        let Status { view, tip, proof, asks, answers, silent } = status;
        if let Some(proof) = proof {
            self.receive_notarization(proof, effects)?;
        }
        let known = self.pace.wishes.entry(from).or_default();
        *known = view.max(*known);
        self.heal(from, silent);
        if asks != 0 && !self.is_silent() && self.pace.answered.insert(from) {
            let status = Status { answers: asks, ..self.status_with_proof() };
            effects.push(Effect::Send { to: from, message: Message::Status(Box::new(status)) });
        }
        if self.is_lost() && answers == self.pace.boot.saturating_add(1) && !silent {
            self.pace.answers.insert(from, view);
            self.resume(effects);
        }
        self.consider_wishes(effects);
        self.help(from, (view, tip), effects);
        Ok(())
    }

    /// Goes on for a while for the sake of one that is silent.
    fn heal(&mut self, peer: ValidatorIndex, silent: bool) {
        let view = self.standing.view;
        let until = self.pace.silent.entry(peer).or_default();
        let is_new = *until == 0 || view >= until.saturating_add(HEALED);
        if silent && is_new {
            *until = view.saturating_add(HEALING);
        } else if !silent && *until > view {
            // It is silent no more; should it say so again soon, it is not believed.
            *until = view;
        }
    }

    /// Once a quorum of others has said where it stands.
    fn resume(&mut self, effects: &mut Effects<R>) {
        if !is_quorum(self.pace.answers.len(), &self.config.replica.validators) {
            return;
        }
        let highest = self.pace.answers.values().copied().max().unwrap_or_default().max(self.standing.view);
        self.standing.vote_from = highest.saturating_add(2);
        self.pace.answers.clear();
        self.persist(effects);
        effects.push(Effect::Broadcast(self.status()));
    }

    /// Gives who is behind what it needs to follow: once between two looks at the clock.
    fn help(&mut self, peer: ValidatorIndex, (view, tip): (u64, u64), effects: &mut Effects<R>) {
        let own = self.own_status();
        let idle = (own.view <= view && own.tip <= tip) || self.lapses(Lapse::HelpsNobody);
        if idle || !self.pace.told.insert(peer) {
            return;
        }
        let notarized = self.notarized.range(tip.saturating_add(1)..).rev().take(PROOFS / 4);
        let notarized = notarized.map(|(_, notarization)| Message::Notarized(notarization.clone()));
        let nullified = self.nullified.range(view..).take(PROOFS);
        let nullified = nullified.map(|(_, nullification)| Message::Nullified(nullification.clone()));
        let status = Message::Status(Box::new(self.own_status()));
        let proofs: Vec<_> = notarized.collect::<Vec<_>>().into_iter().rev().chain(nullified).chain([status]).collect();
        effects.extend(proofs.into_iter().map(|message| Effect::Send { to: peer, message }));
    }

    /// Everything that it has said and that still matters, which a peer may have missed. Blocks are named, and sent to who
    /// asks for them.
    pub(super) fn said(&self) -> Vec<Message> {
        let me = self.config.replica.me;
        let mut said: Vec<_> = self.checkpoints.own(me).map(Message::Checkpoint).collect();
        if !self.is_pending() {
            return said;
        }
        if !self.rests() {
            let own = self.slots.get(&self.standing.view).and_then(|slot| slot.offer.clone());
            let own = own.filter(|offer| offer.vote.validator == me);
            said.extend(own.map(|offer| Message::Propose(Box::new(Offer { block: None, ..offer }))));
            let votes = self.standing.voted.iter().chain(&self.standing.nullified);
            said.extend(votes.cloned().map(Message::Vote));
        }
        let commits: Vec<_> = self.standing.commits.iter().filter(|vote| vote.height > self.decided).cloned().collect();
        said.extend((!commits.is_empty()).then_some(Message::Commit(commits)));
        said
    }

    /// A look at the clock: says again what may have been lost, and asks for what is lacking.
    pub(super) fn look_at_clock(&mut self, effects: &mut Effects<R>) {
        self.pace.quiet = self.pace.quiet.saturating_add(1);
        self.pace.told.clear();
        self.pace.answered.clear();
        self.blocks.look_at_clock();
        let repeats = self.pace.quiet.is_power_of_two() || self.pace.quiet.is_multiple_of(MAX_REPEAT);
        let matters = (self.is_pending() && !self.rests()) || self.is_behind();
        if repeats {
            let status = matters.then(|| self.status());
            effects.extend(self.said().into_iter().chain(status).map(Effect::Broadcast));
        }
        if self.is_behind() && !repeats {
            effects.push(Effect::Broadcast(self.status()));
        }
        self.want_again(effects);
        let after = self.config.replica.retransmit_after();
        effects.push(Effect::SetTimer { timer: Timer::Retransmit, after });
    }
}
