//! What programs read of errors: stable codes, each with what belongs to it. Nothing where an error has none of its own.

use dtn_chain::codes::{Code, bare};
use serde_json::json;

use crate::{
    deploy::{DeployError, PlanError},
    evidence::ReportError,
    message::MessageError,
    multisig::MultisigError,
    proofs::ProofError,
};

impl MultisigError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::Send(error) => error.code(),
            Self::Read(error) => error.code(),
            _ => bare("other_contract"),
        }
    }
}

impl DeployError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::Send(error) => error.code(),
            _ => bare("deploy"),
        }
    }
}

impl PlanError {
    /// Its code.
    pub fn code(&self) -> Code {
        bare("bad_argument")
    }
}

impl ReportError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::Read(error) => error.code(),
            Self::Send(error) => error.code(),
        }
    }
}

impl MessageError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::BelowQuorum { have, need, missing, .. } => {
                ("below_quorum", json!({ "have": have, "need": need, "missing": missing }))
            }
            _ => bare("not_valid"),
        }
    }
}

impl ProofError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::NotTwo => bare("bad_argument"),
            Self::NoContradiction(_) => bare("no_contradiction"),
            Self::Read(error) => error.code(),
        }
    }
}
