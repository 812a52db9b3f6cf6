//! Blocks and the header that a certificate signs and the registry contract hashes.

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{Domain, Signature, Transaction, merkle};

mod abi {
    alloy_sol_types::sol! {
        struct Header {
            bytes32 networkId;
            uint64 chainId;
            uint64 epoch;
            uint64 height;
            uint64 timestamp;
            address proposer;
            bytes32 parentHash;
            bytes32 transactionsRoot;
            bytes32 resultsRoot;
        }
    }
}

/// What validators agree on and the registry finalizes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Header {
    /// The Keccak-256 of the genesis.
    pub network_id: B256,
    /// The chain on which results settle.
    pub chain_id: u64,
    /// The validator set that signs.
    pub epoch: u64,
    /// 1 for the first block after the genesis; PBFT's sequence number.
    pub height: u64,
    /// Milliseconds since the Unix epoch, as the proposer states it; greater than the parent's.
    pub timestamp: u64,
    /// The primary that built the block.
    pub proposer: Address,
    /// The hash of the block below; at height 1 the network id.
    pub parent_hash: B256,
    /// The Merkle root of the transactions with their signatures, in order.
    pub transactions_root: B256,
    /// The Merkle root of the results that executing the block gives, in order.
    pub results_root: B256,
}

impl Header {
    /// `keccak256(abi.encode(header))`.
    pub fn hash(&self) -> B256 {
        let header = abi::Header {
            networkId: self.network_id,
            chainId: self.chain_id,
            epoch: self.epoch,
            height: self.height,
            timestamp: self.timestamp,
            proposer: self.proposer,
            parentHash: self.parent_hash,
            transactionsRoot: self.transactions_root,
            resultsRoot: self.results_root,
        };
        keccak256(header.abi_encode())
    }
}

/// A header with the transactions that it commits to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// What is signed and settled.
    pub header: Header,
    /// In the order of execution.
    pub transactions: Vec<Transaction>,
}

impl Block {
    /// The Merkle root of transactions in their order, signatures included: whoever passes a block on cannot spoil it
    /// without changing its hash.
    pub fn transactions_root(transactions: &[Transaction], domain: &Domain) -> B256 {
        Self::transactions_root_of(transactions.iter().map(|transaction| (transaction.hash(domain), transaction)))
    }

    /// The same for transactions whose hashes are known.
    pub fn transactions_root_of<'a>(transactions: impl IntoIterator<Item = (B256, &'a Transaction)>) -> B256 {
        Self::root_of_signed_hashes(transactions.into_iter().map(|(hash, transaction)| (hash, transaction.signature)))
    }

    /// The same from the transactions' hashes and signatures alone.
    pub fn root_of_signed_hashes(transactions: impl IntoIterator<Item = (B256, Signature)>) -> B256 {
        let leaf = |(hash, signature): (B256, Signature)| merkle::leaf(&[hash.as_slice(), &signature.0].concat());
        let leaves: Vec<_> = transactions.into_iter().map(leaf).collect();
        merkle::root(&leaves)
    }
}
