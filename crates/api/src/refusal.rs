//! Why a transaction was not admitted, in words for people and in a form for programs, which must not depend on words.

use dtn_primitives::B256;
use jsonrpsee::types::ErrorObjectOwned;
use serde::{Deserialize, Serialize};

use crate::NOT_ADMITTED;

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
    /// This peer does not hold, or has not looked at, what an order for a trained model takes. It looks for that at once: hand
    /// in what only you have by `dtn_putBlob`, and the same transaction again.
    Missing {
        /// The order that it is about, or would open.
        order: B256,
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

impl From<NotAdmitted> for ErrorObjectOwned {
    fn from(NotAdmitted { reason, kind }: NotAdmitted) -> Self {
        ErrorObjectOwned::owned(NOT_ADMITTED, reason, Some(kind))
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
    use crate::SubmitOutcome;

    #[test]
    fn programs_read_the_kind_of_a_refusal_and_take_one_that_they_do_not_know_for_what_it_is() {
        let refused = NotAdmitted { reason: "used".into(), kind: RefusalKind::NonceTooLow { have: 1, next: 4 } };
        let error = ErrorObjectOwned::from(refused.clone());
        assert_eq!(error.data().unwrap().get(), r#"{"kind":"nonce_too_low","have":1,"next":4}"#);
        assert_eq!(RefusalKind::of(&error), Some(RefusalKind::NonceTooLow { have: 1, next: 4 }));
        let newer = ErrorObjectOwned::owned(NOT_ADMITTED, "", Some(serde_json::json!({"kind": "tomorrow", "x": 1})));
        assert_eq!(RefusalKind::of(&newer), Some(RefusalKind::Unknown));
        let other = ErrorObjectOwned::owned(crate::BUSY, "", None::<()>);
        assert_eq!(RefusalKind::of(&other), None);

        let outcome = SubmitOutcome::Refused(refused);
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<SubmitOutcome>(&text).unwrap(), outcome);
    }
}
