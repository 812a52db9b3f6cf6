//! Every order of calls, of two workers and four validators: a worker, a validator and a challenger do whatever they
//! like, the others what they should, in any order.

use std::collections::HashSet;

use dtn_primitives::{B256, codec, keccak256};
use dtn_training::*;

use crate::world::{REQUESTER, Truth, WATCHER, World, account, run, score_terms, terms, worker};

/// The validator that may lie, and who challenges what is true.
const LIAR: u8 = 4;

/// What can happen next.
#[derive(Debug, Clone)]
enum Step {
    Call(dtn_primitives::Address, Call),
    /// A member states scores: these, with statements of its own work or invented ones.
    Scores(usize, Vec<Grades>, Vec<B256>),
    Audit(usize, Vec<B256>),
    /// The window ends.
    Wait,
}

/// Who keeps to the rules.
#[derive(Debug, Clone, Copy)]
struct Honest {
    requester: bool,
    second_worker: bool,
}

fn invented(count: usize) -> Vec<B256> {
    vec![B256::repeat_byte(0x99); count]
}

/// All that can happen: a window ends only when who is honest has nothing left to do in it.
fn steps(world: &World, honest: Honest) -> Vec<Step> {
    let mut steps = Vec::new();
    let order = &world.order;
    // Whether somebody honest still has something to do.
    let mut due = false;
    let disputes: Vec<_> = order.open_subjects().collect();
    match order.phase() {
        Phase::Opening => {
            due = honest.requester;
            steps.push(Step::Call(REQUESTER, Call::Open { rows: B256::repeat_byte(0x55) }));
        }
        Phase::Revealing => {
            for (number, claim) in (0..).zip(order.claims()) {
                if matches!(claim.stage, Stage::Committed(_)) {
                    due |= number == 0 || honest.second_worker;
                    let reveal = world.truth[usize::from(number)].reveal;
                    steps.push(Step::Call(claim.worker, Call::Reveal { claim: number, reveal }));
                }
            }
        }
        Phase::Scoring => due = scores(world, &mut steps),
        Phase::Tracing => {
            let claim = order.leader().unwrap();
            due = claim == 0 || honest.second_worker;
            steps.push(Step::Call(worker(claim), Call::Trace { claim }));
        }
        Phase::Auditing => {
            due = audits(world, &disputes, &mut steps);
            spam(world, &disputes, &mut steps);
        }
        Phase::Challenging => {
            due = watch(world, &disputes, &mut steps);
            spam(world, &disputes, &mut steps);
        }
        Phase::Ruling | Phase::Claiming | Phase::Drawing { .. } | Phase::Ended(_) => {}
    }
    if matches!(order.phase(), Phase::Auditing | Phase::Challenging | Phase::Ruling) {
        for subject in &disputes {
            let verdict = world.verdict(*subject);
            steps.push(Step::Call(account(1), Call::Ruling { subject: *subject, verdict }));
        }
        due |= order.phase() == Phase::Ruling;
    }
    if !due {
        steps.push(Step::Wait);
    }
    steps
}

fn scores(world: &World, steps: &mut Vec<Step>) -> bool {
    let mut due = false;
    for (place, member) in world.order.committee().iter().enumerate() {
        if member.scores.is_some() {
            continue;
        }
        let (grades, statements) = world.scores(place);
        steps.push(Step::Scores(place, grades.clone(), statements.clone()));
        if member.account == account(LIAR) {
            steps.push(Step::Scores(place, grades.clone(), invented(grades.len())));
            let worse = Grade { correct: 3, loss: 9 };
            let lie =
                |grades: &Grades| Grades { hidden: grades.hidden.map(|_| worse), fold: grades.fold.map(|_| worse) };
            steps.push(Step::Scores(place, grades.iter().map(lie).collect(), statements));
        } else {
            due = true;
        }
    }
    due
}

fn audits(world: &World, disputes: &[Subject], steps: &mut Vec<Step>) -> bool {
    let mut due = false;
    let claim = world.order.leader().unwrap();
    for (place, member) in world.order.committee().iter().enumerate() {
        let segments = world.order.segments_of(place);
        if member.audit.is_some() || member.out.is_some() || segments.is_empty() {
            continue;
        }
        let forged = world.truth[usize::from(claim)].forged.filter(|segment| segments.contains(segment));
        if member.account == account(LIAR) {
            steps.push(Step::Audit(place, world.audits(place)));
            steps.push(Step::Audit(place, invented(segments.len())));
        } else if let Some(segment) = forged {
            let subject = Subject::Segment { claim, segment };
            if !disputes.contains(&subject) {
                due = true;
                steps.push(Step::Call(member.account, Call::Challenge { subject, path: Vec::new() }));
            }
        } else {
            due = true;
            steps.push(Step::Audit(place, world.audits(place)));
        }
    }
    due
}

/// Challenges of what is false.
fn watch(world: &World, disputes: &[Subject], steps: &mut Vec<Step>) -> bool {
    let before = steps.len();
    let order = &world.order;
    let mut challenge = |subject: Subject, call: Call| {
        if !disputes.contains(&subject) {
            steps.push(Step::Call(WATCHER, call));
        }
    };
    if let Some(claim) = order.leader()
        && let Some(segment) = world.truth[usize::from(claim)].forged
    {
        let subject = Subject::Segment { claim, segment };
        challenge(subject, Call::Challenge { subject, path: Vec::new() });
    }
    for ((place, claim, segment), said) in &world.said {
        let member = &order.committee()[*place];
        let is_now = match order.leader() {
            None => segment.is_none(),
            Some(leader) => *claim == leader && segment.is_some() && member.audit.is_some(),
        };
        if is_now && member.out.is_none() && world.statement(*place, *claim, *segment) != *said {
            let call = world.challenge_statement(*place, *claim, *segment);
            let Call::Challenge { subject, .. } = &call else { continue };
            challenge(*subject, call.clone());
        }
    }
    steps.len() > before
}

/// Challenges of what is true, one at a time and not without end.
fn spam(world: &World, disputes: &[Subject], steps: &mut Vec<Step>) {
    let spent = world.paid.iter().filter(|payment| matches!(payment.why, Why::LostBond { .. })).count();
    let subject = match world.order.leader() {
        None => Subject::Score { claim: 0 },
        Some(claim) if world.truth[usize::from(claim)].forged == Some(0) => return,
        Some(claim) => Subject::Segment { claim, segment: 0 },
    };
    if spent == 0 && disputes.is_empty() {
        steps.push(Step::Call(account(LIAR), Call::Challenge { subject, path: Vec::new() }));
    }
}

fn take(world: &World, step: Step) -> Option<World> {
    let mut world = world.clone();
    match step {
        Step::Wait => world.wait(),
        Step::Call(who, Call::Challenge { subject, path }) => {
            match world.call(who, Call::Challenge { subject, path }) {
                Ok(()) => {}
                Err(Refusal::AlreadyOpen(_) | Refusal::Settled(_)) => return None,
                Err(refusal) => panic!("{refusal}"),
            }
        }
        Step::Call(who, call) => world.call(who, call).unwrap(),
        Step::Scores(place, grades, statements) => world.say_scores(place, grades, statements).unwrap(),
        Step::Audit(place, statements) => world.say_audit(place, statements).unwrap(),
    }
    Some(world)
}

/// What tells worlds apart: time does not, but for what is left of a window.
fn key(world: &World) -> B256 {
    let mut bytes = codec::encode(&world.order);
    bytes.extend(codec::encode(&world.free.iter().collect::<Vec<_>>()));
    bytes.extend(codec::encode(&world.pot));
    keccak256(bytes)
}

fn check(world: &World, honest: Honest) {
    let order = &world.order;
    let ending = world.ending().unwrap();
    assert!(world.gain(worker(0)) >= 0 && world.gain(WATCHER) >= 0, "{ending:?}");
    assert!((1..LIAR).all(|number| world.gain(account(number)) >= 0), "{ending:?}: {:?}", world.order.committee());
    assert!(!honest.second_worker || world.gain(worker(1)) >= 0);
    assert!(!honest.requester || order.forfeit().is_none());
    let is_trace = order.work().segments > 0;
    match ending {
        Ending::Final { claim } => {
            let truth = &world.truth[usize::from(claim)];
            assert!(!is_trace || truth.forged.is_none(), "what is forged has won");
            // The second is the better one.
            let second = &order.claims()[1];
            let second_stands = !second.late && (!is_trace || world.truth[1].forged.is_none());
            assert_eq!(claim, u8::from(second_stands));
        }
        Ending::Void(Void::NoRows) => assert!(!honest.requester && !is_trace),
        Ending::Void(void) => panic!("{void}"),
    }
    for claim in order.scored_claims() {
        assert!(order.claims()[usize::from(claim)].grades.is_none_or(|grades| grades == world.grades(claim as u8)));
    }
    for ((place, claim, segment), said) in &world.said {
        let counted = segment.is_none() || order.claims()[usize::from(*claim)].audited;
        if counted && world.statement(*place, *claim, *segment) != *said {
            let account = order.committee()[*place].account;
            let paid = |payment: &Payment| payment.to == Some(account) && matches!(payment.why, Why::Statements { .. });
            assert!(!world.paid.iter().any(paid), "what was invented is paid");
        }
    }
}

/// All worlds that one leads to, and how many ends they have.
fn explore(start: World, honest: Honest) -> (usize, usize) {
    let mut seen = HashSet::from([key(&start)]);
    let (mut open, mut ends) = (vec![start], 0);
    while let Some(world) = open.pop() {
        if world.ending().is_some() {
            check(&world, honest);
            ends += 1;
            continue;
        }
        let steps = steps(&world, honest);
        assert!(!steps.is_empty(), "nothing can happen: {:?}", world.order.phase());
        for next in steps.into_iter().filter_map(|step| take(&world, step)) {
            // The clock stands still but where a window ends.
            if seen.insert(key(&next)) {
                open.push(next);
            }
        }
    }
    (seen.len(), ends)
}

fn start(terms: &Terms, forged: Option<u16>) -> World {
    let mut world = World::new(terms, 4);
    world.claim(0, run(0, 170, 171));
    world.claim(1, Truth { forged, ..run(1, 175, 176) });
    world.now_ms += 1;
    world.draw(B256::repeat_byte(0xbe));
    world
}

#[test]
fn in_every_order_of_calls_of_two_workers_and_four_validators_the_promises_hold() {
    let mut all = (0, 0);
    for forged in [None, Some(0), Some(1)] {
        for requester in [true, false] {
            for second_worker in [true, false] {
                let honest = Honest { requester, second_worker };
                if second_worker && forged.is_some() {
                    continue;
                }
                let (worlds, ends) = explore(start(&terms(2, 4, 2, 2), forged), honest);
                all = (all.0 + worlds, all.1 + ends);
            }
        }
    }
    println!("{} worlds, {} ends", all.0, all.1);
    assert!(all.0 > 10_000 && all.1 > 100);
}

#[test]
fn the_same_holds_where_only_scores_count() {
    for requester in [true, false] {
        let honest = Honest { requester, second_worker: false };
        let (worlds, ends) = explore(start(&score_terms(2, 4), None), honest);
        println!("{worlds} worlds, {ends} ends");
        assert!(ends > 5);
    }
}
