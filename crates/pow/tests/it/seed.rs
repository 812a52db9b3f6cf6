//! Golden vectors of the seed's form.
//!
//! What is in `seed.json` was found apart from this crate, by the loop of the Python prototype: nonces from 0 on, and
//! `hashlib.sha256(data + str(nonce).encode()).hexdigest()` until it starts with `"00" * difficulty`.

use std::num::NonZeroUsize;

use alloy_primitives::{B256, Bytes};
use dtn_pow::{Cancel, SearchOptions, SeedPuzzle, Solution};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    data: Bytes,
    difficulty: u8,
    nonce: u64,
    hash: B256,
}

#[test]
fn nonces_and_hashes_are_those_of_the_python_prototype() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../seed.json")).expect("well formed");
    for Vector { data, difficulty, nonce, hash } in vectors {
        let puzzle = SeedPuzzle::new(data, difficulty).expect("possible");
        assert_eq!(puzzle.check(nonce, hash), Ok(()));
        for threads in [1, 2, 5] {
            let options = SearchOptions::new(NonZeroUsize::new(threads).expect("at least one"));
            let search = puzzle.search(0..=u64::MAX, &options, &Cancel::new());
            assert_eq!(search.solution, Some(Solution { nonce, hash }));
        }
    }
}
