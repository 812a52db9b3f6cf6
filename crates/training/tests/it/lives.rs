//! How orders go, phase by phase.

use dtn_primitives::B256;
use dtn_training::*;

use crate::world::{
    ETHER, PURSE, REQUESTER, SECOND, Truth, WATCHER, World, account, grade, run, score_terms, terms, worker,
};

/// Three workers of which the second is best, four validators who are all members.
fn contest() -> World {
    World::new(&terms(3, 4, 2, 5), 4)
}

fn three() -> [Truth; 3] {
    [run(0, 170, 171), run(1, 175, 174), run(2, 100, 105)]
}

#[test]
fn an_order_ends_with_the_best_claim_that_reaches_the_baseline_and_everybody_is_paid() {
    let mut world = contest();
    world.reach_auditing(three());
    assert_eq!(world.order.leader(), Some(1));
    world.audit_all();
    assert_eq!(world.order.phase(), Phase::Challenging);
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Final { claim: 1 }));
    let work = *world.order.work();
    let audits: Vec<_> = (0..4).map(|member| world.order.segments_of(member).len() as u64).collect();
    assert_eq!(audits.iter().sum::<u64>(), 2 * 5, "each segment twice");
    let mut statements = 0;
    for (member, audits) in world.order.committee().iter().zip(audits) {
        assert_eq!(member.macs, 3 * work.evaluation + audits * work.segment);
        let earned = ETHER * 15 / 100 * u128::from(member.macs)
            / work.budget(world.order.deal()).max(10 * u128::from(work.segment) + 12 * u128::from(work.evaluation));
        assert_eq!(world.gain(member.account), earned as i128);
        statements += earned as i128;
    }
    assert_eq!(world.gain(worker(1)), (ETHER * 85 / 100) as i128, "the prize, and the bounty that nobody earned");
    assert_eq!([world.gain(worker(0)), world.gain(worker(2))], [0, 0]);
    assert_eq!(world.gain(REQUESTER), -((ETHER * 85 / 100) as i128) - statements, "what nobody has earned is back");
    assert_eq!(world.pot, 0);
}

#[test]
fn of_claims_that_are_equal_the_earlier_one_leads_so_a_copied_model_wins_nothing() {
    let mut world = World::new(&score_terms(2, 4), 4);
    let copy = Truth { reveal: Reveal { model: run(0, 170, 0).reveal.model, ..run(1, 0, 0).reveal }, ..run(0, 170, 0) };
    world.reach_scoring([run(0, 170, 0), copy]);
    world.score_all();
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
}

#[test]
fn where_only_scores_count_there_is_no_trace_and_no_fold() {
    let mut world = World::new(&score_terms(3, 4), 4);
    world.reach_scoring(three());
    world.score_all();
    assert_eq!(world.order.phase(), Phase::Challenging);
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Final { claim: 1 }));
    assert!(world.order.claims().iter().all(|claim| claim.grades.unwrap().fold.is_none()));
}

#[test]
fn an_order_without_a_claim_or_a_beacon_or_members_or_a_reveal_is_void_and_costs_nobody_but_who_is_late() {
    let mut world = contest();
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Void(Void::NoClaim)));
    assert_eq!(world.gain(REQUESTER), 0);

    let mut world = contest();
    world.claim(0, run(0, 170, 171));
    world.wait();
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Void(Void::NoBeacon)));
    assert_eq!((world.gain(REQUESTER), world.gain(worker(0))), (0, 0));

    let mut world = contest();
    world.claim(0, run(0, 170, 171));
    world.wait();
    (2..=4).for_each(|number| assert!(world.free.insert(account(number), ETHER / 5).is_some()));
    world.now_ms += 1;
    world.draw(B256::ZERO);
    assert_eq!(
        world.ending(),
        Some(Ending::Void(Void::FewMembers)),
        "one has the stake, and a segment has two auditors"
    );
    assert_eq!((world.gain(REQUESTER), world.gain(worker(0)), world.gain(account(1))), (0, 0, 0));

    let mut world = contest();
    world.claim(0, run(0, 170, 171));
    world.wait();
    world.now_ms += 1;
    world.draw(B256::ZERO);
    world.open();
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Void(Void::NoReveal)));
    assert_eq!((world.gain(REQUESTER), world.gain(worker(0))), (0, -((ETHER / 8) as i128)), "half of the stake");
}

#[test]
fn claims_below_the_baseline_win_nothing_and_the_members_are_paid_for_what_they_did() {
    let mut world = World::new(&terms(1, 4, 2, 5), 4);
    world.reach_scoring([run(0, 161, 161)]);
    world.score_all();
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Void(Void::NoneGood)), "0.9 of 180 are 162");
    assert!((1..=4).all(|number| world.gain(account(number)) > 0));
    assert_eq!(world.gain(worker(0)), 0);

    let mut world = World::new(&terms(1, 4, 2, 5), 4);
    world.reach_tracing([run(0, 162, 161)]);
    assert_eq!(world.order.leader(), Some(0));
}

#[test]
fn a_claim_is_hidden_until_it_is_revealed_and_opens_to_its_workers_run_alone() {
    let mut world = contest();
    let truth = run(0, 170, 171);
    let commitment = truth.reveal.commitment(world.order.id(), worker(0));
    world.claim(0, truth.clone());
    let again = world.call(worker(0), Call::Claim { commitment });
    assert_eq!(again, Err(Refusal::CommittedBefore(commitment)));
    // Somebody who sees it on its way says the same: that keeps nobody out, and wins nothing.
    world.call(worker(1), Call::Claim { commitment }).unwrap();
    world.wait();
    world.now_ms += 1;
    world.draw(B256::ZERO);
    world.open();
    let copied = world.call(worker(1), Call::Reveal { claim: 1, reveal: truth.reveal });
    let is = truth.reveal.commitment(world.order.id(), worker(1));
    assert_eq!(copied, Err(Refusal::OtherCommitment { claim: 1, is, committed: commitment }));
    let role = "worker of this claim";
    let others = world.call(worker(1), Call::Reveal { claim: 0, reveal: truth.reveal });
    assert_eq!(others, Err(Refusal::NotYours { account: worker(1), role }));
    let elsewhere = Reveal { model: B256::repeat_byte(9), ..truth.reveal };
    let is = elsewhere.commitment(world.order.id(), worker(0));
    let other = world.call(worker(0), Call::Reveal { claim: 0, reveal: elsewhere });
    assert_eq!(other, Err(Refusal::OtherCommitment { claim: 0, is, committed: commitment }));
    world.reveal(0).unwrap();
    assert_eq!(world.reveal(0), Err(Refusal::Repeated { account: worker(0) }));
}

/// Each part of a commitment is in it: another order, worker, root, point or try has another.
#[test]
fn whatever_differs_in_a_run_its_commitment_differs() {
    let (order, reveal) = (B256::ZERO, run(0, 0, 0).reveal);
    let one = B256::repeat_byte(1);
    let mut all = vec![
        reveal.commitment(order, worker(0)),
        reveal.commitment(one, worker(0)),
        reveal.commitment(order, worker(1)),
    ];
    let others = [
        Reveal { model: one, ..reveal },
        Reveal { trace: one, ..reveal },
        Reveal { point: 1, ..reveal },
        Reveal { attempt: 1, ..reveal },
    ];
    all.extend(others.map(|reveal| reveal.commitment(order, worker(0))));
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn a_beacon_that_was_begun_before_the_last_claim_draws_nothing() {
    let mut world = World::new(&terms(2, 4, 2, 5), 4);
    let candidates = world.candidates();
    let early = world.order.draw(world.now_ms, B256::ZERO, world.now_ms, &candidates);
    assert_eq!(early, Err(Refusal::NotNow { call: "draw", phase: Phase::Claiming }));
    world.claim(0, run(0, 170, 171));
    world.now_ms += 5;
    world.claim(1, run(1, 170, 171));
    let claims_ms = world.now_ms;
    assert_eq!(world.order.phase(), Phase::Drawing { claims_ms }, "nobody else may claim");
    world.now_ms += 5;
    for begun_ms in [0, claims_ms - 1, claims_ms] {
        let early = world.order.draw(world.now_ms, B256::ZERO, begun_ms, &candidates);
        assert_eq!(early, Err(Refusal::EarlyBeacon { begun_ms, claims_ms }));
    }
    world.order.draw(world.now_ms, B256::ZERO, claims_ms + 1, &candidates).unwrap();

    let mut world = contest();
    world.claim(0, run(0, 170, 171));
    let claims_ms = world.order.deadline_ms();
    world.now_ms = claims_ms + 500;
    let early = world.order.draw(world.now_ms, B256::ZERO, claims_ms, &candidates);
    assert_eq!(early, Err(Refusal::EarlyBeacon { begun_ms: claims_ms, claims_ms }), "its time was up, and no more");
}

#[test]
fn the_beacon_draws_rows_and_members_and_nobody_who_claims_or_pays_is_one() {
    let drawn = |beacon: B256| {
        let mut world = World::new(&terms(3, 4, 2, 5), 10);
        let claim = |number: u8| Call::Claim { commitment: B256::repeat_byte(number) };
        world.call(account(3), claim(3)).unwrap();
        world.call(account(7), claim(7)).unwrap();
        world.wait();
        world.now_ms += 1;
        world.free.insert(account(9), ETHER / 4 - 1);
        world.draw(beacon);
        let members: Vec<_> = world.order.committee().iter().map(|member| member.account).collect();
        assert_eq!(members.len(), 4);
        assert!([3, 7, 9].iter().all(|number| !members.contains(&account(*number))), "{members:?}");
        (world.order.drawn_rows(), members)
    };
    let (rows, members) = drawn(B256::repeat_byte(1));
    assert!(rows.len() == 180 && rows.is_sorted() && rows.windows(2).all(|pair| pair[0] < pair[1]) && rows[179] < 900);
    assert_eq!((rows.clone(), members.clone()), drawn(B256::repeat_byte(1)));
    let (others, other_members) = drawn(B256::repeat_byte(2));
    assert!(rows != others && members != other_members);
}

#[test]
fn every_segment_has_so_many_auditors_the_last_one_too() {
    for (members, redundancy, segments) in [(1, 1, 1), (4, 1, 5), (4, 2, 7), (7, 3, 12), (5, 5, 3), (16, 4, 30)] {
        let mut world = World::new(&terms(1, members, redundancy, segments), members);
        assert_eq!(u32::from(world.order.work().segments), segments);
        world.reach_auditing([run(0, 170, 171)]);
        let mut auditors = vec![0; segments as usize];
        let of = (0..usize::from(members)).map(|member| world.order.segments_of(member));
        of.flatten().for_each(|segment| auditors[usize::from(segment)] += 1);
        assert_eq!(auditors, vec![redundancy; segments as usize]);
    }
}

#[test]
fn a_reveal_after_its_deadline_is_not_taken_although_no_block_has_said_so() {
    let mut world = contest();
    (0..3).zip(three()).for_each(|(number, truth)| world.claim(number, truth));
    world.now_ms += 1;
    world.draw(B256::ZERO);
    world.open();
    world.reveal(0).unwrap();
    world.now_ms = world.order.deadline_ms();
    world.reveal(1).unwrap();
    world.now_ms += 1;
    let late = world.reveal(2);
    assert_eq!(late, Err(Refusal::NotNow { call: "reveal", phase: Phase::Scoring }));
    assert_eq!(world.order.phase(), Phase::Revealing, "a refusal changes nothing");
    let moves = world.order.advance(world.now_ms);
    assert!(moves.paid.is_empty() && world.order.claims()[2].late);
}

/// The same for each other thing that has a window.
#[test]
fn nothing_is_taken_after_its_window() {
    let late = |world: &mut World, account, call: Call| {
        world.now_ms = world.order.deadline_ms() + 1;
        let refused = world.call(account, call);
        // A trace that is late is that of a claim that does not lead any more.
        assert!(matches!(refused, Err(Refusal::NotNow { .. } | Refusal::NotYours { .. })), "{refused:?}");
    };
    let mut world = contest();
    world.claim(0, run(0, 170, 171));
    late(&mut world, worker(1), Call::Claim { commitment: B256::ZERO });
    let mut world = contest();
    (0..3).zip(three()).for_each(|(number, truth)| world.claim(number, truth));
    world.now_ms += 1;
    world.draw(B256::ZERO);
    late(&mut world, REQUESTER, Call::Open { rows: B256::ZERO });
    let mut world = contest();
    world.reach_scoring(three());
    world.score(0);
    let member = world.order.committee()[1].account;
    let (grades, statements) = world.scores(1);
    late(&mut world, member, Call::Scores { grades, statements });
    let mut world = contest();
    world.reach_tracing(three());
    late(&mut world, worker(1), Call::Trace { claim: 1 });
    let mut world = contest();
    world.reach_auditing(three());
    world.audit(0);
    let (member, statements) = (world.order.committee()[1].account, world.audits(1));
    late(&mut world, member, Call::Audit { claim: 1, statements });
    let mut world = contest();
    world.reach_auditing(three());
    world.audit_all();
    let subject = Subject::Segment { claim: 1, segment: 0 };
    late(&mut world, WATCHER, Call::Challenge { subject, path: Vec::new() });
}

#[test]
fn a_phase_runs_from_the_block_that_begins_it_however_late_that_comes() {
    let mut world = contest();
    world.claim(0, run(0, 170, 171));
    world.now_ms = world.order.deadline_ms() + 3_600 * SECOND;
    world.wait();
    assert!(matches!(world.order.phase(), Phase::Drawing { .. }), "one phase a block at most ends by time");
    assert_eq!(world.order.deadline_ms(), world.now_ms + 20 * SECOND);
}

#[test]
fn a_trace_that_is_not_shown_costs_half_of_the_stake_and_the_next_claim_leads() {
    let mut world = contest();
    world.reach_tracing(three());
    let not_leader = world.call(worker(0), Call::Trace { claim: 0 });
    assert_eq!(not_leader, Err(Refusal::NotYours { account: worker(0), role: "leader" }));
    world.wait();
    assert_eq!((world.order.phase(), world.order.leader()), (Phase::Tracing, Some(0)));
    world.trace().unwrap();
    world.audit_all();
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
    assert_eq!(world.gain(worker(1)), -((ETHER / 8) as i128));
    assert_eq!(world.pot, ETHER / 8);
}

#[test]
fn a_segment_that_nobody_has_audited_is_ruled_on_by_all() {
    let mut world = contest();
    world.reach_auditing(three());
    world.audit(0);
    world.wait();
    assert_eq!(world.order.phase(), Phase::Challenging);
    let open: Vec<_> = world.order.open_subjects().collect();
    let covered = world.order.segments_of(0);
    let expected = (0..5).filter(|segment| !covered.contains(segment));
    assert_eq!(open, expected.map(|segment| Subject::Segment { claim: 1, segment }).collect::<Vec<_>>());
    world.rule(open[0]);
    world.wait();
    assert_eq!(world.order.phase(), Phase::Ruling, "not before all of them are");
    world.rule_all();
    assert_eq!(world.ending(), Some(Ending::Final { claim: 1 }));
    for member in 1..4 {
        let member = &world.order.committee()[member];
        assert_eq!(member.late, 1);
        assert!(world.gain(member.account) < 0);
    }
}

/// Whose voice is taken may have been the only one, so that what it spoke about is open from then on.
#[test]
fn the_window_for_rulings_begins_again_where_a_ruling_opens_something() {
    let mut world = World::new(&terms(3, 4, 1, 5), 4);
    world.reach_auditing(three());
    let segment = world.order.segments_of(2)[0];
    let invented = world.audits(2).iter().map(|_| B256::repeat_byte(0x79)).collect();
    world.say_audit(2, invented).unwrap();
    [0, 1, 3].into_iter().for_each(|member| world.audit(member));
    let call = world.challenge_statement(2, 1, Some(segment));
    world.call(WATCHER, call).unwrap();
    world.wait();
    assert_eq!((world.order.phase(), world.order.open_subjects().count()), (Phase::Ruling, 1));
    world.now_ms = world.order.deadline_ms();
    let subject = world.dispute().unwrap();
    world.rule(subject);
    let opened: Vec<_> =
        world.order.segments_of(2).into_iter().map(|segment| Subject::Segment { claim: 1, segment }).collect();
    assert_eq!(world.order.open_subjects().collect::<Vec<_>>(), opened);
    assert_eq!(world.order.deadline_ms(), world.now_ms + 20 * SECOND);
    world.now_ms += 20 * SECOND;
    world.rule_all();
    assert_eq!(world.ending(), Some(Ending::Final { claim: 1 }));
}

#[test]
fn where_nobody_rules_on_what_is_open_everybody_has_the_own_money_back() {
    let mut world = contest();
    world.reach_auditing(three());
    world.audit_all();
    let subject = Subject::Segment { claim: 1, segment: 0 };
    world.call(WATCHER, Call::Challenge { subject, path: Vec::new() }).unwrap();
    world.wait();
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Void(Void::NoRuling)));
    assert_eq!((world.gain(WATCHER), world.gain(worker(1)), world.pot), (0, 0, 0));
}

#[test]
fn a_score_that_too_few_have_stated_is_ruled_on_by_all() {
    let mut world = contest();
    world.reach_scoring(three());
    world.score(2);
    world.wait();
    assert_eq!(world.order.open_subjects().count(), 3);
    let late: Vec<_> = world.order.committee().iter().map(|member| member.late).collect();
    assert_eq!(late, [1, 1, 0, 1], "who is silent is late");
    world.rule_all();
    world.wait();
    assert_eq!((world.order.phase(), world.order.leader()), (Phase::Tracing, Some(1)));
}

#[test]
fn nobody_votes_for_a_reveal_whose_model_it_does_not_hold() {
    let mut world = contest();
    world.reach_scoring(three());
    let reveal = world.truth[1].reveal;
    let need = world.order.needs(&Call::Reveal { claim: 1, reveal });
    assert_eq!(need, Some(Need::Model(reveal.model)));
}

#[test]
fn nobody_votes_for_a_ruling_that_it_has_not_computed() {
    let world = contest();
    let subject = Subject::Segment { claim: 1, segment: 4 };
    for verdict in [Verdict::Holds(true), Verdict::Holds(false)] {
        let need = world.order.needs(&Call::Ruling { subject, verdict });
        assert_eq!(need, Some(Need::Ruling(subject, verdict)));
    }
}

#[test]
fn nobody_votes_for_data_rows_or_a_trace_that_it_does_not_hold() {
    let terms = terms(3, 4, 2, 5);
    let Material { data, fold, .. } = terms.proof.material();
    assert_eq!(terms.needs(), Some(Need::Data(vec![*data, *fold])));
    let terms_of_scores = score_terms(3, 4);
    let Material { data, fold, .. } = terms_of_scores.proof.material();
    assert_eq!(terms_of_scores.needs(), Some(Need::Data(vec![*data, *fold])));
    let mut world = contest();
    world.reach_tracing(three());
    let rows = B256::repeat_byte(7);
    let (of, numbers) = (terms.deal.holdout, world.order.drawn_rows());
    assert_eq!(world.order.needs(&Call::Open { rows }), Some(Need::Rows { of, numbers, hash: rows }));
    assert_eq!(world.order.needs(&Call::Trace { claim: 1 }), Some(Need::Trace(world.truth[1].reveal)));
}

#[test]
fn who_has_too_little_free_is_told_how_much_is_needed() {
    let needed = ETHER + ETHER / 5;
    let refused = World::with(&terms(3, 4, 2, 5), 4, needed - 1).map(|_| ());
    assert_eq!(refused, Err(Refusal::Short { account: REQUESTER, free: needed - 1, needed }));
    let mut world = contest();
    world.free.insert(worker(0), 7);
    let refused = world.call(worker(0), Call::Claim { commitment: B256::ZERO });
    assert_eq!(refused, Err(Refusal::Short { account: worker(0), free: 7, needed: ETHER / 4 }));
}

#[test]
fn who_pays_does_not_compete() {
    let mut world = contest();
    assert_eq!(world.call(REQUESTER, Call::Claim { commitment: B256::ZERO }), Err(Refusal::OwnOrder));
}

#[test]
fn every_account_is_told_rule_by_rule_why_it_was_paid_or_was_not() {
    let mut world = contest();
    let mut truth = three();
    truth[1].forged = Some(3);
    world.reach_auditing(truth);
    assert_eq!(world.order.explain(worker(1)).findings.last().unwrap().kept, Some(true), "it leads, for now");
    let subject = Subject::Segment { claim: 1, segment: 3 };
    world.call(WATCHER, Call::Challenge { subject, path: Vec::new() }).unwrap();
    world.rule(subject);
    world.trace().unwrap();
    world.audit_all();
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
    let told = |account| -> Vec<String> {
        let explanation = world.order.explain(account);
        explanation
            .findings
            .iter()
            .map(ToString::to_string)
            .chain(explanation.paid.iter().map(|paid| paid.why.to_string()))
            .collect()
    };
    assert_eq!(
        told(worker(1)),
        [
            "yes  claim 1 is revealed in time",
            "yes  claim 1 reaches the baseline: 175 rows are right, with a loss of 327680",
            "yes  the trace of claim 1 is shown in time",
            "no   all segments of claim 1 hold: segment 3 does not lead where its trace says",
            "yes  the order ends with a winner",
        ]
    );
    assert_eq!(
        told(worker(2)),
        [
            "yes  claim 2 is revealed in time",
            "no   claim 2 reaches the baseline: 100 rows are right, with a loss of 5242880",
            "no   claim 2 is the best that stands, which is claim 0",
            "yes  the order ends with a winner",
            "the stake, back",
        ]
    );
    let winner = told(worker(0));
    assert!(winner.contains(&"yes  claim 0 is the best that stands, which is claim 0".to_owned()), "{winner:?}");
    assert!(winner.contains(&format!("the prize, for the model of {}", worker(0))), "{winner:?}");
    assert_eq!(
        told(WATCHER),
        [
            "yes  a challenge is of what is false",
            "yes  the order ends with a winner",
            "a part of the bounty, for being right to challenge",
            &format!("half of the stake of {}, which stated what is false", worker(1)),
        ]
    );
    let of_requester = told(REQUESTER);
    assert!(of_requester[0].starts_with("yes  the drawn rows") && of_requester[1].starts_with("yes  a true model"));
    let of_member = told(world.order.committee()[0].account);
    assert_eq!(of_member[0], "yes  a member states in time what it was drawn for: 0 times it did not");
    assert_eq!(world.order.explain(worker(9)), Explanation::default(), "who never took part");
    assert_eq!(world.gain(worker(1)), -((ETHER / 4) as i128));
    assert_eq!(world.free[&worker(9)], PURSE);
}

#[test]
fn a_baseline_of_numbers_is_the_largest_mean_square() {
    let mut terms = score_terms(2, 4);
    (terms.deal.classes, terms.deal.baseline) = (0, "0.5".parse().unwrap());
    let squares =
        |loss: u64| Truth { grades: Grades { hidden: Some(Grade { correct: 0, loss }), fold: None }, ..run(0, 0, 0) };
    for (loss, ending) in [(90 << 32, Ending::Final { claim: 0 }), ((90 << 32) + 1, Ending::Void(Void::NoneGood))] {
        let mut world = World::new(&terms, 4);
        world.reach_scoring([squares(loss)]);
        world.score_all();
        world.wait();
        assert_eq!(world.ending(), Some(ending));
    }
    let mut world = World::new(&terms, 4);
    world.reach_scoring([squares(5)]);
    let grades = vec![Grades { hidden: Some(grade(1)), fold: None }];
    assert_eq!(world.say_scores(0, grades, vec![B256::ZERO]), Err(Refusal::Grades(0)), "no row of numbers is right");
}
