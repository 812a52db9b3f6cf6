//! Training orders in the document of a run: who claimed, what that was worth, who checked it, and who was paid.

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::{Table, document::decimal, left, right, units};

/// A training order that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingEntry {
    /// Its hash.
    pub order: B256,
    /// What was ordered, for people.
    pub subject: String,
    /// From the order to its end, in milliseconds.
    pub took_ms: u64,
    /// Who took part, providers first.
    pub parts: Vec<TrainingPart>,
}

/// What an account did for a training order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingPart {
    /// The account.
    pub account: Address,
    /// What it is, for people: a provider, a validator, and how it was told to behave.
    pub role: String,
    /// What its model is worth on the rows that everybody knows, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// The same on the hidden rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<String>,
    /// How many segments of its run were trained again, or of how many it has stated that they hold.
    pub segments: usize,
    /// What became of it, for people.
    pub verdict: String,
    /// What it was paid at the end of the order, its own stake aside.
    #[serde(with = "decimal")]
    pub paid_wei: U256,
    /// What it lost of its stake.
    #[serde(with = "decimal")]
    pub lost_wei: U256,
}

/// What an account has earned in the ledger, and what of it has reached the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarnedEntry {
    /// The account.
    pub account: Address,
    /// What it has earned.
    #[serde(with = "decimal")]
    pub earned_wei: U256,
    /// By how much its balance grew, as read back from the chain.
    #[serde(with = "decimal")]
    pub balance_delta_wei: U256,
}

/// Who took part in training orders. `symbol` names the chain's native currency.
pub fn training_table(orders: &[TrainingEntry], symbol: &str) -> Table {
    let columns = [
        left("order"),
        left("who"),
        right("known rows"),
        right("hidden rows"),
        right("segments checked"),
        left("verdict"),
        right("paid"),
        right("lost"),
    ];
    let mut table = Table::new("Training", columns);
    for TrainingEntry { order, subject, parts, .. } in orders {
        for (at, part) in parts.iter().enumerate() {
            let none = || units::NONE.to_string();
            table.row([
                if at == 0 { units::short(order) } else { String::new() },
                format!("{} ({})", part.role, units::short(part.account)),
                part.known.clone().unwrap_or_else(none),
                part.hidden.clone().unwrap_or_else(none),
                part.segments.to_string(),
                part.verdict.clone(),
                units::ether(part.paid_wei, symbol),
                units::ether(part.lost_wei, symbol),
            ]);
        }
        table.note(format!("{}: {subject}", units::short(order)));
    }
    table
}

/// What of earnings in the ledger has reached the chain.
pub fn earned_table(earned: &[EarnedEntry], symbol: &str) -> Table {
    let mut table =
        Table::new("Earned", [left("account"), right("earned in the ledger"), right("balance on chain grew by")]);
    for EarnedEntry { account, earned_wei, balance_delta_wei } in earned {
        let [earned, delta] = [earned_wei, balance_delta_wei].map(|wei| units::ether(*wei, symbol));
        table.row([account.to_string(), earned, delta]);
    }
    table
}
