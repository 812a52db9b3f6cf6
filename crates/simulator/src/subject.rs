//! What the simulator has to know of a protocol beside how to run it.

use std::{fmt::Debug, sync::Arc};

use dtn_consensus::Protocol;
use dtn_primitives::{B256, Block, Certificate, CheckpointCertificate, ValidatorIndex, Vote};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Chain, Members, Scenario,
    adversary::{Adversary, Kind},
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

    /// The view that it is in.
    fn view(&self) -> u64;

    /// A liar of this protocol, in this scenario.
    fn adversary(kind: Kind, scenario: &Scenario) -> Box<dyn Adversary<Self::Message>>;

    /// A measure of the memory that it takes: the length of everything that it holds, written out.
    fn size(&self) -> usize {
        format!("{self:?}").len()
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
