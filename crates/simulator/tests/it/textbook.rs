//! The textbook's protocols hold what they promise, cost what is proven, and whoever checks that is checked.

use dtn_simulator::{
    property::{Case, CoinKind, Lie, Property, Textbook, Verdict, exponent, matrix, measure, read_coin},
    seed_or,
};

#[test]
fn nothing_is_broken_inside_the_assumptions_whatever_liars_and_the_network_do() {
    for protocol in Textbook::ALL {
        let first = seed_or(0);
        for seed in first..first + 400 {
            let played = Case::random(protocol, seed).play();
            assert_eq!(played.assumptions, Ok(()), "{protocol}, DTN_SEED={seed}");
            assert!(played.broken.is_empty(), "{protocol}, DTN_SEED={seed}: {:?}", played.broken);
        }
    }
}

#[test]
fn a_sender_whose_power_fails_after_its_first_word_is_heard_nevertheless() {
    for seed in [640, 809, 1804, 2645, 3071] {
        let played = Case::random(Textbook::Broadcast, seed).play();
        assert!(played.broken.is_empty(), "DTN_SEED={seed}: {:?}", played.broken);
    }
}

#[test]
fn every_mutant_is_caught_and_every_promise_is_broken_beyond_its_assumptions() {
    let matrix = matrix(&Textbook::ALL, 400);
    assert!(matrix.gaps().is_empty(), "{:#?}\n{matrix:#?}", matrix.gaps());
    assert!(matrix.mutants.iter().all(|(_, caught)| !caught.is_empty()));
}

#[test]
fn every_decision_takes_as_many_messages_and_rounds_as_is_proven() {
    for protocol in Textbook::ALL {
        for n in [1, 2, 4, 7, 10, 16, 31] {
            // What 31 deal takes seconds, of which nothing is measured, and so do n agreements of so many signatures.
            let is_dear = |coin: &CoinKind| match protocol {
                Textbook::CommonSubset => n > 7 && *coin != CoinKind::Ideal,
                _ => n == 31 && *coin == CoinKind::Dealt,
            };
            let coins = [CoinKind::Ideal, CoinKind::Threshold, CoinKind::Dealt];
            for coin in coins.into_iter().filter(|coin| !is_dear(coin)) {
                let runs = if coin == CoinKind::Ideal { 0..4 } else { 0..1 };
                let it = measure(protocol, n, (n - 1) / 3, (coin, false), runs).expect("there are runs");
                assert_eq!((it.off, &it.broken[..]), (0, &[][..]), "{protocol}, n = {n}: {it:?}");
                let f = (n - 1) / 3;
                match protocol {
                    Textbook::Broadcast if n > 1 => {
                        assert_eq!((it.causal_rounds.min, it.causal_rounds.max), (3.0, 3.0))
                    }
                    Textbook::DolevStrong => {
                        assert_eq!(
                            it.rounds.map(|rounds| (rounds.min, rounds.max)),
                            Some(((f + 1) as f64, (f + 1) as f64))
                        );
                    }
                    Textbook::Agreement if n > 1 => {
                        let rounds = it.rounds.expect("it has rounds");
                        assert_eq!(it.causal_rounds.mean, 4.0 * rounds.mean, "n = {n}");
                    }
                    Textbook::CommonSubset if n > 1 => {
                        // A broadcast, and then the slowest of the agreements.
                        let rounds = (it.causal_rounds.min - 3.0) / 4.0;
                        assert!(rounds >= 1.0 && rounds.fract() == 0.0, "n = {n}: {rounds}");
                    }
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn messages_grow_with_the_square_and_bits_of_lock_step_no_faster() {
    for protocol in [Textbook::Broadcast, Textbook::DolevStrong] {
        let at = |n| measure(protocol, n, (n - 1) / 3, (CoinKind::Ideal, false), 0..1).expect("there is a run");
        let all = [16, 31, 64].map(at);
        let fit =
            |cost: &dyn Fn(&_) -> f64| exponent(&all.each_ref().map(|it| (it.n as f64, cost(it)))).expect("points");
        let (messages, bits) =
            (fit(&|it| it.messages.mean), fit(&|it: &dtn_simulator::property::Measured| it.bits.mean));
        assert!((1.95..2.15).contains(&messages) && (1.95..2.15).contains(&bits), "{protocol}: {messages} {bits}");
    }
}

#[test]
fn messages_of_a_common_subset_grow_with_the_cube() {
    let at =
        |n| measure(Textbook::CommonSubset, n, (n - 1) / 3, (CoinKind::Ideal, false), 0..20).expect("there are runs");
    let messages = exponent(&[7, 10, 16, 25].map(|n| (n as f64, at(n).messages.mean))).expect("points");
    assert!((2.9..3.2).contains(&messages), "{messages}");
}

#[test]
fn replicas_that_begin_alike_decide_after_two_rounds_on_average_and_one_in_two_each() {
    let runs = 10_000;
    let rounds: Vec<_> = (0..runs)
        .map(|seed| {
            let it =
                measure(Textbook::Agreement, 4, 1, (CoinKind::Ideal, false), seed..seed + 1).expect("there is a run");
            it.rounds.expect("it has rounds").mean
        })
        .collect();
    let mean = rounds.iter().sum::<f64>() / runs as f64;
    assert!((mean - 2.0).abs() <= 0.03, "{mean}");
    for k in 1..=6 {
        let longer = rounds.iter().filter(|rounds| **rounds > f64::from(k)).count() as f64 / runs as f64;
        let expected = 0.5f64.powi(k);
        // Four standard deviations.
        let tolerance = 4.0 * (expected * (1.0 - expected) / runs as f64).sqrt();
        assert!((longer - expected).abs() <= tolerance, "P(> {k}) = {longer}, expected {expected}");
    }
}

#[test]
fn who_sees_the_coin_keeps_plain_crusader_agreement_undecided_and_not_a_binding_one() {
    let reader = read_coin(10_000);
    assert_eq!(reader.undecided, 10_000);
    let rounds = reader.binding.expect("there are seeds");
    assert!(rounds.mean <= 4.0 && rounds.max < 40.0, "{rounds:?}");
}

#[test]
fn what_a_theorem_says_nothing_about_is_told_in_its_words() {
    let refused = |protocol, sizes, liars| Case::chosen(protocol, sizes, (liars, Lie::Silent), 0).assumes().err();
    let third = "more than three times as many replicas as faulty ones";
    for protocol in [Textbook::Broadcast, Textbook::Agreement] {
        assert!(refused(protocol, (6, 2), 0).is_some_and(|why| why.contains(third)));
        assert_eq!(refused(protocol, (7, 2), 2), None);
        assert!(refused(protocol, (7, 2), 3).is_some_and(|why| why.contains("made for 2 faulty replicas, and 3 are")));
    }
    assert_eq!(refused(Textbook::DolevStrong, (4, 3), 3), None);
    assert!(refused(Textbook::DolevStrong, (4, 4), 0).is_some_and(|why| why.contains("one replica more")));
    let silent = Case::chosen(Textbook::Broadcast, (4, 1), (2, Lie::Silent), 0).play();
    assert_eq!(silent.verdict(Property::Termination), Verdict::BrokenBeyond);
    assert_eq!(silent.verdict(Property::Agreement), Verdict::Holds);
}
