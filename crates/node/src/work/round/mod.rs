//! Rounds of sequential work: this peer's own part ([`own`]), and the proofs of others ([`proofs`]).

pub(crate) mod own;
pub(crate) mod proofs;
pub(crate) mod prover;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

use dtn_ledger::Refusal;
use dtn_primitives::{B256, Payload, Transaction};
use tokio::sync::mpsc;

use crate::core::{Core, now_ms};
use own::OwnWork;
use proofs::Proofs;
use prover::{Finished, Verdict};

/// This peer's part in the rounds.
pub(crate) struct Rounds {
    own: OwnWork,
    pub(crate) proofs: Proofs,
}

impl Rounds {
    pub(crate) fn new(
        half_work: bool,
        threads: NonZeroUsize,
        finished: mpsc::UnboundedSender<Finished>,
        verdicts: mpsc::UnboundedSender<Verdict<B256>>,
    ) -> Self {
        Self { own: OwnWork::new(half_work, threads, finished), proofs: Proofs::new(verdicts) }
    }
}

impl Core {
    /// Whether it is time for what a transaction says of a round. The ledger knows the time by blocks only, and what no
    /// block can contain yet, or any more, must not look as if the primary left it lying.
    pub(crate) fn check_time(&self, transaction: &Transaction) -> Result<(), Refusal> {
        let Some(open) = &self.ledger.rounds().open else { return Ok(()) };
        let (round, deadline_ms, timestamp_ms) = (open.number, open.deadline_ms, now_ms());
        match &transaction.payload {
            Payload::CloseRound { round: number } if *number == round && timestamp_ms <= deadline_ms => {
                Err(Refusal::RoundNotOver { round, deadline_ms, timestamp_ms })
            }
            Payload::Completion(completion) if completion.round == round && timestamp_ms > deadline_ms => {
                Err(Refusal::RoundOver { round, deadline_ms, timestamp_ms })
            }
            _ => Ok(()),
        }
    }
    /// After a block became final: what waited for its round goes on, and what is of old rounds is forgotten.
    pub(crate) fn rounds_moved(&mut self) {
        self.follow_rounds();
        let rounds = self.ledger.rounds();
        let (open, last) = (rounds.open.as_ref().map(|round| round.number), rounds.last);
        self.rounds.proofs.moved(open, last, !self.deferred.is_empty());
        self.check_proofs();
    }
}
