//! Random runs: power cuts, lost disks, losses, partitions and liars. `DTN_SEED` replays one, and `DTN_SEEDS` says how many.

use std::time::Instant;

use dtn_consensus::Pbft;
use dtn_primitives::memo;
use dtn_simulator::{Report, Scenario, Verdict, run, seed_or, shrink};

/// How many runs: `DTN_SEEDS` if it is set.
fn runs_or(default: u64) -> u64 {
    std::env::var("DTN_SEEDS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(default)
}

/// Plays the scenario of a seed; if it does not pass, what is left of it that does not.
fn play(seed: u64) -> Report {
    let scenario = Scenario::random(seed);
    let report = run::<Pbft>(&scenario);
    if report.verdict != Verdict::Pass {
        let smallest = shrink(scenario, |smaller| run::<Pbft>(smaller).verdict != Verdict::Pass);
        let again = run::<Pbft>(&smallest);
        panic!(
            "DTN_SEED={seed}: {}\nsmallest: {smallest:#?}\n{}, event {}",
            report.verdict, again.verdict, again.events
        );
    }
    report
}

#[test]
fn replicas_agree_and_go_on_whatever_happens_to_them() {
    let _remembering = memo::remember(1 << 20);
    let first = seed_or(0);
    let began = Instant::now();
    let runs = if std::env::var("DTN_SEED").is_ok() { 1 } else { runs_or(150) };
    let events: u64 = (first..first + runs).map(|seed| play(seed).events).sum();
    println!("{runs} runs from seed {first}, {events} events, {:.1?}", began.elapsed());
}

#[test]
fn a_lost_disk_beside_as_many_liars_as_are_tolerated_splits_nobody() {
    let _remembering = memo::remember(1 << 20);
    let (first, began) = (seed_or(0), Instant::now());
    let runs = if std::env::var("DTN_SEED").is_ok() { 1 } else { runs_or(60) };
    for seed in first..first + runs {
        let diverges = |scenario: &Scenario| matches!(run::<Pbft>(scenario).verdict, Verdict::Diverged(_));
        let scenario = Scenario::random_forgetful(seed);
        if diverges(&scenario) {
            let smallest = shrink(scenario, diverges);
            panic!("DTN_SEED={seed}: {}\nsmallest: {smallest:#?}", run::<Pbft>(&smallest).verdict);
        }
    }
    println!("{runs} runs from seed {first}, {:.1?}", began.elapsed());
}

#[test]
fn the_same_scenario_gives_the_same_run() {
    let _remembering = memo::remember(1 << 20);
    for seed in seed_or(7)..seed_or(7) + 3 {
        let scenario = Scenario::random(seed);
        let [first, second] = [(); 2].map(|()| run::<Pbft>(&scenario));
        assert_eq!((first.digest, first.events), (second.digest, second.events), "seed {seed}");
        let other = run::<Pbft>(&Scenario { seed: scenario.seed ^ 1, ..scenario });
        assert_ne!(first.digest, other.digest, "seed {seed}");
    }
}
