//! Races for proofs of work: which this peer enters, which it leaves, and what it claims.

pub(crate) mod miner;

use dtn_ledger::Committed;
use dtn_pow::Puzzle;
use dtn_primitives::{B256, Claim, Payload, Transaction};

use crate::{core::Core, host::Host};
use miner::{Mined, Turn};

impl Core {
    /// After a start: enters every open race, the oldest first.
    pub(crate) fn enter_open_races(&mut self) {
        let mut open: Vec<_> =
            self.ledger.open_orders().map(|(hash, open)| (open.height, open.payload.nonce(), hash)).collect();
        open.sort_unstable();
        open.into_iter().for_each(|(_, _, order)| self.enter_race(order));
    }

    /// Enters the race for an order if that is open, unless this peer is not to race.
    fn enter_race(&mut self, order: B256) {
        if !self.mine {
            return;
        }
        let Some(open) = self.ledger.open_order(order) else { return };
        let Some(expected_hashes) = open.expected_hashes() else { return };
        let lowest = open.lead.as_ref().map(|lead| lead.claim.hash);
        match Puzzle::new(self.domain.network_id, open.race, order, self.key.address(), expected_hashes) {
            Ok(puzzle) => self.miner.enter(puzzle, !open.reward().is_zero()),
            Err(error) => tracing::error!(%order, %error, "an order without a puzzle"),
        }
        lowest.into_iter().for_each(|hash| self.miner.outdo(order, hash));
    }

    /// Enters the races that a final block opens, leaves those that it ends, and takes in how good the others are.
    pub(crate) fn follow_races(&mut self, Committed { block, opened, ended, .. }: &Committed) {
        opened.iter().for_each(|order| self.enter_race(*order));
        block.transactions.iter().filter_map(claim_of).for_each(|claim| self.miner.outdo(claim.order, claim.hash));
        ended.iter().for_each(|order| self.miner.leave(*order));
    }

    pub(crate) fn turn_ended(&mut self, turn: Turn) {
        let Some(mined) = self.miner.ended(turn) else { return };
        let Mined { puzzle, solution, started_at_us, ended_at_us, duration_us } = mined;
        let order = puzzle.transaction();
        let claim = Claim {
            order,
            race: puzzle.race(),
            payee: self.payee,
            nonce: solution.nonce,
            hash: solution.hash,
            started_at_us,
            ended_at_us,
            duration_us,
        };
        tracing::info!(%order, nonce = claim.nonce, duration_us = claim.duration_us, "solved");
        let transaction = Transaction::sign(Payload::Claim(claim), &self.key, &self.domain);
        if let Err(error) = self.submit(transaction) {
            tracing::debug!(%order, %error, "the solution came too late");
        }
    }
}

/// What a transaction claims, if it is a claim.
pub(crate) fn claim_of(transaction: &Transaction) -> Option<&Claim> {
    match &transaction.payload {
        Payload::Claim(claim) => Some(claim),
        _ => None,
    }
}
