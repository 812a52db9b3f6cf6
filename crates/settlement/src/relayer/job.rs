//! A payment on its way, and what is done about a step of it that failed.

use std::time::Duration;

use alloy::primitives::B256;
use dtn_chain::{connection::ReadError, sender::SendError};
use tokio::time::Instant;

use crate::{
    multisig::MultisigError,
    passes::{FAILED_PAUSE, backoff},
    payment::{Payment, Stage},
};

/// The longest wait before a step is tried again that the contracts or the payee refused.
pub(crate) const REFUSED_PAUSE: Duration = Duration::from_secs(120);

/// The wait before a step is tried again that reverted on chain, where it cost gas. It doubles with every such step of the
/// same payment, up to [`COSTLY_PAUSE`], so that a payment that only looks as if it could be made costs its relayers a
/// dozen transactions in the first day and one in each of the following.
pub(crate) const REVERTED_PAUSE: Duration = Duration::from_secs(600);

/// The longest wait after a step that cost gas and did nothing.
pub(crate) const COSTLY_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// How often in a row a result was refused when it may be put away to make room for others.
const SHELVED_AFTER: u32 = 3;

/// A payment on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) payment: Payment,
    pub(super) stage: Option<Stage>,
    /// When the stage was first seen.
    pub(super) since: Instant,
    /// This relayer took the last step, so it need not wait for somebody else to take the next one.
    pub(super) acting: bool,
    pub(super) irrevocable: bool,
    pub(super) failures: u32,
    /// How often the chain refused a step in a row, by reverting.
    pub(super) refusals: u32,
    /// How often a step reverted on chain, where it cost gas.
    pub(super) reverts: u32,
    pub(super) retry_at: Instant,
}

impl Job {
    pub(super) fn new(payment: Payment) -> Self {
        let now = Instant::now();
        Self {
            payment,
            stage: None,
            since: now,
            acting: false,
            irrevocable: false,
            failures: 0,
            refusals: 0,
            reverts: 0,
            retry_at: now,
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = B256> {
        self.payment.results.iter().map(|result| result.result.id)
    }

    /// How many of its results are paid and how many are forfeited.
    pub(super) fn settled(&self) -> (usize, usize) {
        match self.stage {
            Some(Stage::Settled { forfeited }) => (self.payment.results.len() - forfeited, forfeited),
            _ => (0, 0),
        }
    }

    pub(super) fn observe(&mut self, stage: Stage) {
        if self.stage != Some(stage) {
            self.stage = Some(stage);
            self.since = Instant::now();
        }
    }

    /// Takes note of a step that failed. How long to wait before the next one.
    pub(super) fn note(&mut self, error: &StepError, poll: Duration) -> Duration {
        self.failures += 1;
        self.refusals = if error.is_refusal() { self.refusals + 1 } else { 0 };
        if error.has_cost_gas() {
            self.reverts += 1;
            return backoff(REVERTED_PAUSE, self.reverts - 1, COSTLY_PAUSE);
        }
        let waits_long = error.is_refusal() && !error.lacks_money();
        backoff(poll, self.failures, if waits_long { REFUSED_PAUSE } else { FAILED_PAUSE })
    }

    /// Whether it waits for something that may not come for long, if ever.
    pub(super) fn can_be_put_away(&self) -> bool {
        self.refusals >= SHELVED_AFTER || self.stage == Some(Stage::Unproven)
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Multisig(#[from] MultisigError),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl StepError {
    /// Whether somebody else took the step in the meantime.
    pub(crate) fn is_overtaken(&self) -> bool {
        const OVERTAKEN: [&str; 10] = [
            "AlreadyFinalized",
            "AlreadyProposed",
            "AlreadyConfirmed",
            "AlreadyExecuted",
            "AlreadyPaid",
            "NotProposed",
            "BelowThreshold",
            "NothingToClaim",
            "NothingWaits",
            "StillWaiting",
        ];
        matches!(self, Self::Send(error) if error.reverts_with(&OVERTAKEN))
    }

    /// Whether the contracts or the payee do not want it.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Send(error) if error.revert().is_some())
    }

    /// Whether it was mined and did nothing.
    pub(crate) fn has_cost_gas(&self) -> bool {
        matches!(self, Self::Send(SendError::Reverted { .. }))
    }

    /// Whether it is only money that is missing, or that a limit holds back, which may come at any time.
    pub(super) fn lacks_money(&self) -> bool {
        const SHORT: [&str; 3] = ["InsufficientFunds", "AboveAllowance", "AboveLimit"];
        matches!(self, Self::Send(error) if error.reverts_with(&SHORT))
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, Bytes, U256};

    use super::*;
    use crate::multisig::WalletTransaction;
    use dtn_bindings::abi::Revert;

    #[test]
    fn a_step_that_cost_gas_and_did_nothing_waits_for_hours_and_one_that_was_only_simulated_does_not() {
        let revert = || Box::new(Revert::decode(&[]));
        let (contract, function) = ("RewardDistributor".to_string(), "pay".to_string());
        let would = StepError::Send(SendError::WouldRevert {
            contract: contract.clone(),
            function: function.clone(),
            revert: revert(),
        });
        let did = StepError::Send(SendError::Reverted { contract, function, tx: B256::ZERO, revert: revert() });
        let transaction =
            WalletTransaction { to: Address::ZERO, value: U256::ZERO, data: Bytes::new(), expiry: 0, salt: B256::ZERO };
        let payment = Payment { results: Vec::new(), transaction, id: B256::ZERO };
        let (mut job, poll) = (Job::new(payment), Duration::from_millis(100));
        assert_eq!(job.note(&would, poll), Duration::from_millis(200));
        let waits: Vec<_> = (0..12).map(|_| job.note(&did, poll)).collect();
        assert_eq!(waits[..3], [1, 2, 4].map(|n| REVERTED_PAUSE * n));
        assert_eq!(waits[11], COSTLY_PAUSE);
        let first_day = waits.iter().scan(Duration::ZERO, |passed, wait| {
            *passed += *wait;
            Some(*passed)
        });
        assert!(first_day.filter(|passed| *passed < COSTLY_PAUSE).count() < 12);
        assert!(job.note(&would, poll) <= REFUSED_PAUSE, "what costs nothing is tried again soon");
    }
}
