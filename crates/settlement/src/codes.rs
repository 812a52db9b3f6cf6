//! What programs read of errors: stable codes, each with what belongs to it. Nothing where an error has none of its own.

use dtn_chain::codes::{Code, bare};

use crate::{
    deploy::{DeployError, PlanError},
    multisig::MultisigError,
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
