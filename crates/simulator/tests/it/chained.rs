//! Streamlet, Simplex and HotStuff-2 under every liar by its name, under chance, and with power cuts.

use std::time::Duration;

use dtn_primitives::memo;
use dtn_simulator::{
    Conviction, Engine, Members, Scenario, Verdict, Violation,
    adversary::Kind,
    play,
    property::{self, Case, CoinKind, Mutant, Property, Textbook, beyond, matrix, measure},
    seed_or,
};

/// The most that a replica among four may hold, written out, whatever a liar does to it.
const MOST: usize = 2 << 20;

fn survive(engine: Engine, kind: Kind) {
    let first = seed_or(0);
    for seed in first..first + 2 {
        for (n, liars) in [(4, vec![seed as usize % 4]), (7, vec![0, 1 + seed as usize % 6])] {
            let mut scenario = Scenario { engine: Some(engine), ..Scenario::calm(n, seed) };
            scenario.adversaries = liars.into_iter().map(|liar| (liar, kind)).collect();
            scenario.base = if seed % 2 == 0 { 0 } else { 120 };
            scenario.gst = Some(Duration::from_secs(3));
            scenario.links.loss = 0.05;
            (scenario.load.blocks, scenario.load.transactions) = (12, 2);
            let report = play(&scenario);
            let where_ = format!("DTN_SEED={seed}, {engine}, {kind}, n = {n}, event {}", report.events);
            assert_eq!(report.verdict, Verdict::Pass, "{where_}");
            assert!(report.size < MOST * n / 4, "{where_}: {} bytes", report.size);
            if kind == Kind::Equivocator {
                assert!(!report.evidence.is_empty(), "{where_}: it was not found out");
            }
        }
    }
}

fn survive_all(engine: Engine) {
    let _remembering = memo::remember(1 << 18);
    Kind::ALL.into_iter().for_each(|kind| survive(engine, kind));
}

#[test]
fn no_liar_splits_or_stops_streamlet_or_fills_its_memory() {
    survive_all(Engine::Streamlet);
}

#[test]
fn no_liar_splits_or_stops_simplex_or_fills_its_memory() {
    survive_all(Engine::Simplex);
}

#[test]
fn no_liar_splits_or_stops_hotstuff2_or_fills_its_memory() {
    survive_all(Engine::HotStuff2);
}

#[test]
fn chance_breaks_none_of_them() {
    let first = seed_or(1_000_000);
    for engine in Engine::CHAINED {
        for seed in first..first + 60 {
            let report = play(&Scenario::random_chained(engine, seed));
            assert_eq!(report.verdict, Verdict::Pass, "DTN_SEED={seed}, {engine}: {:?}", report.offence);
        }
    }
}

#[test]
fn a_block_takes_as_many_messages_as_the_closed_forms_say() {
    for protocol in Textbook::BLOCKS {
        for (n, relays) in [(4, false), (7, false), (10, false), (4, true), (7, true)] {
            let it = measure(protocol, n, (n - 1) / 3, (CoinKind::Ideal, relays), 0..2).expect("there are runs");
            assert!(it.off == 0 && it.broken.is_empty(), "{it:?}");
        }
    }
}

#[test]
fn every_rule_that_is_left_out_is_missed_and_every_promise_is_broken_beyond_its_assumptions() {
    let matrix = matrix(&Textbook::BLOCKS, 200);
    assert!(matrix.gaps().is_empty(), "{:#?}", matrix.gaps());
    assert_eq!(matrix.mutants.len(), Mutant::of(&Textbook::BLOCKS).len());
    assert!(matrix.mutants.iter().any(|(mutant, _)| mutant.breaks() == Property::Agreement));
}

#[test]
fn whoever_splits_correct_replicas_is_convicted_f_and_one_of_them_and_nobody_else() {
    let first = seed_or(0);
    for protocol in Textbook::BLOCKS {
        let (mut forks, mut worst) = (0, usize::MAX);
        for seed in first..first + 120 {
            let scenario = *Case::outnumbered(protocol, seed).and_then(|case| case.chain).expect("it chains blocks");
            let members = Members::new(scenario.n, Duration::ZERO);
            let report = play(&scenario);
            let where_ = format!("DTN_SEED={seed}, {protocol}: {}, {:?}", report.verdict, report.culprits);
            assert!(report.culprits.iter().all(|it| it.holds(members.domain(), members.validators())), "{where_}");
            let lied = |it: &Conviction| scenario.adversaries.contains_key(&it.validator().as_usize());
            assert!(report.culprits.iter().all(lied), "{where_}");
            if matches!(report.verdict, Verdict::Diverged(Violation::Forked { .. })) {
                assert!(report.culprits.len() > scenario.max_faulty(), "{where_}");
                (forks, worst) = (forks + 1, worst.min(report.culprits.len()));
            }
        }
        println!("{protocol}: {forks} forks of 120, of which each convicts {worst} or more");
        assert!(forks >= 30, "{protocol}: {forks} forks");
    }
}

#[test]
fn at_n_equal_to_3f_the_one_who_splits_the_two_others_is_convicted() {
    for protocol in Textbook::CHAINS {
        let split = (0..50).find_map(|seed| {
            let played = beyond(protocol, Property::Agreement, seed)?.case.play();
            Some((played.convicted?, played.verdict(Property::Accountability)))
        });
        assert_eq!(split, Some((1, property::Verdict::Holds)), "{protocol}");
    }
}
