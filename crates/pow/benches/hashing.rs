//! Hashes a second: each back end, whole searches on one thread and on two, against `sha2`; and verification.

use std::{hint::black_box, num::NonZeroUsize};

use alloy_primitives::{Address, B256};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dtn_pow::{Backend, Cancel, PREIMAGE_BYTES, PowError, Puzzle, SearchOptions, SeedPuzzle, search};
use sha2::{Digest, Sha256, compress256, digest::generic_array::GenericArray};

/// Nonces a search tries: enough for what starting its threads takes not to matter.
const NONCES: u64 = 1 << 22;

fn one_hash(criterion: &mut Criterion, puzzle: &Puzzle) {
    let mut group = criterion.benchmark_group("one hash");
    group.throughput(Throughput::Elements(1));
    let mut nonce = 0u64;
    group.bench_function("sha2 digest of the whole preimage", |bencher| {
        bencher.iter(|| {
            nonce += 1;
            Sha256::digest(puzzle.preimage(nonce))
        });
    });
    // The nonce is behind its length and the last three bytes of the miner.
    let mut tail = [0; 64];
    tail[..PREIMAGE_BYTES - 128].copy_from_slice(&puzzle.preimage(0)[128..]);
    group.bench_function("sha2 compress256 with midstate", |bencher| {
        bencher.iter(|| {
            nonce += 1;
            tail[4..12].copy_from_slice(&nonce.to_be_bytes());
            let mut state = black_box([0; 8]);
            compress256(&mut state, std::slice::from_ref(GenericArray::from_slice(&tail)));
            state
        });
    });
    let hash = puzzle.hash(0);
    group.bench_function("check", |bencher| bencher.iter(|| puzzle.check(black_box(0), hash)));
    group.finish();
}

fn searches(criterion: &mut Criterion, puzzle: &Puzzle, seed: &SeedPuzzle) {
    let mut group = criterion.benchmark_group("search");
    group.throughput(Throughput::Elements(NONCES)).sample_size(10);
    for backend in Backend::available() {
        for threads in [1, 2].into_iter().filter_map(NonZeroUsize::new) {
            let options = SearchOptions { backend: Some(backend), ..SearchOptions::new(threads) };
            group.bench_function(format!("{backend} on {threads}"), |bencher| {
                bencher.iter(|| search(puzzle, 0..=NONCES - 1, &options, &Cancel::new()));
            });
        }
    }
    let options = SearchOptions::new(NonZeroUsize::MIN);
    group.bench_function("seed form on 1", |bencher| {
        bencher.iter(|| seed.search(0..=NONCES - 1, &options, &Cancel::new()));
    });
    group.finish();
}

fn hashing(criterion: &mut Criterion) {
    let measure = |criterion: &mut Criterion| -> Result<(), PowError> {
        let puzzle = Puzzle::new(B256::ZERO, B256::ZERO, B256::ZERO, Address::ZERO, u64::MAX)?;
        one_hash(criterion, &puzzle);
        searches(criterion, &puzzle, &SeedPuzzle::new("data", 32)?);
        Ok(())
    };
    assert_eq!(measure(criterion), Ok(()), "there is nothing to measure");
}

criterion_group!(benches, hashing);
criterion_main!(benches);
