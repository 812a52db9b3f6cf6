//! One order among its accounts, in virtual time: what they call, the blocks that this comes into, and what the rules make
//! of it.

use std::{collections::BTreeMap, time::Duration};

use dtn_primitives::{B256, keccak256};
use dtn_training::{Call, Caller, Moves, Order, Payment, Phase, Reveal, Subject};
use rand::{Rng, rngs::StdRng};

use super::{
    bank::{Bank, account, address},
    setup::{Account, Cast, Market, Setup},
    strategy::{Role, Strategy},
    truth::{Run, Worth, verdict},
};
use crate::trace::Trace;

/// The most blocks with something in them that an order has.
const MAX_BLOCKS: usize = 10_000;

/// What an account does when its time has come.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// Its call is in a block.
    Call(Call),
    /// It looks for a member whose scores it can copy.
    Copy,
}

/// What a member has stated about all that it had to look at.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) numbers: Vec<u16>,
    pub(super) statements: Vec<B256>,
    /// Whether it has done the work.
    pub(super) worked: bool,
}

/// What an order took, in multiplications.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Effort {
    /// All trainings that were claimed.
    pub(super) training: u64,
    /// What its committee did.
    pub(super) checking: u64,
    /// What all validators did for rulings.
    pub(super) ruling: u64,
}

/// An order that is played.
pub(super) struct Game<'a> {
    pub(super) setup: &'a Setup,
    pub(super) market: &'a Market,
    pub(super) accounts: &'a [Account],
    pub(super) cast: &'a Cast,
    pub(super) bank: &'a mut Bank,
    pub(super) trace: &'a mut Trace,
    pub(super) rng: StdRng,
    pub(super) order: Order,
    pub(super) runs: Vec<Run>,
    /// What members have stated: by their places, about scores or about segments of the leader.
    pub(super) said: BTreeMap<(usize, bool), Said>,
    pub(super) now_ms: u64,
    pub(super) effort: Effort,
    /// Phases that were left because their time was up.
    pub(super) lapses: u64,
    /// By block, and in the order of a primary's dice.
    agenda: BTreeMap<(u64, u64), (usize, Deed)>,
    /// What peers compute a ruling on.
    asked: Vec<Subject>,
}

impl<'a> Game<'a> {
    /// Opens an order of this number. An error is money that is nobody's.
    pub(super) fn open(
        setup: &'a Setup,
        market: &'a Market,
        accounts: &'a [Account],
        cast: &'a Cast,
        (bank, trace): (&'a mut Bank, &'a mut Trace),
        (number, mut rng): (u64, StdRng),
    ) -> Result<Self, String> {
        bank.begin();
        let id = keccak256([&setup.seed.to_be_bytes()[..], &number.to_be_bytes()].concat());
        let caller = Caller { account: address(cast.requester), free: bank.free(cast.requester), validator: true };
        let opened = Order::open(id, &caller, &market.terms, &market.network, 0);
        let (order, moves) = opened.map_err(|refusal| refusal.to_string())?;
        bank.moved(moves)?;
        let poisoned = accounts[cast.requester].within(Role::Requester) == Strategy::Poisoner;
        let exam = market.school.as_ref().map(|school| school.exam(id, poisoned));
        let worth = Worth { market, poisoned, exam };
        let of = |(attempt, worker): (usize, &usize)| {
            Run::of(&worth, (*worker, accounts[*worker]), attempt as u16, &mut rng)
        };
        let runs: Vec<_> = cast.workers.iter().enumerate().map(of).collect();
        let effort = Effort { training: runs.iter().map(|run| run.macs).sum(), ..Effort::default() };
        runs.iter().for_each(|run| bank.compute(run.worker, run.macs));
        let (said, agenda, asked) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (now_ms, lapses) = (0, 0);
        Ok(Self {
            setup,
            market,
            accounts,
            cast,
            bank,
            trace,
            rng,
            order,
            runs,
            said,
            now_ms,
            effort,
            lapses,
            agenda,
            asked,
        })
    }

    /// Plays it to its end. An error is a promise that the rules break.
    pub(super) fn play(&mut self) -> Result<(), String> {
        let mut seen = None;
        for _ in 0..MAX_BLOCKS {
            if self.order.is_over() {
                return Ok(());
            }
            let now = (self.order.phase(), self.order.leader());
            if seen != Some(now) {
                seen = Some(now);
                self.react();
            }
            self.ask_for_rulings();
            self.block()?;
        }
        Err(format!("P5: it does not end, and is {}", self.order.phase()))
    }

    /// The next block in which anything happens: the calls that have come in, in an order that its primary chooses; then what
    /// is due at its time.
    fn block(&mut self) -> Result<(), String> {
        let interval = self.interval_ms();
        let due = self.order.deadline_ms() / interval + 1;
        let next = self.agenda.keys().next().map_or(due, |(block, _)| due.min(*block));
        let drawing = matches!(self.order.phase(), Phase::Drawing { .. });
        let block = if drawing { self.now_ms / interval + 1 } else { next };
        self.now_ms = block * interval;
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= block) {
            let (account, deed) = entry.remove();
            match deed {
                Deed::Call(call) => _ = self.call(account, call)?,
                Deed::Copy => self.copy(account)?,
            }
        }
        if drawing {
            let beacon = B256::from(self.rng.random::<[u8; 32]>());
            let candidates: Vec<_> =
                (0..self.accounts.len()).map(|account| (address(account), self.bank.free(account))).collect();
            let moves = self.order.draw(self.now_ms, beacon, self.now_ms, &candidates);
            self.moved(moves.map_err(|refusal| format!("no beacon: {refusal}"))?)?;
        }
        if self.now_ms > self.order.deadline_ms() && !self.order.is_over() {
            self.lapses += 1;
            let moves = self.order.advance(self.now_ms);
            self.moved(moves)?;
        }
        Ok(())
    }

    pub(super) fn interval_ms(&self) -> u64 {
        self.setup.block_interval.as_millis() as u64
    }

    /// A call as the ledger takes it: whether it was taken. One that is refused changes nothing.
    pub(super) fn call(&mut self, from: usize, call: Call) -> Result<bool, String> {
        let validator = from < self.accounts.len();
        let caller = Caller { account: address(from), free: self.bank.free(from), validator };
        if let Call::Ruling { subject, .. } = &call {
            self.asked.retain(|asked| asked != subject);
        }
        let Ok(moves) = self.order.apply(self.now_ms, &caller, &call) else { return Ok(false) };
        self.trace.add(call.name(), Duration::from_millis(self.now_ms), from, &[]);
        self.moved(moves)?;
        if let Call::Ruling { subject, .. } = call {
            let macs = match subject {
                Subject::Score { .. } | Subject::Evaluated { .. } => self.market.work.evaluation,
                Subject::Segment { .. } | Subject::Audited { .. } => self.market.work.segment,
            };
            self.effort.ruling += macs * self.accounts.len() as u64;
        }
        Ok(true)
    }

    fn moved(&mut self, moves: Moves) -> Result<(), String> {
        for Payment { to, amount, .. } in &moves.paid {
            let to = to.and_then(account).unwrap_or(usize::from(u16::MAX));
            self.trace.add("paid", Duration::from_millis(self.now_ms), to, &amount.to_be_bytes());
        }
        self.bank.moved(moves)
    }

    /// An account begins something that takes it up to so many views' time, and its call is in a block after the way to the
    /// primary. Primaries that leave calls out are replaced, after two views at most here.
    pub(super) fn plan(&mut self, account: usize, [least, most]: [u64; 2], deed: Deed) {
        let view_ms = self.market.view_ms;
        let work_ms = self.rng.random_range(least * view_ms..=most * view_ms);
        let way_ms = (self.setup.latency.sample(&mut self.rng).as_millis() as u64).min(view_ms / 2);
        let kept_out_ms = if self.rng.random_range(0..4) == 0 { self.rng.random_range(0..=2 * view_ms) } else { 0 };
        self.put(account, work_ms + way_ms + kept_out_ms, deed);
    }

    /// A call that its primary takes at once.
    pub(super) fn put(&mut self, account: usize, after_ms: u64, deed: Deed) {
        let block = (self.now_ms + after_ms) / self.interval_ms() + 1;
        self.agenda.insert((block, self.rng.random()), (account, deed));
    }

    /// Whatever is disputed, all peers compute, and one of them hands in what a quorum has come to.
    fn ask_for_rulings(&mut self) {
        if !matches!(self.order.phase(), Phase::Auditing | Phase::Challenging | Phase::Ruling) {
            return;
        }
        let open: Vec<_> = self.order.open_subjects().filter(|subject| !self.asked.contains(subject)).collect();
        for subject in open {
            let verdict = verdict(&self.order, &self.runs, subject);
            let by = self.rng.random_range(0..self.accounts.len());
            self.asked.push(subject);
            self.plan(by, [0, 1], Deed::Call(Call::Ruling { subject, verdict }));
        }
    }

    /// Whether an account belongs to the coalition.
    pub(super) fn colludes(&self, account: usize) -> bool {
        self.accounts.get(account).is_some_and(|account| account.colludes)
    }

    /// What an account does in a role; strangers are honest.
    pub(super) fn strategy(&self, account: usize, role: Role) -> Strategy {
        self.accounts.get(account).map_or(Strategy::Honest, |account| account.within(role))
    }

    /// The account of a member.
    pub(super) fn member(&self, place: usize) -> Option<usize> {
        account(self.order.committee().get(place)?.account)
    }

    /// Whether all auditors of a segment belong to the coalition.
    pub(super) fn is_covered_up(&self, segment: u16) -> bool {
        let mut auditors =
            (0..self.order.committee().len()).filter(|place| self.order.segments_of(*place).contains(&segment));
        auditors.all(|place| self.member(place).is_some_and(|member| self.colludes(member)))
    }

    /// Whether nobody but the coalition will look at the false segments of a claim.
    pub(super) fn is_safe(&self, claim: usize) -> bool {
        self.runs[claim].falsehoods.clone().all(|segment| self.is_covered_up(segment))
    }

    /// What a claim has to open to.
    pub(super) fn reveal_of(&self, claim: usize) -> Reveal {
        self.runs[claim].reveal
    }
}
