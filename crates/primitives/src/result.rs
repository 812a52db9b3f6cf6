//! Results: what finalized work is owed, in the form that the distributor contract pays.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{Certificate, Header, Kind, Round, merkle};

mod abi {
    alloy_sol_types::sol! {
        struct ResultBefore8 { bytes32 id; address worker; address payee; uint256 amount; bytes32 digest; }
        struct Result { uint32 kind; bytes32 id; address worker; address payee; uint256 amount; bytes32 digest; }
    }
}

/// Work that the network accepted and what it earns.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorkResult {
    /// Which kind of work it is, which decides what shows that it was done.
    pub kind: Kind,
    /// What is being paid for; the order's transaction hash in a race. It is paid at most once.
    pub id: B256,
    /// Who did the work: the signer of the winning claim in a race. Not paid while the registry bars it.
    pub worker: Address,
    /// The only account that can receive it.
    pub payee: Address,
    /// The reward in wei.
    pub amount: U256,
    /// What came of it: the winning claim's transaction hash in a race.
    pub digest: B256,
}

impl WorkResult {
    /// The leaf of this result in a block's results tree.
    pub fn leaf(&self) -> B256 {
        let Self { kind, id, worker, payee, amount, digest } = *self;
        let result = abi::Result { kind: kind.number(), id, worker, payee, amount, digest };
        merkle::leaf(&result.abi_encode())
    }

    /// Its leaf in a block of a network before version 8, when results named no kind: a round was told by its id, and all else
    /// were races. `None` if there was no such result.
    fn leaf_before_8(&self) -> Option<B256> {
        let Self { kind, id, worker, payee, amount, digest } = *self;
        let told = if Round::of_id(id).is_some() { Kind::ROUND } else { Kind::RACE };
        let encoded = abi::ResultBefore8 { id, worker, payee, amount, digest }.abi_encode();
        (kind == told).then(|| merkle::leaf(&encoded))
    }

    /// Whether a block with this results root has this result, as a proof shows.
    pub fn is_under(&self, root: B256, proof: &[B256]) -> bool {
        let shows = |leaf| merkle::verify(root, leaf, proof);
        shows(self.leaf()) || self.leaf_before_8().is_some_and(shows)
    }

    /// The leaves of results, if they are all those of a block with this results root, in their order.
    pub fn leaves_under(root: B256, results: &[WorkResult]) -> Option<Vec<B256>> {
        let leaves: Vec<_> = results.iter().map(WorkResult::leaf).collect();
        let before: Option<Vec<_>> = results.iter().map(WorkResult::leaf_before_8).collect();
        [Some(leaves), before].into_iter().flatten().find(|leaves| merkle::root(leaves) == root)
    }

    /// What the shares of one order are paid under: the first one by the order's transaction hash, the others by
    /// `keccak256("DTN/share" ‖ hash ‖ index in 4 bytes)`.
    pub fn share_id(order: B256, index: u32) -> B256 {
        match index {
            0 => order,
            _ => keccak256([b"DTN/share".as_slice(), order.as_slice(), &index.to_be_bytes()].concat()),
        }
    }

    /// The root of a block's results in their order.
    pub fn root(results: &[WorkResult]) -> B256 {
        let leaves: Vec<_> = results.iter().map(WorkResult::leaf).collect();
        merkle::root(&leaves)
    }
}

/// What shows that the result of a race was earned: the two payloads whose hashes are its id and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Solution {
    /// Who signed the order.
    pub requester: Address,
    /// The payload of the order, in its wire encoding.
    pub order: Bytes,
    /// The payload of the winning claim, in its wire encoding.
    pub claim: Bytes,
}

/// A result with everything that a contract needs in order to believe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalizedResult {
    /// The header of the block that contains it.
    pub header: Header,
    /// The quorum that finalized the header.
    pub certificate: Certificate,
    /// The result.
    pub result: WorkResult,
    /// Its inclusion under `header.results_root`.
    pub proof: Vec<B256>,
    /// What shows its work; `None` for any but that of a race.
    pub solution: Option<Solution>,
}
