//! What a replica does that may not remember what it said: its store was lost, or is older than its words.
//!
//! - **Upon** its start a replica that has ever voted says nothing new before a quorum, itself included, has greeted it.
//!   A greeting shows what the other has last heard of it, signed by itself. If it remembers all of that, it goes on, once
//!   it has decided what the others had.
//! - If it does not, or its store was lost, its memory is *lost*: it makes that durable, and waits for greetings of a
//!   quorum of others whose memory is not lost. With H the highest height that one of them proves to be decided, it votes
//!   for no height up to H + [`SILENCE`].
//! - While a replica is silent for that reason, the others decide empty blocks if nothing else waits.
//! - A `NEW-VIEW` counts no `VIEW-CHANGE` whose decided height is more than [`STALE_WINDOW`] below the highest one.
//!
//! # Why this is safe
//!
//! Let P be [`PIPELINE`], and D the last height that the replica R had decided when its memory was lost. D has a quorum
//! of commits, and each quorum of others has f + 1 members in common with those; a correct one of them committed at D,
//! so it had decided D − P. Hence D ≤ H + P, and what R said before is about heights up to D + P ≤ H + 2P. What it
//! says later is about heights above H + `SILENCE`: it never votes twice for a height.
//!
//! That leaves its old `VIEW-CHANGE`s, which say that R had prepared nothing above D. Let R, voting again, commit at a
//! height h in view v. Who votes for h has decided h − P, so all voters had decided g = H + `SILENCE` + 1 − P, in views up
//! to v. The quorum that committed at g did not contain R, so any `NEW-VIEW` for a view above v that counts a view change
//! of R has f + 1 other members in common with it; a correct one of these says that it decided g − P at least. An old
//! view change of R says at most H + P, which is more than `STALE_WINDOW` below: `SILENCE` is chosen for that.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dtn_primitives::{Certificate, ValidatorIndex, Vote, VoteKind};
use serde::{Deserialize, Serialize};

use super::{Effects, Fault, LOOKS, Message, Notice, Output, PIPELINE, Pbft, Record, ViewChange};
use crate::{
    protocol::{Effect, Memory},
    quorum::is_quorum,
};

/// How far below the highest decided height of a `NEW-VIEW` those of its view changes may be.
pub const STALE_WINDOW: u64 = 2 * PIPELINE;

/// For how many heights above what others have decided a replica whose memory was lost does not vote.
pub const SILENCE: u64 = 3 * PIPELINE + STALE_WINDOW;

/// How many empty blocks the others decide for a replica that is silent as fast as they can. After these it is one a view
/// timeout: enough for whoever forgets again and again, and too little to fill the disks for whoever pretends to.
const HEALING: u64 = SILENCE + 2 * PIPELINE;

/// A replica that did not say for so many looks at the clock that it is silent is silent no more.
const HEALED_AFTER: u64 = 2;

/// What a replica tells another that may have forgotten what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Of the start to which it answers; 0 if it answers to none.
    pub boot: u64,
    /// What the sender has decided last; none above the genesis.
    pub decided: Option<Certificate>,
    /// Whether the sender remembers what it said itself. What others have decided counts only then.
    pub remembers: bool,
    /// The vote of the highest view and height in it that the sender has heard of the receiver.
    pub vote: Option<Arc<Vote>>,
    /// The view change for the highest view that the sender has heard of the receiver.
    pub view_change: Option<Box<ViewChange>>,
}

/// Of whom a replica has heard what, and what it has yet to hear of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Recall {
    /// Of the present start.
    boot: u64,
    /// It has to be greeted before it says anything new.
    asking: bool,
    /// What those have decided that have greeted it.
    greetings: BTreeMap<ValidatorIndex, u64>,
    /// It says nothing new before it has decided this height.
    resume_at: u64,
    votes: BTreeMap<ValidatorIndex, Arc<Vote>>,
    view_changes: BTreeMap<ValidatorIndex, ViewChange>,
    /// Whose memory is lost.
    silent: BTreeMap<ValidatorIndex, Silent>,
    /// Who was greeted since the last look at the clock.
    greeted: BTreeSet<ValidatorIndex>,
}

/// A replica whose memory is lost, as another sees it.
#[derive(Debug, Clone, Copy)]
struct Silent {
    /// Empty blocks up to this height may be decided for its sake.
    up_to: u64,
    /// The look at the clock when it last said so.
    said: u64,
}

impl Recall {
    /// Takes in a vote whose signature was verified.
    pub(super) fn heard(&mut self, vote: &Arc<Vote>) {
        // Of two that contradict each other the order in which they came decides nothing.
        let rank = |vote: &Vote| (vote.view, vote.height, vote.kind == VoteKind::Commit, vote.block_hash);
        let highest = self.votes.entry(vote.validator).or_insert_with(|| vote.clone());
        if rank(vote) > rank(highest) {
            *highest = vote.clone();
        }
    }

    /// Takes in a view change that was verified.
    pub(super) fn heard_change(&mut self, change: &ViewChange) {
        let known = self.view_changes.get(&change.validator);
        if known.is_none_or(|known| (known.view, known.height()) < (change.view, change.height())) {
            self.view_changes.insert(change.validator, change.clone());
        }
    }

    /// Another look at the clock, when so much is decided.
    pub(super) fn looks_at_clock(&mut self, looks: u64, decided: u64) {
        self.greeted.clear();
        if looks.is_multiple_of(u64::from(LOOKS)) {
            for silent in self.silent.values_mut() {
                silent.up_to = (silent.up_to.max(decided) + 1).min(decided.saturating_add(HEALING));
            }
        }
    }
}

impl Pbft {
    /// Whether its memory is lost and it does not know yet from where on it may vote.
    fn is_lost(&self) -> bool {
        self.view.vote_from == u64::MAX
    }

    /// Whether it remembers everything that it said and that still matters.
    fn remembers_all(&self) -> bool {
        self.decided.saturating_add(1) >= self.view.vote_from
    }

    /// Whether it does not vote on the next height, because it may have said something else about it and forgotten.
    pub fn is_silent(&self) -> bool {
        self.recall.asking || self.decided < self.recall.resume_at || !self.remembers_all()
    }

    /// The replica begins.
    pub(super) fn recollect(&mut self, memory: Memory, boot: u64, effects: &mut Effects) {
        self.recall.boot = boot;
        if memory == Memory::Lost && !self.is_lost() {
            self.lose_memory(effects);
        }
        self.recall.asking = memory != Memory::NeverVoted || self.is_lost();
        self.ask(effects);
    }

    fn lose_memory(&mut self, effects: &mut Effects) {
        self.view.vote_from = u64::MAX;
        self.recall.asking = true;
        self.recall.greetings.clear();
        effects.push(Effect::Persist(Record::View(self.view.clone())));
    }

    /// What it asks of a peer that may know what it forgot, or has to know that it is silent.
    pub(super) fn question(&self) -> Option<Message> {
        // Before it knows from where on it may vote, no height has to pass: each would put that further off.
        let lost = !self.remembers_all() && !self.is_lost();
        (self.recall.asking || lost).then_some(Message::Recall { boot: self.recall.boot, lost })
    }

    /// Asks everybody.
    pub(super) fn ask(&self, effects: &mut Effects) {
        effects.extend(self.question().map(Effect::Broadcast));
    }

    /// What a peer should hear of itself when a channel to it opens.
    pub(super) fn reminder(&self, of: ValidatorIndex) -> Option<Message> {
        let (vote, view_change) = (self.recall.votes.get(&of), self.recall.view_changes.get(&of));
        if vote.is_none() && view_change.is_none() {
            return None;
        }
        Some(self.greeting(of, 0, None))
    }

    fn greeting(&self, to: ValidatorIndex, boot: u64, decided: Option<Certificate>) -> Message {
        Message::Greeting(Box::new(Greeting {
            boot,
            decided,
            remembers: self.remembers_all(),
            vote: self.recall.votes.get(&to).cloned(),
            view_change: self.recall.view_changes.get(&to).cloned().map(Box::new),
        }))
    }

    pub(super) fn receive_recall(&mut self, from: ValidatorIndex, boot: u64, lost: bool, effects: &mut Effects) {
        if lost {
            let new = Silent { up_to: self.decided.saturating_add(HEALING), said: self.looks };
            self.recall.silent.entry(from).or_insert(new).said = self.looks;
        }
        if self.recall.greeted.insert(from) {
            let message = self.greeting(from, boot, self.certificate.clone());
            effects.push(Effect::Send { to: from, message });
        }
    }

    /// Whether heights have to pass for the sake of a replica that is silent.
    pub(super) fn heals(&self) -> bool {
        let waits =
            |silent: &Silent| self.decided < silent.up_to && self.looks.saturating_sub(silent.said) <= HEALED_AFTER;
        self.recall.silent.values().any(waits)
    }

    pub(super) fn receive_greeting(
        &mut self,
        from: ValidatorIndex,
        greeting: Greeting,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let Greeting { boot, decided, remembers, vote, view_change } = greeting;
        let (domain, validators) = (&self.config.domain, &self.config.validators);
        if let Some(vote) = vote.filter(|vote| vote.validator == self.config.me && !self.remembers_vote(vote)) {
            vote.verify(domain, validators)?;
            self.find_lost(from, effects);
            return Ok(());
        }
        let forgotten = |change: &ViewChange| {
            let matters = change.height() >= self.view.vote_from;
            change.validator == self.config.me && change.view > self.view.number && matters
        };
        if let Some(change) = view_change.filter(|change| forgotten(change)) {
            change.verify_signature(domain, validators)?;
            self.find_lost(from, effects);
            return Ok(());
        }
        if !self.recall.asking || boot != self.recall.boot || (self.is_lost() && !remembers) {
            return Ok(());
        }
        let height = decided.as_ref().map_or(0, |decided| decided.height);
        if let Some(decided) = decided.filter(|decided| decided.height > self.decided) {
            decided.verify(domain, validators)?;
        }
        self.recall.greetings.insert(from, height);
        self.resume(effects);
        Ok(())
    }

    /// Goes on once enough others have greeted it.
    fn resume(&mut self, effects: &mut Effects) {
        // Who remembers greets itself.
        let greeted = self.recall.greetings.len() + usize::from(!self.is_lost());
        if !is_quorum(greeted, &self.config.validators) {
            return;
        }
        let highest = self.recall.greetings.values().copied().max().unwrap_or_default().max(self.decided);
        self.recall.asking = false;
        if self.is_lost() {
            self.view.vote_from = highest.saturating_add(SILENCE + 1);
            effects.push(Effect::Persist(Record::View(self.view.clone())));
            effects.push(Effect::Output(Output::Notice(Notice::Silent { until: self.view.vote_from })));
            self.ask(effects);
        } else {
            self.recall.resume_at = highest;
        }
        self.keep_asking(effects);
        self.advance(effects);
    }

    /// A peer shows what this replica said and does not remember.
    fn find_lost(&mut self, from: ValidatorIndex, effects: &mut Effects) {
        effects.push(Effect::Output(Output::Notice(Notice::Forgot { from })));
        self.lose_memory(effects);
        self.ask(effects);
    }

    /// Whether what it knows does not contradict that it cast a vote.
    fn remembers_vote(&self, vote: &Vote) -> bool {
        if vote.height < self.view.vote_from || vote.kind == VoteKind::Checkpoint {
            return true;
        }
        if vote.view != self.view.number || vote.height <= self.decided {
            return vote.view <= self.view.number;
        }
        let cast = self.slots.get(&vote.height).and_then(|slot| match vote.kind {
            VoteKind::PrePrepare => slot.accepted.as_ref(),
            kind => slot.votes(kind).of(self.config.me),
        });
        !self.view.changing && cast.is_some_and(|cast| cast.block_hash == vote.block_hash)
    }
}
