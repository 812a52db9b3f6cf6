//! What it takes a validator to deal a coin's key, to look at a dealing, and to open its shares, beside the unit of it all: to
//! verify one BLS signature.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dtn_consensus::coin::{Ceremony, Terms};
use dtn_primitives::{Address, B256, BlsSecretKey, SecretKey, ValidatorSet};

fn keys(n: u8) -> Vec<SecretKey> {
    let mut keys: Vec<_> =
        (1..=n).map(|seed| SecretKey::from_bytes(&[seed; 32]).expect("below the order of the curve")).collect();
    keys.sort_by_key(SecretKey::address);
    keys
}

fn ceremony(keys: &[SecretKey]) -> Ceremony {
    let validators = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key));
    Ceremony::new(Terms { validators, network: B256::ZERO, instance: 1, patience_ms: 0 })
}

fn see(ceremony: &mut Ceremony, at: u64, said: &[(Address, Vec<u8>)]) {
    ceremony.see(at, said.iter().map(|(sender, item)| (*sender, item.as_slice())));
}

fn coin(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("coin");
    group.sample_size(10);
    let (secret, digest) = (BlsSecretKey::from_seed(&[1; 32]), B256::repeat_byte(2));
    let (signature, key) = (secret.sign(digest), secret.public_key());
    group.bench_function("verify_a_signature", |bencher| bencher.iter(|| signature.verify(digest, &key)));
    for n in [4, 16, 64] {
        let keys = keys(n);
        let empty = ceremony(&keys);
        let said = |ceremony: &Ceremony| -> Vec<_> {
            keys.iter().filter_map(|key| Some((key.address(), ceremony.wanted(key)?))).collect()
        };
        let dealings = said(&empty);
        println!("n = {n}: a dealing takes {} bytes", dealings[0].1.len());
        let mut dealt = empty.clone();
        see(&mut dealt, 1, &dealings);
        let verdicts: Vec<_> = keys.iter().map(|key| (key.address(), dealt.wanted(key).expect("a verdict"))).collect();
        let of = |what: &str| BenchmarkId::new(what, n);
        group.bench_function(of("deal"), |bencher| bencher.iter(|| empty.wanted(&keys[0])));
        group.bench_function(of("look_at_a_dealing"), |bencher| {
            bencher.iter(|| see(&mut empty.clone(), 1, &dealings[..1]));
        });
        group.bench_function(of("open_all_shares"), |bencher| bencher.iter(|| dealt.wanted(&keys[0])));
        group.bench_function(of("sum_up"), |bencher| bencher.iter(|| see(&mut dealt.clone(), 2, &verdicts)));
    }
}

criterion_group!(benches, coin);
criterion_main!(benches);
