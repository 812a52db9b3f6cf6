//! What programs read of errors: stable codes, each with what belongs to it.

use serde_json::{Value, json};

use crate::ToolError;

impl ToolError {
    /// Its code.
    pub fn code(&self) -> (&'static str, Value) {
        match self {
            Self::Absent { program, .. } | Self::NotExecutable(program) => ("file", json!({ "file": program })),
            Self::File(error) => error.code(),
            _ => ("tool", Value::Null),
        }
    }
}
