//! Money: what a call locks, what it pays, and how everything that is left is assigned when an order ends.

use std::fmt;

use dtn_primitives::{Address, U256};

use crate::{
    refusal::Refusal,
    state::{Claim, Ending, Forfeit, Order, Out, Phase, Stage},
    terms::{BOUNTY, LATE, LATE_WORKER, STATEMENTS, WHOLE},
};

/// What a payment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The best model.
    Prize {
        /// Who has trained it; the payee may be another account.
        worker: Address,
    },
    /// Statements that have stood.
    Statements {
        /// The multiplications behind them.
        macs: u64,
    },
    /// A part of the bounty, for being right to challenge.
    Bounty,
    /// Half of the stake of somebody whom the payee has challenged.
    Slashed {
        /// Whose stake it was.
        from: Address,
    },
    /// What is left of a stake after what is lost for being late.
    Stake,
    /// A bond, back.
    Bond,
    /// What nobody has earned of the reward.
    Unearned,
    /// The requester's deposit, back.
    Deposit,
    /// A part of the deposit that the requester has lost.
    Forfeited,
    /// A part of a stake that is lost for what did not come in time.
    Late {
        /// Whose stake it was.
        from: Address,
    },
    /// A bond on what was as it was stated.
    LostBond {
        /// Whose bond it was.
        by: Address,
    },
}

/// Money that leaves an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    /// Whose it is now; nobody for the pot, which stays for later rewards.
    pub to: Option<Address>,
    /// In wei.
    pub amount: u128,
    /// What for.
    pub why: Why,
}

/// What moves between balances and an order. What an order holds is what was locked, less what was paid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// From the free balance of an account into the order.
    pub locked: Vec<(Address, u128)>,
    /// Out of the order.
    pub paid: Vec<Payment>,
}

impl Moves {
    pub(crate) fn lock(&mut self, account: Address, free: u128, needed: u128) -> Result<(), Refusal> {
        if free < needed {
            return Err(Refusal::Short { account, free, needed });
        }
        self.locked.push((account, needed));
        Ok(())
    }

    pub(crate) fn pay(&mut self, to: Option<Address>, amount: u128, why: Why) {
        if amount > 0 {
            self.paid.push(Payment { to, amount, why });
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.locked.extend(other.locked);
        self.paid.extend(other.paid);
    }
}

/// `amount · part / whole`, rounded down. A part is at most the whole.
fn part_of(amount: u128, part: u128, whole: u128) -> u128 {
    let scaled = U256::from(amount) * U256::from(part);
    scaled.checked_div(U256::from(whole)).unwrap_or_default().to()
}

impl Order {
    /// Who gets what of all that an order still holds when it ends, bonds aside; nothing before.
    pub fn settlement(&self) -> Vec<Payment> {
        let Phase::Ended(ending) = self.phase else { return Vec::new() };
        let mut moves = Moves::default();
        let winner = match ending {
            Ending::Final { claim } => {
                self.revealed(claim).map(|reveal| (self.claims[usize::from(claim)].worker, reveal.payee))
            }
            Ending::Void(_) => None,
        };
        self.settle_reward(winner, &mut moves);
        self.settle_deposit(&mut moves);
        let money = &self.deal.money;
        for claim in &self.claims {
            settle_stake(claim.worker, money.worker, claim.out, u128::from(claim.late) * LATE_WORKER, &mut moves);
        }
        for member in &self.committee {
            settle_stake(member.account, money.member, member.out, u128::from(member.late) * LATE, &mut moves);
        }
        moves.paid
    }

    /// The reward: statements by the multiplications behind them, at a rate that does not depend on what others state; the
    /// bounty to those who were right; the rest is the prize, and goes back where nobody has won.
    fn settle_reward(&self, winner: Option<(Address, Address)>, moves: &mut Moves) {
        let reward = self.deal.money.reward;
        let (statements, bounty) = (part_of(reward, STATEMENTS, WHOLE), part_of(reward, BOUNTY, WHOLE));
        let earning = || self.committee.iter().filter(|member| member.out.is_none());
        let macs: u128 = earning().map(|member| u128::from(member.macs)).sum();
        let budget = self.work.budget(&self.deal).max(macs);
        let mut left = reward;
        let mut pay = |to, amount, why| {
            left -= amount;
            moves.pay(Some(to), amount, why);
        };
        let mut unearned = statements;
        for member in earning() {
            let earned = part_of(statements, member.macs.into(), budget);
            unearned -= earned;
            pay(member.account, earned, Why::Statements { macs: member.macs });
        }
        for challenger in &self.right {
            pay(*challenger, bounty / self.right.len() as u128, Why::Bounty);
        }
        match winner {
            Some((worker, payee)) => {
                pay(self.requester, unearned, Why::Unearned);
                let prize = left;
                moves.pay(Some(payee), prize, Why::Prize { worker });
            }
            None => moves.pay(Some(self.requester), left, Why::Unearned),
        }
    }

    /// The deposit: back to the requester, or in equal parts to those whose work it has spoilt, what does not divide to
    /// the pot.
    fn settle_deposit(&self, moves: &mut Moves) {
        let deposit = self.deal.money.deposit;
        if self.forfeit.is_none() {
            return moves.pay(Some(self.requester), deposit, Why::Deposit);
        }
        // Where everything ended with the rows that were withheld, nobody could reveal.
        let only_rows = self.work.fold.is_none() && self.forfeit == Some(Forfeit::Withheld);
        let is_spoilt = |claim: &&Claim| {
            claim.out.is_none() && !claim.late && (only_rows || matches!(claim.stage, Stage::Revealed(_)))
        };
        let spoilt = self.claims.iter().filter(is_spoilt).count() as u128;
        let part = deposit.checked_div(spoilt).unwrap_or_default();
        for claim in self.claims.iter().filter(is_spoilt) {
            moves.pay(Some(claim.worker), part, Why::Forfeited);
        }
        moves.pay(None, deposit - part * spoilt, Why::Forfeited);
    }
}

/// A stake: back, less a part for what was late; or half to who has challenged it and half to the pot.
fn settle_stake(account: Address, stake: u128, out: Option<Out>, late: u128, moves: &mut Moves) {
    match out {
        Some(Out { by, .. }) => {
            let half = by.map_or(0, |_| stake / 2);
            moves.pay(by, half, Why::Slashed { from: account });
            moves.pay(None, stake - half, Why::Slashed { from: account });
        }
        None => {
            let lost = part_of(stake, late.min(WHOLE), WHOLE);
            moves.pay(None, lost, Why::Late { from: account });
            moves.pay(Some(account), stake - lost, Why::Stake);
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prize { worker } => write!(f, "the prize, for the model of {worker}"),
            Self::Statements { macs } => write!(f, "statements that took {macs} multiplications"),
            Self::Bounty => f.write_str("a part of the bounty, for being right to challenge"),
            Self::Slashed { from } => write!(f, "half of the stake of {from}, which stated what is false"),
            Self::Stake => f.write_str("the stake, back"),
            Self::Bond => f.write_str("the bond, back"),
            Self::Unearned => f.write_str("what nobody has earned of the reward"),
            Self::Deposit => f.write_str("the deposit, back"),
            Self::Forfeited => f.write_str("a part of the deposit that the requester has lost"),
            Self::Late { from } => write!(f, "a part of the stake of {from}, for what did not come in time"),
            Self::LostBond { by } => write!(f, "the bond of {by}, for a challenge that was wrong"),
        }
    }
}
