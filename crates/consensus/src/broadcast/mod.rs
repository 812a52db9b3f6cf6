//! Reliable broadcast (Bracha, "Asynchronous Byzantine Agreement Protocols", Information and Computation 75, 1987): one
//! replica says something to all, and even if it lies, all correct ones come to the same or none comes to anything.
//!
//! The sender says its value to all: *initial*. Whoever hears it from the sender echoes it: *echo*. Whoever hears n − f
//! echoes of a value, or f + 1 who are ready for it, is *ready* for it, once. Whoever hears n − f who are ready has it.
//!
//! With n > 3f, whatever messages take:
//!
//! - **agreement**: no two correct replicas come to different values;
//! - **validity**: if the sender is correct, nobody comes to anything but its value;
//! - **totality**: if one correct replica comes to something, all do;
//! - **termination**: if the sender is correct, all come to something, after three messages one after the other.
//!
//! It takes (n − 1) + 2n(n − 1) messages, each with the whole value.
//!
//! # Deviations
//!
//! - The paper waits for more than (n + f) / 2 echoes and for 2f + 1 who are ready; here both are n − f, which is the same
//!   at n = 3f + 1 and as safe everywhere.
//! - The paper's channels lose nothing. Here all that was said is said again, by a timer whose pauses double and to every
//!   channel that opens, and what was said is durable before it leaves. A replica whose disk was lost says nothing.

use dtn_primitives::{B256, Bytes, ValidatorIndex, keccak256};
use serde::{Deserialize, Serialize};

use crate::{
    Effect, Input, Memory, Party, Protocol, Standalone, Unmet,
    party::Resend,
    quorum::{Added, Cast, Tally},
};

use std::{collections::BTreeMap, convert::Infallible};

/// The longest value, in bytes.
pub const MAX_VALUE: usize = 1 << 16;

/// Which of the three things that a replica says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The sender's value.
    Initial,
    /// What was heard of the sender.
    Echo,
    /// What nobody can come to anything but.
    Ready,
}

/// What replicas say to each other, and what each keeps of what it has said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Which of three.
    pub phase: Phase,
    /// The value, of no more than [`MAX_VALUE`] bytes.
    pub value: Bytes,
}

/// What no correct replica says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The value is too long.
    #[error("a value of {0} bytes, of which there may be {MAX_VALUE}")]
    TooLong(usize),
    /// It begins what only the sender begins.
    #[error("it is not the sender")]
    NotTheSender,
    /// It said something else before.
    #[error("it said another value in the same phase")]
    Contradiction,
    /// It echoes what this one does not, which a lying sender makes correct replicas do.
    #[error("it echoes another value")]
    OtherEcho,
}

/// The rules that can be left out, to see who notices. By default none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Nobody but the sender begins.
    pub sender_begins: bool,
    /// Who hears f + 1 that are ready is ready too.
    pub amplifies: bool,
    /// Who echoes another value is no liar: the sender may be one.
    pub forgives_echoes: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { sender_begins: true, amplifies: true, forgives_echoes: true }
    }
}

/// A replica. It is told the value to say by [`Input::Answer`], if it is the sender, and comes to a value once.
#[derive(Debug)]
pub struct Broadcast {
    party: Party,
    sender: ValidatorIndex,
    rules: Rules,
    said: BTreeMap<Phase, Message>,
    begun: Tally<Cast<B256>>,
    echoes: Tally<Cast<B256>>,
    readies: Tally<Cast<B256>>,
    has_come: bool,
    /// Its disk was lost: it may have said anything.
    is_silent: bool,
    resend: Resend,
}

impl Broadcast {
    /// A replica in the broadcast of `sender`, with what it made durable before.
    pub fn new(party: Party, sender: ValidatorIndex, records: Vec<Message>) -> Self {
        let mut new = Self {
            party,
            sender,
            rules: Rules::default(),
            said: BTreeMap::new(),
            begun: Tally::default(),
            echoes: Tally::default(),
            readies: Tally::default(),
            has_come: false,
            is_silent: false,
            resend: Resend::default(),
        };
        for record in records {
            let own = Cast { by: new.party.me, choice: keccak256(&record.value) };
            new.tally(record.phase).add(own);
            new.said.insert(record.phase, record);
        }
        new
    }

    /// The same with other rules, which promise nothing.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// Whether the theorem is about so many replicas and faulty ones.
    pub fn assumes(n: usize, faulty: usize) -> Result<(), Unmet> {
        let (theorem, condition) = ("Bracha 1987", "more than three times as many replicas as faulty ones");
        let unmet = Unmet { protocol: "broadcast", n, faulty, theorem, condition };
        if n > 3 * faulty { Ok(()) } else { Err(unmet) }
    }

    fn tally(&mut self, phase: Phase) -> &mut Tally<Cast<B256>> {
        match phase {
            Phase::Initial => &mut self.begun,
            Phase::Echo => &mut self.echoes,
            Phase::Ready => &mut self.readies,
        }
    }

    /// Says something to all, itself included, unless it has.
    fn say(&mut self, phase: Phase, value: Bytes, effects: &mut Vec<Effect<Self>>) {
        if self.is_silent || self.said.contains_key(&phase) {
            return;
        }
        let message = Message { phase, value };
        self.said.insert(phase, message.clone());
        effects.extend([Effect::Persist(message.clone()), Effect::Broadcast(message.clone())]);
        // It says each thing once, so this contradicts nothing.
        _ = self.take(self.party.me, message, effects);
    }

    fn take(&mut self, from: ValidatorIndex, message: Message, effects: &mut Vec<Effect<Self>>) -> Result<(), Fault> {
        let Message { phase, value } = message;
        if value.len() > MAX_VALUE {
            return Err(Fault::TooLong(value.len()));
        }
        if phase == Phase::Initial && from != self.sender && self.rules.sender_begins {
            return Err(Fault::NotTheSender);
        }
        let choice = keccak256(&value);
        match self.tally(phase).add(Cast { by: from, choice }) {
            Added::New => {}
            Added::Duplicate => return Ok(()),
            Added::Conflicting(_) => return Err(Fault::Contradiction),
        }
        let own = self.said.get(&Phase::Echo).filter(|_| phase == Phase::Echo && !self.rules.forgives_echoes);
        if own.is_some_and(|own| own.value != value) {
            return Err(Fault::OtherEcho);
        }
        let count = self.tally(phase).count(choice);
        match phase {
            Phase::Initial => self.say(Phase::Echo, value, effects),
            Phase::Echo if self.party.is_quorum(count) => self.say(Phase::Ready, value, effects),
            Phase::Echo => {}
            Phase::Ready => {
                if self.rules.amplifies && self.party.has_correct(count) {
                    self.say(Phase::Ready, value.clone(), effects);
                }
                if self.party.is_quorum(self.readies.count(choice)) && !self.has_come {
                    self.has_come = true;
                    effects.push(Effect::Output(value));
                }
            }
        }
        Ok(())
    }
}

impl Protocol for Broadcast {
    type Message = Message;
    type Record = Message;
    type Timer = ();
    type Fault = Fault;
    type Ask = Infallible;
    type Answer = Bytes;
    type Output = Bytes;

    fn handle(&mut self, input: Input<Self>) -> Vec<Effect<Self>> {
        let mut effects = Vec::new();
        match input {
            Input::Start { memory, .. } => {
                self.is_silent = memory == Memory::Lost;
                effects.push(Effect::SetTimer { timer: (), after: self.resend.pause() });
                // The power may have failed after its first word, which nobody says to it again.
                if let Some(begun) = self.said.get(&Phase::Initial).cloned() {
                    self.say(Phase::Echo, begun.value, &mut effects);
                }
            }
            Input::Timer(()) => {
                effects.extend(self.said.values().cloned().map(Effect::Broadcast));
                effects.push(Effect::SetTimer { timer: (), after: self.resend.pause() });
            }
            Input::Connected(to) => {
                effects.extend(self.said.values().cloned().map(|message| Effect::Send { to, message }));
            }
            Input::Answer(value) if self.party.me == self.sender && value.len() <= MAX_VALUE => {
                self.say(Phase::Initial, value, &mut effects);
            }
            Input::Answer(_) => {}
            Input::Message { from, message } => {
                if let Err(fault) = self.take(from, message, &mut effects) {
                    effects.push(Effect::Fault { from, fault });
                }
            }
        }
        effects
    }
}

impl Standalone for Broadcast {
    const NAME: &'static str = "broadcast/1";

    fn kind(message: &Message) -> &'static str {
        match message.phase {
            Phase::Initial => "initial",
            Phase::Echo => "echo",
            Phase::Ready => "ready",
        }
    }

    fn slot(record: &Message) -> u64 {
        record.phase as u64
    }
}

#[cfg(test)]
mod tests;
