//! A disk that may lose power before it has written everything.

use dtn_consensus::{Decision, Memory};
use dtn_primitives::CheckpointCertificate;
use rand::{Rng, rngs::StdRng};
use serde::{Deserialize, Serialize};

use crate::Chain;

/// Which of the writes that were not synced yet are found after a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survival {
    /// None.
    Nothing,
    /// All: the power failed just before anyone learned of them.
    Everything,
    /// Any of them; of blocks, which follow each other, the first so many.
    Any,
}

/// Something to be made durable.
#[derive(Debug, Clone)]
pub(crate) enum Write<R> {
    /// A protocol's record, which goes once its height is decided; one of height `u64::MAX` replaces the one before it.
    Record { height: u64, record: R },
    /// A decided block.
    Block(Decision),
    /// A stable checkpoint.
    Stable(CheckpointCertificate),
}

/// What a replica finds when it restarts.
#[derive(Debug, Clone)]
pub(crate) struct Disk<R> {
    pub(crate) records: Vec<(u64, R)>,
    pub(crate) chain: Chain,
    pub(crate) stable: Option<CheckpointCertificate>,
    /// What its replica knows of what it said.
    pub(crate) memory: Memory,
    unsynced: Vec<Write<R>>,
}

impl<R> Disk<R> {
    pub(crate) fn new(chain: Chain, stable: Option<CheckpointCertificate>) -> Self {
        Self { records: Vec::new(), chain, stable, memory: Memory::NeverVoted, unsynced: Vec::new() }
    }

    /// A new disk in its place, on which is what the run begins with.
    pub(crate) fn replacement(&self) -> Self
    where
        R: Clone,
    {
        Self { memory: Memory::Lost, ..self.image() }
    }

    /// What is on it when the power is cut right now, everything unsynced lost.
    pub(crate) fn image(&self) -> Self
    where
        R: Clone,
    {
        Self { unsynced: Vec::new(), ..self.clone() }
    }

    pub(crate) fn write(&mut self, write: Write<R>) {
        self.unsynced.push(write);
    }

    pub(crate) fn sync(&mut self) {
        for write in std::mem::take(&mut self.unsynced) {
            self.apply(write);
        }
    }

    /// The power fails.
    pub(crate) fn cut(&mut self, survival: Survival, rng: &mut StdRng) {
        let mut blocks_survive = true;
        for write in std::mem::take(&mut self.unsynced) {
            let survives = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Any => rng.random_bool(0.5),
            };
            let is_block = matches!(write, Write::Block(_));
            blocks_survive &= survives || !is_block;
            if survives && (blocks_survive || !is_block) {
                self.apply(write);
            }
        }
    }

    fn apply(&mut self, write: Write<R>) {
        match write {
            Write::Record { height, record } => {
                // What is not kept yet is in what is written first.
                self.memory = Memory::Kept;
                if height == u64::MAX {
                    self.records.retain(|(known, _)| *known != u64::MAX);
                }
                self.records.push((height, record));
            }
            Write::Block(decision) => {
                let height = decision.certificate.height;
                if self.chain.append(decision) {
                    self.records.retain(|(known, _)| *known > height);
                }
            }
            Write::Stable(certificate) => self.stable = Some(certificate),
        }
    }
}
