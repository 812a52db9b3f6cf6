//! What a protocol is told when it begins.

use std::time::{SystemTime, UNIX_EPOCH};

use dtn_consensus::Memory;
use dtn_ledger::StoreError;

/// What a store knows of what this peer has said, and a number that no other start of it has.
pub(crate) fn start(memory: Result<dtn_ledger::Memory, StoreError>) -> Result<(Memory, u64), StoreError> {
    let memory = match memory? {
        dtn_ledger::Memory::NeverVoted => Memory::NeverVoted,
        dtn_ledger::Memory::Kept => Memory::Kept,
        dtn_ledger::Memory::Lost => Memory::Lost,
    };
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((memory, u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)))
}
