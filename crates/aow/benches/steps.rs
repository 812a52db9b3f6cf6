//! A step of the delay function, forwards and backwards.

use criterion::{Criterion, criterion_group, criterion_main};
use dtn_aow::{Delay, Element};

fn steps(criterion: &mut Criterion) {
    let delay = Delay::default();
    let mut x = Element::new(123_456_789).unwrap_or(Element::ZERO);
    let mut group = criterion.benchmark_group("delay");
    group.bench_function("step", |bencher| {
        bencher.iter(|| {
            x = delay.step(x);
            x
        });
    });
    group.bench_function("back", |bencher| {
        bencher.iter(|| {
            x = delay.back(x);
            x
        });
    });
}

criterion_group!(benches, steps);
criterion_main!(benches);
