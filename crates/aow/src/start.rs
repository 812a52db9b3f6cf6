//! Where the work of a round begins: nobody chooses it.

use alloy_primitives::U256;
use alloy_sol_types::SolStruct;
use dtn_primitives::{Address, B256, Domain, Round};
use serde::{Deserialize, Serialize};

use crate::{Element, Statement};

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

/// What the start of a round's work is hashed from, besides the number of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The network.
    pub network_id: B256,
    /// The chain on which it settles.
    pub chain_id: u64,
    /// The number of the round.
    pub round: u64,
    /// The hash of the last finalized block before it.
    pub previous_block_hash: B256,
    /// Who works.
    pub node: Address,
}

impl Bound {
    /// That of work of so many steps.
    pub fn start(&self, steps: u64) -> Start {
        let Self { network_id, chain_id, round, previous_block_hash, node } = *self;
        Start { domain: Domain::new(network_id, chain_id), round, previous_block_hash, node, steps }
    }
}

/// What a statement is asked to be: a proof may be of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// It begins here.
    pub start: Option<Element>,
    /// It is of so many steps.
    pub steps: Option<u64>,
    /// It is of the map with this constant.
    pub alpha: Element,
    /// It leads here.
    pub result: Option<Element>,
    /// It is bound to this.
    pub context: Option<B256>,
    /// It is of this work.
    pub round: Option<Bound>,
}

/// How a statement is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtherStatement {
    /// A part of it is another.
    #[error("its {name} is {found}, not {wanted}")]
    Part {
        /// Which.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// It is of other work.
    #[error("it was not made for this round, network, block and node")]
    Round,
}

impl Expected {
    /// Succeeds if a statement is that.
    pub fn check(&self, statement: &Statement) -> Result<(), OtherStatement> {
        fn same<T: ToString + PartialEq>(
            name: &'static str,
            wanted: Option<T>,
            found: T,
        ) -> Result<(), OtherStatement> {
            match wanted {
                Some(wanted) if wanted != found => {
                    Err(OtherStatement::Part { name, found: found.to_string(), wanted: wanted.to_string() })
                }
                _ => Ok(()),
            }
        }
        same("start", self.start, statement.start)?;
        same("number of steps", self.steps, statement.steps)?;
        same("alpha", Some(self.alpha), statement.alpha)?;
        same("result", self.result, statement.result)?;
        same("context", self.context, statement.context)?;
        match self.round {
            Some(bound) if bound.start(statement.steps).statement(statement.result) != *statement => {
                Err(OtherStatement::Round)
            }
            _ => Ok(()),
        }
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
