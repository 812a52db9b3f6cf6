//! The JSON document of a run, from the work to the payouts.

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::{EarnedEntry, RoundEntry, TrainingEntry};

/// Everything that a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// The races, in the order of their results.
    pub work: Vec<WorkEntry>,
    /// The rounds of sequential work.
    #[serde(default)]
    pub rounds: Vec<RoundEntry>,
    /// The training orders.
    #[serde(default)]
    pub training: Vec<TrainingEntry>,
    /// What was earned in the ledger, and has reached the chain.
    #[serde(default)]
    pub earned: Vec<EarnedEntry>,
    /// What the peers agreed on.
    pub agreement: Agreement,
    /// What was paid.
    pub settlement: Settlement,
    /// Claims of sequential work on the settlement chain.
    #[serde(default)]
    pub claims: Vec<ClaimEntry>,
    /// Every transaction sent to the settlement chain.
    pub gas: Vec<GasEntry>,
}

/// One race and its winner, as the winner's signed claim states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkEntry {
    /// The order's transaction hash.
    pub transaction: B256,
    /// What was ordered, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The peer whose claim won.
    pub winner: Address,
    /// The nonce that won.
    pub nonce: u64,
    /// The SHA-256 that it gives.
    pub hash: B256,
    /// How long the winner searched, in microseconds.
    pub duration_us: u64,
}

/// What the peers finalized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// How many peers there are.
    pub nodes: usize,
    /// How many of them sign a certificate.
    pub quorum: usize,
    /// The height of the last finalized block.
    pub height: u64,
    /// One for each block, ascending.
    pub certificates: Vec<CertificateEntry>,
}

/// One finalized block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateEntry {
    /// The block's height.
    pub height: u64,
    /// Its hash.
    pub block: B256,
    /// How many transactions it holds.
    #[serde(default)]
    pub transactions: usize,
    /// At the peer that was asked: from the moment it first held the proposal to the block's finality there, in
    /// microseconds, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<u64>,
    /// Whose commit votes are in the certificate.
    pub signers: Vec<Address>,
}

/// What was paid, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// The settlement chain.
    pub chain_id: u64,
    /// The `ResultRegistry`.
    pub registry: Address,
    /// The `MultiSigWallet`.
    pub multisig: Address,
    /// The `RewardDistributor`.
    pub distributor: Address,
    /// One for each rewarded result.
    pub payouts: Vec<Payout>,
}

/// One reward and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    /// The result's id, which is the order's transaction hash.
    pub result: B256,
    /// Who is owed.
    pub payee: Address,
    /// What is owed.
    #[serde(with = "decimal")]
    pub amount_wei: U256,
    /// By how much the payee's balance grew, as read back from the chain.
    #[serde(with = "decimal")]
    pub balance_delta_wei: U256,
    /// The transaction that paid.
    pub tx: B256,
}

/// A claim of sequential work on the settlement chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimEntry {
    /// The round.
    pub round: u64,
    /// Who claims to have done its work.
    pub node: Address,
    /// What vouched for it.
    #[serde(with = "decimal")]
    pub bond_wei: U256,
    /// Who showed it wrong, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slashed: Option<SlashEntry>,
    /// The transaction that posted it.
    pub tx: B256,
}

/// A claim that was shown wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlashEntry {
    /// Who did.
    pub challenger: Address,
    /// The segment that does not hold.
    pub segment: u64,
    /// What the challenger got of the bond.
    #[serde(with = "decimal")]
    pub reward_wei: U256,
    /// What was forfeited of it to the owners' wallet.
    #[serde(with = "decimal")]
    pub forfeited_wei: U256,
}

/// What one transaction on the settlement chain cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GasEntry {
    /// The contract's name; empty for a plain transfer.
    pub contract: String,
    /// The function's name; `constructor` for a deployment.
    pub function: String,
    /// From the receipt.
    pub gas_used: u64,
    /// The transaction.
    pub tx: B256,
}

/// Amounts are strings of decimal digits, because JSON numbers lose digits in many readers.
pub(crate) mod decimal {
    use alloy_primitives::U256;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(amount: &U256, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
        let text = String::deserialize(deserializer)?;
        U256::from_str_radix(&text, 10).map_err(|error| D::Error::custom(format!("not a decimal amount: {error}")))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> RunReport {
        let gas = |contract: &str, function: &str, gas_used| GasEntry {
            contract: contract.into(),
            function: function.into(),
            gas_used,
            tx: B256::repeat_byte(9),
        };
        RunReport {
            work: vec![WorkEntry {
                transaction: B256::repeat_byte(1),
                subject: "MNIST, LeNet-5".into(),
                winner: Address::repeat_byte(2),
                nonce: u64::MAX,
                hash: B256::repeat_byte(3),
                duration_us: 1_234_567,
            }],
            rounds: vec![crate::rounds::tests::example()],
            training: Vec::new(),
            earned: Vec::new(),
            agreement: Agreement {
                nodes: 4,
                quorum: 3,
                height: 1,
                certificates: vec![CertificateEntry {
                    height: 1,
                    block: B256::repeat_byte(4),
                    transactions: 20,
                    latency_us: Some(12_300),
                    signers: (1..=3).map(Address::repeat_byte).collect(),
                }],
            },
            settlement: Settlement {
                chain_id: 31337,
                registry: Address::repeat_byte(5),
                multisig: Address::repeat_byte(6),
                distributor: Address::repeat_byte(7),
                payouts: vec![Payout {
                    result: B256::repeat_byte(1),
                    payee: Address::repeat_byte(2),
                    amount_wei: U256::from(10_000_000_000_000_000u64),
                    balance_delta_wei: U256::from(10_000_000_000_000_000u64),
                    tx: B256::repeat_byte(8),
                }],
            },
            claims: vec![ClaimEntry {
                round: 3,
                node: Address::repeat_byte(3),
                bond_wei: U256::from(10_000_000_000_000_000u64),
                slashed: Some(SlashEntry {
                    challenger: Address::repeat_byte(1),
                    segment: 128,
                    reward_wei: U256::from(5_000_000_000_000_000u64),
                    forfeited_wei: U256::from(5_000_000_000_000_000u64),
                }),
                tx: B256::repeat_byte(0xc1),
            }],
            gas: vec![
                gas("MultiSigWallet", "constructor", 567_414),
                gas("MultiSigWallet", "proposeTransaction", 49_061),
                gas("MultiSigWallet", "confirmTransaction", 30_890),
                gas("MultiSigWallet", "confirmTransaction", 30_902),
                gas("MultiSigWallet", "executeTransaction", 51_465),
                gas("ResultRegistry", "submit", 80_000),
                gas("", "transfer", 21_000),
            ],
        }
    }

    #[test]
    fn the_document_survives_json_and_its_amounts_are_decimal_strings() {
        let json = serde_json::to_value(example()).expect("serializes");
        assert_eq!(json["settlement"]["payouts"][0]["amount_wei"], "10000000000000000");
        assert_eq!(json["work"][0]["nonce"], u64::MAX);
        assert_eq!(json["agreement"]["certificates"][0]["signers"].as_array().map(Vec::len), Some(3));
        assert_eq!(serde_json::from_value::<RunReport>(json).expect("parses"), example());
    }

    #[test]
    fn an_amount_that_is_not_decimal_is_refused() {
        let mut json = serde_json::to_value(example()).expect("serializes");
        json["settlement"]["payouts"][0]["amount_wei"] = "0.01 ether".into();
        assert!(serde_json::from_value::<RunReport>(json).is_err());
    }
}
