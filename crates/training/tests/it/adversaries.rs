//! Those who deviate, by name: what becomes of each, and of what it staked.

use dtn_primitives::B256;
use dtn_training::*;

use crate::world::{ETHER, REQUESTER, Truth, WATCHER, World, account, grade, run, score_terms, terms, worker};

const STAKE: i128 = (ETHER / 4) as i128;
const BOND: i128 = (ETHER / 50) as i128;
const BOUNTY: i128 = (ETHER / 20) as i128;

fn contest() -> World {
    World::new(&terms(2, 4, 2, 5), 4)
}

/// A run whose trace has a false segment, and scores best.
fn forged(segment: u16) -> [Truth; 2] {
    [run(0, 170, 171), Truth { forged: Some(segment), ..run(1, 180, 180) }]
}

fn challenge(subject: Subject) -> Call {
    Call::Challenge { subject, path: Vec::new() }
}

/// From the audits to the end, with all who are left honest.
fn finish(world: &mut World) {
    for _ in 0..100 {
        match world.order.phase() {
            Phase::Ended(_) => return,
            Phase::Tracing => world.trace().unwrap(),
            Phase::Auditing => {
                for member in 0..world.order.committee().len() {
                    let one = &world.order.committee()[member];
                    if one.out.is_none() && one.audit.is_none() && !world.order.segments_of(member).is_empty() {
                        world.audit(member);
                    }
                }
            }
            _ => {
                world.rule_all();
                if world.ending().is_none() {
                    world.wait();
                }
            }
        }
    }
    panic!("the order does not end");
}

/// A thief's first segment, a splicer's any other one.
#[test]
fn a_model_thief_and_a_splicer_lose_their_stake_to_who_shows_the_segment() {
    for segment in [0, 2, 4] {
        let mut world = contest();
        world.reach_auditing(forged(segment));
        let subject = Subject::Segment { claim: 1, segment };
        world.call(WATCHER, challenge(subject)).unwrap();
        world.rule(subject);
        assert_eq!((world.order.phase(), world.order.leader()), (Phase::Tracing, Some(0)));
        finish(&mut world);
        assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
        assert_eq!(world.gain(worker(1)), -STAKE);
        assert_eq!(world.gain(WATCHER), STAKE / 2 + BOUNTY);
        assert_eq!(world.pot as i128, STAKE / 2);
        assert_eq!(world.gain(worker(0)), (ETHER * 80 / 100) as i128);
        assert!((1..=4).all(|number| world.gain(account(number)) > 0));
    }
}

#[test]
fn an_auditor_who_vouches_for_a_false_segment_loses_its_stake_with_the_forger() {
    let mut world = contest();
    world.reach_auditing(forged(3));
    world.audit_all();
    let subject = Subject::Segment { claim: 1, segment: 3 };
    world.call(WATCHER, challenge(subject)).unwrap();
    world.rule(subject);
    let liars = (0..4).filter(|member| world.order.segments_of(*member).contains(&3));
    for member in liars {
        let fault = Fault::FalseAudit { claim: 1, segment: 3 };
        assert_eq!(world.order.committee()[member].out, Some(Out { fault, by: Some(WATCHER) }));
    }
    finish(&mut world);
    assert_eq!(world.gain(WATCHER), 3 * STAKE / 2 + BOUNTY, "half of three stakes");
    assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
}

#[test]
fn audits_of_a_claim_that_falls_are_not_paid() {
    let mut world = contest();
    world.reach_auditing(forged(3));
    let honest: Vec<_> = (0..4).filter(|member| !world.order.segments_of(*member).contains(&3)).collect();
    honest.iter().for_each(|member| world.audit(*member));
    let before = world.order.committee()[honest[0]].macs;
    let subject = Subject::Segment { claim: 1, segment: 3 };
    world.call(WATCHER, challenge(subject)).unwrap();
    world.rule(subject);
    assert_eq!(world.order.committee()[honest[0]].macs, before);
    assert_eq!(world.order.committee()[honest[0]].audit, None, "the next leader's audits are due");
}

#[test]
fn who_challenges_what_is_true_loses_the_bond_and_gets_nothing() {
    let mut world = contest();
    world.reach_scoring([run(0, 170, 171), run(1, 175, 174)]);
    world.score_all();
    for subject in [Subject::Score { claim: 0 }, Subject::Score { claim: 1 }] {
        world.call(WATCHER, challenge(subject)).unwrap();
        world.rule(subject);
        assert_eq!(world.call(WATCHER, challenge(subject)), Err(Refusal::Settled(subject)));
    }
    let call = world.challenge_statement(2, 1, None);
    let Call::Challenge { subject, .. } = call else { panic!("a challenge") };
    world.call(WATCHER, call).unwrap();
    world.rule(subject);
    world.wait();
    world.trace().unwrap();
    let subject = Subject::Segment { claim: 1, segment: 0 };
    world.call(WATCHER, challenge(subject)).unwrap();
    world.rule(subject);
    assert_eq!(world.call(WATCHER, challenge(subject)), Err(Refusal::Settled(subject)));
    world.audit_all();
    let call = world.challenge_statement(1, 1, Some(1));
    let Call::Challenge { subject, .. } = call else { panic!("a challenge") };
    world.call(WATCHER, call).unwrap();
    finish(&mut world);
    assert_eq!(world.ending(), Some(Ending::Final { claim: 1 }));
    assert_eq!(world.gain(WATCHER), -5 * BOND, "{subject:?}");
    assert_eq!(world.pot as i128, 5 * BOND);
    assert!(world.order.committee().iter().all(|member| member.out.is_none()));
    assert!(world.paid.iter().all(|payment| !matches!(payment.why, Why::Slashed { .. } | Why::Bounty)));
}

#[test]
fn a_cluster_of_liars_falls_to_one_who_dissents() {
    let mut world = World::new(&terms(2, 7, 2, 5), 7);
    world.reach_scoring([run(0, 170, 171), run(1, 100, 100)]);
    for member in 0..2 {
        let (mut grades, statements) = world.scores(member);
        grades[0].hidden = Some(grade(10));
        grades[1].hidden = Some(grade(180));
        world.say_scores(member, grades, statements).unwrap();
    }
    (2..7).for_each(|member| world.score(member));
    let open: Vec<_> = world.order.open_subjects().collect();
    assert_eq!(open, [Subject::Score { claim: 0 }, Subject::Score { claim: 1 }]);
    world.rule(open[0]);
    assert_eq!(world.dispute(), Some(open[1]), "what was denied is ruled on");
    finish(&mut world);
    assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
    for member in &world.order.committee()[..2] {
        assert_eq!((member.out.unwrap().fault, world.gain(member.account)), (Fault::FalseScore { claim: 0 }, -STAKE));
    }
    assert_eq!(world.pot as i128, 2 * STAKE, "nobody has challenged");
}

/// Who looks on cannot challenge what is open already, and not once the window is over: it must not close by itself.
#[test]
fn a_lie_does_not_stand_because_the_only_one_who_denied_it_has_lost_its_stake() {
    for for_false_score in [false, true] {
        let mut world = World::new(&terms(2, 2, 1, 5), 4);
        world.reach_scoring([run(0, 170, 171), run(1, 100, 100)]);
        let (mut lie, statements) = world.scores(0);
        lie[1].hidden = Some(grade(180));
        world.say_scores(0, lie, statements).unwrap();
        let (mut denial, mut statements) = world.scores(1);
        match for_false_score {
            true => denial[0].hidden = Some(grade(10)),
            false => statements[0] = B256::repeat_byte(0x77),
        }
        world.say_scores(1, denial, statements).unwrap();
        let call = world.challenge_statement(1, 0, None);
        let Call::Challenge { subject, .. } = call else { panic!("a challenge") };
        match for_false_score {
            true => world.rule(Subject::Score { claim: 0 }),
            false => {
                world.call(WATCHER, call).unwrap();
                world.rule(subject);
            }
        }
        assert!(world.order.committee()[1].out.is_some());
        assert_eq!(world.dispute(), Some(Subject::Score { claim: 1 }));
        finish(&mut world);
        assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
    }
}

#[test]
fn a_committee_of_liars_falls_to_one_who_challenges() {
    let mut world = contest();
    world.reach_scoring([run(0, 170, 171), run(1, 100, 100)]);
    for member in 0..4 {
        let (mut grades, statements) = world.scores(member);
        grades[1].hidden = Some(grade(180));
        world.say_scores(member, grades, statements).unwrap();
    }
    let subject = Subject::Score { claim: 1 };
    world.call(WATCHER, challenge(subject)).unwrap();
    assert_eq!(world.call(WATCHER, challenge(subject)), Err(Refusal::AlreadyOpen(subject)));
    world.rule(subject);
    assert_eq!(world.dispute(), Some(Subject::Score { claim: 0 }), "nobody is left who has said it");
    finish(&mut world);
    assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
    assert_eq!(world.gain(WATCHER), 4 * STAKE / 2 + BOUNTY);
    assert!((1..=4).all(|number| world.gain(account(number)) == -STAKE));
}

#[test]
fn a_lazy_validator_is_refused_what_it_copies_and_slashed_for_what_it_invents() {
    let mut world = contest();
    world.reach_scoring([run(0, 170, 171), run(1, 175, 174)]);
    world.score(0);
    let (grades, statements) = world.scores(0);
    let copied = world.say_scores(1, grades.clone(), statements);
    assert_eq!(copied, Err(Refusal::Copied(world.order.committee()[0].account)));
    let mut invented = world.scores(1).1;
    invented[1] = B256::repeat_byte(0x77);
    world.say_scores(1, grades, invented).unwrap();
    (2..4).for_each(|member| world.score(member));
    let call = world.challenge_statement(1, 1, None);
    let Call::Challenge { subject, path } = call.clone() else { panic!("a challenge") };
    let Subject::Evaluated { claim, member, .. } = subject else { panic!("an evaluation") };
    let put_into_its_mouth = Subject::Evaluated { claim, member, statement: B256::ZERO };
    let refused = world.call(WATCHER, Call::Challenge { subject: put_into_its_mouth, path });
    assert_eq!(refused, Err(Refusal::NotStated { member: 1 }));
    world.call(WATCHER, call).unwrap();
    world.rule(subject);
    world.wait();
    world.trace().unwrap();
    let lazy = world.order.committee()[1].account;
    assert_eq!(world.say_audit(1, world.audits(1)), Err(Refusal::NotYours { account: lazy, role: "committee" }));
    for (member, other) in [(0, 2), (2, 0)] {
        let statements = world.audits(other);
        if world.order.committee()[other].audit.is_some() && statements.len() == world.order.segments_of(member).len() {
            let copied = world.say_audit(member, statements);
            assert_eq!(copied, Err(Refusal::Copied(world.order.committee()[other].account)));
        }
        world.audit(member);
    }
    let mut invented = world.audits(3);
    let segment = world.order.segments_of(3)[0];
    invented[0] = B256::repeat_byte(0x78);
    world.say_audit(3, invented).unwrap();
    let call = world.challenge_statement(3, 1, Some(segment));
    world.call(WATCHER, call).unwrap();
    finish(&mut world);
    assert_eq!(world.ending(), Some(Ending::Final { claim: 1 }));
    let slashed = [1, 3].map(|member| world.order.committee()[member].account);
    assert_eq!(slashed.map(|account| world.gain(account)), [-STAKE; 2]);
    assert_eq!(world.gain(WATCHER), STAKE + BOUNTY, "two halves, and the bounty twice by half");
    let copied_and_paid = |payment: &&Payment| {
        matches!(payment.why, Why::Statements { .. }) && slashed.iter().any(|account| payment.to == Some(*account))
    };
    assert_eq!(world.paid.iter().find(copied_and_paid), None);
}

#[test]
fn a_requester_who_withholds_the_rows_loses_its_deposit_and_the_known_rows_decide() {
    let mut world = contest();
    world.claim(0, run(0, 170, 175));
    world.claim(1, run(1, 180, 171));
    world.now_ms += 1;
    world.draw(B256::ZERO);
    world.wait();
    assert_eq!((world.order.phase(), world.order.forfeit()), (Phase::Revealing, Some(Forfeit::Withheld)));
    (0..2).for_each(|claim| world.reveal(claim).unwrap());
    world.score_all();
    world.wait();
    finish(&mut world);
    assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
    assert_eq!(world.gain(worker(1)), (ETHER / 10) as i128, "half of the deposit");
    assert_eq!(world.gain(worker(0)), (ETHER / 10 + ETHER * 85 / 100) as i128);

    let mut world = World::new(&score_terms(2, 4), 4);
    world.claim(0, run(0, 170, 0));
    world.claim(1, run(1, 170, 0));
    world.now_ms += 1;
    world.draw(B256::ZERO);
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Void(Void::NoRows)));
    assert_eq!([0, 1].map(|number| world.gain(worker(number))), [(ETHER / 10) as i128; 2]);
    assert_eq!(world.gain(REQUESTER), -((ETHER / 5) as i128));
}

#[test]
fn a_poisoner_pays_the_best_by_the_known_rows_and_loses_its_deposit() {
    // Nobody can get the hidden rows right.
    let mut world = contest();
    world.reach_tracing([run(0, 15, 170), run(1, 20, 165)]);
    assert_eq!(world.order.leader(), Some(0), "the best of those that are suspiciously good on the known rows");
    assert_eq!(world.order.forfeit(), None, "a forger could have made it look so");
    finish(&mut world);
    assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
    assert_eq!(world.order.forfeit(), Some(Forfeit::Poisoned));
    assert_eq!(world.gain(worker(1)), (ETHER / 10) as i128);

    // Some reach the baseline by chance, and are as far below.
    let mut world = contest();
    let mut low = terms(2, 4, 2, 5);
    low.deal.baseline = "0.1".parse().unwrap();
    world.order = World::new(&low, 4).order;
    world.reach_tracing([run(0, 20, 175), run(1, 25, 165)]);
    assert_eq!(world.order.leader(), Some(1));
    finish(&mut world);
    assert_eq!((world.ending(), world.order.forfeit()), (Some(Ending::Final { claim: 0 }), Some(Forfeit::Poisoned)));
}

#[test]
fn a_forger_cannot_make_an_honest_requester_look_like_a_poisoner() {
    let mut world = contest();
    // Trained on the rows that everybody knows, and good at nothing else.
    let trained_on_fold = Truth { forged: Some(1), ..run(1, 90, 180) };
    world.reach_tracing([run(0, 155, 158), trained_on_fold]);
    assert_eq!(world.order.leader(), Some(1), "nobody reaches the baseline, and this one is suspicious");
    world.trace().unwrap();
    let subject = Subject::Segment { claim: 1, segment: 1 };
    world.call(WATCHER, challenge(subject)).unwrap();
    finish(&mut world);
    assert_eq!((world.ending(), world.order.forfeit()), (Some(Ending::Void(Void::NoneGood)), None));
    assert!(world.paid.iter().any(|payment| payment.why == Why::Deposit));
}

#[test]
fn an_accident_of_the_draw_is_no_poison() {
    let mut world = contest();
    world.reach_tracing([run(0, 163, 178), run(1, 100, 100)]);
    finish(&mut world);
    assert_eq!((world.ending(), world.order.forfeit()), (Some(Ending::Final { claim: 0 }), None));
}

#[test]
fn a_spammer_of_challenges_pays_more_than_the_reward_before_there_is_no_more_room() {
    let mut world = World::new(&terms(1, 4, 2, 80), 4);
    let segments = world.order.work().segments;
    world.reach_auditing([run(0, 170, 171)]);
    let subjects: Vec<_> = (0..segments).map(|segment| Subject::Segment { claim: 0, segment }).collect();
    subjects[..64].iter().for_each(|subject| world.call(WATCHER, challenge(*subject)).unwrap());
    assert_eq!(world.call(WATCHER, challenge(subjects[64])), Err(Refusal::TooManyChallenges));
    subjects[..64].iter().for_each(|subject| world.rule(*subject));
    assert_eq!(world.call(WATCHER, challenge(subjects[64])), Err(Refusal::TooManyChallenges));
    assert!(-world.gain(WATCHER) >= ETHER as i128);
    world.audit_all();
    world.wait();
    assert_eq!(world.ending(), Some(Ending::Final { claim: 0 }));
}

#[test]
fn challenges_that_have_become_pointless_cost_nothing_and_take_no_room() {
    let mut world = contest();
    world.reach_auditing(forged(3));
    for segment in [1, 2, 3] {
        world.call(WATCHER, challenge(Subject::Segment { claim: 1, segment })).unwrap();
    }
    world.rule(Subject::Segment { claim: 1, segment: 3 });
    assert_eq!(world.gain(WATCHER), 0, "all bonds are back");
    assert_eq!(world.dispute(), None);

    let mut world = contest();
    world.reach_scoring(forged(3));
    let (grades, _) = world.scores(1);
    world.say_scores(1, grades, vec![B256::repeat_byte(1), B256::repeat_byte(2)]).unwrap();
    [0, 2, 3].into_iter().for_each(|member| world.score(member));
    for claim in [0, 1] {
        let call = world.challenge_statement(1, claim, None);
        world.call(WATCHER, call).unwrap();
    }
    let subject = world.dispute().unwrap();
    world.rule(subject);
    assert_eq!((world.gain(WATCHER), world.dispute()), (0, None), "one lie is enough");
}

/// The second lie is nobody's any more when it is ruled on.
#[test]
fn who_challenges_two_lies_of_the_same_liars_loses_neither_bond() {
    let mut world = contest();
    world.reach_scoring([run(0, 170, 171), run(1, 100, 100)]);
    for member in 0..4 {
        let (_, statements) = world.scores(member);
        let lie = Grades { hidden: Some(grade(180)), fold: Some(grade(180)) };
        world.say_scores(member, vec![lie; 2], statements).unwrap();
    }
    for claim in [0, 1] {
        world.call(WATCHER, challenge(Subject::Score { claim })).unwrap();
    }
    for claim in [0, 1] {
        world.rule(Subject::Score { claim });
    }
    assert_eq!(world.gain(WATCHER), 0, "both are back");
    finish(&mut world);
    assert_eq!((world.ending(), world.gain(WATCHER)), (Some(Ending::Final { claim: 0 }), 4 * STAKE / 2 + BOUNTY));
}

/// The two halves that come back, with the bounty, are no more than what is lost, whatever the stakes are that are allowed.
#[test]
fn who_challenges_the_own_forgery_gains_nothing_at_the_least_stake_that_is_allowed() {
    let mut least = terms(2, 4, 2, 5);
    least.deal.money.worker = ETHER / 10;
    let mut world = World::new(&least, 4);
    world.reach_auditing(forged(3));
    let subject = Subject::Segment { claim: 1, segment: 3 };
    world.call(worker(1), challenge(subject)).unwrap();
    world.rule(subject);
    finish(&mut world);
    assert_eq!(world.gain(worker(1)), 0);
    least.deal.money.worker -= 1;
    let refused = World::with(&least, 4, 10 * ETHER).map(|_| ());
    let (is, least) = (ETHER / 10 - 1, ETHER / 10);
    assert_eq!(refused, Err(Refusal::Amount { what: "stake of a worker", is, least }));
}

/// Who will audit which segment is known before anything is revealed.
#[test]
fn a_forger_who_sees_an_honest_auditor_loses_no_less_by_being_late_than_by_challenging_itself() {
    let mut denounced = contest();
    denounced.reach_auditing(forged(3));
    let subject = Subject::Segment { claim: 1, segment: 3 };
    denounced.call(worker(1), challenge(subject)).unwrap();
    denounced.rule(subject);
    let mut unrevealed = contest();
    (0..).zip(forged(3)).for_each(|(number, truth)| unrevealed.claim(number, truth));
    unrevealed.now_ms += 1;
    unrevealed.draw(B256::ZERO);
    unrevealed.open();
    unrevealed.reveal(0).unwrap();
    unrevealed.wait();
    unrevealed.score_all();
    let mut untraced = contest();
    untraced.reach_tracing(forged(3));
    untraced.wait();
    for (mut world, loss) in [(denounced, STAKE / 2 - BOUNTY), (unrevealed, STAKE / 2), (untraced, STAKE / 2)] {
        finish(&mut world);
        assert_eq!((world.ending(), world.gain(worker(1))), (Some(Ending::Final { claim: 0 }), -loss));
    }
}

#[test]
fn only_validators_hand_in_rulings_and_only_on_what_is_open() {
    let mut world = contest();
    world.reach_auditing(forged(3));
    let subject = Subject::Segment { claim: 1, segment: 3 };
    let ruling = |verdict| Call::Ruling { subject, verdict };
    let early = world.call(account(1), ruling(Verdict::Holds(false)));
    assert_eq!(early, Err(Refusal::NotOpen(subject)));
    world.call(WATCHER, challenge(subject)).unwrap();
    let stranger = world.call(WATCHER, ruling(Verdict::Holds(false)));
    assert_eq!(stranger, Err(Refusal::NotYours { account: WATCHER, role: "validators" }));
    let other = world.call(account(1), ruling(Verdict::Grades(Grades::default())));
    assert_eq!(other, Err(Refusal::OtherVerdict(subject)));
    for (subject, what, number) in [
        (Subject::Segment { claim: 0, segment: 0 }, "claim", 0),
        (Subject::Segment { claim: 1, segment: 5 }, "segment", 5),
        (Subject::Score { claim: 0 }, "claim", 0),
    ] {
        assert_eq!(world.call(WATCHER, challenge(subject)), Err(Refusal::Unknown { what, number }));
    }
    let nobody = Subject::Audited { claim: 1, segment: 0, member: 9, statement: B256::ZERO };
    let refused = world.call(WATCHER, challenge(nobody));
    assert_eq!(refused, Err(Refusal::Unknown { what: "member", number: 9 }));
}
