//! How the peers of a network agree, as its genesis says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::GenesisError;

/// How the peers of a network agree, with what that has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The primaries of PBFT propose blocks.
    Pbft,
    /// Blocks are mined, and PBFT makes the confirmed ones final.
    Nakamoto(Mining),
    /// Streamlet: the leaders of epochs propose blocks, and three in a row make one final.
    Streamlet,
    /// Simplex: a leader a view, and a view that fails is given up by a quorum.
    Simplex,
    /// HotStuff-2: everybody talks to the leader of a view alone.
    HotStuff2,
}

/// The engines that this program knows, by name.
pub(crate) const KNOWN: [&str; 5] = ["pbft", "nakamoto", "streamlet", "simplex", "hotstuff2"];

/// The names of [`Mining`]'s fields.
const MINING: [&str; 3] = ["block_interval_ms", "confirmations", "expected_hashes"];

impl Engine {
    /// Its name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pbft => KNOWN[0],
            Self::Nakamoto(_) => KNOWN[1],
            Self::Streamlet => KNOWN[2],
            Self::Simplex => KNOWN[3],
            Self::HotStuff2 => KNOWN[4],
        }
    }

    /// How blocks are mined, where they are.
    pub fn mining(&self) -> Option<Mining> {
        match self {
            Self::Nakamoto(mining) => Some(*mining),
            Self::Pbft | Self::Streamlet | Self::Simplex | Self::HotStuff2 => None,
        }
    }
}

/// An engine as files have it, which may be one that this program does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EngineFile {
    kind: String,
    #[serde(flatten)]
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Parameter {
    Number(u64),
    #[serde(skip_serializing)]
    Other(IgnoredAny),
}

impl TryFrom<EngineFile> for Engine {
    type Error = GenesisError;

    fn try_from(EngineFile { kind, parameters }: EngineFile) -> Result<Self, GenesisError> {
        let wrong = |kind, what| GenesisError::EngineParameters { kind, what };
        let allow = |kind, names: &[&str]| match parameters.keys().find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(wrong(kind, format!("has no {name:?}"))),
            None => Ok(()),
        };
        let number = |kind, name: &str| match parameters.get(name) {
            Some(Parameter::Number(number)) => Ok(*number),
            Some(Parameter::Other(_)) => Err(wrong(kind, format!("needs a number for {name:?}"))),
            None => Err(wrong(kind, format!("needs {name:?}"))),
        };
        match KNOWN.into_iter().find(|known| *known == kind) {
            Some("nakamoto") => {
                let kind = KNOWN[1];
                allow(kind, &MINING)?;
                let [block_interval_ms, confirmations, expected_hashes] = MINING;
                Ok(Self::Nakamoto(Mining {
                    block_interval_ms: number(kind, block_interval_ms)?,
                    confirmations: number(kind, confirmations)?,
                    expected_hashes: number(kind, expected_hashes)?,
                }))
            }
            Some(kind) => {
                allow(kind, &[])?;
                Ok(match kind {
                    "streamlet" => Self::Streamlet,
                    "simplex" => Self::Simplex,
                    "hotstuff2" => Self::HotStuff2,
                    _ => Self::Pbft,
                })
            }
            None => Err(GenesisError::UnknownEngine(kind)),
        }
    }
}

impl From<Engine> for EngineFile {
    fn from(engine: Engine) -> Self {
        let numbers = engine.mining().map(|Mining { block_interval_ms, confirmations, expected_hashes }| {
            MINING.into_iter().zip([block_interval_ms, confirmations, expected_hashes])
        });
        let named = |(name, number): (&str, u64)| (name.to_string(), Parameter::Number(number));
        Self { kind: engine.kind().into(), parameters: numbers.into_iter().flatten().map(named).collect() }
    }
}

/// How the blocks of a network are mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mining {
    /// The time between two blocks that the work is adjusted to, in milliseconds.
    pub block_interval_ms: u64,
    /// How many blocks have to be on top of one before validators make it final.
    pub confirmations: u64,
    /// The expected number of hashes for the first block.
    pub expected_hashes: u64,
}

/// The adjustment of the work forgets in so many blocks.
const ADJUSTMENT_BLOCKS: u128 = 16;

/// A block that took longer than so many intervals counts as if it had not.
const SLOWEST_INTERVALS: u64 = 10;

/// How many blocks may be mined on top of confirmed ones that are not final, because a quorum of validators is missing:
/// everybody has to remember all of them.
pub const MAX_UNDECIDED: u64 = 64;

impl Mining {
    /// How far above the last final block a block is taken: twice as far as anybody mines beyond what is confirmed.
    pub fn max_mined_ahead(&self) -> u64 {
        self.confirmations.saturating_add(2 * MAX_UNDECIDED)
    }

    /// The expected number of hashes for the block after one that expected `work` and came `elapsed_ms` after its parent.
    ///
    /// An exponential average over [`ADJUSTMENT_BLOCKS`]: with blocks of interval T that take t each, the work goes by the
    /// factor 16T / (15T + t). It depends on nothing but a block and its parent, rises by a fifteenth at most and falls by
    /// two fifths at most.
    pub fn next_work(&self, work: u64, elapsed_ms: u64) -> u64 {
        let interval = u128::from(self.block_interval_ms);
        let elapsed = u128::from(elapsed_ms.min(self.block_interval_ms.saturating_mul(SLOWEST_INTERVALS)));
        let next = u128::from(work) * ADJUSTMENT_BLOCKS * interval / ((ADJUSTMENT_BLOCKS - 1) * interval + elapsed);
        // Small numbers would not rise otherwise.
        let least = if elapsed < interval { work.saturating_add(1) } else { 1 };
        u64::try_from(next).unwrap_or(u64::MAX).max(least)
    }
}
