//! A proof in a file: what it says, and the proof itself.

use std::{fs, path::Path};

use alloy_primitives::{Address, Bytes};
use anyhow::{Context, Result, bail, ensure};
use dtn_aow::{Element, Security, Start, Statement};
use dtn_peer::files::{self, FileError};
use dtn_primitives::{B256, Domain};
use serde::{Deserialize, Serialize};

/// The version of the format.
const VERSION: u32 = 1;

/// A statement and its proof. Numbers of the field are decimal text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofFile {
    version: u32,
    pub(super) security: Security,
    start: String,
    steps: u64,
    alpha: String,
    result: String,
    context: B256,
    /// What the start was hashed from, if it was.
    round: Option<Bound>,
    pub(super) proof: Bytes,
}

/// What the start of a round's work is hashed from, besides the number of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bound {
    pub(super) network_id: B256,
    pub(super) chain_id: u64,
    pub(super) round: u64,
    pub(super) previous_block_hash: B256,
    pub(super) node: Address,
}

impl Bound {
    pub(super) fn start(&self, steps: u64) -> Start {
        let Self { network_id, chain_id, round, previous_block_hash, node } = *self;
        Start { domain: Domain::new(network_id, chain_id), round, previous_block_hash, node, steps }
    }
}

impl ProofFile {
    pub(super) fn new(statement: &Statement, round: Option<Bound>, security: Security, proof: Vec<u8>) -> Self {
        let Statement { start, steps, alpha, result, context } = *statement;
        let [start, alpha, result] = [start, alpha, result].map(|element| element.to_string());
        Self { version: VERSION, security, start, steps, alpha, result, context, round, proof: proof.into() }
    }

    pub(super) fn read(path: &Path) -> Result<Self> {
        // Twice as many digits as bytes of the longest proof, and what it says.
        let most = 2 * dtn_aow::MAX_PROOF_BYTES as u64 + (1 << 16);
        let text = files::read(path, most).map_err(|source| FileError::Read { file: path.into(), source })?;
        let file: Self =
            serde_json::from_slice(&text).with_context(|| format!("{} is no proof file", path.display()))?;
        ensure!(file.version == VERSION, "{} has version {}, not {VERSION}", path.display(), file.version);
        Ok(file)
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }

    /// What the proof says. If it was made for a round, it says what follows from that.
    pub(super) fn statement(&self) -> Result<Statement> {
        let (start, alpha) = (element(&self.start, "start")?, element(&self.alpha, "alpha")?);
        let result = element(&self.result, "result")?;
        let statement = Statement { start, steps: self.steps, alpha, result, context: self.context };
        match self.round {
            Some(round) if round.start(self.steps).statement(result) != statement => {
                bail!("the start, the constant or the context is not the one of the round in the file")
            }
            _ => Ok(statement),
        }
    }

    /// The round that the start was hashed from.
    pub(super) fn round(&self) -> Option<Bound> {
        self.round
    }
}

/// Reads a number of the field.
pub(super) fn element(decimal: &str, name: &str) -> Result<Element> {
    let number = decimal.parse().ok().and_then(Element::new);
    number.with_context(|| format!("{name} {decimal} is no number below {}", Element::MODULUS))
}
