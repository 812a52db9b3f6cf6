//! What accounts say about an order, and what a peer has to hold or to have computed before it votes for a block that
//! contains it.

use dtn_primitives::{
    Address, B256,
    codec::{self, CodecError},
    keccak256, merkle,
};
use serde::{Deserialize, Serialize};

use crate::{
    grade::Grades,
    terms::{Material, Table, Terms},
};

/// The longest encoding of a call.
pub const MAX_CALL_BYTES: usize = 16_000;

/// What a worker has committed to, and shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reveal {
    /// The root of the model.
    pub model: B256,
    /// The root of the trace; zero where only scores count.
    pub trace: B256,
    /// The point of the grid; 0 where there is none.
    pub point: u16,
    /// Which of the worker's tries it is.
    pub attempt: u16,
    /// Who is paid if it wins.
    pub payee: Address,
}

impl Reveal {
    /// What hides it until it is revealed: `keccak256("DTN/train/claim" ‖ order ‖ worker ‖ model ‖ trace ‖ point ‖
    /// attempt)`, numbers big-endian. The roots cannot be guessed, and the worker is inside, so that a copy opens to
    /// nobody else's.
    pub fn commitment(&self, order: B256, worker: Address) -> B256 {
        let numbers = [self.point.to_be_bytes(), self.attempt.to_be_bytes()].concat();
        let parts = [&order[..], &worker[..], &self.model[..], &self.trace[..], &numbers];
        keccak256([b"DTN/train/claim", &parts.concat()[..]].concat())
    }
}

/// What can be disputed. Claims and members are told by their numbers from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// What a claim is worth.
    Score {
        /// The claim.
        claim: u8,
    },
    /// That a member has evaluated a claim: what it stated is its own.
    Evaluated {
        /// The claim.
        claim: u8,
        /// The member.
        member: u8,
        /// What it stated.
        statement: B256,
    },
    /// That a segment of the leader leads from its state to the next; the first one also from its seed, the last one also
    /// to its model.
    Segment {
        /// The claim.
        claim: u8,
        /// The segment.
        segment: u16,
    },
    /// That a member has trained a segment of the leader again: what it stated is its own.
    Audited {
        /// The claim.
        claim: u8,
        /// The segment.
        segment: u16,
        /// The member.
        member: u8,
        /// What it stated.
        statement: B256,
    },
}

/// What every peer has found out about a subject by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Of a score: what it is.
    Grades(Grades),
    /// Of everything else: whether it is so.
    Holds(bool),
}

/// What an account asks of an open order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// By a worker: it has trained.
    Claim {
        /// See [`Reveal::commitment`].
        commitment: B256,
    },
    /// By the requester: the drawn rows, with their salts and paths.
    Open {
        /// The hash of all that.
        rows: B256,
    },
    /// By a worker: what it has committed to.
    Reveal {
        /// Its claim.
        claim: u8,
        /// What it was.
        reveal: Reveal,
    },
    /// By a member: what each revealed claim is worth, in their order.
    Scores {
        /// What they are worth.
        grades: Vec<Grades>,
        /// [`Evaluation::statement`](dtn_train::Evaluation::statement) of each, over the drawn rows and then the fold.
        statements: Vec<B256>,
    },
    /// By the leader: its trace and checkpoints are there to be fetched.
    Trace {
        /// Its claim.
        claim: u8,
    },
    /// By a member: all of its segments hold.
    Audit {
        /// The leader.
        claim: u8,
        /// [`audit_statement`](dtn_train::audit_statement) of each, in their order.
        statements: Vec<B256>,
    },
    /// By anybody, who stakes a bond on it: something is not as it was stated.
    Challenge {
        /// What.
        subject: Subject,
        /// From a statement to what its member has stated in all; empty for other subjects.
        path: Vec<B256>,
    },
    /// By any validator: what all peers have found out.
    Ruling {
        /// About what.
        subject: Subject,
        /// What they have found.
        verdict: Verdict,
    },
}

/// What a peer has to hold, or to have computed, before it votes for a block with an order or a call. Nobody votes for
/// what it has not verified, so a certificate shows that a quorum has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Need {
    /// The rows to learn from, and those that everybody knows.
    Data(Vec<Table>),
    /// The drawn rows: so many, of such numbers, with paths to the root, and all of it with this hash.
    Rows {
        /// Their table.
        of: Table,
        /// Their numbers.
        numbers: Vec<u32>,
        /// The hash.
        hash: B256,
    },
    /// A model for the order's rows, and no larger than the order pays for.
    Model(B256),
    /// A manifest with this trace and model, and the state at the beginning of each segment.
    Trace(Reveal),
    /// To have come to this verdict by its own computation.
    Ruling(Subject, Verdict),
}

impl Need {
    /// What tells it apart from all others: Keccak-256 of a tag, the order and itself. Data that several orders are about is
    /// held for each of them, and goes with it.
    pub fn id(&self, order: B256) -> B256 {
        keccak256([b"DTN/train/need", &order[..], &codec::encode(self)].concat())
    }
}

impl Terms {
    /// What a peer has to hold before it votes for such an order.
    pub fn needs(&self) -> Option<Need> {
        let Material { data, fold, .. } = self.proof.material();
        Some(Need::Data(vec![*data, *fold]))
    }

    /// Its bytes: postcard, in the order of the fields.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`Self::encode`] has written.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_CALL_BYTES)
    }
}

impl Call {
    /// Its bytes: postcard, in the order of the fields.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`Self::encode`] has written.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_CALL_BYTES)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claim { .. } => "claim",
            Self::Open { .. } => "open",
            Self::Reveal { .. } => "reveal",
            Self::Scores { .. } => "scores",
            Self::Trace { .. } => "trace",
            Self::Audit { .. } => "audit",
            Self::Challenge { .. } => "challenge",
            Self::Ruling { .. } => "ruling",
        }
    }
}

/// A leaf of what a member has stated: the number of the claim or segment in four bytes, big-endian, and the statement.
fn leaf(number: u16, statement: B256) -> B256 {
    merkle::leaf(&[&u32::from(number).to_be_bytes()[..], &statement[..]].concat())
}

fn leaves(numbers: &[u16], statements: &[B256]) -> Vec<B256> {
    numbers.iter().zip(statements).map(|(number, statement)| leaf(*number, *statement)).collect()
}

/// What stands for all statements of a member: the root of the [`merkle`] tree over them, each after its number.
pub fn statements_root(numbers: &[u16], statements: &[B256]) -> B256 {
    merkle::root(&leaves(numbers, statements))
}

/// What leads from one of a member's statements to their root, for a challenge.
pub fn statement_path(numbers: &[u16], statements: &[B256], number: u16) -> Option<Vec<B256>> {
    let place = numbers.iter().position(|one| *one == number)?;
    merkle::proof(&leaves(numbers, statements), place)
}

/// Whether a member whose statements have this root has stated that.
pub(crate) fn is_stated(root: B256, number: u16, statement: B256, path: &[B256]) -> bool {
    merkle::verify(root, leaf(number, statement), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_data_is_another_need_of_another_order() {
        let needs = [Need::Data(vec![Table { root: B256::ZERO, rows: 1 }]), Need::Model(B256::ZERO)];
        let ids = needs.iter().flat_map(|need| [1, 2].map(|order| need.id(B256::repeat_byte(order))));
        assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 4);
    }
}
