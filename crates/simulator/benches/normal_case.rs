//! What it takes this machine to simulate PBFT's normal case until all replicas have decided one block of 100
//! transactions, on one thread: with signatures counted, and for a few sizes with real ones.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dtn_simulator::{Latency, Scenario, Signatures, Verdict, play};

fn scenario(n: usize, signatures: Signatures) -> Scenario {
    let mut scenario = Scenario::client(n, 7, 1, 100, 310);
    // That of the published figures of other simulators: N(250, 50) ms (DSN '22).
    scenario.links.latency =
        Some(Latency::Normal { mean: Duration::from_millis(250), deviation: Duration::from_millis(50) });
    scenario.pace.view_timeout = Some(Duration::from_secs(10));
    scenario.pace.housekeeping = Some(Duration::from_secs(10));
    scenario.signatures = signatures;
    scenario
}

fn normal_case(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("normal_case");
    group.sample_size(10);
    let counted = [4, 16, 32, 50, 64, 128, 256, 512, 1000].map(|n| (n, Signatures::Counted));
    let real = [4, 32, 128].map(|n| (n, Signatures::Real));
    for (n, signatures) in counted.into_iter().chain(real) {
        let scenario = scenario(n, signatures);
        let report = play(&scenario);
        assert_eq!(report.verdict, Verdict::Pass);
        group.throughput(Throughput::Elements(report.events));
        group.bench_with_input(BenchmarkId::new(format!("{signatures:?}"), n), &scenario, |bencher, scenario| {
            bencher.iter(|| play(scenario));
        });
    }
}

criterion_group!(benches, normal_case);
criterion_main!(benches);
