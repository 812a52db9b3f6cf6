//! Why a transaction was not admitted, in words for people and in a form for programs, which must not depend on words.

use dtn_ledger::{AdmissionError, Refusal};
use dtn_primitives::B256;
use jsonrpsee::types::ErrorObjectOwned;
use serde::{Deserialize, Serialize};

use super::{NOT_ADMITTED, SubmitOutcome};

/// A transaction was not admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct NotAdmitted {
    /// Why, for people.
    pub reason: String,
    /// Why, for programs.
    #[serde(flatten)]
    pub kind: RefusalKind,
}

/// Why a transaction was not admitted. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RefusalKind {
    /// This very transaction waits already.
    Pending {
        /// Its hash.
        transaction: B256,
    },
    /// Another one waits that takes its place: of the same nonce, or for the same.
    Taken {
        /// The other's hash.
        transaction: B256,
    },
    /// The nonce was used: by this very transaction, which is final then, or by another.
    NonceTooLow {
        /// The transaction's.
        have: u64,
        /// The account's next one.
        next: u64,
    },
    /// The nonce is too far ahead.
    NonceTooHigh {
        /// The transaction's.
        have: u64,
        /// The account's next one.
        next: u64,
    },
    /// It is in a final block.
    Final {
        /// The block's.
        height: u64,
    },
    /// Too much waits; it may be taken later.
    Full,
    /// It was not taken as things stand; they may change.
    NotNow,
    /// No peer will ever take it.
    Invalid,
    /// A kind that this program does not know.
    #[serde(other)]
    Unknown,
}

impl From<AdmissionError> for NotAdmitted {
    fn from(error: AdmissionError) -> Self {
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
            AdmissionError::Full
            | AdmissionError::SenderFull(_)
            | AdmissionError::Refused(Refusal::TooManyOpen { .. }) => RefusalKind::Full,
            error if error.is_malformed() => RefusalKind::Invalid,
            _ => RefusalKind::NotNow,
        };
        Self { reason: error.to_string(), kind }
    }
}

impl From<NotAdmitted> for ErrorObjectOwned {
    fn from(NotAdmitted { reason, kind }: NotAdmitted) -> Self {
        ErrorObjectOwned::owned(NOT_ADMITTED, reason, Some(kind))
    }
}

impl From<Result<B256, AdmissionError>> for SubmitOutcome {
    fn from(admitted: Result<B256, AdmissionError>) -> Self {
        match admitted {
            Ok(hash) => Self::Hash(hash),
            Err(error) => Self::Refused(error.into()),
        }
    }
}

impl RefusalKind {
    /// The kind in the data of an error that a peer gave, if it is one of [`NOT_ADMITTED`].
    pub fn of(error: &ErrorObjectOwned) -> Option<Self> {
        if error.code() != NOT_ADMITTED {
            return None;
        }
        let kind = error.data().and_then(|data| serde_json::from_str(data.get()).ok());
        Some(kind.unwrap_or(Self::Unknown))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn programs_read_the_kind_of_a_refusal_and_take_one_that_they_do_not_know_for_what_it_is() {
        let refused = AdmissionError::Refused(Refusal::NonceTooLow { have: 1, next: 4 });
        let error = ErrorObjectOwned::from(NotAdmitted::from(refused.clone()));
        assert_eq!(error.data().unwrap().get(), r#"{"kind":"nonce_too_low","have":1,"next":4}"#);
        assert_eq!(RefusalKind::of(&error), Some(RefusalKind::NonceTooLow { have: 1, next: 4 }));
        let newer = ErrorObjectOwned::owned(NOT_ADMITTED, "", Some(serde_json::json!({"kind": "tomorrow", "x": 1})));
        assert_eq!(RefusalKind::of(&newer), Some(RefusalKind::Unknown));
        let other = ErrorObjectOwned::owned(super::super::BUSY, "", None::<()>);
        assert_eq!(RefusalKind::of(&other), None);

        let outcome = SubmitOutcome::from(Err(refused));
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<SubmitOutcome>(&text).unwrap(), outcome);
    }
}
