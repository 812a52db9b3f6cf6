//! What every protocol and every host of a protocol agree on.

use std::{sync::Arc, time::Duration};

use dtn_primitives::{B256, Block, Certificate, CheckpointCertificate, Evidence, ValidatorIndex};

/// A deterministic state machine that agrees on blocks with its peers.
///
/// The same inputs in the same order give the same effects. A host carries the effects out **in order**; in particular
/// an [`Effect::Persist`] is on disk before any later effect of the same call leaves the machine, so that a replica
/// that crashes never contradicts what it said.
pub trait Protocol {
    /// What replicas say to each other.
    type Message;
    /// What must survive a crash.
    type Record;
    /// The timers that the protocol sets.
    type Timer;
    /// What can be wrong with a message.
    type Fault;

    /// Takes one input and gives the effects that follow from it.
    #[must_use = "effects must be carried out in order"]
    fn handle(&mut self, input: Input<Self::Message, Self::Timer>) -> Vec<EffectOf<Self>>;
}

type EffectOf<P> =
    Effect<<P as Protocol>::Message, <P as Protocol>::Record, <P as Protocol>::Timer, <P as Protocol>::Fault>;

/// What a protocol reacts to.
#[derive(Debug, Clone)]
pub enum Input<M, T> {
    /// The replica begins, new or after a restart.
    Start,
    /// A message arrived over a channel that authenticates `from`.
    Message {
        /// The peer that sent it, which need not be who signed it.
        from: ValidatorIndex,
        /// What it says. Nothing in it is trusted.
        message: M,
    },
    /// A channel to a peer opened, so what it may have missed is said again.
    Connected(ValidatorIndex),
    /// A timer expired.
    Timer(T),
    /// The host's answer to [`Effect::Propose`].
    Proposal(Arc<Block>),
    /// The host's answer to [`Effect::Validate`], for the block of this hash.
    Validated {
        /// The block's hash.
        block_hash: B256,
        /// Whether it may follow its parent.
        valid: bool,
    },
    /// The host took over what others decided up to this block, having verified its certificate.
    CaughtUp(Certificate),
    /// The host has executed every block up to a height that is a multiple of the checkpoint interval.
    Checkpoint {
        /// The height.
        height: u64,
        /// The root of the state after it.
        state_root: B256,
    },
    /// The host has lost what this replica said, or found out how much that can have been: the replica is not to vote
    /// for heights below this one.
    VoteFrom(u64),
    /// Whether the host knows of requests that wait to be decided. While it does, a primary is expected to propose.
    Waiting(bool),
}

/// What a protocol asks its host to do.
#[derive(Debug, Clone)]
pub enum Effect<M, R, T, F> {
    /// Send to one peer.
    Send {
        /// The peer.
        to: ValidatorIndex,
        /// What to say.
        message: M,
    },
    /// Send to every other validator.
    Broadcast(M),
    /// Deliver [`Input::Timer`] after a while; replaces the same timer.
    SetTimer {
        /// Which timer.
        timer: T,
        /// After how long.
        after: Duration,
    },
    /// Do not deliver that timer.
    CancelTimer(T),
    /// Make durable before any later effect.
    Persist(R),
    /// Answer with [`Input::Proposal`] once there is something to propose at this height. Replaces an earlier wish.
    Propose {
        /// One above the parent's.
        height: u64,
        /// The last decided block, or one above it that this replica proposed or found valid.
        parent: B256,
    },
    /// Answer with [`Input::Validated`]: may this block follow its parent, which is the last decided block or was
    /// found valid itself?
    Validate(Arc<Block>),
    /// The block is final. Blocks are decided in ascending order.
    Decide(Decision),
    /// A quorum has executed everything up to this checkpoint: what led to it may be forgotten.
    Stable(CheckpointCertificate),
    /// A validator contradicted itself; anyone can verify it.
    Evidence(Box<Evidence>),
    /// A peer sent what no correct peer sends.
    Fault {
        /// The peer that sent it.
        from: ValidatorIndex,
        /// What was wrong.
        fault: F,
    },
}

/// A final block and the quorum that made it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The block.
    pub block: Arc<Block>,
    /// A quorum of commit votes for it.
    pub certificate: Certificate,
}
