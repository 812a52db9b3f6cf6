//! Bindings of the contracts and the bytecode that deploys them, both from `contracts/artifacts`, where
//! `dtn-cli compile` puts them. Users of the command line need no compiler.

use alloy::primitives::{Address, Bytes};
use dtn_primitives::{Allotment, Distribution, Evidence, Header, Solution, WorkResult, deserialize_address};
use serde::{Deserialize, Serialize};

/// The generated bindings, one module a contract, because each brings its own copy of the shared structs.
#[allow(missing_docs, clippy::too_many_arguments, clippy::pub_underscore_fields)]
pub mod bindings {
    /// `MultiSigWallet.sol`.
    pub mod multisig {
        alloy::sol!(MultiSigWallet, "../../contracts/artifacts/MultiSigWallet.json");
    }
    /// `WalletTemplate.sol`.
    pub mod template {
        alloy::sol!(WalletTemplate, "../../contracts/artifacts/WalletTemplate.json");
    }
    /// `MultiSigClone.sol`, which answers as `MultiSigWallet` does.
    pub mod clone {
        alloy::sol!(MultiSigClone, "../../contracts/artifacts/MultiSigClone.json");
    }
    /// `ResultRegistry.sol`.
    pub mod registry {
        alloy::sol!(ResultRegistry, "../../contracts/artifacts/ResultRegistry.json");
    }
    /// `AowChallenge.sol`.
    pub mod aow {
        alloy::sol!(AowChallenge, "../../contracts/artifacts/AowChallenge.json");
    }
    /// `RewardDistributor.sol`.
    pub mod distributor {
        alloy::sol!(RewardDistributor, "../../contracts/artifacts/RewardDistributor.json");
    }
    /// `Vault.sol`.
    pub mod vault {
        alloy::sol!(Vault, "../../contracts/artifacts/Vault.json");
    }
}

pub mod abi;

pub use bindings::{
    aow::AowChallenge, clone::MultiSigClone, distributor::RewardDistributor, multisig::MultiSigWallet,
    registry::ResultRegistry, template::WalletTemplate, vault::Vault,
};

/// The name of the registry contract.
pub const REGISTRY: &str = "ResultRegistry";
/// The name of the contract that takes claims of sequential work.
pub const AOW: &str = "AowChallenge";
/// The name of the multisig contract.
pub const MULTISIG: &str = "MultiSigWallet";
/// The name of the contract whose code clones of a multisig run.
pub const TEMPLATE: &str = "WalletTemplate";
/// The name of the distributor contract.
pub const DISTRIBUTOR: &str = "RewardDistributor";
/// The name of the contract that takes deposits.
pub const VAULT: &str = "Vault";

/// The artifacts as they are checked in, by contract name. Error and function names are decoded with their ABIs.
pub const ARTIFACTS: [(&str, &str); 7] = [
    (MULTISIG, include_str!("../../../contracts/artifacts/MultiSigWallet.json")),
    (TEMPLATE, include_str!("../../../contracts/artifacts/WalletTemplate.json")),
    ("MultiSigClone", include_str!("../../../contracts/artifacts/MultiSigClone.json")),
    (REGISTRY, include_str!("../../../contracts/artifacts/ResultRegistry.json")),
    (AOW, include_str!("../../../contracts/artifacts/AowChallenge.json")),
    (DISTRIBUTOR, include_str!("../../../contracts/artifacts/RewardDistributor.json")),
    (VAULT, include_str!("../../../contracts/artifacts/Vault.json")),
];

/// Where the contracts of one DTN network are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractAddresses {
    /// The `ResultRegistry`.
    #[serde(deserialize_with = "deserialize_address")]
    pub registry: Address,
    /// The `AowChallenge`; zero where a deployment is older than that contract.
    #[serde(default)]
    #[serde(deserialize_with = "deserialize_address")]
    pub aow: Address,
    /// The `MultiSigWallet`.
    #[serde(deserialize_with = "deserialize_address")]
    pub multisig: Address,
    /// The `RewardDistributor`.
    #[serde(deserialize_with = "deserialize_address")]
    pub distributor: Address,
    /// The `Vault`; zero where the network has no money, or a deployment is older than that contract.
    #[serde(default)]
    #[serde(deserialize_with = "deserialize_address")]
    pub vault: Address,
}

macro_rules! header_for {
    ($contract:ident) => {
        impl From<&Header> for $contract::Header {
            fn from(header: &Header) -> Self {
                Self {
                    networkId: header.network_id,
                    chainId: header.chain_id,
                    epoch: header.epoch,
                    height: header.height,
                    timestamp: header.timestamp,
                    proposer: header.proposer,
                    parentHash: header.parent_hash,
                    transactionsRoot: header.transactions_root,
                    resultsRoot: header.results_root,
                }
            }
        }
    };
}

header_for!(ResultRegistry);
header_for!(RewardDistributor);

impl From<&WorkResult> for RewardDistributor::Result {
    fn from(result: &WorkResult) -> Self {
        let WorkResult { kind, id, worker, payee, amount, digest } = *result;
        Self { kind: kind.number(), id, worker, payee, amount, digest }
    }
}

impl From<&Option<Solution>> for RewardDistributor::Solution {
    /// Where no work of a race is shown, the contract takes an empty one.
    fn from(solution: &Option<Solution>) -> Self {
        let shown = solution.as_ref().map(|Solution { requester, order, claim }| Self {
            requester: *requester,
            order: order.clone(),
            claim: claim.clone(),
        });
        shown.unwrap_or_else(|| Self { requester: Address::ZERO, order: Bytes::new(), claim: Bytes::new() })
    }
}

impl From<&Distribution> for RewardDistributor::Distribution {
    fn from(distribution: &Distribution) -> Self {
        let allotments = distribution.allotments.iter();
        Self {
            distributor: distribution.distributor,
            number: distribution.number,
            root: distribution.root,
            allotments: allotments
                .map(|&Allotment { token, amount }| RewardDistributor::Allotment { token, amount })
                .collect(),
        }
    }
}

impl From<&Evidence> for ResultRegistry::Evidence {
    /// The contract takes the slot once: evidence that holds has the same one in both votes, or else a nullification,
    /// which has no height, in the first.
    fn from(evidence: &Evidence) -> Self {
        let (first, second) = (&evidence.first, &evidence.second);
        Self {
            kind: first.kind as u8,
            epoch: first.epoch,
            view_: first.view,
            height: second.height,
            validator: first.validator.0,
            firstHash: first.block_hash,
            secondHash: second.block_hash,
            firstSignature: first.signature.0.into(),
            secondSignature: second.signature.0.into(),
        }
    }
}
