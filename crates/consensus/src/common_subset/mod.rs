//! Agreement on a common subset, and with it on a value of any kind, without clocks (Ben-Or, Kelmer & Rabin, "Asynchronous
//! Secure Computations with Optimal Resilience", PODC 1994, §4): all replicas say something, and all correct ones come to the
//! same n − f of it or more.
//!
//! Each replica has a [broadcast](crate::broadcast) for its value, and a binary [agreement](crate::agreement) of everybody on
//! whether its value is in:
//!
//! 1. whose value has come by its broadcast, is to be in: say *yes* in its agreement;
//! 2. once n − f agreements have come to yes, say *no* in all the others in which nothing was said;
//! 3. when all have come to something, wait for the values of those that came to yes: these are the subset.
//!
//! With n > 3f and a common coin:
//!
//! - **agreement**: no two correct replicas come to different subsets;
//! - **size**: n − f values are in it, of which n − 2f are those of correct replicas;
//! - **validity**: of a correct replica, nothing but its value is in it;
//! - **termination**: all come to it. At least the broadcasts of the correct replicas come to something, so n − f agreements
//!   are told yes by all; and who hears yes of an agreement has its value coming, since somebody correct had it.
//!
//! [`Subset::most_common`] makes it agreement on one value: if all correct replicas begin with it, nothing else is as common
//! in the subset, of which no more than f are of others, and n − 2f > f of them.
//!
//! It takes n broadcasts and n agreements: about 2n³ messages and 4n³ a round of the slowest agreement.
//!
//! # Deviations
//!
//! - Those of both parts. All n agreements toss coins of their own, which are told apart by their instances.

use std::collections::BTreeMap;

use dtn_primitives::{Bytes, ValidatorIndex, keccak256};
use serde::{Deserialize, Serialize};

use crate::{
    Agreement, Broadcast, Coin, Effect, Input, Party, Protocol, Standalone, Unmet,
    agreement::{self, Decided},
    broadcast,
};

/// What replicas say to each other, and what each keeps of what it has said: of whose value, and what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message<S> {
    /// In the broadcast of a replica's value.
    Broadcast(ValidatorIndex, broadcast::Message),
    /// In the agreement on whether it is in.
    Agreement(ValidatorIndex, agreement::Message<S>),
}

/// Whose part a timer is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The broadcast of a replica's value.
    Broadcast(ValidatorIndex),
    /// The agreement on it.
    Agreement(ValidatorIndex),
}

/// What no correct replica says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no such replica.
    #[error("there is no replica {0}")]
    Nobody(ValidatorIndex),
    /// In a broadcast.
    #[error("in the broadcast of {0}: {1}")]
    Broadcast(ValidatorIndex, broadcast::Fault),
    /// In an agreement.
    #[error("in the agreement on {0}: {1}")]
    Agreement(ValidatorIndex, agreement::Fault),
}

/// The values of n − f replicas or more, the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subset(pub BTreeMap<ValidatorIndex, Bytes>);

impl Subset {
    /// The value that is there most often; of several the least.
    pub fn most_common(&self) -> Option<&Bytes> {
        let mut times = BTreeMap::<_, usize>::new();
        self.0.values().for_each(|value| *times.entry(value).or_default() += 1);
        times.into_iter().rev().max_by_key(|(_, times)| *times).map(|(value, _)| value)
    }
}

/// The rules that can be left out, to see who notices. By default none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// No is said once n − f agreements have come to yes, and not once any has.
    pub waits_for_quorum: bool,
    /// The values of all that came to yes are waited for.
    pub waits_for_values: bool,
    /// Those of its broadcasts.
    pub broadcasts: broadcast::Rules,
}

impl Default for Rules {
    fn default() -> Self {
        Self { waits_for_quorum: true, waits_for_values: true, broadcasts: broadcast::Rules::default() }
    }
}

/// What is about one replica's value.
#[derive(Debug)]
struct Part<C: Coin> {
    broadcast: Broadcast,
    agreement: Agreement<C>,
    value: Option<Bytes>,
    /// Whether the agreement was told something.
    is_told: bool,
    is_in: Option<bool>,
}

/// A replica. It is told its value by [`Input::Answer`], and comes to a subset once.
#[derive(Debug)]
pub struct CommonSubset<C: Coin> {
    party: Party,
    rules: Rules,
    parts: BTreeMap<ValidatorIndex, Part<C>>,
    has_come: bool,
}

type Effects<C> = Vec<Effect<CommonSubset<C>>>;

/// The instance of the parts that are about a replica's value.
fn part_of(party: &Party, whose: ValidatorIndex) -> Party {
    let name = [&b"common-subset"[..], &party.instance.to_be_bytes(), &whose.0.to_be_bytes()].concat();
    let instance = keccak256(name).first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    Party { instance, ..party.clone() }
}

impl<C: Coin> CommonSubset<C> {
    /// A replica with the coins of its agreements, and what it made durable before.
    pub fn new(party: Party, coin: impl Fn(&Party) -> C, records: Vec<Message<C::Share>>) -> Self {
        let mut kept = BTreeMap::<_, (Vec<_>, Vec<_>)>::new();
        for record in records {
            match record {
                Message::Broadcast(whose, said) => kept.entry(whose).or_default().0.push(said),
                Message::Agreement(whose, said) => kept.entry(whose).or_default().1.push(said),
            }
        }
        let part = |whose| {
            let (own, (said, agreed)) = (part_of(&party, whose), kept.remove(&whose).unwrap_or_default());
            let agreement = Agreement::new(own.clone(), coin(&own), agreed);
            let broadcast = Broadcast::new(own, whose, said);
            (whose, Part { broadcast, agreement, value: None, is_told: false, is_in: None })
        };
        let parts = (0..party.n()).filter_map(|whose| whose.try_into().ok().map(ValidatorIndex)).map(part).collect();
        Self { party, rules: Rules::default(), parts, has_come: false }
    }

    /// The same with other rules, which promise nothing.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        let with = |part: Part<C>| Part { broadcast: part.broadcast.with_rules(rules.broadcasts), ..part };
        let parts = self.parts.into_iter().map(|(whose, part)| (whose, with(part))).collect();
        Self { rules, parts, ..self }
    }

    /// Whether the theorem is about so many replicas and faulty ones.
    pub fn assumes(n: usize, faulty: usize) -> Result<(), Unmet> {
        let theorem = "Ben-Or, Kelmer & Rabin 1994";
        let condition = "more than three times as many replicas as faulty ones";
        let unmet = Unmet { protocol: "common-subset", n, faulty, theorem, condition };
        if n > 3 * faulty { Ok(()) } else { Err(unmet) }
    }

    /// Has the broadcast of a value do something.
    fn broadcast(&mut self, whose: ValidatorIndex, input: Input<Broadcast>, effects: &mut Effects<C>) {
        let Some(part) = self.parts.get_mut(&whose) else { return };
        for effect in part.broadcast.handle(input) {
            let message = |said| Message::Broadcast(whose, said);
            match effect {
                Effect::Output(value) => part.value = Some(value),
                Effect::Send { to, message: said } => effects.push(Effect::Send { to, message: message(said) }),
                Effect::Broadcast(said) => effects.push(Effect::Broadcast(message(said))),
                Effect::Persist(said) => effects.push(Effect::Persist(message(said))),
                Effect::SetTimer { after, .. } => {
                    effects.push(Effect::SetTimer { timer: Timer::Broadcast(whose), after });
                }
                Effect::CancelTimer(()) => effects.push(Effect::CancelTimer(Timer::Broadcast(whose))),
                Effect::Fault { from, fault } => {
                    effects.push(Effect::Fault { from, fault: Fault::Broadcast(whose, fault) });
                }
                Effect::Ask(never) => match never {},
            }
        }
    }

    /// Has the agreement on a value do something.
    fn agree(&mut self, whose: ValidatorIndex, input: Input<Agreement<C>>, effects: &mut Effects<C>) {
        let Some(part) = self.parts.get_mut(&whose) else { return };
        for effect in part.agreement.handle(input) {
            let message = |said| Message::Agreement(whose, said);
            match effect {
                Effect::Output(Decided { value, .. }) => part.is_in = Some(value),
                Effect::Send { to, message: said } => effects.push(Effect::Send { to, message: message(said) }),
                Effect::Broadcast(said) => effects.push(Effect::Broadcast(message(said))),
                Effect::Persist(said) => effects.push(Effect::Persist(message(said))),
                Effect::SetTimer { after, .. } => {
                    effects.push(Effect::SetTimer { timer: Timer::Agreement(whose), after });
                }
                Effect::CancelTimer(()) => effects.push(Effect::CancelTimer(Timer::Agreement(whose))),
                Effect::Fault { from, fault } => {
                    effects.push(Effect::Fault { from, fault: Fault::Agreement(whose, fault) });
                }
                Effect::Ask(never) => match never {},
            }
        }
    }

    /// Says yes and no where that is due, and comes to the subset.
    fn advance(&mut self, effects: &mut Effects<C>) {
        loop {
            let yes = self.parts.values().filter(|part| part.is_in == Some(true)).count();
            let is_enough = if self.rules.waits_for_quorum { self.party.is_quorum(yes) } else { yes > 0 };
            let due = |part: &Part<C>| !part.is_told && (part.value.is_some() || is_enough);
            let Some((whose, part)) = self.parts.iter_mut().find(|(_, part)| due(part)) else { break };
            let (whose, value) = (*whose, part.value.is_some());
            part.is_told = true;
            self.agree(whose, Input::Answer(value), effects);
        }
        let is_over = |part: &Part<C>| match part.is_in {
            Some(true) => part.value.is_some() || !self.rules.waits_for_values,
            is_in => is_in.is_some(),
        };
        if !self.has_come && self.parts.values().all(is_over) {
            self.has_come = true;
            let mut subset = BTreeMap::new();
            for (whose, part) in self.parts.iter().filter(|(_, part)| part.is_in == Some(true)) {
                subset.insert(*whose, part.value.clone().unwrap_or_default());
            }
            effects.push(Effect::Output(Subset(subset)));
        }
    }

    fn each(&self) -> Vec<ValidatorIndex> {
        self.parts.keys().copied().collect()
    }
}

impl<C: Coin> Protocol for CommonSubset<C> {
    type Message = Message<C::Share>;
    type Record = Message<C::Share>;
    type Timer = Timer;
    type Fault = Fault;
    type Ask = std::convert::Infallible;
    type Answer = Bytes;
    type Output = Subset;

    fn handle(&mut self, input: Input<Self>) -> Vec<Effect<Self>> {
        let mut effects = Vec::new();
        match input {
            Input::Start { memory, boot } => {
                for whose in self.each() {
                    self.broadcast(whose, Input::Start { memory, boot }, &mut effects);
                    self.agree(whose, Input::Start { memory, boot }, &mut effects);
                }
            }
            Input::Connected(to) => {
                for whose in self.each() {
                    self.broadcast(whose, Input::Connected(to), &mut effects);
                    self.agree(whose, Input::Connected(to), &mut effects);
                }
            }
            Input::Timer(Timer::Broadcast(whose)) => self.broadcast(whose, Input::Timer(()), &mut effects),
            Input::Timer(Timer::Agreement(whose)) => self.agree(whose, Input::Timer(()), &mut effects),
            Input::Answer(value) => self.broadcast(self.party.me, Input::Answer(value), &mut effects),
            Input::Message { from, message: Message::Broadcast(whose, _) | Message::Agreement(whose, _) }
                if !self.parts.contains_key(&whose) =>
            {
                effects.push(Effect::Fault { from, fault: Fault::Nobody(whose) });
            }
            Input::Message { from, message: Message::Broadcast(whose, message) } => {
                self.broadcast(whose, Input::Message { from, message }, &mut effects);
            }
            Input::Message { from, message: Message::Agreement(whose, message) } => {
                self.agree(whose, Input::Message { from, message }, &mut effects);
            }
        }
        self.advance(&mut effects);
        effects
    }
}

impl<C: Coin> Standalone for CommonSubset<C> {
    const NAME: &'static str = "common-subset/1";

    fn kind(message: &Self::Message) -> &'static str {
        match message {
            Message::Broadcast(_, said) => Broadcast::kind(said),
            Message::Agreement(_, said) => Agreement::<C>::kind(said),
        }
    }

    fn slot(record: &Self::Record) -> u64 {
        // An agreement has fewer than 2³² places, and one after all of them.
        let place = |half: u64, whose: ValidatorIndex, slot: u64| {
            half << 63 | u64::from(whose.0) << 32 | slot.min(u32::MAX.into())
        };
        match record {
            Message::Broadcast(whose, said) => place(0, *whose, Broadcast::slot(said)),
            Message::Agreement(whose, said) => place(1, *whose, Agreement::<C>::slot(said)),
        }
    }
}

#[cfg(test)]
mod tests;
