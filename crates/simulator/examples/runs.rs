//! Many random crash-and-fault runs on all cores:
//! `cargo run --release -p dtn-simulator --example runs -- --runs 10000 --seed 0`.

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use dtn_consensus::Pbft;
use dtn_primitives::memo;
use dtn_simulator::{Scenario, Verdict, run, shrink};

mod arguments;

fn main() -> ExitCode {
    let Some([runs, seed, threads]) = arguments::read(["runs", "seed", "threads"], [10_000, 0, arguments::cores()])
    else {
        return ExitCode::FAILURE;
    };
    let (next, events, failures, began) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let _remembering = memo::remember(1 << 18);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        return;
                    }
                    let scenario = Scenario::random(seed + number);
                    let report = run::<Pbft>(&scenario);
                    events.fetch_add(report.events, Ordering::Relaxed);
                    if report.verdict != Verdict::Pass {
                        failures.fetch_add(1, Ordering::Relaxed);
                        let smallest = shrink(scenario, |smaller| run::<Pbft>(smaller).verdict != Verdict::Pass);
                        println!("DTN_SEED={}: {}, event {}", seed + number, report.verdict, report.events);
                        println!("smallest: {smallest:#?}");
                    }
                    if (number + 1).is_multiple_of(1_000) {
                        println!("{} runs, {:.0} s", number + 1, began.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let (events, failures) = (events.into_inner(), failures.into_inner());
    println!(
        "{runs} runs from seed {seed}: {failures} failed, {events} events, {:.1} s on {threads} threads",
        began.elapsed().as_secs_f64()
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
