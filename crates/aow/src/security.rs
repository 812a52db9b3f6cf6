//! The options of a proof: how sure one is of it, and what that costs.

use std::{fmt, str::FromStr};

use dtn_primitives::B256;
use serde::{Deserialize, Serialize};
use winter_prover::proof::Context;
use winterfell::{Air, BatchingMethod, FieldExtension, Proof, ProofOptions, TraceInfo};

use crate::{
    Element, Statement,
    air::{Hash, Steps, WIDTH, rows},
};

/// Sets of options, one of which a verifier accepts. A prover does not choose: what it may choose, it chooses too small.
///
/// Each says what is *proven* of it. What is widely quoted for such options is a conjecture, up to the capacity of the code,
/// which was disproved in 2025.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// For development: some 70 bits are proven, which is in reach of whoever pays for it.
    Fast,
    /// 100 bits are proven up to 2²⁰ steps. The challenges are numbers of the field itself, which limits them.
    #[serde(rename = "proven-100")]
    Proven100,
    /// 128 bits are proven, with challenges from the quadratic extension.
    #[default]
    #[serde(rename = "proven-128")]
    Proven128,
}

/// What a set consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// The degree of the extension that challenges come from; 1 is the field itself.
    pub extension: u32,
    /// How many times longer a column is when it is committed to.
    pub blowup: usize,
    /// How many places of the columns are opened.
    pub queries: usize,
    /// Bits of work before the places are known.
    pub grinding: u32,
    /// What each round of FRI divides the degree by.
    pub folding: usize,
    /// The degree of the polynomial that FRI ends with, at most.
    pub remainder_degree: usize,
}

impl Security {
    /// All sets, the least sure first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Proven100, Self::Proven128];

    /// What the set consists of.
    pub const fn parameters(self) -> Parameters {
        let (extension, blowup, queries, grinding, folding) = match self {
            Self::Fast => (1, 4, 57, 16, 8),
            Self::Proven100 => (1, 8, 103, 16, 8),
            // A verifier interpolates as many points as a round folds, for each query: of half as many, it does so in a
            // quarter of the time, for the few more hashes of more rounds.
            Self::Proven128 => (2, 4, 114, 16, 4),
        };
        Parameters { extension, blowup, queries, grinding, folding, remainder_degree: 63 }
    }

    /// How many bits are proven of so many steps' proof, by winterfell's estimate (ePrint 2024/1553). Blake3 with 256 bits
    /// does not let it be more than 128.
    pub fn proven_bits(self, steps: u64) -> u32 {
        let statement = Statement { steps, ..Statement::default() };
        let proof = Proof { context: self.context(&self.air(&statement)), ..Proof::new_dummy() };
        let proven = proof.proven_security::<Hash>();
        proven.ldr_bits().max(proven.udr_bits())
    }

    pub(crate) fn options(self) -> ProofOptions {
        let Parameters { extension, blowup, queries, grinding, folding, remainder_degree } = self.parameters();
        let extension = if extension == 1 { FieldExtension::None } else { FieldExtension::Quadratic };
        let batching = BatchingMethod::Linear;
        ProofOptions::new(queries, blowup, grinding, extension, folding, remainder_degree, batching, batching)
    }

    pub(crate) fn air(self, statement: &Statement) -> Steps {
        // A proof has so many rows at least that there are more places than queries.
        let rows = rows(statement.steps.clamp(crate::MAX_REPLAYED_STEPS + 1, crate::MAX_STEPS), WIDTH);
        Steps::new(TraceInfo::new(WIDTH, rows), *statement, self.options())
    }

    pub(crate) fn context(self, air: &Steps) -> Context {
        let constraints = air.context().num_transition_constraints() + air.context().num_assertions();
        Context::new::<Element>(air.trace_info().clone(), self.options(), constraints)
    }
}

impl Default for Statement {
    fn default() -> Self {
        let zero = Element::ZERO;
        Self { start: zero, steps: 0, alpha: zero, result: zero, context: B256::ZERO }
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fast => "fast",
            Self::Proven100 => "proven-100",
            Self::Proven128 => "proven-128",
        })
    }
}

/// There is no set of options of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no set of options: fast, proven-100 and proven-128 are")]
pub struct UnknownSecurity(String);

impl FromStr for Security {
    type Err = UnknownSecurity;

    fn from_str(name: &str) -> Result<Self, UnknownSecurity> {
        let named = Self::ALL.into_iter().find(|security| security.to_string() == name);
        named.ok_or_else(|| UnknownSecurity(name.to_string()))
    }
}
