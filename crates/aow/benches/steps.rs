//! A step of the delay function, forwards and backwards, against winterfell's way to take a cube root.

use criterion::{Criterion, criterion_group, criterion_main};
use dtn_aow::{Delay, Element};
use winterfell::math::{FieldElement, fields::f128::BaseElement};

/// The exponent of a cube root: 1/3 modulo p - 1.
const THIRD: u128 = 226_854_911_280_625_642_308_916_371_969_163_307_691;

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
    let mut y = BaseElement::new(123_456_789);
    group.bench_function("step by winterfell's exp", |bencher| {
        bencher.iter(|| {
            y = (y - BaseElement::new(Delay::ALPHA)).exp(THIRD);
            y
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
