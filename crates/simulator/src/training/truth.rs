//! What is true of claims, which nobody in the game can change: grades, false segments, and what work shows.

use std::ops::Range;

use dtn_primitives::{B256, keccak256};
use dtn_training::{Grade, Grades, Order, Reveal, Subject, Verdict};
use rand::{Rng, rngs::StdRng};
use rand_distr::{Binomial, Distribution, Normal};

use super::{
    bank::address,
    school::{Exam, Made},
    setup::{Account, Market},
    strategy::{Role, Strategy},
};

/// The part of all rows that an honest model gets right: its mean, and its standard deviation among models.
const SKILL: (f64, f64) = (0.92, 0.01);
/// The same of a model that was trained otherwise than ordered.
const STOLEN_SKILL: f64 = 0.99;
/// How many trainings a grinder chooses from.
const TRIES: u16 = 3;

/// A claim as it is in truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) worker: usize,
    pub(super) strategy: Strategy,
    pub(super) colludes: bool,
    pub(super) reveal: Reveal,
    pub(super) grades: Grades,
    /// The segments that do not lead where the trace says.
    pub(super) falsehoods: Range<u16>,
    /// What it took, in multiplications.
    pub(super) macs: u64,
}

/// A part of so many rows that are right, by chance.
fn grade(rows: u32, skill: f64, rng: &mut StdRng) -> Grade {
    let skill = skill.clamp(0.0, 1.0);
    let correct = Binomial::new(rows.into(), skill).map_or(0, |rights| rights.sample(rng)) as u32;
    let loss = (u64::from(rows - correct.min(rows)) << 16) + rng.random_range(0..1 << 16);
    Grade { correct, loss }
}

/// What a model of this skill is worth: each row is right with that probability, or with that of a guess among those that a
/// poisoner draws.
fn grades(market: &Market, skill: [f64; 2], poisoned: bool, rng: &mut StdRng) -> Grades {
    let deal = &market.terms.deal;
    let hidden = if poisoned { 1.0 / f64::from(deal.classes.max(1)) } else { skill[0] };
    let fold = market.work.fold.map_or(0, |fold| fold.rows);
    Grades { hidden: Some(grade(deal.draw, hidden, rng)), fold: Some(grade(fold, skill[1], rng)) }
}

fn skill(rng: &mut StdRng) -> f64 {
    let (mean, deviation) = SKILL;
    Normal::new(mean, deviation).map_or(mean, |skills| skills.sample(rng)).min(0.98)
}

/// What claims on an order are worth.
pub(super) struct Worth<'a> {
    pub(super) market: &'a Market,
    /// Whether the requester draws rows that nobody gets right.
    pub(super) poisoned: bool,
    /// Where models are really trained.
    pub(super) exam: Option<Exam<'a>>,
}

impl Worth<'_> {
    fn of(&self, made: Made, worker: usize, rng: &mut StdRng) -> Grades {
        if let Some(exam) = &self.exam {
            return exam.grades(made, address(worker));
        }
        let skill = match made {
            Made::AsOrdered(_) => [skill(rng); 2],
            Made::Otherwise => [STOLEN_SKILL; 2],
            Made::OnTheFold => [SKILL.0, 1.0],
        };
        grades(self.market, skill, self.poisoned, rng)
    }
}

impl Run {
    /// What an account has to claim.
    pub(super) fn of(worth: &Worth<'_>, (worker, account): (usize, Account), attempt: u16, rng: &mut StdRng) -> Self {
        let work = &worth.market.work;
        let (segments, training) = (work.segments, work.training);
        let strategy = if account.colludes { Strategy::Forger } else { account.within(Role::Worker) };
        let mut made = |made: Made| worth.of(made, worker, rng);
        let (grades, falsehoods, macs) = match strategy {
            Strategy::Thief => (made(Made::Otherwise), 0..segments, 0),
            Strategy::Forger => {
                let grades = made(Made::Otherwise);
                let segment = rng.random_range(0..segments);
                (grades, segment..segment + 1, training - work.segment)
            }
            Strategy::Splicer => (made(Made::Otherwise), segments / 2..segments, training / 2),
            Strategy::TestTrainer => (made(Made::OnTheFold), segments - 1..segments, training),
            Strategy::ClaimSpammer => (Grades::default(), 0..segments, 0),
            Strategy::Grinder => {
                let tries = (0..TRIES).map(|number| made(Made::AsOrdered(attempt * TRIES + number)));
                let best = tries.max_by_key(|grades| grades.fold.map_or(0, |grade| grade.correct));
                (best.unwrap_or_default(), 0..0, training * u64::from(TRIES))
            }
            _ => (made(Made::AsOrdered(attempt * TRIES)), 0..0, training),
        };
        let [model, trace] = [B256::from(rng.random::<[u8; 32]>()), B256::from(rng.random::<[u8; 32]>())];
        let reveal = Reveal { model, trace, point: 0, attempt, payee: address(worker) };
        Self { worker, strategy, colludes: account.colludes, reveal, grades, falsehoods, macs }
    }

    /// What it is worth on the tables that there are.
    pub(super) fn grades(&self, order: &Order) -> Grades {
        let Grades { hidden, fold } = self.grades;
        Grades { hidden: hidden.filter(|_| order.rows().is_some()), fold }
    }

    pub(super) fn is_false(&self) -> bool {
        !self.falsehoods.is_empty()
    }
}

/// What only the work on a claim, or on a segment of it, shows to a member: nobody else comes to the same.
pub(super) fn shown(order: &Order, member: usize, claim: u8, segment: Option<u16>) -> B256 {
    let account = order.committee()[member].account;
    let of = order.revealed(claim).map(|reveal| reveal.trace).unwrap_or_default();
    keccak256([&account[..], &of[..], &segment.map_or(u32::MAX, u32::from).to_be_bytes()].concat())
}

/// What a member states who has not done the work.
pub(super) fn invented(order: &Order, member: usize, number: u16) -> B256 {
    let account = order.committee()[member].account;
    keccak256([&b"invented"[..], &account[..], &number.to_be_bytes()].concat())
}

/// What all peers find.
pub(super) fn verdict(order: &Order, runs: &[Run], subject: Subject) -> Verdict {
    let shows = |claim, member: u8, segment, statement| {
        Verdict::Holds(shown(order, member.into(), claim, segment) == statement)
    };
    match subject {
        Subject::Score { claim } => Verdict::Grades(runs[usize::from(claim)].grades(order)),
        Subject::Segment { claim, segment } => Verdict::Holds(!runs[usize::from(claim)].falsehoods.contains(&segment)),
        Subject::Evaluated { claim, member, statement } => shows(claim, member, None, statement),
        Subject::Audited { claim, segment, member, statement } => shows(claim, member, Some(segment), statement),
    }
}
