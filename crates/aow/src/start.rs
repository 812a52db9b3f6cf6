//! Where the work of a round begins: nobody chooses it.

use alloy_primitives::U256;
use alloy_sol_types::SolStruct;
use dtn_primitives::{Address, B256, Domain, Round};

use crate::Element;

mod typed {
    alloy_sol_types::sol! {
        struct AowStart {
            bytes32 networkId;
            uint256 chainId;
            uint64 round;
            bytes32 previousBlockHash;
            address node;
            uint64 steps;
        }
    }
}

/// What a start is bound to. The hash of the block before the round is not known before that block is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The network and the chain on which it settles.
    pub domain: Domain,
    /// The number of the round.
    pub round: u64,
    /// The hash of the last finalized block before it.
    pub previous_block_hash: B256,
    /// Who works.
    pub node: Address,
    /// How many steps.
    pub steps: u64,
}

impl Start {
    /// That of a node's work in a round of a network.
    pub fn of(round: &Round, node: Address, domain: Domain) -> Self {
        let Round { number, block_hash, steps, .. } = *round;
        Self { domain, round: number, previous_block_hash: block_hash, node, steps }
    }

    /// x₀: the context, modulo the field's size.
    pub fn element(&self) -> Element {
        Element::from_hash(self.context())
    }

    /// The EIP-712 hash of the struct, to which a proof of the work is bound.
    pub fn context(&self) -> B256 {
        let start = typed::AowStart {
            networkId: self.domain.network_id,
            chainId: U256::from(self.domain.chain_id),
            round: self.round,
            previousBlockHash: self.previous_block_hash,
            node: self.node,
            steps: self.steps,
        };
        start.eip712_hash_struct()
    }
}

#[cfg(test)]
mod tests {
    use dtn_primitives::keccak256;

    use super::*;
    use crate::Delay;

    #[test]
    fn starts_and_results_are_the_golden_vectors() {
        for (steps, start, result) in [
            (1, 0xbd14890b09b418a1e6a1f30efffb4283, 0xb7b9fa2a69406e4d2c1cbd42d7f0ae53),
            (2, 0x93dd26365b63f35abb95327c425d0820, 0xcbc4075b1abdd3e6d58e9b148624a458),
            (10, 0x94359685a8eb326a1a8ae440d5de16e2, 0xd84f14209f0d94084d2d33fced42eb98),
            (4096, 0x06558e2094e43307f69db9b58050f6bc_u128, 0xbc250f38b5f8cb61a4c2d1c65344ad71_u128),
        ] {
            let bound = Start {
                domain: Domain::new(keccak256("golden network"), 97),
                round: 3,
                previous_block_hash: keccak256("golden block"),
                node: Address::repeat_byte(0x11),
                steps,
            };
            let work = Delay::default().iterate(bound.element(), steps);
            assert_eq!((bound.element().value(), work.value()), (start, result), "{steps} steps");
        }
    }

    #[test]
    fn everything_that_a_start_is_bound_to_changes_it() {
        let start = Start {
            domain: Domain::new(B256::repeat_byte(7), 31337),
            round: 3,
            previous_block_hash: B256::repeat_byte(9),
            node: Address::repeat_byte(1),
            steps: 1 << 20,
        };
        let others = [
            Start { domain: Domain::new(B256::repeat_byte(8), 31337), ..start },
            Start { domain: Domain::new(B256::repeat_byte(7), 97), ..start },
            Start { round: 4, ..start },
            Start { previous_block_hash: B256::repeat_byte(10), ..start },
            Start { node: Address::repeat_byte(2), ..start },
            Start { steps: (1 << 20) - 1, ..start },
        ];
        let mut all: Vec<_> = others.iter().chain([&start]).map(Start::element).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 7);
    }
}
