//! A short run of the Twins scenarios. `DTN_SEED` replays one.

use std::time::Instant;

use dtn_primitives::memo;
use dtn_simulator::{
    seed_or,
    twins::{Outcome, Scenario, World},
};

#[test]
fn a_replica_with_a_twin_splits_nobody_and_stops_nobody() {
    let (_remembering, world, began) = (memo::remember(1 << 18), World::default(), Instant::now());
    let first = seed_or(0);
    let scenarios = if std::env::var("DTN_SEED").is_ok() { 1 } else { 4_000 };
    for seed in first..first + scenarios {
        let scenario = Scenario::random(seed);
        let outcome = world.play(&scenario);
        if outcome != Outcome::Pass {
            panic!("DTN_SEED={seed}: {outcome:?}\nsmallest: {:#?}", scenario.shrink(&world, &outcome));
        }
    }
    println!(
        "{scenarios} scenarios from seed {first}, {:.0} a second",
        scenarios as f64 / began.elapsed().as_secs_f64()
    );
}
