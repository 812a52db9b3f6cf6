//! What programs read of errors: stable codes, each with what belongs to it. Nothing where an error has none of its own.

use dtn_chain::codes::Code;
use serde_json::{Value, json};

use crate::{config::ConfigError, hold::HoldError, run::RunError};

impl ConfigError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::NotValid(problems) => ("config", json!({ "problems": problems })),
            Self::NoPeer { folder, .. } => ("no_peer", json!({ "folder": folder })),
            Self::NoGenesis { file, .. } | Self::Genesis { file, .. } => ("genesis", json!({ "file": file })),
            Self::File(error) => error.code(),
        }
    }
}

impl HoldError {
    /// Its code.
    pub fn code(&self) -> Code {
        ("runs_already", Value::Null)
    }
}

impl RunError {
    /// Its code.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Config(error) => error.code(),
            Self::Keystore(error) => return error.code(),
            Self::Held(error) => error.code(),
            Self::Chain(error) => error.code(),
            Self::Training(error) => error.code(),
            Self::Behaviour(chain_id) => ("wrong_chain", json!({ "chain_id": chain_id })),
            Self::Node(_) => ("peer", Value::Null),
            Self::Signals(_) | Self::Password { .. } | Self::Unlock(_) => ("file", Value::Null),
        })
    }
}
