//! Reporting to the registry that a validator contradicted itself.

use alloy::primitives::Address;
use dtn_primitives::Evidence;

use dtn_bindings::{REGISTRY, ResultRegistry};
use dtn_chain::{
    connection::ReadError,
    gas_ledger::GasRecord,
    sender::{Account, Call, SendError},
};

/// Why evidence was not reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The registry could not be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The registry does not take it, or could not be told.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Has the registry bar the validator that the evidence accuses, unless it does already. The transaction, if it took
/// one; somebody else may be quicker.
pub async fn report(
    account: &Account,
    registry: Address,
    validator: Address,
    evidence: &Evidence,
) -> Result<Option<GasRecord>, ReportError> {
    if account.chain().read(registry, &ResultRegistry::isBarredCall { validator }).await? {
        return Ok(None);
    }
    let call = ResultRegistry::reportEvidenceCall { evidence: evidence.into() };
    match account.send(&Call::new(REGISTRY, registry, &call)).await {
        Ok(record) => Ok(Some(record)),
        Err(error) if error.reverts_with(&["AlreadyBarred"]) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
