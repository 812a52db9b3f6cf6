//! What the simulator has to know of a protocol beside how to run it.

use std::{fmt::Debug, sync::Arc};

use dtn_consensus::{Decision, Evidence, Protocol, nakamoto, nakamoto::Base, pbft};
use dtn_pow::Puzzle;
use dtn_primitives::{B256, Block, Certificate, CheckpointCertificate, ValidatorIndex, Vote};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Chain, Members, Scenario,
    adversary::{Adversary, Kind},
    forensics::Signed,
};

/// A protocol that can be simulated.
pub trait Subject:
    Protocol<
        Message: Clone + Debug + Serialize + DeserializeOwned,
        Record: Clone + Debug,
        Timer: Copy + Ord + Debug,
        Fault: Debug,
    > + Clone
    + Debug
{
    /// Whether blocks are mined. Then a replica finds something to propose whenever it asks, and there is no client.
    const MINES: bool = false;

    /// A replica, new or after a restart with what it had made durable: the decided blocks, the last stable checkpoint and
    /// its records.
    fn create(
        members: &Members,
        me: ValidatorIndex,
        chain: &Chain,
        stable: Option<CheckpointCertificate>,
        records: Vec<Self::Record>,
    ) -> Self;

    /// What it asks, in the words of its host here.
    fn asks(ask: Self::Ask) -> Request;

    /// What its host here answers or tells unasked, in its words; nothing if it has no use for it.
    fn answer(reply: Reply) -> Option<Self::Answer>;

    /// What it comes to, in the words of its host here.
    fn output(output: Self::Output) -> Progress;

    /// What a message is, as counters name it.
    fn kind(message: &Self::Message) -> &'static str;

    /// The height with whose decision a record goes.
    fn record_height(record: &Self::Record) -> u64;

    /// The mined block that a record holds, and the nonce that shows its work.
    fn sealed(_record: &Self::Record) -> Option<(&Block, u64)> {
        None
    }

    /// What a message states that its sender may never contradict. Others' statements may be among them.
    fn statements(message: &Self::Message) -> Vec<Statement>;

    /// What a message shows that validators have signed, its sender or others, in an epoch.
    fn signed(message: &Self::Message, epoch: u64) -> Vec<Signed>;

    /// The view that it is in.
    fn view(&self) -> u64;

    /// Who is to propose the block of a height, as far as one can tell who has last heard of this view.
    fn proposer(&self, members: &Members, view: u64, height: u64) -> ValidatorIndex {
        members.validators().primary(view, height)
    }

    /// A liar of this protocol, in this scenario.
    fn adversary(kind: Kind, scenario: &Scenario) -> Box<dyn Adversary<Self::Message>>;

    /// A measure of the memory that it takes: the length of everything that it holds, written out.
    fn size(&self) -> usize {
        format!("{self:?}").len()
    }
}

/// What a replica may ask of its host here.
#[derive(Debug, Clone)]
pub enum Request {
    /// To answer with [`Reply::Proposal`] once there is something to propose on top of this block.
    Propose {
        /// One above the parent's.
        height: u64,
        /// The block.
        parent: B256,
        /// Even if there is nothing to put into it.
        empty: bool,
    },
    /// To answer with [`Reply::Proposal`] at once: there is always something to mine.
    Template {
        /// One above the parent's.
        height: u64,
        /// What the block is to be on top of.
        parent: B256,
    },
    /// To answer with [`Reply::Validated`].
    Validate(Arc<Block>),
    /// To answer with [`Reply::Mined`], once the work is found.
    Mine(Puzzle),
}

/// What its host here answers a replica, or tells it unasked.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A block.
    Proposal(Arc<Block>),
    /// Whether a block may follow its parent.
    Validated {
        /// The block's hash.
        block_hash: B256,
        /// Whether it may.
        valid: bool,
    },
    /// A block has its proof of work.
    Mined {
        /// The block's hash.
        block_hash: B256,
        /// What shows its work.
        nonce: u64,
    },
    /// It took over what others decided.
    CaughtUp {
        /// Of the last block.
        certificate: Certificate,
        /// What that leaves to those that follow.
        base: Base,
        /// The hashes of the blocks.
        decided: Vec<B256>,
    },
    /// It has executed everything up to a checkpoint.
    Checkpoint {
        /// The checkpoint's height.
        height: u64,
        /// The root of the state after it.
        state_root: B256,
    },
    /// The request that waits longest.
    Waiting(Option<B256>),
}

/// What a replica comes to.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A block is final.
    Decide(Decision),
    /// A checkpoint is stable.
    Stable(CheckpointCertificate),
    /// A validator contradicted itself.
    Evidence(Box<Evidence>),
    /// Something for the operator.
    Notice(Notice),
}

/// What a replica tells its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// About what makes blocks final.
    Finality(pbft::Notice),
    /// About the chain that is mined.
    Chain(nakamoto::Notice),
}

impl From<pbft::Output> for Progress {
    fn from(output: pbft::Output) -> Self {
        match output {
            pbft::Output::Decide(decision) => Self::Decide(decision),
            pbft::Output::Stable(certificate) => Self::Stable(certificate),
            pbft::Output::Evidence(evidence) => Self::Evidence(evidence),
            pbft::Output::Notice(notice) => Self::Notice(Notice::Finality(notice)),
        }
    }
}

/// Something that a correct replica stands by, also after a crash.
#[derive(Debug, Clone)]
pub enum Statement {
    /// It votes for no other block at this height, in this view.
    Vote(Arc<Vote>),
    /// A block, and the one that it is on top of.
    Block {
        /// Its hash.
        hash: B256,
        /// Its parent's.
        parent: B256,
    },
    /// It has left all views below one, and shows what it prepared in them.
    Leave {
        /// Who leaves.
        validator: ValidatorIndex,
        /// The first view in which it may vote from now on.
        view: u64,
        /// The certificate of what it has decided, if that is not the genesis.
        decided: Option<Certificate>,
        /// What it has prepared above, as views, heights and blocks.
        prepared: Vec<(u64, u64, B256)>,
    },
}
