//! What is played: how many accounts, what they do, and on which terms.

use std::{sync::Arc, time::Duration};

use dtn_primitives::B256;
use dtn_train::{Family, Fraction, Grid, ONE, Recipe};
use dtn_training::{Beacon, Deal, LEAST_TIMEOUTS, Money, Network, Proof, Refusal, Table, Terms, Windows, Work};
use serde::Serialize;

use super::{
    school::School,
    strategy::{Role, Strategy, Tactic},
};
use crate::Latency;

/// The fewest accounts: a requester, a worker, and validators among which one may be silent.
pub const MIN_ACCOUNTS: usize = 6;
/// The most accounts.
pub const MAX_ACCOUNTS: usize = 1_000;

/// The reward of every order, in wei.
pub(super) const REWARD: u128 = 1_000_000_000_000_000_000;
/// What everybody has at the beginning, so that nobody is ruined within a run.
pub(super) const PURSE: u128 = REWARD << 20;

pub(super) const DRAWN: u32 = 360;
pub(super) const HELD_OUT: u32 = 900;
pub(super) const FOLD: u32 = 360;
const CLASSES: u16 = 10;
const FEATURES: u16 = 64;
const BATCH: u16 = 32;
const STEPS: u32 = 160;
const EPOCHS: u32 = 8;
/// The least part of rows that is right.
const BASELINE: f64 = 0.85;

/// Accounts, what they do, and the terms of their orders. Parts are of 1, and money is in parts of the reward.
#[derive(Debug, Clone, Serialize)]
pub struct Setup {
    /// What it is about, in a sentence or none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// How many accounts there are: all are validators, and each may order and work.
    pub accounts: usize,
    /// How many orders are played, one after the other.
    pub orders: u64,
    /// Decides all that is left to chance.
    pub seed: u64,
    /// Claims of an order.
    pub claims: u8,
    /// Members of its committee.
    pub committee: u8,
    /// Auditors of each segment.
    pub redundancy: u8,
    /// What a worker stakes on a claim.
    pub stake: f64,
    /// What a training costs.
    pub run_cost: f64,
    /// What a part of the accounts does.
    pub deviations: Vec<(Strategy, f64)>,
    /// The part of the accounts that work together: their claims have a false segment, and their auditors pass it.
    pub colluders: f64,
    /// What they do when they see that it will be found out.
    pub tactic: Tactic,
    /// Whether somebody honest, who is no validator, looks at everything.
    pub watched: bool,
    /// Whether models are really trained, small ones, in place of grades that are drawn.
    pub real: bool,
    /// How long a call is under way to the primary.
    pub latency: Latency,
    /// The time between two blocks.
    pub block_interval: Duration,
}

/// Why a setup cannot be played.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unplayable {
    /// A number is out of its range.
    #[error("{is} {what}: give {least} to {most}")]
    Range {
        /// Of what.
        what: &'static str,
        /// The number.
        is: f64,
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
    /// No account can be in two parts.
    #[error("{are} accounts that deviate or collude, of {of}")]
    TooManyDeviate {
        /// How many would have to be.
        are: usize,
        /// How many accounts there are.
        of: usize,
    },
    /// No network admits such orders.
    #[error("no network admits such an order: {0}")]
    Refused(#[from] Refusal),
}

/// What an account does, whatever its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) strategy: Strategy,
    pub(super) colludes: bool,
}

impl Account {
    pub(super) const HONEST: Self = Self { strategy: Strategy::Honest, colludes: false };

    pub(super) fn within(self, role: Role) -> Strategy {
        self.strategy.within(role)
    }

    pub(super) fn is_honest(self) -> bool {
        self == Self::HONEST
    }
}

/// Who plays which part of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cast {
    pub(super) requester: usize,
    /// The account behind each claim.
    pub(super) workers: Vec<usize>,
    /// Who challenges what is true.
    pub(super) spammer: Option<usize>,
}

/// The terms of all orders of a setup.
#[derive(Debug, Clone)]
pub(super) struct Market {
    pub(super) terms: Terms,
    pub(super) network: Network,
    pub(super) work: Work,
    /// What a view lasts: the longest that one primary keeps a call out, in ms.
    pub(super) view_ms: u64,
    /// Where models are trained, if they are.
    pub(super) school: Option<Arc<School>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            about: String::new(),
            accounts: 100,
            orders: 1_000,
            seed: 0,
            claims: 16,
            committee: 7,
            redundancy: 3,
            stake: 0.25,
            run_cost: 0.03,
            deviations: Vec::new(),
            colluders: 0.0,
            tactic: Tactic::Stay,
            watched: true,
            real: false,
            latency: Latency::up_to(Duration::from_millis(350)),
            block_interval: Duration::from_secs(1),
        }
    }
}

fn range(what: &'static str, is: f64, least: f64, most: f64) -> Result<(), Unplayable> {
    if (least..=most).contains(&is) { Ok(()) } else { Err(Unplayable::Range { what, is, least, most }) }
}

/// A part of the reward, in wei.
fn wei(part: f64) -> u128 {
    (part * 1e9).round() as u128 * (REWARD / 1_000_000_000)
}

impl Setup {
    /// With so many accounts, and as many claims and members as they allow up to those of the default.
    pub fn of(accounts: usize) -> Self {
        let whole = Self::default();
        let claims = usize::from(whole.claims).min(accounts.saturating_sub(1) / 2).max(1);
        let committee = usize::from(whole.committee).min(accounts.saturating_sub(1 + claims)).max(1);
        let redundancy = usize::from(whole.redundancy).min(committee) as u8;
        Self { accounts, claims: claims as u8, committee: committee as u8, redundancy, ..whole }
    }

    /// The same with another number of accounts, and so perhaps of claims, members and auditors.
    pub fn among(self, accounts: usize) -> Self {
        let Self { claims, committee, redundancy, .. } = Self::of(accounts);
        Self { accounts, claims, committee, redundancy: redundancy.min(self.redundancy), ..self }
    }

    /// Who does what, in the order of the accounts: colluders, those that deviate, the honest rest.
    pub(super) fn population(&self) -> Result<Vec<Account>, Unplayable> {
        range("accounts", self.accounts as f64, MIN_ACCOUNTS as f64, MAX_ACCOUNTS as f64)?;
        range("colluders", self.colluders, 0.0, 1.0)?;
        let of = self.accounts;
        let count = |part: f64| (part * of as f64).round() as usize;
        let mut accounts = vec![Account { colludes: true, ..Account::HONEST }; count(self.colluders)];
        for (strategy, part) in &self.deviations {
            range("of accounts that deviate", *part, 0.0, 1.0)?;
            let some = count(*part).max(usize::from(*part > 0.0));
            accounts.extend(std::iter::repeat_n(Account { strategy: *strategy, colludes: false }, some));
        }
        if accounts.len() > of {
            return Err(Unplayable::TooManyDeviate { are: accounts.len(), of });
        }
        accounts.resize(of, Account::HONEST);
        Ok(accounts)
    }

    /// The terms of its orders, as the rules themselves admit them.
    pub(super) fn market(&self) -> Result<Market, Unplayable> {
        range("orders", self.orders as f64, 1.0, 1e9)?;
        range("of the reward as a stake", self.stake, 0.0, 1_000.0)?;
        range("of the reward as the cost of a training", self.run_cost, 1e-6, 1.0)?;
        range("ms between blocks", self.block_interval.as_millis() as f64, 1.0, 60_000.0)?;
        range("s of latency", self.latency.most().as_secs_f64(), 0.0, crate::MAX_LATENCY.as_secs_f64())?;
        let others = self.accounts.saturating_sub(1 + usize::from(self.claims));
        range("auditors of a segment beside a requester and workers", f64::from(self.redundancy), 1.0, others as f64)?;
        let view_ms = 4 * (self.latency.most() + self.block_interval).as_millis() as u64;
        let mut network = Network {
            view_timeout_ms: view_ms,
            ruling_ms: view_ms / 4,
            max_life_ms: u64::MAX,
            max_state_bytes: 1 << 20,
            price: 0,
            validators: self.accounts as u16,
        };
        let mut terms = self.terms(view_ms);
        let work = terms.check(&network)?;
        network.price = (wei(self.run_cost) / u128::from(work.training.max(1))) as u64;
        let ruling = u128::from(network.price) * u128::from(work.segment.max(work.evaluation));
        let bond = &mut terms.deal.money.bond;
        *bond = (*bond).max(ruling * self.accounts as u128);
        let work = terms.check(&network)?;
        let school = match &terms.proof {
            Proof::Trace(material) if self.real => Some(Arc::new(School::new((*material.recipe).clone()))),
            _ => None,
        };
        Ok(Market { terms, network, work, view_ms, school })
    }

    fn terms(&self, view_ms: u64) -> Terms {
        // A ruling costs all validators a segment, and a bond covers that: the more there are, the shorter it is.
        let segments = (self.accounts as u32 / 4).clamp(24, 250);
        let grid = Grid { learning_rate: vec![part(0.05)], momentum: vec![part(0.9)], ..Grid::default() };
        let recipe = Recipe { family: Family::Linear, grid, epochs: EPOCHS, batch: BATCH, segment_steps: STEPS };
        let table = |tag, rows| Table { root: B256::repeat_byte(tag), rows };
        let (data, fold) = (table(1, u32::from(BATCH) * STEPS * segments / EPOCHS), table(2, FOLD));
        let windows = |views: u64| views * view_ms;
        let [short, long] = [windows(LEAST_TIMEOUTS), windows(2 * LEAST_TIMEOUTS)];
        let money = Money {
            reward: REWARD,
            deposit: REWARD / 5,
            worker: wei(self.stake),
            member: REWARD / 4,
            bond: REWARD / 50,
        };
        Terms {
            proof: Proof::Trace(dtn_training::Material { recipe: recipe.into(), data, features: FEATURES, fold }),
            deal: Deal {
                classes: CLASSES,
                holdout: table(3, HELD_OUT),
                draw: DRAWN,
                baseline: part(BASELINE),
                money,
                windows: Windows {
                    claim: long,
                    draw: long,
                    open: short,
                    reveal: short,
                    score: long,
                    challenge: long,
                    ruling: windows(16),
                    trace: short,
                    audit: long,
                },
                claims: self.claims,
                committee: self.committee,
                redundancy: self.redundancy,
                beacon: Beacon::Block,
            },
        }
    }
}

fn part(value: f64) -> Fraction {
    Fraction((value * ONE as f64).round() as u32)
}
