//! Proofs that were tampered with, of which none may be accepted.

use std::{fmt, ops::Range};

use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use winter_prover::{Proof, Serializable};

/// A way to tamper with a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mutation {
    /// One to eight bits change.
    Flip,
    /// A length is larger than what follows, or smaller.
    Length,
    /// The head of one proof stands before the tail of another.
    Splice,
    /// Some of it is missing, at the end or within.
    Cut,
    /// Some of it is there twice, or there is more behind it.
    Pad,
    /// A field stands where another one belongs, or comes from another proof.
    Swap,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Flip, Self::Length, Self::Splice, Self::Cut, Self::Pad, Self::Swap];

    /// The mutated proof number `number` of a seed, of one of the proofs, which are not empty: how it was made, of which, and
    /// what came out. It is never any of the proofs.
    pub fn number(seed: u64, number: u64, proofs: &[Fields]) -> (Self, usize, Vec<u8>) {
        let mut rng = SmallRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let of = rng.random_range(0..proofs.len());
        let mutation = Self::ALL[rng.random_range(0..Self::ALL.len())];
        let mut bytes = mutation.apply(&proofs[of], &proofs[rng.random_range(0..proofs.len())], &mut rng);
        if proofs.iter().any(|proof| proof.bytes == bytes) {
            let index = rng.random_range(0..bytes.len());
            bytes[index] ^= 0x10;
        }
        (mutation, of, bytes)
    }

    fn apply(self, proof: &Fields, other: &Fields, rng: &mut SmallRng) -> Vec<u8> {
        let mut bytes = proof.bytes.clone();
        match self {
            Self::Flip => {
                for _ in 0..rng.random_range(1..=8) {
                    let index = proof.index(rng);
                    bytes[index] ^= 1 << rng.random_range(0..8);
                }
            }
            Self::Length => {
                let field = &proof.fields[rng.random_range(0..proof.fields.len())];
                let index = if rng.random() { field.start } else { count_after(&bytes, proof.index(rng)) };
                let size = [1, 2, 4, 8, 9][rng.random_range(0..5)].min(bytes.len() - index);
                match rng.random_range(0..4) {
                    0 => bytes[index..index + size].fill(0xff),
                    // Winterfell's sign for a number of eight bytes, which are large.
                    1 => {
                        bytes[index..index + size].fill(0x7f);
                        bytes[index] = 0;
                    }
                    2 => rng.fill_bytes(&mut bytes[index..index + size]),
                    // One digest more, and its bytes.
                    _ => {
                        bytes[index] = bytes[index].wrapping_add(2);
                        let more = [rng.random(); 32];
                        bytes.splice(index + 1..index + 1, more);
                    }
                }
            }
            Self::Splice => {
                let here = proof.index(rng);
                let there = if rng.random() { here.min(other.bytes.len()) } else { other.index(rng) };
                bytes.truncate(here);
                bytes.extend_from_slice(&other.bytes[there..]);
            }
            Self::Cut => {
                let (index, count) = (proof.index(rng), [1, 8, 16, 32, usize::MAX][rng.random_range(0..5)]);
                bytes.drain(index..index.saturating_add(count).min(bytes.len()));
            }
            Self::Pad => {
                let (index, count) = (proof.index(rng), [1, 16, 32, 512][rng.random_range(0..4)]);
                let again = bytes[index..(index + count).min(bytes.len())].to_vec();
                let at = if rng.random() { index } else { bytes.len() };
                bytes.splice(at..at, again);
            }
            Self::Swap => {
                let field = rng.random_range(0..proof.fields.len());
                let from = if rng.random() { field } else { rng.random_range(0..other.fields.len()) };
                bytes.splice(proof.fields[field].clone(), other.bytes[other.fields[from].clone()].iter().copied());
            }
        }
        bytes
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Flip => "bits flipped",
            Self::Length => "lengths changed",
            Self::Splice => "two spliced",
            Self::Cut => "parts cut out",
            Self::Pad => "parts put in",
            Self::Swap => "fields swapped",
        })
    }
}

/// A proof, and where its fields are.
#[derive(Debug, Clone)]
pub struct Fields {
    bytes: Vec<u8>,
    fields: Vec<Range<usize>>,
}

impl Fields {
    /// Finds the fields of a proof; `None` if it is none.
    pub fn of(bytes: Vec<u8>) -> Option<Self> {
        let proof = Proof::from_bytes(&bytes).ok()?;
        let parts: [&dyn Fn() -> Vec<u8>; 7] = [
            &|| proof.context.to_bytes(),
            &|| vec![proof.num_unique_queries],
            &|| proof.commitments.to_bytes(),
            &|| proof.trace_queries.iter().flat_map(Serializable::to_bytes).collect(),
            &|| proof.constraint_queries.to_bytes(),
            &|| proof.ood_frame.to_bytes(),
            &|| proof.fri_proof.to_bytes(),
        ];
        let mut start = 0;
        let mut fields: Vec<_> = parts
            .iter()
            .map(|part| {
                let end = start + part().len();
                std::mem::replace(&mut start, end)..end
            })
            .collect();
        fields.push(start..bytes.len());
        Some(Self { bytes, fields })
    }

    /// Any place; half the time one of a field that any field is as likely as.
    fn index(&self, rng: &mut SmallRng) -> usize {
        let field = rng.random_range(0..self.fields.len());
        let range = if rng.random() { 0..self.bytes.len() } else { self.fields[field].clone() };
        rng.random_range(range)
    }
}

/// The next place that looks like winterfell's number of a few things.
fn count_after(bytes: &[u8], index: usize) -> usize {
    let is_count = |byte: &u8| byte % 2 == 1 && *byte < 40;
    bytes[index..].iter().position(is_count).map_or(index, |more| index + more)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::ops::ControlFlow;

    use dtn_primitives::B256;

    use super::*;
    use crate::{Delay, Element, Security, Statement, Trace, verify};

    #[test]
    fn no_mutated_proof_is_accepted_and_none_panics() {
        let proven = |steps, security: Security| -> (Statement, Security, Fields) {
            let start = Element::new(u128::from(steps)).unwrap();
            let trace = Trace::run(Delay::default(), start, steps, |_| ControlFlow::Continue(())).unwrap();
            let (statement, proof) = (trace.statement(B256::ZERO), trace.prove(B256::ZERO, security).unwrap());
            (statement, security, Fields::of(proof).unwrap())
        };
        let proofs: Vec<_> = [2049, 3000, 3001, 9000]
            .into_iter()
            .flat_map(|steps| [Security::Fast, Security::Proven100].map(|security| proven(steps, security)))
            .collect();
        let fields: Vec<_> = proofs.iter().map(|(_, _, fields)| fields.clone()).collect();
        for number in 0..5000 {
            let (mutation, of, bytes) = Mutation::number(1, number, &fields);
            let (statement, security, _) = &proofs[of];
            assert!(verify(statement, *security, &bytes).is_err(), "number {number}: {mutation}");
        }
    }
}
