//! Work in files that people and programs share: a proof with what it says, and a chain of events.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use alloy_primitives::{B256, Bytes};
use dtn_files::{self as files, FileError};
use serde::{Deserialize, Serialize};

use crate::{
    Bound, Element, MAX_PROOF_BYTES, MAX_STEPS, NoElement, Security, Statement,
    chain::{ChainError, EventChain},
};

/// The version of both formats.
const VERSION: u32 = 1;

/// The longest file of a chain, in bytes.
const MAX_CHAIN_BYTES: u64 = 1 << 30;

/// What is wrong with a file of work.
#[derive(Debug, thiserror::Error)]
pub enum WorkFileError {
    /// It is not read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// There is none.
    #[error("there is no {}", .0.display())]
    Absent(PathBuf),
    /// It is another one.
    #[error("{} is no {kind}", file.display())]
    Other {
        /// The file.
        file: PathBuf,
        /// What it should be.
        kind: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It is of another version.
    #[error("{} has version {version}, not {VERSION}", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u32,
    },
    /// No event takes so many steps.
    #[error("{}: {steps} steps an event are not 1 to {MAX_STEPS}", file.display())]
    Steps {
        /// The file.
        file: PathBuf,
        /// How many.
        steps: u64,
    },
    /// There cannot have been so many links.
    #[error("{} has lost more links than there can have been", .0.display())]
    Links(PathBuf),
    /// A number is none of the field.
    #[error("{name} {error}")]
    Number {
        /// Which.
        name: &'static str,
        /// Why.
        error: NoElement,
    },
    /// The proof is not of the round that the file names.
    #[error("the start, the constant or the context is not the one of the round in the file")]
    OtherRound,
    /// It has no such links.
    #[error("the chain has the links from {first} up to {last}")]
    Range {
        /// The first that it has.
        first: u64,
        /// The one after the last.
        last: u64,
    },
    /// A link is not proven.
    #[error("link {0} has no proof")]
    NoProof(u64),
    /// The chain does not hold.
    #[error("{0}")]
    Chain(#[from] ChainError),
}

/// A statement and its proof. Numbers of the field are decimal text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofFile {
    version: u32,
    /// The options that the proof was made with.
    pub security: Security,
    start: String,
    steps: u64,
    alpha: String,
    result: String,
    context: B256,
    /// What the start was hashed from, if it was.
    pub round: Option<Bound>,
    /// The proof.
    pub proof: Bytes,
}

impl ProofFile {
    /// A statement, with what its start was hashed from, and a proof of it.
    pub fn new(statement: &Statement, round: Option<Bound>, security: Security, proof: Vec<u8>) -> Self {
        let Statement { start, steps, alpha, result, context } = *statement;
        let [start, alpha, result] = [start, alpha, result].map(|element| element.to_string());
        Self { version: VERSION, security, start, steps, alpha, result, context, round, proof: proof.into() }
    }

    /// Reads one. What it says is not looked at yet.
    pub fn read(path: &Path) -> Result<Self, WorkFileError> {
        // Twice as many digits as bytes of the longest proof, and what it says.
        let most = 2 * MAX_PROOF_BYTES as u64 + (1 << 16);
        let text = files::read(path, most).map_err(|source| FileError::Read { file: path.into(), source })?;
        let other = |source| WorkFileError::Other { file: path.into(), kind: "proof file", source };
        let file: Self = serde_json::from_slice(&text).map_err(other)?;
        match file.version {
            VERSION => Ok(file),
            version => Err(WorkFileError::Version { file: path.into(), version }),
        }
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        files::write_json(path, self)
    }

    /// What the proof says. If it was made for a round, it says what follows from that.
    pub fn statement(&self) -> Result<Statement, WorkFileError> {
        let number = |text: &str, name| text.parse().map_err(|error| WorkFileError::Number { name, error });
        let (start, alpha) = (number(&self.start, "start")?, number(&self.alpha, "alpha")?);
        let result: Element = number(&self.result, "result")?;
        let statement = Statement { start, steps: self.steps, alpha, result, context: self.context };
        match self.round {
            Some(round) if round.start(self.steps).statement(result) != statement => Err(WorkFileError::OtherRound),
            _ => Ok(statement),
        }
    }
}

/// A chain as a file has it, with the proofs of links by their numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainFile {
    version: u32,
    /// The chain.
    pub chain: EventChain,
    /// Of links, by their numbers.
    pub proofs: BTreeMap<u64, Bytes>,
}

impl ChainFile {
    /// A chain without links, with so many steps for each.
    pub fn new(steps: u64) -> Self {
        Self { version: VERSION, chain: EventChain::new(steps), proofs: BTreeMap::new() }
    }

    /// Reads one; `None` if there is no such file. Whether the links hold is not looked at.
    pub fn read(path: &Path) -> Result<Option<Self>, WorkFileError> {
        let text = match files::read(path, MAX_CHAIN_BYTES) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|source| FileError::Read { file: path.into(), source })?,
        };
        let other = |source| WorkFileError::Other { file: path.into(), kind: "chain", source };
        let file: Self = serde_json::from_slice(&text).map_err(other)?;
        if file.version != VERSION {
            return Err(WorkFileError::Version { file: path.into(), version: file.version });
        }
        let steps = file.chain.steps();
        if !(1..=MAX_STEPS).contains(&steps) {
            return Err(WorkFileError::Steps { file: path.into(), steps });
        }
        // So that its height is a number.
        if file.chain.anchor().height >= 1 << 53 {
            return Err(WorkFileError::Links(path.into()));
        }
        Ok(Some(file))
    }

    /// Reads one that has to be there.
    pub fn existing(path: &Path) -> Result<Self, WorkFileError> {
        Self::read(path)?.ok_or_else(|| WorkFileError::Absent(path.into()))
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        files::write_json(path, self)
    }

    /// The links from one number up to, and not including, another: where nothing is said, all that it has.
    pub fn part(&self, from: Option<u64>, to: Option<u64>) -> Result<(u64, u64), WorkFileError> {
        let (first, last) = (self.chain.anchor().height, self.chain.height());
        let (from, to) = (from.unwrap_or(first), to.unwrap_or(last));
        let is_held = first <= from && from <= to && to <= last;
        if is_held { Ok((from, to)) } else { Err(WorkFileError::Range { first, last }) }
    }

    /// Checks the links from one number up to another by their proofs, which the file has to have.
    pub fn verify_proofs(&self, from: u64, to: u64, security: Security) -> Result<(), WorkFileError> {
        let proof = |link| self.proofs.get(&link).map(|proof| proof.to_vec()).ok_or(WorkFileError::NoProof(link));
        let proofs = (from..to).map(proof).collect::<Result<Vec<_>, _>>()?;
        Ok(self.chain.verify_proofs(from, to, security, &proofs)?)
    }

    /// Proves a link, and keeps the proof.
    pub fn prove(&mut self, link: u64, security: Security) -> Result<(), ChainError> {
        let proofs = self.chain.prove_part(link, link + 1, security)?;
        self.proofs.extend((link..).zip(proofs.into_iter().map(Bytes::from)));
        Ok(())
    }

    /// Forgets the links below a number, and their proofs.
    pub fn prune(&mut self, below: u64) -> Result<(), ChainError> {
        self.chain.prune(below)?;
        self.proofs.retain(|link, _| *link >= below);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_chain_s_file_keeps_its_proofs_until_their_links_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.json");
        assert!(ChainFile::read(&path).unwrap().is_none());
        assert!(matches!(ChainFile::existing(&path), Err(WorkFileError::Absent(_))));
        let mut file = ChainFile::new(2100);
        (0..3).for_each(|event| _ = file.chain.append(vec![event]));
        file.prove(1, Security::Fast).unwrap();
        file.write(&path).unwrap();
        let mut file = ChainFile::existing(&path).unwrap();
        file.verify_proofs(1, 2, Security::Fast).unwrap();
        assert!(matches!(file.verify_proofs(0, 2, Security::Fast), Err(WorkFileError::NoProof(0))));
        assert_eq!(file.part(None, Some(2)).unwrap(), (0, 2));
        assert!(matches!(file.part(Some(2), Some(4)), Err(WorkFileError::Range { first: 0, last: 3 })));
        file.prune(2).unwrap();
        assert!(file.proofs.is_empty() && file.part(None, None).unwrap() == (2, 3));
    }

    #[test]
    fn what_is_no_file_of_work_is_refused_by_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.json");
        let refusal = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut value = serde_json::to_value(ChainFile::new(20)).unwrap();
            change(&mut value);
            std::fs::write(&path, value.to_string()).unwrap();
            ChainFile::read(&path).unwrap_err().to_string()
        };
        assert!(refusal(&|file| file["version"] = 2.into()).ends_with("has version 2, not 1"));
        assert!(refusal(&|file| file["chain"]["steps"] = 0.into()).contains("0 steps an event are not 1 to"));
        assert!(refusal(&|file| file["chain"]["anchor"]["height"] = (1u64 << 53).into()).contains("more links than"));
        assert!(refusal(&|file| file["more"] = 1.into()).ends_with("is no chain"));
    }
}
