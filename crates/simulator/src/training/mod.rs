//! The economics of training orders: accounts with strategies play orders by the rules that the ledger runs
//! ([`dtn_training::Order`]), in virtual time, and what each strategy comes to is added up.
//!
//! A run is a function of its [`Setup`], seed included. What is true of a claim is drawn: an honest model gets each row right
//! with a probability that is normal among models, 0.92 with a deviation of 0.01; one that was trained otherwise than ordered,
//! with 0.99; or each model is really trained, of the digits that ship with the program ([`Setup::real`]). Everything else is as it is on the ledger: calls that come into blocks in an order which the primary chooses,
//! windows, draws, statements that only the work shows, rulings, and money to the wei. Rulings are true: more than a third of
//! liars among the peers themselves is another matter than liars among auditors.
//!
//! After each order its promises are checked, and one that is broken ends the run with its seed in the error.

mod acts;
mod bank;
mod best_reply;
mod file;
mod game;
mod promises;
mod school;
mod setup;
mod strategy;
mod sweep;
mod tally;
#[cfg(test)]
mod tests;
mod truth;

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;

pub use best_reply::{Coalition, Deviation, alone, break_even, coalition, seen};
pub use setup::{MAX_ACCOUNTS, MIN_ACCOUNTS, Setup, Unplayable};
pub use strategy::{Role, Strategy, Tactic, UnknownStrategy};
pub use sweep::adversarial;
pub use tally::Line;

use self::{
    bank::{Bank, account},
    game::{Effort, Game},
    setup::{Account, Cast, Market, REWARD},
    tally::Tally,
};
use crate::trace::Trace;

/// Why a run did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// There is no such run.
    #[error(transparent)]
    Unplayable(#[from] Unplayable),
    /// The rules have broken a promise.
    #[error("seed {seed}, order {order}: {how}")]
    Broken {
        /// Of the run.
        seed: u64,
        /// Which of its orders.
        order: u64,
        /// Which promise, and how.
        how: String,
    },
}

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Economy {
    /// What was played.
    pub setup: Setup,
    /// By role and strategy.
    pub lines: Vec<Line>,
    /// Orders that had a winner.
    pub won: u64,
    /// Winners whose trace was false.
    pub forged: u64,
    /// What committees computed, as a part of all training.
    pub checking: f64,
    /// What all peers computed for rulings, as a part of all training.
    pub ruling: f64,
    /// The virtual time of an order, in the mean.
    pub lasts: Duration,
    /// Of everything that was taken and paid.
    pub digest: String,
}

/// Plays a setup.
pub fn play(setup: &Setup) -> Result<Economy, Stopped> {
    Stage::new(setup, setup.population()?, None)?.play()
}

/// Orders one after the other among the same accounts.
struct Stage<'a> {
    setup: &'a Setup,
    market: Market,
    accounts: Vec<Account>,
    /// The same in each order; by chance without.
    cast: Option<Cast>,
    bank: Bank,
    trace: Trace,
    tally: Tally,
}

impl<'a> Stage<'a> {
    fn new(setup: &'a Setup, accounts: Vec<Account>, cast: Option<Cast>) -> Result<Self, Unplayable> {
        let market = setup.market()?;
        // Beside the accounts somebody who looks on, and a spammer.
        let bank = Bank::new(accounts.len() + 2);
        Ok(Self { setup, market, accounts, cast, bank, trace: Trace::default(), tally: Tally::default() })
    }

    fn play(mut self) -> Result<Economy, Stopped> {
        let (mut won, mut forged, mut effort, mut lasts_ms) = (0, 0, Effort::default(), 0);
        for number in 0..self.setup.orders {
            self.order(number, |game| {
                won += u64::from(game.winner().is_some());
                forged += u64::from(game.winner().is_some_and(|claim| game.runs[claim].is_false()));
                effort.training += game.effort.training;
                effort.checking += game.effort.checking;
                effort.ruling += game.effort.ruling;
                lasts_ms += game.now_ms;
            })?;
        }
        let part = |macs: u64| macs as f64 / effort.training.max(1) as f64;
        Ok(Economy {
            setup: self.setup.clone(),
            lines: self.tally.lines(),
            won,
            forged,
            checking: part(effort.checking),
            ruling: part(effort.ruling),
            lasts: Duration::from_millis(lasts_ms / self.setup.orders),
            digest: format!("{:032x}", self.trace.digest()),
        })
    }

    /// Plays one order to its end, checks its promises, and shows it.
    fn order(&mut self, number: u64, mut see: impl FnMut(&Game<'_>)) -> Result<(), Stopped> {
        let seed = self.setup.seed;
        let broken = |how| Stopped::Broken { seed, order: number, how };
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
        let cast = self.cast.clone().unwrap_or_else(|| self.cast_by_chance(&mut rng));
        let pot = self.bank.pot();
        let (bank, trace) = (&mut self.bank, &mut self.trace);
        let opened = Game::open(self.setup, &self.market, &self.accounts, &cast, (bank, trace), (number, rng));
        let mut game = opened.map_err(broken)?;
        game.play().and_then(|()| game.check(pot)).map_err(broken)?;
        game.count(&mut self.tally);
        see(&game);
        Ok(())
    }

    /// A requester, workers until all claims are somebody's, and somebody of the rest who spams.
    fn cast_by_chance(&self, rng: &mut StdRng) -> Cast {
        let mut accounts: Vec<_> = (0..self.accounts.len()).collect();
        let last = accounts.len().min(2 + usize::from(self.setup.claims));
        (0..last).for_each(|place| accounts.swap(place, rng.random_range(place..self.accounts.len())));
        let claims =
            |worker: &usize| std::iter::repeat_n(*worker, self.accounts[*worker].within(Role::Worker).claims());
        let workers: Vec<_> = accounts[1..].iter().flat_map(claims).take(self.setup.claims.into()).collect();
        let spammers: Vec<_> = accounts
            .iter()
            .copied()
            .filter(|account| self.accounts[*account].within(Role::Challenger) == Strategy::Spammer)
            .filter(|account| *account != accounts[0] && !workers.contains(account))
            .collect();
        let spammer = (!spammers.is_empty()).then(|| spammers[rng.random_range(0..spammers.len())]);
        Cast { requester: accounts[0], workers, spammer }
    }
}

impl Game<'_> {
    /// What an account has gained less what it has computed, in parts of the reward.
    fn payoff(&self, account: usize) -> f64 {
        let cost = i128::from(self.bank.spent(account)) * i128::from(self.market.network.price);
        (self.bank.gain(account) - cost) as f64 / REWARD as f64
    }

    /// Adds everybody who had a part.
    fn count(&self, tally: &mut Tally) {
        let stranger = |account| if Some(account) == self.cast.spammer { Strategy::Spammer } else { Strategy::Honest };
        let key = |account: usize, role| match self.accounts.get(account) {
            Some(one) => (role, one.colludes, one.within(role)),
            None => (role, false, stranger(account)),
        };
        let mut add = |account: usize, role, times: usize, won| {
            let payoff = self.payoff(account) / times as f64;
            tally.add(key(account, role), payoff, self.is_caught(account), won);
        };
        let winner = self.winner().map(|claim| self.runs[claim].worker);
        let mut workers = self.cast.workers.clone();
        workers.sort_unstable();
        for claims in workers.chunk_by(|one, other| one == other) {
            add(claims[0], Role::Worker, claims.len(), winner == Some(claims[0]));
        }
        let members = self.order.committee().iter().filter_map(|member| account(member.account));
        let members: Vec<_> = members.collect();
        members.iter().for_each(|member| add(*member, Role::Member, 1, false));
        add(self.cast.requester, Role::Requester, 1, false);
        let spammer = self.cast.spammer.filter(|spammer| !members.contains(spammer));
        spammer.into_iter().for_each(|spammer| add(spammer, Role::Challenger, 1, false));
        if self.setup.watched {
            add(self.accounts.len(), Role::Challenger, 1, false);
        }
    }
}
