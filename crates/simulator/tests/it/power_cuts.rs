//! Power cuts at every write of every replica.

use std::time::Duration;

use dtn_consensus::Pbft;
use dtn_primitives::memo;
use dtn_simulator::{Crash, Durability, Group, Partition, Scenario, Survival, Verdict, When, run, seed_or};

/// A run with a view change in it: the first primary is cut off while it proposes.
fn small(seed: u64, durability: Durability, survival: Survival) -> Scenario {
    let mut scenario = Scenario::calm(4, seed);
    (scenario.durability, scenario.survival) = (durability, survival);
    (scenario.gst, scenario.load.blocks) = (Some(Duration::from_millis(4_000)), 2);
    let [from, until] = [700, 3_000].map(Duration::from_millis);
    scenario.partitions.push(Partition::new(from, until, vec![Group::Replicas(vec![0])]));
    scenario
}

#[test]
fn a_power_cut_at_any_write_of_any_replica_splits_nobody() {
    let _remembering = memo::remember(1 << 20);
    let seed = seed_or(3);
    let (mut runs, mut cuts) = (0, 0);
    for durability in [Durability::Together, Durability::Each] {
        let writes = run::<Pbft>(&small(seed, durability, Survival::Nothing)).writes;
        for (replica, writes) in writes.into_iter().enumerate() {
            assert!(writes > 4, "replica {replica} writes only {writes} times");
            for number in 1..=writes.min(60) {
                for (durable, survival) in
                    [(false, Survival::Nothing), (false, Survival::Any), (true, Survival::Nothing)]
                {
                    let mut scenario = small(seed, durability, survival);
                    let (at, down) = (When::Write { number, durable }, Some(Duration::from_millis(20)));
                    scenario.crashes.push(Crash::new(replica, at, down));
                    let report = run::<Pbft>(&scenario);
                    assert_eq!(
                        report.verdict,
                        Verdict::Pass,
                        "DTN_SEED={seed}, event {}: {scenario:#?}",
                        report.events
                    );
                    runs += 1;
                    cuts += u64::from(!durable);
                }
            }
        }
    }
    println!("seed {seed}: {runs} runs, in {cuts} of which a write was lost");
}

#[test]
fn all_replicas_losing_power_at_once_lose_nothing_that_was_said() {
    let _remembering = memo::remember(1 << 20);
    let first = seed_or(0);
    for seed in first..first + 12 {
        for survival in [Survival::Nothing, Survival::Everything, Survival::Any] {
            let mut scenario = small(seed, Durability::Together, survival);
            for (time, replica) in
                [300, 900, 1_500, 2_100, 3_500].into_iter().flat_map(|time| (0..4).map(move |replica| (time, replica)))
            {
                let (at, down) = (When::At(Duration::from_millis(time)), Some(Duration::from_millis(50)));
                scenario.crashes.push(Crash::new(replica, at, down));
            }
            let report = run::<Pbft>(&scenario);
            assert_eq!(
                report.verdict,
                Verdict::Pass,
                "DTN_SEED={seed} with {survival:?} surviving, event {}",
                report.events
            );
        }
    }
}
