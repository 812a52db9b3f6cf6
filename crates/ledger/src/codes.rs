//! What programs read of errors: stable codes, each with what belongs to it.

use serde_json::{Value, json};

use crate::{LedgerError, StoreError};

impl StoreError {
    /// Its code.
    pub fn code(&self) -> (&'static str, Value) {
        ("store", json!({ "reason": self.to_string() }))
    }
}

impl LedgerError {
    /// Its code.
    pub fn code(&self) -> (&'static str, Value) {
        match self {
            Self::Genesis(_) | Self::MissingKind(_) => ("genesis", Value::Null),
            Self::Store(error) => error.code(),
            _ => ("store", Value::Null),
        }
    }
}
