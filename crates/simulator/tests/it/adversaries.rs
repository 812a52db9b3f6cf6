//! Every liar by its name: the others stay safe and go on, and their memory stays bounded.

use std::time::Duration;

use dtn_consensus::Pbft;
use dtn_primitives::memo;
use dtn_simulator::{Scenario, Verdict, adversary::Kind, run, seed_or};

/// The most that a replica among four may hold, written out, whatever a liar does to it.
const MOST: usize = 2 << 20;

fn survive(kind: Kind) {
    let _remembering = memo::remember(1 << 18);
    let first = seed_or(0);
    let mut largest = 0;
    for seed in first..first + 4 {
        for (n, liars) in [(4, vec![seed as usize % 4]), (7, vec![0, 1 + seed as usize % 6])] {
            let mut scenario = Scenario::calm(n, seed);
            scenario.adversaries = liars.into_iter().map(|liar| (liar, kind)).collect();
            scenario.base = if seed % 2 == 0 { 0 } else { 120 };
            scenario.gst = Some(Duration::from_secs(3));
            scenario.links.loss = 0.05;
            (scenario.load.blocks, scenario.load.transactions) = (16, 2);
            let report = run::<Pbft>(&scenario);
            assert_eq!(report.verdict, Verdict::Pass, "DTN_SEED={seed}, n = {n}, event {}", report.events);
            assert!(report.size < MOST * n / 4, "DTN_SEED={seed}, n = {n}: {} bytes", report.size);
            largest = largest.max(report.size);
            match kind {
                Kind::Equivocator if seed == 0 => assert!(!report.evidence.is_empty(), "it was not found out"),
                Kind::Forger | Kind::FalseCertifier => assert!(report.faults > 0, "its forgeries were not counted"),
                _ => {}
            }
        }
    }
    println!("{kind}: a correct replica held at most {largest} bytes, written out");
}

macro_rules! adversaries {
    ($($test:ident: $kind:ident,)*) => {
        $(#[test] fn $test() { survive(Kind::$kind); })*
        #[test]
        fn every_adversary_is_tested_and_has_a_name() {
            assert_eq!([$(Kind::$kind),*], Kind::ALL);
            let named = Kind::ALL.iter().chain(&Kind::AIMED);
            named.for_each(|kind| assert_eq!(kind.to_string().parse(), Ok(*kind)));
            assert!("nobody".parse::<Kind>().is_err());
        }
    };
}

adversaries! {
    an_equivocator_splits_nobody_and_is_found_out: Equivocator,
    a_silent_replica_stops_nobody: Silent,
    a_slow_replica_stops_nobody: Slow,
    a_replayer_changes_nothing: Replayer,
    a_forger_counts_for_nothing_and_is_counted: Forger,
    a_spammer_of_other_views_moves_nobody: WrongViewSpammer,
    an_exhauster_of_memory_finds_it_bounded: MemoryExhauster,
    a_certifier_of_what_nobody_prepared_is_believed_by_nobody_and_counted: FalseCertifier,
    a_liar_about_its_state_undoes_nothing: LyingState,
    a_permuter_of_bodies_leaves_one_state: Permuter,
    a_censor_stops_nobody: Censor,
    a_liar_about_heights_is_asked_and_not_waited_for: HeightLiar,
    who_keeps_old_requests_for_views_begins_none_with_them: Amnesiac,
    a_primary_that_is_slow_on_purpose_stops_nobody: SlowPrimary,
    who_would_have_others_vote_again_splits_nobody: Revoter,
}
