//! What programs read of errors: stable codes, each with what belongs to it. Nothing where an error has none of its own.

use serde_json::{Value, json};

use crate::{
    amount::AmountError,
    connection::{AnvilError, ConnectError, ReadError},
    gas_ledger::{ForgetError, GasRecord},
    networks::NetworksError,
    sender::SendError,
};

/// A stable code, and what belongs to it.
pub type Code = (&'static str, Value);

/// A code to which nothing belongs.
pub const fn bare(code: &'static str) -> Code {
    (code, Value::Null)
}

fn slot(record: &GasRecord) -> Value {
    json!({ "tx": record.tx, "account": record.from, "nonce": record.nonce })
}

impl ForgetError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::NotOpen(tx) => ("not_under_way", json!({ "tx": tx })),
            Self::Known(tx) => ("under_way", json!({ "tx": tx })),
            Self::Ledger(_) | Self::Rpc(_) => bare("send"),
        }
    }
}

impl SendError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::WouldRevert { contract, function, revert } => {
                ("would_revert", json!({ "contract": contract, "function": function, "revert": revert.to_string() }))
            }
            Self::Reverted { tx, revert, .. } => ("reverted", json!({ "tx": tx, "revert": revert.to_string() })),
            Self::InsufficientFunds { account, .. } => ("insufficient_funds", json!({ "account": account })),
            Self::AboveCeiling { fee, ceiling, .. } => {
                ("gas_too_dear", json!({ "fee": fee.to_string(), "ceiling": ceiling.to_string() }))
            }
            Self::TipAboveCap { .. } | Self::GasLimit { .. } | Self::GasLimitAboveBlock { .. } => bare("bad_argument"),
            Self::OverBudget { .. } => bare("over_budget"),
            Self::NoReceipt { tx, .. } => ("no_receipt", json!({ "tx": tx })),
            Self::UnderWay(record) => ("under_way", slot(record)),
            Self::PerhapsSent { record, .. } => ("perhaps_sent", slot(record)),
            Self::DoneBefore(record) => ("done_before", slot(record)),
            Self::InDoubt(record) => ("in_doubt", slot(record)),
            Self::Gap { record, .. } => ("nonce_gap", slot(record)),
            Self::OthersUnderWay { account, nonce, .. } => {
                ("others_under_way", json!({ "account": account, "nonce": nonce }))
            }
            Self::NotUnderWay { tx, .. } | Self::NotKept(tx) => ("not_under_way", json!({ "tx": tx })),
            Self::Signer { account, .. } => ("signer", json!({ "account": account })),
            _ => bare("send"),
        }
    }
}

impl ConnectError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::BadEndpoint { rpc, .. } => ("bad_endpoint", json!({ "rpc": rpc })),
            Self::NotANode { network, .. } => ("not_a_node", json!({ "network": network })),
            Self::Unreachable { network, .. } => ("chain_unreachable", json!({ "network": network })),
            Self::WrongChain { expected, actual, .. } => {
                ("wrong_chain", json!({ "expected": expected, "actual": actual }))
            }
            Self::Anvil(error) => error.code(),
        }
    }
}

impl AnvilError {
    /// Its code.
    pub fn code(&self) -> Code {
        bare("anvil")
    }
}

impl NetworksError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown { name, .. } => ("no_such_network", json!({ "network": name })),
            Self::Unreadable { file, .. } => ("file", json!({ "file": file })),
            _ => bare("config"),
        }
    }
}

impl ReadError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::NotTheContract { contract, .. } => ("not_the_contract", json!({ "contract": contract })),
            _ => bare("chain_read"),
        }
    }
}

impl AmountError {
    /// Its code.
    pub fn code(&self) -> Code {
        bare("bad_argument")
    }
}
