//! Why the mempool did not admit a transaction, as clients are told.

use dtn_api::{NotAdmitted, RefusalKind, SubmitOutcome};
use dtn_ledger::{AdmissionError, Refusal};
use dtn_primitives::B256;

/// What a client is told of it.
pub(crate) fn not_admitted(error: AdmissionError) -> NotAdmitted {
    let kind = match &error {
        AdmissionError::Duplicate(transaction) => RefusalKind::Pending { transaction: *transaction },
        AdmissionError::NonceTaken(transaction) | AdmissionError::ClaimPending(transaction) => {
            RefusalKind::Taken { transaction: *transaction }
        }
        AdmissionError::Refused(Refusal::NonceTooLow { have, next }) => {
            RefusalKind::NonceTooLow { have: *have, next: *next }
        }
        AdmissionError::Refused(Refusal::NonceTooHigh { have, next }) => {
            RefusalKind::NonceTooHigh { have: *have, next: *next }
        }
        AdmissionError::Final { height } => RefusalKind::Final { height: *height },
        AdmissionError::Missing(missing) => RefusalKind::Missing { order: missing.order },
        AdmissionError::Full | AdmissionError::SenderFull(_) | AdmissionError::Refused(Refusal::TooManyOpen { .. }) => {
            RefusalKind::Full
        }
        error if error.is_malformed() => RefusalKind::Invalid,
        _ => RefusalKind::NotNow,
    };
    NotAdmitted { reason: error.to_string(), kind }
}

/// What became of a transaction that was handed in.
pub(crate) fn outcome(admitted: Result<B256, AdmissionError>) -> SubmitOutcome {
    match admitted {
        Ok(hash) => SubmitOutcome::Hash(hash),
        Err(error) => SubmitOutcome::Refused(not_admitted(error)),
    }
}
