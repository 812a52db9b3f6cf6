//! This peer's part in the races for proofs of work.

use std::num::NonZeroUsize;

use dtn_ledger::Committed;
use dtn_pow::Puzzle;
use dtn_primitives::{B256, Claim, Payload, Transaction};

use tokio::sync::mpsc;

use super::{
    Core, claim_of,
    engine::{Answer, Input},
};
use crate::{
    NodeError,
    host::Host,
    miner::{Mined, Miner, Turn},
};

/// Mines blocks, one at a time. It has its threads for itself: however many races there are, the chain goes on.
pub(super) struct ChainMiner {
    miner: Miner,
    pub(super) turns: mpsc::UnboundedReceiver<Turn>,
}

impl ChainMiner {
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        let (report, turns) = mpsc::unbounded_channel();
        Self { miner: Miner::new(threads, report), turns }
    }

    /// Mines the block of this puzzle in place of any other.
    pub(super) fn mine(&mut self, puzzle: Puzzle) {
        self.miner.leave_all();
        self.miner.enter(puzzle, false);
    }
}

impl Core {
    /// A turn of mining has ended.
    pub(super) fn mining_ended(&mut self, turn: Turn) -> Result<(), NodeError> {
        let Some(Mined { puzzle, solution, .. }) = self.chain.miner.ended(turn) else { return Ok(()) };
        let block_hash = puzzle.transaction();
        self.chain.miner.leave(block_hash);
        let before = self.engine.mined().map(|chain| chain.head);
        self.input(Input::Answer(Answer::Mined { block_hash, nonce: solution.nonce }))?;
        if self.engine.mined().map(|chain| chain.head) != before {
            self.metrics.mined_blocks.inc();
            tracing::info!(%block_hash, expected_hashes = puzzle.target().expected_hashes(), "mined a block");
        }
        Ok(())
    }

    /// After a start: enters every open race, the oldest first.
    pub(super) fn enter_open_races(&mut self) {
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
    pub(super) fn follow_races(&mut self, Committed { block, opened, ended, .. }: &Committed) {
        opened.iter().for_each(|order| self.enter_race(*order));
        block.transactions.iter().filter_map(claim_of).for_each(|claim| self.miner.outdo(claim.order, claim.hash));
        ended.iter().for_each(|order| self.miner.leave(*order));
    }

    pub(super) fn turn_ended(&mut self, turn: Turn) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_consensus::Memory;
    use dtn_primitives::{Engine, Genesis, Mining, ValidatorIndex};

    use super::{
        super::{GATHERING, testing},
        *,
    };

    #[test]
    fn the_validators_of_a_new_network_mine_once_all_are_there_or_enough_time_has_passed() {
        let mining = Mining { block_interval_ms: 1_000, confirmations: 3, expected_hashes: u64::MAX };
        let genesis = Genesis { engine: Engine::Nakamoto(mining), ..testing::genesis() };
        let gathered = [0, 2, 3].map(ValidatorIndex);
        for (connected, waited, mines) in [(&gathered[..2], false, false), (&gathered, false, true), (&[], true, true)]
        {
            let (mut core, _commands) = testing::core(genesis.clone(), true);
            core.connected = connected.iter().copied().collect();
            if waited {
                core.started -= GATHERING;
            }
            core.input(Input::Start { memory: Memory::NeverVoted, boot: 1 }).unwrap();
            core.propose().unwrap();
            assert_eq!(core.chain.miner.running().is_some(), mines, "{connected:?}, waited: {waited}");
        }
    }
}
