//! Random orders among accounts that each follow a strategy, in a random order and at random times within the windows.
//! What the design promises is checked at the end of each.
//!
//! A failure prints the plan, with the seed of its schedule. `DTN_SEED` adds that schedule to those that are tried, and
//! `PROPTEST_CASES` says how many plans there are.

use std::collections::BTreeMap;

use dtn_primitives::{Address, B256};
use dtn_training::*;
use proptest::prelude::*;

use crate::world::{PURSE, REQUESTER, Truth, WATCHER, World, grade, run, score_terms, terms, worker};

/// Who challenges what is true.
pub(crate) const SPAMMER: Address = Address::repeat_byte(0xdd);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worker {
    Honest,
    /// Shows another's model: its first segment is not that of its seed.
    Thief,
    /// Has a false segment to a state that it has from elsewhere.
    Splicer,
    /// Has a false segment to a model that knows the hidden rows.
    TestTrainer,
    /// Has a false segment to a model that knows only the rows that everybody knows.
    FoldTrainer,
    NoReveal,
    NoTrace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validator {
    Honest,
    /// States nothing.
    Idle,
    /// States scores, and audits nothing.
    NoAudit,
    /// Says what others say, and does no work.
    Copier,
    /// Says with others of its kind that the last claim is the best, and that whatever leads holds.
    Liar,
    /// Evaluates, and vouches for segments that it has trained again and seen to be false.
    Blind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requester {
    Honest,
    Withholder,
    Poisoner,
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) trace: bool,
    segments: u32,
    redundancy: u8,
    pub(crate) workers: Vec<Worker>,
    pub(crate) validators: Vec<Validator>,
    pub(crate) requester: Requester,
    /// Whether somebody honest looks on.
    pub(crate) watched: bool,
    /// How many false challenges there are.
    pub(crate) spam: u8,
    seed: u64,
}

impl Plan {
    /// At most f of 3f + 1 validators are not honest.
    fn any() -> impl Strategy<Value = Self> {
        use Worker::*;
        let worker = prop_oneof![
            4 => Just(Honest),
            1 => prop::sample::select(vec![Thief, Splicer, TestTrainer, FoldTrainer, NoReveal, NoTrace]),
        ];
        let liars = prop::sample::select(vec![
            Validator::Idle,
            Validator::NoAudit,
            Validator::Copier,
            Validator::Liar,
            Validator::Blind,
        ]);
        let requester = prop_oneof![
            4 => Just(Requester::Honest),
            1 => Just(Requester::Withholder),
            1 => Just(Requester::Poisoner),
        ];
        let validators = (4usize..11).prop_flat_map(move |count| {
            prop::collection::vec(liars.clone(), 0..=(count - 1) / 3).prop_map(move |mut liars| {
                liars.resize(count, Validator::Honest);
                liars
            })
        });
        let workers = prop::collection::vec(worker, 1..6);
        let few = (prop::bool::weighted(0.8), 1u32..9, 1u8..4, prop::bool::weighted(0.8), 0u8..4, any::<u64>());
        (few, workers, validators.prop_shuffle(), requester).prop_map(
            |((trace, segments, redundancy, watched, spam, seed), workers, validators, requester)| Self {
                trace,
                segments,
                redundancy,
                workers,
                validators,
                requester,
                watched,
                spam,
                seed,
            },
        )
    }
}

/// A stream of numbers that are alike for a seed, by SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound.max(1)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len()).rev().for_each(|last| items.swap(last, self.below(last as u64 + 1) as usize));
    }
}

pub(crate) struct Play {
    pub(crate) plan: Plan,
    pub(crate) world: World,
    dice: Dice,
    pub(crate) spam_left: u8,
    /// How long blocks came after deadlines, in all.
    pub(crate) delays_ms: u64,
}

impl Play {
    fn new(plan: &Plan) -> Self {
        let validators = plan.validators.len() as u8;
        let claims = plan.workers.len() as u8 + 1;
        let committee = validators.min(7);
        let terms = if plan.trace {
            terms(claims, committee, plan.redundancy.min(committee), plan.segments)
        } else {
            score_terms(claims, committee)
        };
        let mut world = World::new(&terms, validators);
        world.free.insert(SPAMMER, PURSE);
        Self { plan: plan.clone(), world, dice: Dice(plan.seed), spam_left: plan.spam, delays_ms: 0 }
    }

    fn truth(&mut self, number: usize) -> Truth {
        let good = 150 + self.dice.below(30) as u32;
        let poisoned = self.plan.requester == Requester::Poisoner;
        let hidden = |correct: u32| if poisoned { correct / 12 } else { correct };
        let segments = u64::from(self.plan.segments);
        let near = good - 3 + self.dice.below(7) as u32;
        let number = number as u8;
        let mut truth = run(number, hidden(good), near.min(180));
        let (correct, forged) = match self.plan.workers[usize::from(number)] {
            Worker::Honest | Worker::NoReveal | Worker::NoTrace => return truth,
            Worker::Thief => ((hidden(178), 178), 0),
            Worker::Splicer => ((hidden(176), 177), self.dice.below(segments)),
            Worker::TestTrainer => ((180, 179), segments - 1),
            Worker::FoldTrainer => ((hidden(60), 180), self.dice.below(segments)),
        };
        truth.grades = Grades { hidden: Some(grade(correct.0)), fold: Some(grade(correct.1)) };
        truth.forged = self.plan.trace.then_some(forged as u16);
        truth
    }

    /// To the end. At each turn all who have something to do now do it, in a random order and at random times of the
    /// window.
    fn play(&mut self) {
        for _ in 0..1_000 {
            match self.world.order.phase() {
                Phase::Ended(_) => return,
                Phase::Claiming => self.claims(),
                Phase::Drawing { .. } => {
                    self.world.now_ms += 1 + self.dice.below(9);
                    let beacon = B256::from(alloy(self.dice.below(u64::MAX)));
                    self.world.draw(beacon);
                }
                phase => self.turn(phase),
            }
        }
        panic!("the order does not end: {:?}", self.world.order);
    }

    fn claims(&mut self) {
        for number in 0..self.plan.workers.len() {
            let truth = self.truth(number);
            self.world.now_ms += self.dice.below(100);
            self.world.claim(number as u8, truth);
        }
        self.pass();
    }

    fn pass(&mut self) {
        let delay = self.dice.below(50);
        self.world.now_ms = self.world.now_ms.max(self.world.order.deadline_ms()) + delay;
        self.delays_ms += delay + 1;
        self.world.wait();
    }

    fn turn(&mut self, phase: Phase) {
        let now = |order: &Order| (order.phase(), order.leader(), order.deadline_ms());
        let begun = now(&self.world.order);
        let validators: Vec<_> = self.world.validators().collect();
        let mut actors: Vec<_> = validators.into_iter().chain([REQUESTER, WATCHER, SPAMMER]).collect();
        actors.extend((0..self.plan.workers.len() as u8).map(worker));
        self.dice.shuffle(&mut actors);
        for actor in actors {
            self.babble();
            let left = self.world.order.deadline_ms().saturating_sub(self.world.now_ms);
            self.world.now_ms += self.dice.below(left / 20);
            if now(&self.world.order) != begun {
                return;
            }
            self.act(actor, phase);
        }
        // What was stated last can be looked at before the window is over, and what was challenged last be ruled on.
        if phase == Phase::Challenging {
            self.act(WATCHER, phase);
        }
        if self.dice.below(2) == 0 || phase == Phase::Ruling {
            self.rule();
        }
        if now(&self.world.order) == begun {
            self.pass();
        }
    }

    /// Says something that makes no sense, which is refused and changes nothing.
    fn babble(&mut self) {
        let claim = self.dice.below(70) as u8;
        let (statement, segment) = (B256::repeat_byte(claim), self.dice.below(500) as u16);
        let grades = vec![Grades::default(); usize::from(claim % 3)];
        let reveal = Reveal { payee: SPAMMER, ..run(claim, 0, 0).reveal };
        let evaluated = Subject::Evaluated { claim, member: claim % 9, statement };
        let audited = Subject::Audited { claim, segment, member: claim % 9, statement };
        let call = match self.dice.below(8) {
            0 => Call::Open { rows: statement },
            1 => Call::Reveal { claim, reveal },
            2 => Call::Scores { grades, statements: vec![statement; 3] },
            3 => Call::Trace { claim },
            4 => Call::Audit { claim, statements: vec![statement; usize::from(claim)] },
            5 => Call::Challenge { subject: evaluated, path: vec![statement; usize::from(claim % 4)] },
            6 => Call::Challenge { subject: audited, path: Vec::new() },
            _ => Call::Ruling { subject: Subject::Segment { claim, segment }, verdict: Verdict::Holds(false) },
        };
        assert!(self.world.call(SPAMMER, call).is_err());
    }

    fn act(&mut self, actor: Address, phase: Phase) {
        if let Some(number) = (0..self.plan.workers.len()).find(|number| worker(*number as u8) == actor) {
            return self.work(number, phase);
        }
        if let Some(place) = self.world.order.committee().iter().position(|member| member.account == actor) {
            let kind = self.kind(actor);
            match phase {
                Phase::Scoring => self.score(place, kind),
                Phase::Auditing => self.audit(place, kind),
                _ => {}
            }
        }
        match (actor, phase) {
            (REQUESTER, Phase::Opening) if self.plan.requester != Requester::Withholder => self.world.open(),
            (WATCHER, Phase::Challenging) if self.plan.watched => self.watch(),
            (SPAMMER, Phase::Challenging | Phase::Auditing) if self.spam_left > 0 => self.spam(),
            _ => {}
        }
    }

    pub(crate) fn kind(&self, validator: Address) -> Validator {
        self.plan.validators[usize::from(validator[0]) - 1]
    }

    fn work(&mut self, number: usize, phase: Phase) {
        let kind = self.plan.workers[number];
        match phase {
            Phase::Revealing if kind != Worker::NoReveal => self.world.reveal(number as u8).unwrap(),
            Phase::Tracing if kind != Worker::NoTrace && self.world.order.leader() == Some(number as u8) => {
                self.world.trace().unwrap();
            }
            // Not its turn: that is refused, and costs nothing.
            Phase::Scoring | Phase::Tracing if kind != Worker::NoTrace => {
                let refused = self.world.call(worker(number as u8), Call::Trace { claim: number as u8 });
                assert!(refused.is_err());
            }
            _ => {}
        }
    }

    fn score(&mut self, place: usize, kind: Validator) {
        let (mut grades, mut statements) = self.world.scores(place);
        match kind {
            Validator::Idle => return,
            Validator::Honest | Validator::NoAudit | Validator::Blind => {}
            Validator::Copier => {
                let others = (0..self.world.order.committee().len())
                    .find(|other| *other != place && self.world.order.committee()[*other].scores.is_some());
                if let Some(other) = others {
                    let copied = self.world.scores(other).1;
                    let theirs = self.world.order.scored_claims();
                    let said =
                        theirs.iter().map(|claim| self.world.said[&(other, *claim as u8, None)]).collect::<Vec<_>>();
                    assert!(
                        copied != said
                            || matches!(self.world.say_scores(place, grades.clone(), said), Err(Refusal::Copied(_)))
                    );
                }
                statements.fill(B256::repeat_byte(200 + place as u8));
            }
            Validator::Liar => {
                if let Some(last) = grades.last_mut() {
                    last.hidden = last.hidden.map(|_| grade(180));
                    last.fold = last.fold.map(|_| grade(180));
                }
            }
        }
        self.world.say_scores(place, grades, statements).unwrap();
    }

    fn audit(&mut self, place: usize, kind: Validator) {
        let member = &self.world.order.committee()[place];
        let (claim, segments) = (self.world.order.leader().unwrap(), self.world.order.segments_of(place));
        if member.out.is_some() || member.audit.is_some() || segments.is_empty() {
            return;
        }
        let mut statements = self.world.audits(place);
        match kind {
            Validator::Idle | Validator::NoAudit => return,
            Validator::Blind => {}
            Validator::Copier | Validator::Liar => statements.fill(B256::repeat_byte(200 + place as u8)),
            Validator::Honest => {
                if let Some(segment) = self.world.truth[usize::from(claim)].forged.filter(|one| segments.contains(one))
                {
                    let account = member.account;
                    return self.challenge(account, Subject::Segment { claim, segment });
                }
            }
        }
        self.world.say_audit(place, statements).unwrap();
    }

    /// Stakes a bond on something that is false. Others may have been faster.
    fn challenge(&mut self, by: Address, subject: Subject) {
        match self.world.call(by, Call::Challenge { subject, path: Vec::new() }) {
            Ok(()) | Err(Refusal::AlreadyOpen(_) | Refusal::Settled(_)) => {}
            Err(refusal) => panic!("{refusal}"),
        }
    }

    /// Challenges everything that is false, as far as it stands.
    fn watch(&mut self) {
        if let Some(claim) = self.world.order.leader() {
            if let Some(segment) = self.world.truth[usize::from(claim)].forged {
                self.challenge(WATCHER, Subject::Segment { claim, segment });
            }
        } else {
            for claim in self.world.order.scored_claims() {
                let (claim, grades) = (claim as u8, self.world.grades(claim as u8));
                let opinions = &self.world.order.claims()[usize::from(claim)].opinions;
                if opinions.iter().any(|opinion| opinion.grades != grades) {
                    self.challenge(WATCHER, Subject::Score { claim });
                }
            }
        }
        let leader = self.world.order.leader();
        for place in 0..self.world.order.committee().len() {
            let member = &self.world.order.committee()[place];
            if member.out.is_some() || (leader.is_some() && member.audit.is_none()) {
                continue;
            }
            let about = |(of, claim, segment): &(usize, u8, Option<u16>)| {
                *of == place && leader.map_or(segment.is_none(), |leader| *claim == leader && segment.is_some())
            };
            let mut said = self.world.said.iter().filter(|(key, _)| about(key));
            let false_one =
                said.find(|((_, claim, segment), said)| self.world.statement(place, *claim, *segment) != **said);
            if let Some((_, claim, segment)) = false_one.map(|(key, _)| *key) {
                let call = self.world.challenge_statement(place, claim, segment);
                match self.world.call(WATCHER, call) {
                    Ok(()) | Err(Refusal::AlreadyOpen(_)) => {}
                    Err(refusal) => panic!("{refusal}"),
                }
            }
        }
    }

    /// Challenges something that is true, if it is taken.
    fn spam(&mut self) {
        let claims = self.world.order.claims().len() as u64;
        let claim = self.world.order.leader().unwrap_or(self.dice.below(claims) as u8);
        let segment = self.dice.below(self.plan.segments.into()) as u16;
        let subject = match self.world.order.leader() {
            Some(_) => Subject::Segment { claim, segment },
            None => Subject::Score { claim },
        };
        let is_true =
            self.world.truth[usize::from(claim)].forged != Some(segment) && self.world.order.leader().is_some();
        if is_true && self.world.call(SPAMMER, Call::Challenge { subject, path: Vec::new() }).is_ok() {
            self.spam_left -= 1;
        }
    }

    /// What honest validators do as soon as something is open, each in its own order.
    fn rule(&mut self) {
        if matches!(self.world.order.phase(), Phase::Auditing | Phase::Challenging | Phase::Ruling) {
            let mut subjects: Vec<_> = self.world.order.open_subjects().collect();
            self.dice.shuffle(&mut subjects);
            for subject in subjects {
                if self.world.order.open_subjects().any(|open| open == subject) {
                    self.world.rule(subject);
                }
            }
        }
    }
}

fn alloy(word: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&word.to_be_bytes());
    bytes
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: number("PROPTEST_CASES").unwrap_or(2_000) as u32,
        failure_persistence: None,
        max_shrink_iters: 5_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whoever_deviates_and_however_calls_fall_no_honest_account_loses_and_the_best_true_model_wins(
        mut plan in Plan::any(),
    ) {
        plan.seed = number("DTN_SEED").unwrap_or(plan.seed);
        let mut play = Play::new(&plan);
        play.play();
        play.check();
    }
}

/// How a strategy ends, in numbers that are printed by `--nocapture`: nothing of what the plans are for goes untried.
#[test]
fn random_plans_reach_every_ending_and_every_fault() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..3_000 {
        let plan = proptest::strategy::ValueTree::current(&Plan::any().new_tree(&mut runner).unwrap());
        let mut play = Play::new(&plan);
        play.play();
        let order = &play.world.order;
        let ending = match play.world.ending().unwrap() {
            Ending::Final { .. } => "Final".to_owned(),
            Ending::Void(void) => format!("{void:?}"),
        };
        let outs = order.claims().iter().filter_map(|claim| claim.out);
        let outs = outs.chain(order.committee().iter().filter_map(|member| member.out));
        let faults = outs.map(|out| format!("{:?}", out.fault).split(' ').next().unwrap().to_owned());
        let forfeit = order.forfeit().map(|forfeit| format!("{forfeit:?}"));
        for what in faults.chain([ending]).chain(forfeit) {
            *reached.entry(what).or_default() += 1;
        }
    }
    println!("{reached:?}");
    let expected = [
        "Final",
        "NoneGood",
        "NoRows",
        "NoReveal",
        "Forged",
        "FalseScore",
        "FalseAudit",
        "NoWork",
        "Withheld",
        "Poisoned",
    ];
    for what in expected {
        assert!(reached.get(what).is_some_and(|times| *times >= 5), "{what}: {reached:?}");
    }
}
