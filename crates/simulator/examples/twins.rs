//! Many Twins scenarios on all cores, the scenarios of the seeds from `seed` on. To go on where a run was stopped, begin
//! with the seed that it told last: `cargo run --release -p dtn-simulator --example twins -- --scenarios 1000000 --seed 7`.

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use dtn_primitives::memo;
use dtn_simulator::twins::{Outcome, Scenario, World};

mod arguments;

/// Scenarios that a thread takes at a time.
const BATCH: u64 = 1_000;

fn main() -> ExitCode {
    let defaults = [100_000, 7, arguments::cores()];
    let Some([scenarios, seed, threads]) = arguments::read(["scenarios", "seed", "threads"], defaults) else {
        return ExitCode::FAILURE;
    };
    let (next, failures, began) = (AtomicU64::new(0), AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (_remembering, world) = (memo::remember(1 << 18), World::default());
                loop {
                    let from = next.fetch_add(BATCH, Ordering::Relaxed);
                    if from >= scenarios {
                        return;
                    }
                    for seed in (seed + from..).take(BATCH.min(scenarios - from) as usize) {
                        let scenario = Scenario::random(seed);
                        let outcome = world.play(&scenario);
                        if outcome != Outcome::Pass {
                            failures.fetch_add(1, Ordering::Relaxed);
                            println!("DTN_SEED={seed}: {outcome:?}: {:#?}", scenario.shrink(&world, &outcome));
                        }
                    }
                    if (from / BATCH).is_multiple_of(25) {
                        let rate = (from + BATCH) as f64 / began.elapsed().as_secs_f64();
                        println!("up to seed {}: {rate:.0} scenarios/s", seed + from + BATCH);
                    }
                }
            });
        }
    });
    let (failures, seconds) = (failures.into_inner(), began.elapsed().as_secs_f64());
    println!(
        "{scenarios} scenarios from seed {seed}: {failures} failed, {seconds:.1} s on {threads} threads, {:.0} scenarios/s",
        scenarios as f64 / seconds
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
