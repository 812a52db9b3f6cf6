//! What every protocol and every host of a protocol agree on.

use std::{sync::Arc, time::Duration};

use dtn_pow::Puzzle;
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
    /// The host took over what others decided, having verified the last block's certificate.
    CaughtUp {
        /// Of the last block.
        certificate: Certificate,
        /// What the block leaves to those that follow.
        base: Base,
        /// The hashes of the blocks that were taken over, in ascending order; empty if the host took over a state.
        decided: Vec<B256>,
    },
    /// The host's answer to [`Effect::Mine`]: the block of this hash has its proof of work.
    Mined {
        /// The block's hash.
        block_hash: B256,
        /// The nonce that solves its puzzle.
        nonce: u64,
    },
    /// The host has executed every block up to a height that is a multiple of the checkpoint interval.
    Checkpoint {
        /// The height.
        height: u64,
        /// The root of the state after it.
        state_root: B256,
    },
    /// The request that has waited longest of those that the host could execute now, if there is one. A primary is expected
    /// to have it decided, whatever else it decides.
    Waiting(Option<B256>),
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
        /// Propose now, even if there is nothing to put into the block: heights have to pass.
        empty: bool,
    },
    /// Answer with [`Input::Validated`]: may this block follow its parent, which is the last decided block or was
    /// found valid itself?
    Validate {
        /// The block.
        block: Arc<Block>,
        /// It is proposed for the first time, as far as this replica knows: what depends on the host's clock and on what
        /// waits there is judged, too. Otherwise a quorum may have prepared it already.
        fresh: bool,
    },
    /// Search for the proof of work of the block that was proposed last, and answer with [`Input::Mined`]. Replaces an
    /// earlier wish.
    Mine(Puzzle),
    /// Something that operators should know and that is nobody's fault.
    Notice(Notice),
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

impl<M, R, T, F> Effect<M, R, T, F> {
    /// The same effect in the words of a protocol that contains this one.
    pub fn map<M2, R2, T2, F2>(
        self,
        message: impl Fn(M) -> M2,
        record: impl Fn(R) -> R2,
        timer: impl Fn(T) -> T2,
        fault: impl Fn(F) -> F2,
    ) -> Effect<M2, R2, T2, F2> {
        match self {
            Self::Send { to, message: said } => Effect::Send { to, message: message(said) },
            Self::Broadcast(said) => Effect::Broadcast(message(said)),
            Self::SetTimer { timer: set, after } => Effect::SetTimer { timer: timer(set), after },
            Self::CancelTimer(set) => Effect::CancelTimer(timer(set)),
            Self::Persist(kept) => Effect::Persist(record(kept)),
            Self::Propose { height, parent, empty } => Effect::Propose { height, parent, empty },
            Self::Validate { block, fresh } => Effect::Validate { block, fresh },
            Self::Mine(puzzle) => Effect::Mine(puzzle),
            Self::Notice(notice) => Effect::Notice(notice),
            Self::Decide(decision) => Effect::Decide(decision),
            Self::Stable(certificate) => Effect::Stable(certificate),
            Self::Evidence(evidence) => Effect::Evidence(evidence),
            Self::Fault { from, fault: found } => Effect::Fault { from, fault: fault(found) },
        }
    }
}

/// The last decided block, or the genesis, as far as the blocks above depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Its height; 0 for the genesis.
    pub height: u64,
    /// Its hash; the network id for the genesis.
    pub hash: B256,
    /// Its time, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// The expected number of hashes for a block on top of it; without meaning where blocks need no work.
    pub next_work: u64,
}

impl Base {
    /// That of a block with this certificate where blocks need no work.
    pub fn without_work(certificate: &Certificate) -> Self {
        Self { height: certificate.height, hash: certificate.block_hash, timestamp: 0, next_work: 0 }
    }
}

/// What operators should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Blocks that were not final have made room for a chain with more work, or for a final block.
    Reorganized {
        /// How many blocks were left; at least so many if the host took over a state.
        depth: u64,
        /// The last block of the chain that was left.
        from: B256,
        /// The last block of the chain that is followed now, or that final block.
        to: B256,
    },
    /// A mined block has its work and cannot be executed, so nobody follows its chain. Blocks are not signed by who mines
    /// them: whom it names need not have made it.
    InvalidBlock {
        /// Its height.
        height: u64,
        /// Its hash.
        block_hash: B256,
    },
    /// A peer follows a chain that leaves out a final block. However much work is in it, it is not followed.
    BelowCheckpoint {
        /// The peer.
        from: ValidatorIndex,
        /// The height of its block in the place of the final one, or above it.
        height: u64,
        /// The hash of its block.
        block_hash: B256,
    },
    /// A peer has shown something that this replica said and does not remember: its records are older than its words, or
    /// somebody else signs with its key.
    Forgot {
        /// The peer.
        from: ValidatorIndex,
    },
    /// This replica has forgotten what it said, and votes for no height before it cannot contradict itself.
    Silent {
        /// The first height for which it votes.
        until: u64,
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
