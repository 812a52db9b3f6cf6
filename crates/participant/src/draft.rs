//! An order as a requester thinks of it, and what becomes of it: terms, the data that everybody gets, and what is held out.

use dtn_primitives::{B256, Genesis, keccak256};
use dtn_train::{Dataset, Fraction, Recipe, Task};
use dtn_trainer::{Blob, Holdout};
use dtn_training::{
    Beacon, Deal, LEAST_TIMEOUTS, MAX_CHALLENGES, MAX_ORDER_BYTES, Material, Money, Network, Proof, Refusal, Table,
    Terms, Windows, Work,
};

use crate::ParticipantError;

/// How long a phase lasts at most that ends when nothing more is waited for, in milliseconds, unless told otherwise.
const WINDOW_MS: u64 = 30_000;

/// How many auditors a segment has at most, unless told otherwise.
const REDUNDANCY: u8 = 3;

/// How many members a committee has at most, unless told otherwise.
const COMMITTEE: u8 = 7;

/// What claims have to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// How they were trained: a trace by the recipe, which others train again.
    Trace,
    /// Nothing but how good they are.
    Score {
        /// The most multiplications to evaluate a row; those of the recipe's model without.
        row_macs: Option<u64>,
    },
}

/// What a requester wants.
#[derive(Debug, Clone)]
pub struct Draft {
    /// All rows.
    pub data: Dataset,
    /// How many of them nobody gets: claims are ranked by some of these.
    pub holdout: u32,
    /// How many of the rest everybody gets to score by.
    pub fold: u32,
    /// How many of those held out the beacon draws; half of them without.
    pub draw: Option<u32>,
    /// What training is; where only scores count, how those train who have no trainer of their own.
    pub recipe: Recipe,
    /// What claims have to show.
    pub mode: Mode,
    /// The least part of rows that is right, or of numbers the largest mean square of errors.
    pub baseline: Fraction,
    /// What is paid in all, in wei.
    pub reward: u128,
    /// What a worker and a member stake, in wei; a quarter of the reward without.
    pub stake: Option<u128>,
    /// The most claims.
    pub claims: u8,
    /// The members of the committee; a quorum of the validators without, and at most seven, so that others may provide.
    pub committee: Option<u8>,
    /// The auditors of a segment; at most three without.
    pub redundancy: Option<u8>,
    /// What draws.
    pub beacon: Beacon,
    /// How long claims are taken, in milliseconds.
    pub claim_ms: u64,
    /// How long each phase lasts at most that ends when nothing more is waited for, in milliseconds; half a minute without, or
    /// the least that the network takes.
    pub window_ms: Option<u64>,
    /// How long challenges are taken, in milliseconds, which is waited for in full; the least that the network takes without.
    pub challenge_ms: Option<u64>,
}

/// An order that is ready to be signed.
#[derive(Debug, Clone)]
pub struct Drafted {
    /// What is signed.
    pub terms: Terms,
    /// What everybody gets.
    pub blobs: Vec<(Blob, Vec<u8>)>,
    /// The rows that are held out.
    pub holdout: Dataset,
    /// What salts them.
    pub secret: B256,
}

/// What a network demands of orders.
pub(crate) fn network(genesis: &Genesis) -> Result<Network, ParticipantError> {
    let terms = genesis.training.as_ref().ok_or(ParticipantError::NoTraining)?;
    Ok(Network {
        view_timeout_ms: terms.view_timeout_ms,
        ruling_ms: terms.ruling_ms,
        max_life_ms: terms.max_life_ms,
        max_state_bytes: MAX_ORDER_BYTES,
        price: terms.price,
        validators: genesis.validators.len() as u16,
    })
}

impl Draft {
    /// Splits the data by a secret, which nobody may learn before the rows are opened, and fills in what is left open. Fails
    /// if the network does not admit it.
    pub fn make(self, genesis: &Genesis, secret: B256) -> Result<Drafted, ParticipantError> {
        let network = network(genesis)?;
        let split = |of: &str| keccak256([of.as_bytes(), &secret[..]].concat());
        let (rest, held_out) = self.data.split(self.holdout, split("DTN/train/holdout split"))?;
        let (data, fold) = rest.split(self.fold, split("DTN/train/fold split"))?;
        let table = |data: &Dataset| Table { root: data.root(), rows: data.outline().rows };
        let outline = data.outline();
        let recipe = Box::new(self.recipe.clone());
        let material = Material { recipe, data: table(&data), features: outline.features, fold: table(&fold) };
        let proof = match self.mode {
            Mode::Trace => Proof::Trace(material),
            Mode::Score { row_macs } => {
                let row_macs = match row_macs {
                    Some(row_macs) => row_macs,
                    None => self.recipe.plan(outline).map_err(Refusal::from)?.shape.row_macs(),
                };
                Proof::Score { material, row_macs }
            }
        };
        let classes = match outline.task {
            Task::Classes(classes) => classes,
            Task::Number => 0,
        };
        let quorum = dtn_primitives::quorum(network.validators.into()) as u8;
        let committee = self.committee.unwrap_or(COMMITTEE.min(quorum));
        let holdout = Holdout::new(held_out.clone(), secret).table();
        let deal = Deal {
            classes,
            draw: self.draw.unwrap_or(holdout.rows.div_ceil(2)),
            holdout,
            baseline: self.baseline,
            money: self.money(None, &network),
            windows: self.windows(&network),
            claims: self.claims,
            committee,
            redundancy: self.redundancy.unwrap_or(REDUNDANCY.min(committee)),
            beacon: self.beacon,
        };
        let mut terms = Terms { proof, deal };
        // What a ruling costs follows from the work.
        terms.deal.money = self.money(Some(terms.work()?), &network);
        terms.check(&network)?;
        let blobs = [data, fold].map(|data| (Blob::Data(data.root()), data.encode()));
        Ok(Drafted { terms, blobs: blobs.into(), holdout: held_out, secret })
    }

    fn money(&self, work: Option<Work>, network: &Network) -> Money {
        let reward = self.reward;
        let stake = self.stake.unwrap_or(reward / 4);
        let macs = work.map_or(0, |work| work.segment.max(work.evaluation));
        let ruling = u128::from(network.validators) * u128::from(network.price) * u128::from(macs);
        let bond = (reward / 50).max(reward.div_ceil(MAX_CHALLENGES.into())).max(ruling);
        Money { reward, deposit: reward / 5, worker: stake, member: stake, bond }
    }

    fn windows(&self, network: &Network) -> Windows {
        let least = network.view_timeout_ms.saturating_mul(LEAST_TIMEOUTS);
        let window = self.window_ms.unwrap_or(WINDOW_MS.max(least));
        let ruling = window.max(network.ruling_ms.saturating_mul(MAX_CHALLENGES.into()));
        Windows {
            claim: self.claim_ms,
            draw: window,
            open: window,
            reveal: window,
            score: window,
            challenge: self.challenge_ms.unwrap_or(least),
            ruling,
            trace: window,
            audit: window,
        }
    }
}
