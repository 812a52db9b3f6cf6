//! Rounds of sequential work (AOW): what opens one, what a validator states that completed it, and what came of it.

use alloy_primitives::{Address, B128, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

/// The most steps of a round, as the contract has it.
pub const MAX_ROUND_STEPS: u64 = 1 << 24;

/// The most steps between two checkpoints of work that settles on chain, as the contract has it.
pub const MAX_SEGMENT_STEPS: u64 = 4096;

/// The longest round, in milliseconds: a day.
pub const MAX_ROUND_MS: u64 = 24 * 3600 * 1000;

/// The longest proof of a completion, in bytes.
pub const MAX_PROOF_BYTES: usize = 512 * 1024;

/// Asks every validator for sequential work. Its block begins the round: the work starts from that block's hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundOrder {
    /// The sender's account nonce.
    pub nonce: u64,
    /// How many steps, 1 to [`MAX_ROUND_STEPS`].
    pub steps: u64,
    /// The round closes when so many validators have completed it.
    pub quorum: u16,
    /// It closes in any case so many milliseconds after its block's timestamp.
    pub duration_ms: u64,
    /// What each validator earns that completes it, in wei.
    pub reward: U256,
}

/// A validator's statement that it has done its work of a round. Every peer verifies the proof before it votes for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The number of the round.
    pub round: u64,
    /// What the steps lead to, 16 big-endian bytes.
    pub result: B128,
    /// The Keccak-256 of the proof, which peers ask for by it.
    pub proof_digest: B256,
    /// Who receives the reward.
    pub payee: Address,
    /// When the work began, in microseconds since the Unix epoch, by the worker's clock.
    pub started_at_us: u64,
    /// How long the steps took in microseconds, by a monotonic clock.
    pub compute_us: u64,
    /// How long the proof took, by the same clock.
    pub prove_us: u64,
}

/// A round as the network records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// 1 for the first of the network.
    pub number: u64,
    /// The height of the block that opened it.
    pub height: u64,
    /// The hash of that block, from which the work starts.
    pub block_hash: B256,
    /// How many steps.
    pub steps: u64,
    /// How many completions close it.
    pub quorum: u16,
    /// What each completion earns, in wei.
    pub reward: U256,
    /// The opening block's timestamp, in milliseconds since the Unix epoch.
    pub opened_at_ms: u64,
    /// The last timestamp of a block that may contain a completion.
    pub deadline_ms: u64,
    /// Who has completed it, in the order of the blocks.
    pub completed: Vec<Completed>,
    /// Its end, once it is closed.
    pub closing: Option<Closing>,
}

/// The rounds of sequential work, one at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    /// The number of the last round that was opened; 0 for none.
    pub last: u64,
    /// The randomness after the last round that was closed; zeros before the first.
    pub beacon: B256,
    /// The round that takes completions.
    pub open: Option<Round>,
}

impl Rounds {
    /// The open round, if it has this number.
    pub fn open(&self, number: u64) -> Option<&Round> {
        self.open.as_ref().filter(|round| round.number == number)
    }
}

/// A completion that a final block contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// Who did the work.
    pub node: Address,
    /// The height of the block.
    pub height: u64,
    /// The block's timestamp, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// What the validator stated.
    pub completion: Completion,
}

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The height of the block that closed it.
    pub height: u64,
    /// The block's timestamp, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Validators without a completion, in the order of their indices.
    pub missing: Vec<Address>,
    /// The randomness that the network has from this round on.
    pub beacon: B256,
}

impl Round {
    /// What a validator's completion is paid under, once: the round in 8 bytes and the address, behind zeros. It says which
    /// completion a result of [`Kind::ROUND`](crate::Kind::ROUND) is of, as the contract reads it.
    pub fn id(round: u64, node: Address) -> B256 {
        let mut id = B256::ZERO;
        id[4..12].copy_from_slice(&round.to_be_bytes());
        id[12..].copy_from_slice(node.as_slice());
        id
    }

    /// The round and the node of such an id; `None` for bytes that are none.
    pub fn of_id(id: B256) -> Option<(u64, Address)> {
        let round = u64::from_be_bytes(*id[4..].first_chunk()?);
        (id[..4] == [0; 4]).then(|| (round, Address::from_slice(&id[12..])))
    }

    /// Whether a validator's completion would count: it is open, and that validator has not completed it.
    pub fn takes(&self, node: Address) -> bool {
        self.closing.is_none() && self.completed.iter().all(|completed| completed.node != node)
    }

    /// The randomness after this round: the Keccak-256 of a tag, the randomness before it, its number, and the nodes and
    /// results of all completions in ascending order of node. It is known to nobody before the work is done, but the
    /// last to publish may withhold its result and so choose between two values: use it where that is no gain.
    pub fn beacon(&self, before: B256) -> B256 {
        let mut results: Vec<_> = self.completed.iter().map(|it| (it.node, it.completion.result)).collect();
        results.sort();
        let results = results.iter().flat_map(|(node, result)| [node.as_slice(), result.as_slice()]);
        let head = [b"DTN/aow/beacon".as_slice(), before.as_slice(), &self.number.to_be_bytes()];
        keccak256(head.into_iter().chain(results).collect::<Vec<_>>().concat())
    }

    /// `keccak256(abi.encode(id, height, steps, result))`: what the result of a completion names, and what the contract
    /// must have found to be right before it is paid.
    pub fn outcome(&self, node: Address, result: B128) -> B256 {
        let id = Self::id(self.number, node);
        let outcome = (id, self.height, self.steps, u128::from_be_bytes(result.0));
        keccak256(outcome.abi_encode())
    }
}

/// Chooses one of so many by a beacon: the number modulo the count, whose bias is below count / 2²⁵⁶. `None` for none.
pub fn elect(beacon: B256, count: usize) -> Option<usize> {
    U256::from_be_bytes(beacon.0).checked_rem(U256::from(count)).map(|index| index.to())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beacon_depends_on_every_result_and_not_on_their_order() {
        let completed = |node, result| Completed {
            node: Address::repeat_byte(node),
            height: 3,
            timestamp_ms: 4,
            completion: Completion {
                round: 2,
                result: B128::repeat_byte(result),
                proof_digest: B256::ZERO,
                payee: Address::ZERO,
                started_at_us: 0,
                compute_us: 0,
                prove_us: 0,
            },
        };
        let round = |completed: Vec<Completed>| Round {
            number: 2,
            height: 1,
            block_hash: B256::ZERO,
            steps: 1,
            quorum: 2,
            reward: U256::ZERO,
            opened_at_ms: 0,
            deadline_ms: 9,
            completed,
            closing: None,
        };
        let beacon = |completed| round(completed).beacon(B256::repeat_byte(9));
        let golden = beacon(vec![completed(1, 5), completed(2, 6)]);
        assert_eq!(golden, beacon(vec![completed(2, 6), completed(1, 5)]));
        for other in
            [vec![completed(1, 5)], vec![completed(1, 5), completed(2, 7)], vec![completed(1, 6), completed(2, 5)]]
        {
            assert_ne!(golden, beacon(other));
        }
        assert_ne!(golden, round(vec![completed(1, 5), completed(2, 6)]).beacon(B256::ZERO));
        let bytes =
            [b"DTN/aow/beacon".as_slice(), &[9; 32], &[0, 0, 0, 0, 0, 0, 0, 2], &[1; 20], &[5; 16], &[2; 20], &[6; 16]];
        assert_eq!(golden, keccak256(bytes.concat()));
        assert_eq!((elect(golden, 0), elect(golden, 1)), (None, Some(0)));
        let counts = (0..400u64).fold([0; 4], |mut counts, i| {
            counts[elect(keccak256(i.to_be_bytes()), 4).unwrap_or_default()] += 1;
            counts
        });
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
    }

    #[test]
    fn an_id_is_the_round_and_the_node() {
        let node = Address::repeat_byte(0x11);
        let id = Round::id(0x0102_0304, node);
        assert_eq!(id.to_string(), format!("0x{:08x}{:016x}{}", 0, 0x0102_0304, "11".repeat(20)));
        assert_eq!(Round::of_id(id), Some((0x0102_0304, node)));
        assert_eq!(Round::of_id(B256::repeat_byte(1)), None);
    }

    #[test]
    fn the_outcome_is_the_golden_one_that_the_contract_computes() {
        let round = Round {
            number: 3,
            height: 5,
            block_hash: keccak256("golden block"),
            steps: 4096,
            quorum: 1,
            reward: U256::ZERO,
            opened_at_ms: 0,
            deadline_ms: 0,
            completed: Vec::new(),
            closing: None,
        };
        let result = B128::from(0xbc250f38b5f8cb61a4c2d1c65344ad71_u128.to_be_bytes());
        let outcome = round.outcome(Address::repeat_byte(0x11), result);
        assert_eq!(outcome.to_string(), "0x951da51c331bd3ba86b0196992dc9d8eccbe44c5896161773393627a6d711c63");
    }
}
