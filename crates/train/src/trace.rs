//! What a run leaves behind for others to check: who it is bound to, what it was of, and the hash of each state at which a
//! segment ends.

use std::ops::ControlFlow;

use dtn_primitives::{
    Address, B256,
    codec::{self, CodecError},
    keccak256,
};
use serde::{Deserialize, Serialize};

use crate::{
    data::Dataset,
    model::{Model, tree_root},
    random::Origin,
    recipe::Recipe,
    run::{Job, JobError, Run, StateError},
};

/// What an encoded manifest begins with; the last byte is the version.
const MAGIC: &[u8; 8] = b"DTNtrac\x01";

/// The bytes of the longest manifest.
pub const MAX_MANIFEST_BYTES: usize = 32 << 10;

/// The hash of a state.
pub fn state_hash(state: &[u8]) -> B256 {
    B256::from(*blake3::hash(state).as_bytes())
}

/// What stands for the hashes of a run's states: `keccak256("DTN/train/trace" ‖ count ‖ root)` with their number in four bytes,
/// big-endian, and the root of the tree over them, each after its number.
pub fn trace_root(states: &[B256]) -> B256 {
    tree_root(b"DTN/train/trace", states.len() as u32, states.iter().map(|hash| &hash[..]))
}

/// What others check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Who trained, for what.
    pub origin: Origin,
    /// What training was.
    pub recipe: Recipe,
    /// Which point of the grid it was.
    pub point: u16,
    /// The root of the data.
    pub data: B256,
    /// The root of the model.
    pub model: B256,
    /// The hash of the state at the beginning, and at the end of each segment.
    pub states: Vec<B256>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Segments that are done.
    pub done: u32,
    /// Segments in all.
    pub segments: u32,
}

/// Trains, and calls `each` at the beginning and after each segment, with the state that a checkpoint keeps. Nothing comes of
/// it if that says to break.
pub fn train(
    recipe: &Recipe,
    point: u16,
    data: &Dataset,
    origin: Origin,
    mut each: impl FnMut(Progress, &[u8]) -> ControlFlow<()>,
) -> Result<Option<(Model, Manifest)>, JobError> {
    let job = Job::new(recipe, point, data, origin.seed())?;
    let mut run = Run::start(&job);
    let mut states = Vec::new();
    loop {
        let state = run.state();
        states.push(state_hash(&state));
        let progress = Progress { done: run.segment(), segments: job.plan().segments };
        if each(progress, &state).is_break() {
            return Ok(None);
        }
        if run.is_over() {
            break;
        }
        run.advance();
    }
    let model = run.model();
    let (recipe, data, root) = (recipe.clone(), data.root(), model.root());
    Ok(Some((model, Manifest { origin, recipe, point, data, model: root, states })))
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its recipe is none for this data.
    #[error(transparent)]
    Job(#[from] JobError),
    /// It is of other data.
    #[error("it is of data {claimed}, this is {actual}")]
    Data {
        /// The root that it names.
        claimed: B256,
        /// The root of what it was checked with.
        actual: B256,
    },
    /// It has too few or too many states.
    #[error("it has {is} states, and its recipe makes {expected}")]
    States {
        /// How many there are.
        is: usize,
        /// How many there have to be.
        expected: usize,
    },
    /// It does not begin as its seed does: it is of another worker, order, block, network or try.
    #[error("its first state is not the one of its seed")]
    Start,
    /// A segment does not lead from its state to the next.
    #[error("segment {0} does not lead to the state that it names")]
    Segment(u32),
    /// The last state is of another model.
    #[error("its last state is that of model {actual}, and it names {claimed}")]
    Model {
        /// The root that it names.
        claimed: B256,
        /// The root of what was trained.
        actual: B256,
    },
    /// There is no such segment.
    #[error("there is no segment {segment}: there are 0 to {}", .segments - 1)]
    NoSegment {
        /// The segment.
        segment: u32,
        /// How many there are.
        segments: u32,
    },
    /// A checkpoint is not the state that a segment begins with.
    #[error("the checkpoint is not the state that segment {0} begins with")]
    Checkpoint(u32),
    /// A checkpoint has the right hash and is no state.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Manifest {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        [&MAGIC[..], &codec::encode(self)].concat()
    }

    /// Reads what [`Self::encode`] has written: there is one encoding of a manifest.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (actual, limit) = (bytes.len(), MAX_MANIFEST_BYTES);
        if actual > limit {
            return Err(CodecError::TooLong { actual, limit });
        }
        let malformed = |reason: &str| CodecError::Malformed(reason.into());
        let body = bytes.strip_prefix(MAGIC).ok_or_else(|| malformed("it begins with other bytes"))?;
        let manifest: Self = codec::decode(body, limit)?;
        if manifest.encode() == bytes { Ok(manifest) } else { Err(malformed("a number is longer than it has to be")) }
    }

    /// What stands for the states.
    pub fn trace_root(&self) -> B256 {
        trace_root(&self.states)
    }

    /// What it is of, with data that it has to be of.
    pub fn job<'a>(&self, data: &'a Dataset) -> Result<Job<'a>, Fault> {
        let actual = data.root();
        if self.data != actual {
            return Err(Fault::Data { claimed: self.data, actual });
        }
        let job = Job::new(&self.recipe, self.point, data, self.origin.seed())?;
        let (is, expected) = (self.states.len(), job.plan().segments as usize + 1);
        if is == expected { Ok(job) } else { Err(Fault::States { is, expected }) }
    }

    /// Trains again and compares every state. Nothing comes of it if `each`, which is called after each segment, says to break.
    pub fn check(
        &self,
        data: &Dataset,
        mut each: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<Model>, Fault> {
        let job = self.job(data)?;
        let mut run = Run::start(&job);
        if state_hash(&run.state()) != self.states[0] {
            return Err(Fault::Start);
        }
        while !run.is_over() {
            let segment = run.segment();
            run.advance();
            if state_hash(&run.state()) != self.states[run.segment() as usize] {
                return Err(Fault::Segment(segment));
            }
            if each(Progress { done: run.segment(), segments: job.plan().segments }).is_break() {
                return Ok(None);
            }
        }
        let model = run.model();
        let (claimed, actual) = (self.model, model.root());
        if claimed == actual { Ok(Some(model)) } else { Err(Fault::Model { claimed, actual }) }
    }

    /// Trains one segment again from the state that it begins with, and gives its witness. The first segment needs no
    /// checkpoint: it begins as the seed has it.
    pub fn check_segment(&self, job: &Job<'_>, segment: u32, checkpoint: Option<&[u8]>) -> Result<B256, Fault> {
        let segments = job.plan().segments;
        if segment >= segments {
            return Err(Fault::NoSegment { segment, segments });
        }
        let mut run = match checkpoint {
            Some(state) if state_hash(state) == self.states[segment as usize] => Run::resume(job, state)?,
            None if segment == 0 => Run::start(job),
            _ => return Err(Fault::Checkpoint(segment)),
        };
        if run.segment() != segment {
            return Err(Fault::Checkpoint(segment));
        }
        if segment == 0 && state_hash(&Run::start(job).state()) != self.states[0] {
            return Err(Fault::Start);
        }
        let witness = run.audit();
        let is_same = state_hash(&run.state()) == self.states[run.segment() as usize];
        if !is_same {
            return Err(Fault::Segment(segment));
        }
        let (claimed, actual) = (self.model, run.model().root());
        if run.is_over() && claimed != actual { Err(Fault::Model { claimed, actual }) } else { Ok(witness) }
    }
}

/// What a validator states of a segment that it has trained again: `keccak256("DTN/train/audit" ‖ order ‖ claim ‖ validator ‖
/// segment ‖ witness)`, the segment big-endian. Nobody else's statement is the same, so copying one shows.
pub fn audit_statement(order: B256, claim: B256, validator: Address, segment: u32, witness: B256) -> B256 {
    let parts = [&order[..], &claim[..], &validator[..], &segment.to_be_bytes(), &witness[..]];
    keccak256([b"DTN/train/audit", &parts.concat()[..]].concat())
}
