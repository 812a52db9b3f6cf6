//! Whether it pays to deviate while all others are honest: each strategy alone, and forgers with a part of the auditors,
//! beside what a closed form says.

use dtn_training::{BOUNTY, LATE_WORKER, STATEMENTS, WHOLE, Why};
use serde::Serialize;

use super::{
    Stage, Stopped,
    bank::{account, address},
    game::Game,
    setup::{Account, Cast, REWARD, Setup},
    strategy::{Role, Strategy, Tactic},
    tally::{Line, Mean},
};

/// A break-even stake is measured until its interval is no wider, on each side.
const PRECISION: f64 = 0.035;
/// Claims of an order of a coalition: its own, which is the best, and one that would win without it.
const CLAIMS: u8 = 2;
/// The account that forges.
const FORGER: usize = 1;
/// Orders between two looks at the interval.
const BATCH: u64 = 1_000;
/// The most orders of a coalition.
const MOST: u64 = 100_000;

/// How likely one of r auditors is honest, of n of whom m collude: `1 − ∏ (m − i)/(n − i)` over i below r.
pub fn seen(auditors: usize, colluding: usize, redundancy: u8) -> f64 {
    let all_collude = (0..usize::from(redundancy))
        .map(|taken| colluding.saturating_sub(taken) as f64 / auditors.saturating_sub(taken).max(1) as f64);
    1.0 - all_collude.product::<f64>()
}

/// The stake, in parts of the reward, at which a forgery that costs nothing brings nothing: `ω(1 − d)/d`, with ω what a winner
/// gets whom nobody has challenged rightly, and d how likely the forgery is seen. A tactic may lose less than the stake if it
/// is, and get something for it.
pub fn break_even(seen: f64, tactic: Tactic) -> f64 {
    let of_all = |part: u128| part as f64 / WHOLE as f64;
    let (lost, consolation) = match tactic {
        Tactic::Stay => (1.0, 0.0),
        Tactic::Quit => (of_all(LATE_WORKER), 0.0),
        Tactic::Denounce => (0.5, of_all(BOUNTY)),
    };
    ((1.0 - seen) * of_all(WHOLE - STATEMENTS) + seen * consolation) / (seen * lost)
}

/// One strategy, played by one account among honest ones, beside what is honest there.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Deviation {
    /// What it came to. Money is in parts of the reward.
    pub line: Line,
    /// What an honest account in its place comes to where all are; of challengers, what they come to who stay away.
    pub honest: f64,
    /// That mean is no farther away, with 95 % confidence.
    pub honest_within: f64,
}

/// A forger with a part of the auditors. Money is in parts of the reward, and a stake too.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Coalition {
    /// The part of the auditors.
    pub colluders: f64,
    /// How many audit each segment.
    pub redundancy: u8,
    /// What the coalition does when it sees that an auditor is none of it.
    pub tactic: Tactic,
    /// Orders that were played.
    pub orders: u64,
    /// How likely its false segment has an honest auditor, by the closed form.
    pub seen: f64,
    /// The part of orders in which it had.
    pub caught: f64,
    /// The stake at which a forgery that costs nothing brings nothing, by the closed form.
    pub formula: f64,
    /// The same from what was won and lost.
    pub measured: f64,
    /// The true one is no farther away, with 95 % confidence.
    pub within: f64,
    /// What a forgery was worth for each reward, stakes aside.
    pub gain: f64,
    /// The part of a stake that it cost.
    pub lost: f64,
    /// The stake that workers had.
    pub stake: f64,
    /// What a forgery brought at that, less what its training costs.
    pub payoff: f64,
    /// The mean is no farther away, with 95 % confidence.
    pub payoff_within: f64,
}

impl Deviation {
    /// What a strategy comes to by what it did [alone], and by what was done where all were honest.
    pub fn of(strategy: Strategy, played: &[Line], honest: &[Line]) -> Option<Self> {
        let line = played.iter().find(|line| line.strategy == strategy && line.role == strategy.role())?;
        let like = honest.iter().find(|like| like.role == line.role && line.role != Role::Challenger);
        let (honest, honest_within) = like.map_or((0.0, 0.0), |like| (like.payoff, like.within));
        Some(Self { line: *line, honest, honest_within })
    }

    /// Whether it brings more than what is honest, with 95 % confidence.
    pub fn pays(&self) -> bool {
        self.line.payoff - self.line.within > self.honest + self.honest_within
    }

    /// Whether it brings less, with 95 % confidence.
    pub fn costs(&self) -> bool {
        self.line.payoff + self.line.within < self.honest - self.honest_within
    }
}

impl Coalition {
    /// By how much the measured stake differs from the closed form's, as a part of that.
    pub fn off(&self) -> f64 {
        self.measured / self.formula - 1.0
    }
}

/// What one account that deviates comes to, in its role in every order, and what the others do: as many as an order has parts,
/// all honest.
pub fn alone(setup: &Setup, strategy: Strategy) -> Result<Vec<Line>, Stopped> {
    let claims = usize::from(setup.claims);
    let accounts = 1 + claims + usize::from(setup.committee);
    let setup = Setup { accounts, deviations: Vec::new(), colluders: 0.0, ..setup.clone() };
    let mut population = vec![Account::HONEST; accounts];
    let mut cast = Cast { requester: 0, workers: (1..=claims).collect(), spammer: None };
    match strategy.role() {
        Role::Requester => population[0].strategy = strategy,
        Role::Worker => {
            population[1].strategy = strategy;
            cast.workers[..strategy.claims().min(claims)].fill(1);
        }
        Role::Member => population[claims + 1].strategy = strategy,
        // One more, who is no validator.
        Role::Challenger => cast.spammer = Some(accounts + 1),
    }
    Ok(Stage::new(&setup, population, Some(cast))?.play()?.lines)
}

/// A forger and a part of the validators that may audit it, where nobody else looks on, until the break-even stake is known.
pub fn coalition(setup: &Setup, colluders: f64, redundancy: u8, tactic: Tactic) -> Result<Coalition, Stopped> {
    let auditors = setup.accounts;
    let colluding = (colluders * auditors as f64).round() as usize;
    let others = 1 + usize::from(CLAIMS);
    let setup = Setup {
        accounts: others + auditors,
        claims: CLAIMS,
        committee: setup.committee.max(redundancy),
        redundancy,
        tactic,
        watched: false,
        ..setup.clone()
    };
    let mut population = vec![Account::HONEST; setup.accounts];
    population[FORGER].colludes = true;
    population[others..others + colluding].iter_mut().for_each(|account| account.colludes = true);
    let cast = Cast { requester: 0, workers: (FORGER..others).collect(), spammer: None };
    let mut stage = Stage::new(&setup, population, Some(cast))?;
    let mut outcomes: Vec<Forgery> = Vec::new();
    loop {
        for _ in 0..BATCH {
            stage.order(outcomes.len() as u64, |game| outcomes.push(game.forgery()))?;
        }
        let mean = |figure: &dyn Fn(&Forgery) -> f64| Mean::of(outcomes.iter().map(figure));
        let (gain, lost) = (mean(&|one| one.gain).mean(), mean(&|one| one.lost).mean());
        let measured = gain / lost;
        let within = mean(&|one| one.gain - measured * one.lost).within() / lost;
        // What was never seen, or never missed, says nothing yet.
        if (within == 0.0 || within > PRECISION * measured) && (outcomes.len() as u64) < MOST {
            continue;
        }
        let seen = seen(auditors, colluding, redundancy);
        let payoff = mean(&|one| one.gain - setup.stake * one.lost - one.cost);
        return Ok(Coalition {
            colluders,
            redundancy,
            tactic,
            orders: outcomes.len() as u64,
            seen,
            caught: mean(&|one| f64::from(u8::from(one.lost > 0.0))).mean(),
            formula: break_even(seen, tactic),
            measured,
            within,
            gain,
            lost,
            stake: setup.stake,
            payoff: payoff.mean(),
            payoff_within: payoff.within(),
        });
    }
}

/// What a forgery came to for its coalition, in parts of the reward, and of its stake.
struct Forgery {
    gain: f64,
    lost: f64,
    cost: f64,
}

impl Game<'_> {
    /// What members of the coalition earn as honest members do is not counted.
    fn forgery(&self) -> Forgery {
        let (mut gain, mut kept) = (0, 0);
        for payment in self.bank.paid() {
            let to = payment.to.and_then(account).filter(|to| self.colludes(*to));
            match payment.why {
                Why::Prize { .. } | Why::Bounty if to.is_some() => gain += payment.amount,
                Why::Slashed { from } if to.is_some() && from == address(FORGER) => kept += payment.amount,
                Why::Stake if to == Some(FORGER) => kept += payment.amount,
                _ => {}
            }
        }
        let money = &self.order.deal().money;
        let cost = self.bank.spent(FORGER) as f64 * self.market.network.price as f64;
        Forgery {
            gain: gain as f64 / REWARD as f64,
            lost: (money.worker - kept) as f64 / money.worker as f64,
            cost: cost / REWARD as f64,
        }
    }
}
