//! What programs read of errors: stable codes, each with what belongs to it.

use serde_json::{Value, json};

use crate::ParticipantError;

impl ParticipantError {
    /// Its code.
    pub fn code(&self) -> (&'static str, Value) {
        match self {
            Self::Connect(_) | Self::Call(_) | Self::NoPeer => ("peer_api", Value::Null),
            Self::NoTraining => ("no_training", Value::Null),
            Self::NoOrder(order) => ("no_order", json!({ "order": order })),
            Self::Encoding(_) | Self::Blob(_) => ("peer_answer", Value::Null),
            Self::Refused { kind, .. } => ("refused", json!({ "refusal": kind })),
            Self::NotFinal { after, .. } => ("not_final", json!({ "after_s": after.as_secs() })),
            Self::OrderNotFinal { order, .. } => ("not_final", json!({ "order": order })),
            Self::NoPayee => ("bad_argument", Value::Null),
            Self::Unmet(_) | Self::NoTime => ("not_computed", Value::Null),
            Self::Terms(_) => ("terms", Value::Null),
            Self::Data(_) => ("data", Value::Null),
            Self::File(error) => error.code(),
            Self::Tool(error) => error.code(),
            Self::Claims { file, .. } => ("file", json!({ "file": file })),
        }
    }
}
