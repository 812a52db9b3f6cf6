//! What a requester orders, and what of it a network admits.

use dtn_primitives::B256;
use dtn_train::{Fraction, Limit, MAX_EVALUATION_MACS, Outline, Recipe, RecipeError, Task, data::MAX_ROWS};
use serde::{Deserialize, Serialize};

use crate::{grade::Grade, refusal::Refusal, state::Order};

/// The most claims of an order.
pub const MAX_CLAIMS: u8 = 64;
/// The most members of a committee.
pub const MAX_COMMITTEE: u8 = 16;
/// The most challenges of an order that are open or lost. So many bonds are at least the reward, so that nobody gains by
/// using them up.
pub const MAX_CHALLENGES: u8 = 64;
/// The most segments of a trace: so many witnesses fit into a transaction.
pub const MAX_SEGMENTS: u16 = 480;
/// The largest amount: sums of all that an order holds stay far below 2¹²⁸.
pub const MAX_AMOUNT: u128 = 1 << 96;
/// The least windows, in time-outs of a view: a primary that leaves calls out is replaced before a window is over.
pub const LEAST_TIMEOUTS: u64 = 4;

/// The whole, in ten-thousandths.
pub const WHOLE: u128 = 10_000;
/// The part of the reward that the committee can earn by its statements.
pub const STATEMENTS: u128 = 1_500;
/// The part of the reward that those share who were right to challenge.
pub const BOUNTY: u128 = 500;
/// The part of a member's stake that is lost for each thing that was due and did not come.
pub(crate) const LATE: u128 = 1_000;
/// The same of a worker's. Its auditors are known before it reveals: to be late must cost no less than to be found out.
pub const LATE_WORKER: u128 = WHOLE / 2;
/// The least stake and deposit, in parts of the reward: what stays lost if a culprit challenges itself is no less than
/// the bounty.
const LEAST_STAKE: u128 = 2 * BOUNTY;

/// Rows that are committed to by a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The root.
    pub root: B256,
    /// How many.
    pub rows: u32,
}

/// What everybody gets who trains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    /// What training is; where only scores count, how those train who have no trainer of their own.
    pub recipe: Box<Recipe>,
    /// What it learns from.
    pub data: Table,
    /// The features of a row.
    pub features: u16,
    /// Rows that everybody knows, to score by. With a trace they decide if those that are held out cannot; where only scores
    /// count they decide nothing, since a model may have learned from them.
    pub fold: Table,
}

/// What shows that a claim's model came about as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// A trace by the recipe, of which every segment is trained again.
    Trace(Material),
    /// Nothing: any training anywhere, ranked by the rows that are held out alone.
    Score {
        /// What everybody gets.
        material: Material,
        /// The most multiplications to evaluate one row: no larger model is revealed.
        row_macs: u64,
    },
}

impl Proof {
    /// What everybody gets who trains.
    pub fn material(&self) -> &Material {
        match self {
            Self::Trace(material) | Self::Score { material, .. } => material,
        }
    }

    /// Its name, as commands and documents have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Trace(_) => "trace",
            Self::Score { .. } => "score",
        }
    }
}

/// Which random value draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beacon {
    /// That of the first round of sequential work that opens after the last claim.
    Round,
    /// The hash of the first block after the last claim, which its primary can bias.
    Block,
}

/// The money of an order, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// What is paid in all.
    pub reward: u128,
    /// What the requester loses who withholds the drawn rows, or holds out rows that nobody can get right.
    pub deposit: u128,
    /// What a worker stakes on a claim.
    pub worker: u128,
    /// What a member of the committee stakes.
    pub member: u128,
    /// What a challenge stakes.
    pub bond: u128,
}

/// How long each phase lasts at most, in milliseconds of block time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// For claims.
    pub claim: u64,
    /// For the beacon.
    pub draw: u64,
    /// For the drawn rows.
    pub open: u64,
    /// For reveals.
    pub reveal: u64,
    /// For scores.
    pub score: u64,
    /// For challenges, after the scores and after the audits.
    pub challenge: u64,
    /// For rulings on what is open after that.
    pub ruling: u64,
    /// For the leader's trace.
    pub trace: u64,
    /// For audits.
    pub audit: u64,
}

/// The part of an order that its state keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deal {
    /// How many classes are told apart; 0 for numbers.
    pub classes: u16,
    /// The rows that are held out, and salted, so that nobody knows one before it is opened.
    pub holdout: Table,
    /// How many of them the beacon draws.
    pub draw: u32,
    /// The least part of rows that is right, or of numbers the largest mean square of errors.
    pub baseline: Fraction,
    /// The money.
    pub money: Money,
    /// The time.
    pub windows: Windows,
    /// The most claims; when so many are there, no more is waited for.
    pub claims: u8,
    /// Members of the committee, if so many can be drawn.
    pub committee: u8,
    /// Auditors of each segment, and the fewest members.
    pub redundancy: u8,
    /// What draws.
    pub beacon: Beacon,
}

/// What a requester orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What a claim has to show.
    pub proof: Proof,
    /// Everything else.
    pub deal: Deal,
}

/// What follows from a proof: how much there is to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Rows that everybody knows; none where only scores count.
    pub fold: Option<Table>,
    /// Points of the grid; 0 where there is none.
    pub points: u16,
    /// Segments of a trace; 0 where there is none.
    pub segments: u16,
    /// Multiplications of a training.
    pub training: u64,
    /// Multiplications of a segment.
    pub segment: u64,
    /// Multiplications to evaluate a claim on all rows that count.
    pub evaluation: u64,
}

/// What a network demands of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// How long a primary has before its view ends.
    pub view_timeout_ms: u64,
    /// How long all peers take for a ruling.
    pub ruling_ms: u64,
    /// The longest life of an order.
    pub max_life_ms: u64,
    /// The longest state of an order.
    pub max_state_bytes: usize,
    /// Wei that a multiplication is worth at least.
    pub price: u64,
    /// How many validators there are.
    pub validators: u16,
}

fn range(what: &'static str, is: u64, least: u64, most: u64) -> Result<(), Refusal> {
    if (least..=most).contains(&is) { Ok(()) } else { Err(Refusal::Range { what, is, least, most }) }
}

impl Windows {
    fn named(&self) -> [(&'static str, u64); 9] {
        let Self { claim, draw, open, reveal, score, challenge, ruling, trace, audit } = *self;
        [
            ("claim", claim),
            ("draw", draw),
            ("open", open),
            ("reveal", reveal),
            ("score", score),
            ("challenge", challenge),
            ("ruling", ruling),
            ("trace", trace),
            ("audit", audit),
        ]
    }
}

impl Deal {
    /// What models are to tell.
    pub fn task(&self) -> Task {
        if self.classes == 0 { Task::Number } else { Task::Classes(self.classes) }
    }

    /// The longest that an order lasts, but for the time until the next block after each deadline: each claim leads once,
    /// and each member that loses its stake may open something to be ruled on.
    pub fn life_ms(&self, work: &Work) -> u64 {
        let Windows { claim, draw, open, reveal, score, challenge, ruling, trace, audit } = self.windows;
        let leaders = if work.segments == 0 { 0 } else { u64::from(self.claims) };
        let sum = |windows: &[u64]| windows.iter().fold(0, |sum: u64, window| sum.saturating_add(*window));
        let leading = sum(&[trace, audit, challenge, ruling]).saturating_mul(leaders);
        let members = ruling.saturating_mul(self.committee.into());
        sum(&[claim, draw, open, reveal, score, challenge, ruling, leading, members])
    }

    fn check(&self, network: &Network) -> Result<(), Refusal> {
        range("claims", self.claims.into(), 1, MAX_CLAIMS.into())?;
        range("members", self.committee.into(), 1, u64::from(MAX_COMMITTEE).min(network.validators.into()))?;
        range("auditors of a segment", self.redundancy.into(), 1, self.committee.into())?;
        range("rows held out", self.holdout.rows.into(), 1, MAX_ROWS as u64)?;
        range("rows drawn", self.draw.into(), 1, self.holdout.rows.into())?;
        if self.classes > 0 && self.baseline.0 > Grade::WHOLE {
            return Err(Refusal::Baseline(self.baseline));
        }
        let least_ms = network.view_timeout_ms.saturating_mul(LEAST_TIMEOUTS);
        let rulings_ms = network.ruling_ms.saturating_mul(MAX_CHALLENGES.into());
        for (window, is_ms) in self.windows.named() {
            let least_ms = if window == "ruling" { least_ms.max(rulings_ms) } else { least_ms };
            if is_ms < least_ms {
                return Err(Refusal::Window { window, is_ms, least_ms });
            }
        }
        Ok(())
    }

    /// Whether the money covers what it is for.
    fn check_money(&self, work: &Work, network: &Network) -> Result<(), Refusal> {
        let Money { reward, deposit, worker, member, bond } = self.money;
        let price = u128::from(network.price);
        let for_statements = price.saturating_mul(work.budget(self));
        let covering = for_statements.saturating_mul(WHOLE).div_ceil(STATEMENTS);
        let stake = reward.saturating_mul(LEAST_STAKE).div_ceil(WHOLE);
        let ruling = u128::from(network.validators) * price * u128::from(work.segment.max(work.evaluation));
        let least_bond = reward.div_ceil(MAX_CHALLENGES.into()).max(ruling);
        let amounts = [
            ("reward", reward, covering),
            ("deposit", deposit, stake),
            ("stake of a worker", worker, stake),
            ("stake of a member", member, stake),
            ("bond", bond, least_bond),
        ];
        for (what, is, least) in amounts {
            if !(least..=MAX_AMOUNT).contains(&is) {
                return Err(Refusal::Amount { what, is, least });
            }
        }
        Ok(())
    }
}

impl Work {
    /// The multiplications that statements about an order can be worth: all segments of a leader by their auditors, and all
    /// claims by all members.
    pub fn budget(&self, deal: &Deal) -> u128 {
        let audits = u128::from(self.training) * u128::from(deal.redundancy);
        audits + u128::from(self.evaluation) * u128::from(deal.committee) * u128::from(deal.claims)
    }
}

impl Terms {
    /// What follows from them, if a network admits them.
    pub fn check(&self, network: &Network) -> Result<Work, Refusal> {
        let deal = &self.deal;
        deal.check(network)?;
        let work = self.work()?;
        deal.check_money(&work, network)?;
        let (is_ms, most_ms) = (deal.life_ms(&work), network.max_life_ms);
        if is_ms > most_ms {
            return Err(Refusal::Life { is_ms, most_ms });
        }
        let (is, most) = (Order::most_bytes(deal), network.max_state_bytes);
        if is > most { Err(Refusal::State { is, most }) } else { Ok(work) }
    }

    /// What follows from them, whatever they pay.
    pub fn work(&self) -> Result<Work, Refusal> {
        let evaluation = |row_macs: u64, rows: u64| match row_macs.saturating_mul(rows) {
            is @ ..=MAX_EVALUATION_MACS => Ok(is),
            is => Err(RecipeError::Above { limit: Limit::EvaluationMacs, is }),
        };
        let deal = &self.deal;
        let Material { recipe, data, features, fold } = self.proof.material();
        let plan = recipe.plan(Outline { task: deal.task(), features: *features, rows: data.rows })?;
        range("rows of the fold", fold.rows.into(), 1, MAX_ROWS as u64)?;
        match &self.proof {
            Proof::Trace(_) => {
                let rows = u64::from(deal.draw) + u64::from(fold.rows);
                range("segments", plan.segments.into(), 1, MAX_SEGMENTS.into())?;
                Ok(Work {
                    fold: Some(*fold),
                    points: recipe.grid.len() as u16,
                    segments: plan.segments as u16,
                    training: plan.macs,
                    segment: plan.segment_macs,
                    evaluation: evaluation(plan.shape.row_macs(), rows)?,
                })
            }
            Proof::Score { row_macs, .. } => {
                let evaluation = evaluation(*row_macs, deal.draw.into())?;
                let most = MAX_EVALUATION_MACS / u64::from(deal.draw).max(1);
                range("multiplications to evaluate a row", *row_macs, plan.shape.row_macs(), most)?;
                Ok(Work { fold: None, points: 0, segments: 0, training: 0, segment: 0, evaluation })
            }
        }
    }
}
