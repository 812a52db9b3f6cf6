//! Proving and verifying 2¹⁶ steps, with each set of options.

use std::ops::ControlFlow;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use dtn_aow::{Delay, Element, ProofError, Security, Trace, verify};
use dtn_primitives::B256;

const STEPS: u64 = 1 << 16;

fn proofs(criterion: &mut Criterion) {
    let start = Element::new(123_456_789).unwrap_or(Element::ZERO);
    let go_on = |_| ControlFlow::Continue(());
    let measure = |criterion: &mut Criterion| -> Result<(), ProofError> {
        let trace = Trace::run(Delay::default(), start, STEPS, go_on)?;
        let statement = trace.statement(B256::ZERO);
        let mut group = criterion.benchmark_group("proof of 2^16 steps");
        group.sample_size(10);
        for security in Security::ALL {
            let proof = trace.clone().prove(B256::ZERO, security)?;
            group.bench_function(BenchmarkId::new("prove", security), |bencher| {
                bencher.iter_batched(
                    || trace.clone(),
                    |trace| trace.prove(B256::ZERO, security),
                    BatchSize::LargeInput,
                );
            });
            group.bench_function(BenchmarkId::new("verify", security), |bencher| {
                bencher.iter(|| verify(&statement, security, &proof));
            });
        }
        group.finish();
        Ok(())
    };
    assert_eq!(measure(criterion), Ok(()), "there is nothing to measure");
}

criterion_group!(benches, proofs);
criterion_main!(benches);
