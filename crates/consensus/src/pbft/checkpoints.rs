//! Checkpoints (Castro & Liskov, OSDI '99, §4.3): what comes of them moves the window in which this replica votes.

use std::sync::Arc;

use dtn_primitives::{B256, CheckpointCertificate, ValidatorIndex, Vote};

use super::{Effects, Fault, Message, Output, Pbft, Record};
use crate::{
    checkpoints::{CheckpointFault, Heard},
    protocol::Effect,
};

impl From<CheckpointFault> for Fault {
    fn from(fault: CheckpointFault) -> Self {
        match fault {
            CheckpointFault::WrongKind => Self::WrongKind,
            CheckpointFault::NotCheckpoint(height) => Self::NotCheckpoint(height),
            CheckpointFault::Signature(error) => Self::Signature(error),
            CheckpointFault::Certificate(error) => Self::Stable(error),
        }
    }
}

impl Pbft {
    /// The host has executed everything up to this height.
    pub(super) fn executed(&mut self, height: u64, state_root: B256, effects: &mut Effects) {
        let Some(vote) = self.checkpoints.executed(height, state_root, &self.config) else { return };
        effects.push(Effect::Persist(Record::Checkpoint(vote.clone())));
        effects.push(Effect::Broadcast(Message::Checkpoint(vote)));
        let stable = self.checkpoints.stabilize(height, state_root, &self.config);
        self.stabilized(stable, effects);
    }

    pub(super) fn receive_checkpoint(
        &mut self,
        from: ValidatorIndex,
        vote: Arc<Vote>,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let validator = vote.validator;
        match self.checkpoints.hear(vote, &self.config)? {
            Heard::Old(stable) if validator == from => {
                effects.push(Effect::Send { to: from, message: Message::Stable(stable) });
            }
            Heard::Nothing | Heard::Old(_) => {}
            Heard::Stable(stable) => self.stabilized(Some(stable), effects),
            Heard::Contradicts(evidence) => effects.push(Effect::Output(Output::Evidence(evidence))),
        }
        Ok(())
    }

    /// A peer says that a later checkpoint is stable, and proves it.
    pub(super) fn receive_stable(
        &mut self,
        certificate: CheckpointCertificate,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let stable = self.checkpoints.prove(certificate, &self.config)?;
        self.stabilized(stable, effects);
        Ok(())
    }

    fn stabilized(&mut self, stable: Option<CheckpointCertificate>, effects: &mut Effects) {
        if let Some(stable) = stable {
            effects.push(Effect::Output(Output::Stable(stable)));
            // The window has moved.
            self.advance(effects);
        }
    }
}
