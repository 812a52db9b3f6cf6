//! What every protocol and every host of a protocol agree on, and nothing that only one of them needs.

use std::time::Duration;

use dtn_primitives::ValidatorIndex;

/// A deterministic state machine that agrees on something with its peers.
///
/// The same inputs in the same order give the same effects. A host carries the effects out **in order**; in particular
/// an [`Effect::Persist`] is on disk before any later effect of the same call leaves the machine, so that a replica
/// that crashes never contradicts what it said.
///
/// What a protocol needs of its host beyond messages, timers and a disk are questions of its own, and what it comes to is
/// its own to name: a protocol without blocks asks for none.
pub trait Protocol: Sized {
    /// What replicas say to each other.
    type Message;
    /// What must survive a crash.
    type Record;
    /// The timers that the protocol sets.
    type Timer;
    /// What can be wrong with a message.
    type Fault;
    /// What it asks its host.
    type Ask;
    /// What its host answers, or tells it unasked.
    type Answer;
    /// What it comes to.
    type Output;

    /// Takes one input and gives the effects that follow from it.
    #[must_use = "effects must be carried out in order"]
    fn handle(&mut self, input: Input<Self>) -> Vec<Effect<Self>>;
}

/// What a protocol reacts to.
#[derive(Debug, Clone)]
pub enum Input<P: Protocol> {
    /// The replica begins, new or after a restart.
    Start {
        /// What it knows of what it has said.
        memory: Memory,
        /// A number that no earlier start of this replica had: what was answered to an earlier one is told apart.
        boot: u64,
    },
    /// A message arrived over a channel that authenticates `from`.
    Message {
        /// The peer that sent it, which need not be who signed it.
        from: ValidatorIndex,
        /// What it says. Nothing in it is trusted.
        message: P::Message,
    },
    /// A channel to a peer opened, so what it may have missed is said again.
    Connected(ValidatorIndex),
    /// A timer expired.
    Timer(P::Timer),
    /// The host's answer to an [`Effect::Ask`], or what it has to tell unasked.
    Answer(P::Answer),
}

/// What a replica that starts knows of what it has said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It has never said anything.
    NeverVoted,
    /// Its records are those that it made durable.
    Kept,
    /// Its records are gone, or are older than what it has said.
    Lost,
}

/// What a protocol has its host do.
#[derive(Debug, Clone)]
pub enum Effect<P: Protocol> {
    /// Send to one peer.
    Send {
        /// The peer.
        to: ValidatorIndex,
        /// What to say.
        message: P::Message,
    },
    /// Send to every other validator.
    Broadcast(P::Message),
    /// Deliver [`Input::Timer`] after a while; replaces the same timer.
    SetTimer {
        /// Which timer.
        timer: P::Timer,
        /// After how long.
        after: Duration,
    },
    /// Do not deliver that timer.
    CancelTimer(P::Timer),
    /// Make durable before any later effect.
    Persist(P::Record),
    /// Answer with [`Input::Answer`].
    Ask(P::Ask),
    /// What the protocol has come to.
    Output(P::Output),
    /// A peer sent what no correct peer sends.
    Fault {
        /// The peer that sent it.
        from: ValidatorIndex,
        /// What was wrong.
        fault: P::Fault,
    },
}
