//! A world in which an order lives: balances, a clock, and what is true. Everything that moves is added up at every step,
//! and the state is written and read again, as a host does that restarts.

use std::collections::BTreeMap;

use dtn_primitives::{Address, B256, codec, keccak256};
use dtn_train::{Family, Fraction, Grid, Recipe};
use dtn_training::*;

pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(crate) const SECOND: u64 = 1_000;
/// What everybody has at the beginning.
pub(crate) const PURSE: u128 = 1_000 * ETHER;

pub(crate) fn account(number: u8) -> Address {
    Address::repeat_byte(number)
}

pub(crate) const REQUESTER: Address = Address::repeat_byte(0xee);
/// Anybody who looks on: neither worker nor validator.
pub(crate) const WATCHER: Address = Address::repeat_byte(0xcc);

/// The validators have the addresses 1 to n, workers those from 64 on.
pub(crate) fn worker(number: u8) -> Address {
    account(64 + number)
}

pub(crate) fn network(validators: u16) -> Network {
    Network {
        view_timeout_ms: 100,
        ruling_ms: 300,
        max_life_ms: 30 * 24 * 3_600 * SECOND,
        max_state_bytes: 64 << 10,
        price: 1,
        validators,
    }
}

/// Softmax regression of ten classes: so many segments, of which the last is shorter.
pub(crate) fn terms(claims: u8, committee: u8, redundancy: u8, segments: u32) -> Terms {
    let fraction = |text: &str| vec![text.parse().unwrap()];
    let grid = Grid { learning_rate: fraction("0.05"), momentum: fraction("0.9"), ..Grid::default() };
    let recipe = Box::new(Recipe { family: Family::Linear, grid, epochs: 1, batch: 32, segment_steps: 20 });
    let data = Table { root: B256::repeat_byte(0xda), rows: 32 * (20 * segments - 5) };
    let fold = Table { root: B256::repeat_byte(0xf0), rows: 180 };
    let proof = Proof::Trace(Material { recipe, data, features: 64, fold });
    Terms { proof, deal: deal(claims, committee, redundancy) }
}

/// Whatever training, ranked by scores.
pub(crate) fn score_terms(claims: u8, committee: u8) -> Terms {
    let material = terms(claims, committee, 1, 5).proof.material().clone();
    Terms { proof: Proof::Score { material, row_macs: 650 }, deal: deal(claims, committee, 1) }
}

fn deal(claims: u8, committee: u8, redundancy: u8) -> Deal {
    let reward = ETHER;
    let windows = Windows {
        claim: 10 * SECOND,
        draw: 20 * SECOND,
        open: 3 * SECOND,
        reveal: 4 * SECOND,
        score: 5 * SECOND,
        challenge: 6 * SECOND,
        ruling: 20 * SECOND,
        trace: 3 * SECOND,
        audit: 7 * SECOND,
    };
    Deal {
        classes: 10,
        holdout: Table { root: B256::repeat_byte(0x40), rows: 900 },
        draw: 180,
        baseline: Fraction(65536 * 9 / 10),
        money: Money { reward, deposit: reward / 5, worker: reward / 4, member: reward / 4, bond: reward / 50 },
        windows,
        claims,
        committee,
        redundancy,
        beacon: Beacon::Round,
    }
}

/// What a claim is in truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) reveal: Reveal,
    pub(crate) grades: Grades,
    /// A segment that does not hold.
    pub(crate) forged: Option<u16>,
}

pub(crate) fn grade(correct: u32) -> Grade {
    Grade { correct, loss: u64::from(180 - correct.min(180)) << 16 }
}

/// A run of somebody, with so many rows right on both tables.
pub(crate) fn run(number: u8, hidden: u32, fold: u32) -> Truth {
    let root = |tag: u8| keccak256([number, tag]);
    let reveal = Reveal { model: root(1), trace: root(2), point: 0, attempt: number.into(), payee: worker(number) };
    Truth { reveal, grades: Grades { hidden: Some(grade(hidden)), fold: Some(grade(fold)) }, forged: None }
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) order: Order,
    pub(crate) now_ms: u64,
    pub(crate) free: BTreeMap<Address, u128>,
    pub(crate) pot: u128,
    pub(crate) held: u128,
    /// What was paid, in all.
    pub(crate) paid: Vec<Payment>,
    /// What claims are, by their numbers.
    pub(crate) truth: Vec<Truth>,
    /// What members have said, by their places: claim, segment or none, statement.
    pub(crate) said: BTreeMap<(usize, u8, Option<u16>), B256>,
    validators: u8,
}

impl World {
    pub(crate) fn new(terms: &Terms, validators: u8) -> Self {
        Self::with(terms, validators, PURSE).unwrap()
    }

    pub(crate) fn with(terms: &Terms, validators: u8, purse: u128) -> Result<Self, Refusal> {
        let requester = Caller { account: REQUESTER, free: purse, validator: false };
        let id = B256::repeat_byte(0x0d);
        let (order, moves) = Order::open(id, &requester, terms, &network(validators.into()), 1_000)?;
        let accounts = (1..=validators).map(account).chain((0..64).map(worker)).chain([REQUESTER, WATCHER]);
        let free = accounts.map(|account| (account, purse)).collect();
        let (truth, said, paid) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut world = Self { order, now_ms: 1_000, free, pot: 0, held: 0, paid, truth, said, validators };
        world.moved(moves);
        Ok(world)
    }

    fn moved(&mut self, moves: Moves) {
        for (account, amount) in moves.locked {
            let free = self.free.get_mut(&account).unwrap();
            *free = free.checked_sub(amount).expect("nobody stakes what it has not");
            self.held += amount;
        }
        for payment in moves.paid {
            assert!(payment.amount > 0, "nothing is paid as a payment");
            self.held = self.held.checked_sub(payment.amount).expect("no more is paid than was locked");
            match payment.to {
                Some(account) => *self.free.entry(account).or_default() += payment.amount,
                None => self.pot += payment.amount,
            }
            self.paid.push(payment);
        }
        assert!(!self.order.is_over() || self.held == 0, "{} wei are nobody's", self.held);
        let bytes = codec::encode(&self.order);
        assert!(bytes.len() <= 64 << 10);
        let read: Order = codec::decode(&bytes, 64 << 10).unwrap();
        assert_eq!(read, self.order, "what is read is what was written");
        self.order = read;
    }

    pub(crate) fn validators(&self) -> impl Iterator<Item = Address> + use<> {
        (1..=self.validators).map(account)
    }

    pub(crate) fn caller(&self, account: Address) -> Caller {
        let validator = self.validators().any(|one| one == account);
        Caller { account, free: self.free.get(&account).copied().unwrap_or_default(), validator }
    }

    pub(crate) fn call(&mut self, account: Address, call: Call) -> Result<(), Refusal> {
        let caller = self.caller(account);
        let call = Call::decode(&call.encode()).expect("a call survives its encoding");
        let before = self.order.clone();
        let moves = self.order.apply(self.now_ms, &caller, &call).inspect_err(|_| {
            assert_eq!(before, self.order, "a refusal changes nothing");
        })?;
        self.moved(moves);
        Ok(())
    }

    /// The first block whose time is past the deadline.
    pub(crate) fn wait(&mut self) {
        self.now_ms = self.now_ms.max(self.order.deadline_ms()) + 1;
        let moves = self.order.advance(self.now_ms);
        self.moved(moves);
    }

    pub(crate) fn candidates(&self) -> Vec<(Address, u128)> {
        self.validators().map(|account| (account, self.free[&account])).collect()
    }

    pub(crate) fn draw(&mut self, beacon: B256) {
        let candidates = self.candidates();
        let moves = self.order.draw(self.now_ms, beacon, self.now_ms, &candidates).unwrap();
        self.moved(moves);
    }

    pub(crate) fn claim(&mut self, number: u8, truth: Truth) {
        let commitment = truth.reveal.commitment(self.order.id(), worker(number));
        self.call(worker(number), Call::Claim { commitment }).unwrap();
        self.truth.push(truth);
    }

    pub(crate) fn reveal(&mut self, claim: u8) -> Result<(), Refusal> {
        let (reveal, worker) = (self.truth[usize::from(claim)].reveal, self.order.claims()[usize::from(claim)].worker);
        self.call(worker, Call::Reveal { claim, reveal })
    }

    pub(crate) fn open(&mut self) {
        self.call(REQUESTER, Call::Open { rows: B256::repeat_byte(0x55) }).unwrap();
    }

    /// What is true of a claim on the tables that there are.
    pub(crate) fn grades(&self, claim: u8) -> Grades {
        let Grades { hidden, fold } = self.truth[usize::from(claim)].grades;
        Grades {
            hidden: hidden.filter(|_| self.order.rows().is_some()),
            fold: fold.filter(|_| self.order.work().fold.is_some()),
        }
    }

    /// What a member comes to who does the work.
    pub(crate) fn statement(&self, member: usize, claim: u8, segment: Option<u16>) -> B256 {
        let account = self.order.committee()[member].account;
        keccak256([&account[..], &[claim], &segment.map_or(u32::MAX, u32::from).to_be_bytes()].concat())
    }

    pub(crate) fn scores(&self, member: usize) -> (Vec<Grades>, Vec<B256>) {
        let claims = self.order.scored_claims();
        let grades = claims.iter().map(|claim| self.grades(*claim as u8)).collect();
        (grades, claims.iter().map(|claim| self.statement(member, *claim as u8, None)).collect())
    }

    pub(crate) fn say_scores(
        &mut self,
        member: usize,
        grades: Vec<Grades>,
        statements: Vec<B256>,
    ) -> Result<(), Refusal> {
        let account = self.order.committee()[member].account;
        let claims = self.order.scored_claims();
        self.call(account, Call::Scores { grades, statements: statements.clone() })?;
        self.said.extend(claims.into_iter().zip(statements).map(|(claim, said)| ((member, claim as u8, None), said)));
        Ok(())
    }

    pub(crate) fn score(&mut self, member: usize) {
        let (grades, statements) = self.scores(member);
        self.say_scores(member, grades, statements).unwrap();
    }

    pub(crate) fn score_all(&mut self) {
        (0..self.order.committee().len()).for_each(|member| self.score(member));
    }

    pub(crate) fn audits(&self, member: usize) -> Vec<B256> {
        let leader = self.order.leader().unwrap();
        self.order
            .segments_of(member)
            .into_iter()
            .map(|segment| self.statement(member, leader, Some(segment)))
            .collect()
    }

    pub(crate) fn say_audit(&mut self, member: usize, statements: Vec<B256>) -> Result<(), Refusal> {
        let (claim, account) = (self.order.leader().unwrap(), self.order.committee()[member].account);
        self.call(account, Call::Audit { claim, statements: statements.clone() })?;
        let segments = self.order.segments_of(member);
        self.said
            .extend(segments.into_iter().zip(statements).map(|(segment, said)| ((member, claim, Some(segment)), said)));
        Ok(())
    }

    pub(crate) fn audit(&mut self, member: usize) {
        let statements = self.audits(member);
        self.say_audit(member, statements).unwrap();
    }

    pub(crate) fn audit_all(&mut self) {
        (0..self.order.committee().len()).for_each(|member| self.audit(member));
    }

    pub(crate) fn trace(&mut self) -> Result<(), Refusal> {
        let claim = self.order.leader().unwrap();
        self.call(self.order.claims()[usize::from(claim)].worker, Call::Trace { claim })
    }

    /// The challenge of a statement that a member has made, as anybody makes it from what is on the ledger.
    pub(crate) fn challenge_statement(&self, member: usize, claim: u8, segment: Option<u16>) -> Call {
        let numbers = if segment.is_some() { self.order.segments_of(member) } else { self.order.scored_claims() };
        let statement = |number: &u16| match segment {
            Some(_) => self.said[&(member, claim, Some(*number))],
            None => self.said[&(member, *number as u8, None)],
        };
        let statements: Vec<_> = numbers.iter().map(statement).collect();
        let number = segment.unwrap_or(claim.into());
        let path = statement_path(&numbers, &statements, number).unwrap();
        let (member, statement) = (member as u8, statement(&number));
        let subject = match segment {
            Some(segment) => Subject::Audited { claim, segment, member, statement },
            None => Subject::Evaluated { claim, member, statement },
        };
        Call::Challenge { subject, path }
    }

    /// What all peers come to.
    pub(crate) fn verdict(&self, subject: Subject) -> Verdict {
        match subject {
            Subject::Score { claim } => Verdict::Grades(self.grades(claim)),
            Subject::Segment { claim, segment } => {
                Verdict::Holds(self.truth[usize::from(claim)].forged != Some(segment))
            }
            Subject::Evaluated { claim, member, statement } => {
                Verdict::Holds(self.statement(member.into(), claim, None) == statement)
            }
            Subject::Audited { claim, segment, member, statement } => {
                Verdict::Holds(self.statement(member.into(), claim, Some(segment)) == statement)
            }
        }
    }

    pub(crate) fn rule(&mut self, subject: Subject) {
        let verdict = self.verdict(subject);
        self.call(account(1), Call::Ruling { subject, verdict }).unwrap();
    }

    pub(crate) fn dispute(&self) -> Option<Subject> {
        self.order.open_subjects().next()
    }

    pub(crate) fn rule_all(&mut self) {
        for _ in 0..1_000 {
            let Some(subject) = self.dispute() else { return };
            self.rule(subject);
        }
        panic!("there is no end of what is open");
    }

    /// To where scores are said, with workers whose models are these.
    pub(crate) fn reach_scoring(&mut self, truth: impl IntoIterator<Item = Truth>) {
        (0..).zip(truth).for_each(|(number, truth)| self.claim(number, truth));
        if self.order.phase() == Phase::Claiming {
            self.wait();
        }
        self.now_ms += 1;
        self.draw(B256::repeat_byte(0xbe));
        self.open();
        (0..self.truth.len() as u8).for_each(|claim| self.reveal(claim).unwrap());
        assert_eq!(self.order.phase(), Phase::Scoring);
    }

    /// To where the leader's trace is waited for.
    pub(crate) fn reach_tracing(&mut self, truth: impl IntoIterator<Item = Truth>) {
        self.reach_scoring(truth);
        self.score_all();
        self.wait();
        assert_eq!(self.order.phase(), Phase::Tracing);
    }

    pub(crate) fn reach_auditing(&mut self, truth: impl IntoIterator<Item = Truth>) {
        self.reach_tracing(truth);
        self.trace().unwrap();
        assert_eq!(self.order.phase(), Phase::Auditing);
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        match self.order.phase() {
            Phase::Ended(ending) => Some(ending),
            _ => None,
        }
    }

    /// What an account has more than at the beginning, or less.
    pub(crate) fn gain(&self, account: Address) -> i128 {
        self.free[&account] as i128 - PURSE as i128
    }
}
