#![allow(clippy::unwrap_used)]

use super::*;

fn setup(orders: u64) -> Setup {
    Setup { orders, seed: crate::seed_or(7), ..Setup::of(40) }
}

#[test]
fn a_run_is_the_same_again_by_its_seed_and_another_by_another() {
    let mut mixed = setup(30);
    mixed.deviations = vec![(Strategy::Forger, 0.1), (Strategy::Lazy, 0.1), (Strategy::Spammer, 0.05)];
    let [first, again] = [(); 2].map(|()| serde_json::to_string(&play(&mixed).unwrap()).unwrap());
    assert_eq!(first, again);
    mixed.seed += 1;
    assert_ne!(play(&mixed).unwrap().digest, serde_json::from_str::<serde_json::Value>(&first).unwrap()["digest"]);
}

#[test]
fn whatever_accounts_do_no_promise_is_broken() {
    let first = crate::seed_or(0);
    let seeds = if std::env::var("DTN_SEED").is_ok() { 1 } else { 1_000 };
    (first..first + seeds).for_each(|seed| adversarial(seed).unwrap_or_else(|stopped| panic!("{stopped}")));
}

#[test]
fn where_models_are_really_trained_the_honest_win_and_no_promise_is_broken() {
    let deviations =
        [Strategy::Thief, Strategy::TestTrainer, Strategy::Grinder, Strategy::Poisoner].map(|one| (one, 0.1));
    let real = Setup { real: true, deviations: deviations.into(), ..setup(8) };
    let [first, again] = [(); 2].map(|()| play(&real).unwrap());
    assert_eq!(first.digest, again.digest);
    assert!(first.won > 0 && first.forged == 0, "seed {}: {first:?}", real.seed);
    let drawn = play(&Setup { real: false, ..real }).unwrap();
    assert_ne!(drawn.digest, first.digest);
}

#[test]
fn no_strategy_brings_more_than_what_is_honest_and_whoever_breaks_a_rule_has_less() {
    let setup = setup(150);
    let honest = alone(&setup, Strategy::Honest).unwrap();
    for strategy in Strategy::deviations() {
        let played = alone(&setup, strategy).unwrap();
        let deviation = Deviation::of(strategy, &played, &honest).unwrap();
        assert!(!deviation.pays(), "seed {}: {deviation:?}", setup.seed);
        assert!(strategy.is_fair() || deviation.costs(), "seed {}: {deviation:?}", setup.seed);
    }
}

#[test]
fn the_stake_at_which_forging_breaks_even_is_that_of_the_closed_form() {
    let setup = Setup { seed: crate::seed_or(7), ..Setup::default() };
    let [stay, quit, denounce] = Tactic::ALL;
    for (colluders, redundancy, tactic) in [(0.33, 1, stay), (0.5, 2, quit), (0.5, 2, denounce), (0.66, 3, stay)] {
        let measured = coalition(&setup, colluders, redundancy, tactic).unwrap();
        assert!(measured.off().abs() <= 0.05, "seed {}: {measured:?}", setup.seed);
    }
    assert!((seen(100, 33, 3) - 0.966).abs() < 0.001, "the design's table");
    assert!(
        (break_even(seen(100, 33, 1), Tactic::Stay) / 0.85 - 0.390 / 0.8).abs() < 0.006,
        "with its part of the reward"
    );
}

#[test]
fn forging_pays_a_coalition_of_two_thirds_where_nobody_else_looks_on() {
    let setup = Setup { seed: crate::seed_or(7), ..Setup::default() };
    let honest = alone(&Setup { orders: 100, ..setup.clone() }, Strategy::Honest).unwrap();
    let honest = honest.iter().find(|line| line.role == Role::Worker).unwrap();
    for (colluders, pays) in [(0.33, false), (0.66, true)] {
        let found = coalition(&setup, colluders, 3, Tactic::Denounce).unwrap();
        let least = found.payoff - found.payoff_within;
        assert_eq!(least > honest.payoff + honest.within, pays, "seed {}: {found:?} {honest:?}", setup.seed);
    }
}

#[test]
fn one_who_looks_on_keeps_a_coalition_of_two_thirds_from_winning() {
    for tactic in Tactic::ALL {
        let mut coalition = Setup { colluders: 0.66, tactic, ..setup(60) };
        let watched = play(&coalition).unwrap();
        coalition.watched = false;
        let unwatched = play(&coalition).unwrap();
        assert!(watched.forged == 0 && unwatched.forged > 5, "{tactic}: {watched:?} {unwatched:?}");
    }
}

#[test]
fn money_that_is_made_or_lost_or_held_is_noticed() {
    use dtn_training::{Moves, Payment, Why};
    let mut bank = Bank::new(3);
    let locked = vec![(bank::address(0), 5)];
    bank.moved(Moves { locked: locked.clone(), paid: Vec::new() }).unwrap();
    assert!(bank.is_whole(0).is_err(), "it is held");
    let pay = |to, amount| Moves { locked: Vec::new(), paid: vec![Payment { to, amount, why: Why::Stake }] };
    bank.moved(pay(Some(bank::address(2)), 5)).unwrap();
    assert_eq!((bank.is_whole(0), bank.gain(0), bank.gain(2)), (Ok(()), -5, 5));
    assert!(bank.moved(pay(None, 1)).is_err(), "more is paid than was locked");
    bank.begin();
    bank.moved(Moves { locked, paid: pay(None, 5).paid }).unwrap();
    assert_eq!((bank.is_whole(0), bank.pot()), (Ok(()), 5));
    bank.begin();
    assert!(bank.is_whole(5).is_ok() && bank.is_whole(4).is_err(), "what is in the pot stays there");
}

#[test]
fn strategies_and_tactics_are_written_as_they_are_read() {
    for strategy in Strategy::deviations() {
        assert_eq!(strategy.to_string().parse::<Strategy>().unwrap(), strategy);
    }
    for tactic in Tactic::ALL {
        assert_eq!(tactic.to_string().parse::<Tactic>().unwrap(), tactic);
    }
    assert!("saint".parse::<Strategy>().unwrap_err().to_string().contains("test-trainer"));
}

#[test]
fn what_cannot_be_played_is_refused_by_name() {
    let refused = |setup: Setup| play(&setup).unwrap_err().to_string();
    for (setup, reason) in [
        (Setup::of(5), "5 accounts: give 6 to 1000"),
        (Setup { colluders: 1.5, ..Setup::of(40) }, "colluders"),
        (Setup { stake: 0.05, ..Setup::of(40) }, "stake of a worker"),
        (Setup { run_cost: 0.5, ..Setup::of(40) }, "a reward of"),
        (Setup { redundancy: 9, ..Setup::of(40) }, "auditors"),
        (Setup { colluders: 0.9, deviations: vec![(Strategy::Lazy, 0.2)], ..Setup::of(40) }, "44 accounts"),
    ] {
        assert!(refused(setup.clone()).contains(reason), "{reason}: {}", refused(setup));
    }
}

#[test]
fn each_deviation_has_a_scenario_whose_promises_hold_and_that_pays_nobody_who_breaks_a_rule() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/training");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}.toml")).expect(name);
    for strategy in Strategy::deviations() {
        let name = strategy.to_string();
        let setup = Setup::from_toml(&read(&name)).expect(&name);
        assert!(!setup.about.is_empty() && setup.deviations == [(strategy, 0.1)], "{name}");
        let economy = play(&setup).expect(&name);
        let pays = |of: Strategy| economy.lines.iter().find(|line| line.role == strategy.role() && line.strategy == of);
        let (honest, deviates) = (pays(Strategy::Honest).expect(&name), pays(strategy).expect(&name));
        assert!(strategy.is_fair() || deviates.payoff < honest.payoff, "{name}: {deviates:?} {honest:?}");
    }
    let coalitions = ["coalition", "coalition-that-quits", "coalition-that-denounces", "majority"];
    let files = std::fs::read_dir(folder).expect("a folder").count();
    assert_eq!(files, Strategy::deviations().count() + coalitions.len(), "a file that nobody plays");
    for name in coalitions {
        let setup = Setup::from_toml(&read(name)).expect(name);
        let economy = play(&setup).expect(name);
        assert_eq!(economy.forged > 0, name == "majority", "{name}: {} of {} are forged", economy.forged, economy.won);
    }
    let typo = Setup::from_toml("[deviate]\nforgr = 0.1\n").expect_err("no strategy").to_string();
    assert!(typo.contains("forgr") && typo.contains("forger"), "{typo}");
    assert!(Setup::from_toml("colluder = 0.1").is_err(), "no key");
}
