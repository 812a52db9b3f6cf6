//! Scenarios by chance of the protocols that chain blocks; `--engine` is 0 for Streamlet, 1 for Simplex and 2 for HotStuff-2.
//! A single scenario tells what happens:
//! `cargo run --release -p dtn-simulator --example chained -- --engine 1 --scenarios 1 --seed 7`.

mod arguments;

use std::{process::ExitCode, time::Instant};

use dtn_simulator::{Engine, Scenario, Verdict, play, watch};

fn main() -> ExitCode {
    let Some([engine, scenarios, first, nodes]) =
        arguments::read(["engine", "scenarios", "seed", "nodes"], [0, 1_000, 0, 0])
    else {
        return ExitCode::FAILURE;
    };
    let engine = Engine::CHAINED[engine as usize % Engine::CHAINED.len()];
    let chosen = |seed: &u64| nodes == 0 || Scenario::random_chained(engine, *seed).n == nodes as usize;
    let (mut failed, mut evidence, mut events, began) = (0, 0, 0, Instant::now());
    for seed in (first..).filter(chosen).take(scenarios as usize) {
        let scenario = Scenario::random_chained(engine, seed);
        let report = if scenarios == 1 {
            watch(&scenario, &mut |happening| println!("{:?} {:?}", happening.at, happening.what))
        } else {
            play(&scenario)
        };
        (events, evidence) = (events + report.events, evidence + report.evidence.len());
        if report.verdict != Verdict::Pass {
            failed += 1;
            let what = report.offence.map(|offence| offence.what).unwrap_or_default();
            println!("DTN_SEED={seed}: n = {}, {}, {what}; {:?}", scenario.n, report.verdict, scenario.adversaries);
        }
    }
    println!(
        "{engine:?}: {scenarios} scenarios from seed {first}: {failed} failed, {evidence} contradictions were found, {events} \
         events, {:.1} s",
        began.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
