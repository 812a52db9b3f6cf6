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
    /// The Merkle root of the transactions with their signatures, which says in which order they are and how many.
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
    ///
    /// The tree sorts siblings and moves odd nodes up, so it says neither in which order its leaves are nor how many:
    /// each leaf does. What a block does depends on both.
    pub fn transactions_root(transactions: &[Transaction], domain: &Domain) -> B256 {
        Self::transactions_root_of(transactions.iter().map(|transaction| (transaction.hash(domain), transaction)))
    }

    /// The same for transactions whose hashes are known.
    pub fn transactions_root_of<'a>(transactions: impl IntoIterator<Item = (B256, &'a Transaction)>) -> B256 {
        Self::root_of_signed_hashes(transactions.into_iter().map(|(hash, transaction)| (hash, transaction.signature)))
    }

    /// The same from the transactions' hashes and signatures alone.
    pub fn root_of_signed_hashes(transactions: impl IntoIterator<Item = (B256, Signature)>) -> B256 {
        let transactions: Vec<_> = transactions.into_iter().collect();
        let count = transactions.len() as u64;
        let leaf = |(index, (hash, signature)): (u64, (B256, Signature))| {
            let place = [index.to_be_bytes(), count.to_be_bytes()].concat();
            merkle::leaf(&[&place, hash.as_slice(), &signature.0].concat())
        };
        merkle::root(&(0..).zip(transactions).map(leaf).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};

    use super::*;

    /// Signed hashes that differ, and some sequence of them.
    fn bodies() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        (1u8..12).prop_flat_map(|count| {
            let body: Vec<u8> = (0..count).collect();
            let twice = body.iter().chain(&body).copied().collect::<Vec<_>>();
            let other = subsequence(twice.clone(), 0..=twice.len()).prop_shuffle();
            (Just(body), other)
        })
    }

    fn root(body: &[u8]) -> B256 {
        Block::root_of_signed_hashes(body.iter().map(|seed| (B256::repeat_byte(*seed), Signature([*seed; 65]))))
    }

    proptest! {
        #[test]
        fn a_body_that_is_permuted_repeated_or_cut_has_another_root((body, other) in bodies()) {
            prop_assert_eq!(root(&body) == root(&other), body == other, "{:?}", other);
        }

        #[test]
        fn two_transactions_that_change_places_change_the_root(count in 2usize..40, at in any::<prop::sample::Index>()) {
            let body: Vec<_> = (0..count as u8).collect();
            let mut swapped = body.clone();
            swapped.swap(at.index(count - 1), at.index(count - 1) + 1);
            prop_assert_ne!(root(&body), root(&swapped));
        }
    }

    #[test]
    fn a_signature_is_part_of_the_root() {
        let signed = |byte| Block::root_of_signed_hashes([(B256::ZERO, Signature([byte; 65]))]);
        assert_ne!(signed(1), signed(2));
    }
}
