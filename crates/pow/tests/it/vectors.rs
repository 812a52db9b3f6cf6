//! Golden vectors of the puzzle.
//!
//! The hashes in `vectors.json` were computed apart from this crate, with Python's `hashlib.sha256` over preimages that
//! a short script put together from the description in `Puzzle`, and its integers for the target.

use alloy_primitives::{Address, B256};
use dtn_pow::{PowError, Puzzle};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    network_id: B256,
    race: B256,
    transaction: B256,
    miner: Address,
    expected_hashes: u64,
    /// Decimal, because JSON numbers lose digits in many readers.
    nonce: String,
    hash: B256,
    wins: bool,
}

#[test]
fn hashes_and_winners_are_those_of_an_independent_implementation() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../vectors.json")).expect("well formed");
    assert!(vectors.iter().any(|vector| vector.wins) && vectors.iter().any(|vector| !vector.wins));
    for vector in vectors {
        let Vector { network_id, race, transaction, miner, expected_hashes, hash, .. } = vector;
        let puzzle = Puzzle::new(network_id, race, transaction, miner, expected_hashes).expect("work");
        let nonce = vector.nonce.parse().expect("a number");
        assert_eq!(puzzle.hash(nonce), hash);
        let refusal = PowError::AboveTarget { hash, expected_hashes };
        assert_eq!(puzzle.check(nonce, hash), if vector.wins { Ok(()) } else { Err(refusal) });
    }
}
