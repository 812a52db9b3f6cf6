//! This peer's own work in the open round.

use std::num::NonZeroUsize;

use dtn_aow::Start;
use dtn_primitives::{Completion, Payload, Round, Transaction, keccak256};
use tokio::sync::mpsc;

use super::prover::{Finished, Work};
use crate::{
    NodeError,
    core::{Core, now_ms},
    host::Host,
};

/// How long after a deadline this peer says that a round is over: the primary's clock may be behind.
const GRACE_MS: u64 = 1_000;

/// The work under way, and what came of it.
pub(crate) struct OwnWork {
    /// Claims half of its work as all of it.
    half_work: bool,
    threads: NonZeroUsize,
    work: Option<Work>,
    finished: mpsc::UnboundedSender<Finished>,
    /// This peer's completion of the open round.
    completion: Option<Transaction>,
}

impl OwnWork {
    pub(super) fn new(half_work: bool, threads: NonZeroUsize, finished: mpsc::UnboundedSender<Finished>) -> Self {
        Self { half_work, threads, work: None, finished, completion: None }
    }
}

impl Core {
    /// Begins the work of the open round unless it is done or under way, and ends that of another.
    pub(crate) fn follow_rounds(&mut self) {
        let me = self.key.address();
        let open = self.ledger.rounds().open.as_ref().filter(|round| round.takes(me));
        let Some(round) = open else {
            (self.rounds.own.work, self.rounds.own.completion) = (None, None);
            return;
        };
        let under_way = self.rounds.own.work.as_ref().map(Work::round);
        if under_way != Some(round.number) {
            tracing::info!(round = round.number, steps = round.steps, "a round begins");
            let start = Start::of(round, me, self.domain);
            self.rounds.own.completion = None;
            self.rounds.own.work = Some(Work::begin(
                start,
                self.rounds.own.half_work,
                self.rounds.own.threads,
                self.rounds.own.finished.clone(),
            ));
        }
    }

    pub(crate) fn work_finished(&mut self, work: Finished) -> Result<(), NodeError> {
        let Finished { round, result, proof, started_at_us, compute_us, prove_us } = work;
        if self.rounds.own.work.as_ref().map(Work::round) != Some(round) {
            return Ok(());
        }
        let (proof_digest, payee) = (keccak256(&proof), self.payee);
        let completion = Completion { round, result, proof_digest, payee, started_at_us, compute_us, prove_us };
        tracing::info!(round, %result, compute_us, prove_us, bytes = proof.len(), "the work of the round is done");
        self.ledger.add_proof(self.key.address(), &completion, &proof)?;
        // Others will know the completion by this proof, and after a crash it could not be made again byte by byte.
        self.ledger.store().sync()?;
        self.rounds.own.completion = Some(Transaction::sign(Payload::Completion(completion), &self.key, &self.domain));
        self.hand_in();
        Ok(())
    }

    /// Hands in this peer's completion, unless it waits already.
    fn hand_in(&mut self) {
        let Some(own) = self.rounds.own.completion.clone() else { return };
        if let Payload::Completion(completion) = &own.payload
            && !self.ledger.has_completion(completion.round, own.sender)
            && let Err(error) = self.submit(own)
        {
            tracing::debug!(%error, "the completion was not taken");
        }
    }

    /// Looks at the clock: hands in what got lost, says that a round is over, and asks again for what is missing.
    pub(crate) fn look_after_rounds(&mut self) {
        self.hand_in();
        let over = |round: &&Round| now_ms() > round.deadline_ms.saturating_add(GRACE_MS);
        if let Some(round) = self.ledger.rounds().open.as_ref().filter(over).map(|round| round.number) {
            let close = Transaction::sign(Payload::CloseRound { round }, &self.key, &self.domain);
            // Refused only if somebody's waits already.
            self.submit(close).ok();
        }
        self.ask_for_proofs();
    }
}
