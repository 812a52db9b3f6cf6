//! What programs read of errors: stable codes, each with what belongs to it.

use serde_json::{Value, json};

use crate::{
    Fault, JobError, OtherShape, RecipeError, WireError,
    data::{DataError, ImportError},
};

/// A stable code, and what belongs to it.
type Code = (&'static str, Value);

const fn bare(code: &'static str) -> Code {
    (code, Value::Null)
}

impl Fault {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::Job(error) => error.code(),
            Self::Segment(segment) | Self::Checkpoint(segment) => ("other_trace", json!({ "segment": segment })),
            Self::Data { claimed, actual } => ("other_data", json!({ "claimed": claimed, "actual": actual })),
            Self::NoSegment { segments, .. } => ("no_segment", json!({ "segments": segments })),
            _ => bare("other_trace"),
        }
    }
}

impl JobError {
    /// Its code.
    pub fn code(&self) -> Code {
        bare("recipe")
    }
}

impl RecipeError {
    /// Its code.
    pub fn code(&self) -> Code {
        bare("recipe")
    }
}

impl ImportError {
    /// Its code.
    pub fn code(&self) -> Code {
        bare("data")
    }
}

impl DataError {
    /// Its code.
    pub fn code(&self) -> Code {
        bare("data")
    }
}

impl OtherShape {
    /// Its code.
    pub fn code(&self) -> Code {
        bare("data")
    }
}

impl WireError {
    /// Its code.
    pub fn code(&self) -> Code {
        bare("not_valid")
    }
}
