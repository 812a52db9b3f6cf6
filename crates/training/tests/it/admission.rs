//! Orders that a network does not admit, each by the name of what is wrong with it.

use dtn_primitives::{B256, codec};
use dtn_train::{Family, Fraction, Limit, RecipeError};
use dtn_training::*;

use crate::world::{ETHER, SECOND, World, network, score_terms, terms};

fn refused(change: impl FnOnce(&mut Terms)) -> Refusal {
    let mut terms = terms(4, 4, 2, 5);
    assert!(terms.check(&network(4)).is_ok());
    change(&mut terms);
    terms.check(&network(4)).expect_err("it is admitted")
}

fn refused_recipe(change: impl FnOnce(&mut dtn_train::Recipe)) -> Refusal {
    refused(|terms| match &mut terms.proof {
        Proof::Trace(material) => change(&mut material.recipe),
        Proof::Score { .. } => panic!("a trace"),
    })
}

#[test]
fn counts_that_make_no_order_are_refused_with_what_they_may_be() {
    let range = |what, is, least, most| Refusal::Range { what, is, least, most };
    assert_eq!(refused(|terms| terms.deal.claims = 0), range("claims", 0, 1, 64));
    assert_eq!(refused(|terms| terms.deal.claims = 65), range("claims", 65, 1, 64));
    assert_eq!(refused(|terms| terms.deal.committee = 0), range("members", 0, 1, 4));
    assert_eq!(refused(|terms| terms.deal.committee = 5), range("members", 5, 1, 4));
    assert_eq!(refused(|terms| terms.deal.redundancy = 0), range("auditors of a segment", 0, 1, 4));
    assert_eq!(refused(|terms| terms.deal.redundancy = 5), range("auditors of a segment", 5, 1, 4));
    assert_eq!(refused(|terms| terms.deal.holdout.rows = 0), range("rows held out", 0, 1, 1_000_000));
    assert_eq!(refused(|terms| terms.deal.draw = 0), range("rows drawn", 0, 1, 900));
    assert_eq!(refused(|terms| terms.deal.draw = 901), range("rows drawn", 901, 1, 900));
    assert_eq!(refused(|terms| terms.deal.baseline = Fraction(65537)), Refusal::Baseline(Fraction(65537)));
    let no_fold = refused(|terms| {
        if let Proof::Trace(material) = &mut terms.proof {
            material.fold.rows = 0;
        }
    });
    assert_eq!(no_fold, range("rows of the fold", 0, 1, 1_000_000));
}

#[test]
fn a_recipe_that_costs_too_much_or_is_none_says_which_limit_and_by_how_much() {
    assert_eq!(refused_recipe(|recipe| recipe.grid.learning_rate.clear()), RecipeError::Points(0).into());
    let many: Vec<_> = (1..=257).map(Fraction).collect();
    assert_eq!(refused_recipe(|recipe| recipe.grid.learning_rate = many), RecipeError::Points(257).into());
    let wide = refused_recipe(|recipe| recipe.family = Family::Mlp { hidden: vec![4095] });
    let is = 65 * 4095 + 4096 * 10;
    assert_eq!(wide, RecipeError::Above { limit: Limit::Parameters, is }.into());
    let text = wide.to_string();
    assert!(text.contains("parameters") && text.contains(&(is - (1 << 17)).to_string()), "{text}");
    let segments = refused_recipe(|recipe| (recipe.epochs, recipe.segment_steps) = (6, 1));
    assert_eq!(segments, Refusal::Range { what: "segments", is: 570, least: 1, most: 480 });
}

#[test]
fn evaluations_are_bounded_where_only_scores_count() {
    let mut terms = score_terms(4, 4);
    let material = terms.proof.material().clone();
    terms.proof = Proof::Score { material: material.clone(), row_macs: u64::MAX };
    let above = RecipeError::Above { limit: Limit::EvaluationMacs, is: u64::MAX };
    assert_eq!(terms.check(&network(4)), Err(above.into()));
    // What the order itself says how to train has to fit.
    terms.proof = Proof::Score { material, row_macs: 649 };
    let most = dtn_train::MAX_EVALUATION_MACS / 180;
    let small = Refusal::Range { what: "multiplications to evaluate a row", is: 649, least: 650, most };
    assert_eq!(terms.check(&network(4)), Err(small));
}

#[test]
fn a_window_in_which_one_primary_could_keep_everybody_out_is_refused_by_name() {
    let network = network(4);
    type Window = fn(&mut Windows) -> &mut u64;
    let changes: [(&str, Window); 9] = [
        ("claim", |windows| &mut windows.claim),
        ("draw", |windows| &mut windows.draw),
        ("open", |windows| &mut windows.open),
        ("reveal", |windows| &mut windows.reveal),
        ("score", |windows| &mut windows.score),
        ("challenge", |windows| &mut windows.challenge),
        ("ruling", |windows| &mut windows.ruling),
        ("trace", |windows| &mut windows.trace),
        ("audit", |windows| &mut windows.audit),
    ];
    for (window, of) in changes {
        // Rulings also need the time for as many as there may be.
        let least_ms = if window == "ruling" { 64 * network.ruling_ms } else { 4 * network.view_timeout_ms };
        let is_ms = least_ms - 1;
        let short = refused(|terms| *of(&mut terms.deal.windows) = is_ms);
        assert_eq!(short, Refusal::Window { window, is_ms, least_ms });
    }
}

#[test]
fn a_reward_that_does_not_cover_the_verification_says_the_least_that_does() {
    let mut terms = terms(4, 4, 2, 5);
    let work = terms.check(&network(4)).unwrap();
    assert_eq!(work.budget(&terms.deal), u128::from(2 * work.training + 16 * work.evaluation));
    let dear = Network { price: 20_000_000_000, ..network(4) };
    let least = (work.budget(&terms.deal) * 20_000_000_000 * 10_000).div_ceil(1_500);
    let Err(Refusal::Amount { what: "reward", is: ETHER, least: said }) = terms.check(&dear) else {
        panic!("it is admitted")
    };
    assert_eq!(said, least);
    let money = &mut terms.deal.money;
    (money.reward, money.deposit, money.worker, money.member, money.bond) = (least, least, least, least, least);
    assert!(terms.check(&dear).is_ok());
    terms.deal.money.reward -= 1;
    assert!(matches!(terms.check(&dear), Err(Refusal::Amount { what: "reward", .. })));
}

#[test]
fn stakes_deposits_and_bonds_are_so_large_that_cheating_costs_more_than_it_brings() {
    let amount = |what, is, least| Refusal::Amount { what, is, least };
    let tenth = ETHER / 10;
    assert_eq!(refused(|terms| terms.deal.money.deposit = tenth - 1), amount("deposit", tenth - 1, tenth));
    assert_eq!(refused(|terms| terms.deal.money.worker = 0), amount("stake of a worker", 0, tenth));
    assert_eq!(refused(|terms| terms.deal.money.member = 1), amount("stake of a member", 1, tenth));
    let least = ETHER / 64;
    assert_eq!(refused(|terms| terms.deal.money.bond = least - 1), amount("bond", least - 1, least));
    // A bond covers what all peers spend on a ruling.
    let mut terms = terms(4, 4, 2, 5);
    let work = terms.check(&network(4)).unwrap();
    let price = 40_000_000_000;
    terms.deal.money.reward = 100 * ETHER;
    let money = &mut terms.deal.money;
    (money.deposit, money.worker, money.member, money.bond) = (10 * ETHER, 10 * ETHER, 10 * ETHER, 3 * ETHER);
    let ruling = 100 * u128::from(price) * u128::from(work.segment.max(work.evaluation));
    let refused = terms.check(&Network { price, ..network(100) });
    assert_eq!(refused, Err(amount("bond", 3 * ETHER, ruling)), "of a hundred validators");
    let huge = refused_amount(MAX_AMOUNT + 1);
    assert!(matches!(huge, Refusal::Amount { what: "reward", .. }), "{huge:?}");
}

fn refused_amount(reward: u128) -> Refusal {
    refused(|terms| terms.deal.money.reward = reward)
}

#[test]
fn the_largest_amounts_are_added_up_without_overflow() {
    let mut terms = terms(2, 4, 2, 5);
    let money = &mut terms.deal.money;
    money.reward = MAX_AMOUNT;
    (money.deposit, money.worker, money.member, money.bond) = (MAX_AMOUNT, MAX_AMOUNT, MAX_AMOUNT, MAX_AMOUNT);
    let mut world = World::with(&terms, 4, MAX_AMOUNT * 4).unwrap();
    world.reach_auditing([crate::world::run(0, 170, 170), crate::world::run(1, 170, 170)]);
    world.audit_all();
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
}

#[test]
fn an_order_that_may_last_too_long_or_outgrow_its_place_is_refused() {
    let terms = terms(4, 4, 2, 5);
    let work = terms.check(&network(4)).unwrap();
    let life_ms = terms.deal.life_ms(&work);
    assert_eq!(life_ms, (10 + 20 + 3 + 4 + 5 + 26 + 4 * (3 + 7 + 26) + 4 * 20) * SECOND);
    let short = Network { max_life_ms: life_ms - 1, ..network(4) };
    assert_eq!(terms.check(&short), Err(Refusal::Life { is_ms: life_ms, most_ms: life_ms - 1 }));
    let tight = Network { max_state_bytes: 4 << 10, ..network(4) };
    let Err(Refusal::State { is, most }) = terms.check(&tight) else { panic!("it is admitted") };
    assert_eq!(most, 4 << 10);
    assert!(terms.check(&Network { max_state_bytes: is, ..network(4) }).is_ok());
}

/// What an order takes at most, reached as nearly as calls can: all claims, all members of another opinion about each, all
/// challenges.
#[test]
fn no_state_is_longer_than_what_the_order_was_admitted_for() {
    for (claims, members) in [(1, 1), (5, 4), (16, 7), (64, 16)] {
        let mut terms = terms(claims, members, 1, 480);
        terms.deal.classes = 10;
        let most = |bytes| Network { max_state_bytes: bytes, ..network(100) };
        let Err(Refusal::State { is, .. }) = terms.check(&most(0)) else { panic!("it is admitted") };
        let mut world = World::new(&terms, members);
        world.reach_scoring((0..claims).map(|number| crate::world::run(number, 170, 170)));
        for member in 0..usize::from(members) {
            let (grades, statements) = world.scores(member);
            let odd = |grade: Option<Grade>| grade.map(|_| Grade { correct: 180, loss: u64::MAX - member as u64 });
            let grades = grades.iter().map(|grades| Grades { hidden: odd(grades.hidden), fold: odd(grades.fold) });
            world.say_scores(member, grades.collect(), statements).unwrap();
        }
        let watcher = crate::world::WATCHER;
        for member in 0..members {
            for claim in 0..claims.min(64 / members) {
                let call = world.challenge_statement(member.into(), claim, None);
                world.call(watcher, call).unwrap();
            }
        }
        let bytes = codec::encode(&world.order).len();
        assert!(bytes <= is, "{claims} claims, {members} members: {bytes} of {is}");
    }
}

#[test]
fn lists_of_another_length_and_impossible_grades_are_refused() {
    let mut world = World::new(&terms(2, 4, 2, 5), 4);
    world.reach_scoring([crate::world::run(0, 170, 170), crate::world::run(1, 170, 170)]);
    let (grades, statements) = world.scores(0);
    let short = world.say_scores(0, grades[..1].to_vec(), statements.clone());
    assert_eq!(short, Err(Refusal::Count { what: "scores", is: 1, expected: 2 }));
    let long = world.say_scores(0, grades.clone(), vec![B256::ZERO; 3]);
    assert_eq!(long, Err(Refusal::Count { what: "statements", is: 3, expected: 2 }));
    for (hidden, fold) in
        [(None, grades[1].fold), (grades[1].hidden, None), (Some(Grade { correct: 181, loss: 0 }), grades[1].fold)]
    {
        let wrong = vec![grades[0], Grades { hidden, fold }];
        assert_eq!(world.say_scores(0, wrong, statements.clone()), Err(Refusal::Grades(1)));
    }
    world.score(0);
    let account = world.order.committee()[0].account;
    assert_eq!(world.say_scores(0, grades, statements), Err(Refusal::Repeated { account }));
    (1..4).for_each(|member| world.score(member));
    world.wait();
    world.trace().unwrap();
    let expected = world.order.segments_of(0).len();
    let long = world.say_audit(0, vec![B256::ZERO; 9]);
    assert_eq!(long, Err(Refusal::Count { what: "statements", is: 9, expected }));
    let account = world.order.committee()[0].account;
    let other = world.call(account, Call::Audit { claim: 1, statements: Vec::new() });
    assert_eq!(other, Err(Refusal::Unknown { what: "claim", number: 1 }));
}
