//! Mining: the blocks of a network that mines its chain.

use std::{num::NonZeroUsize, time::Duration};

use dtn_pow::Puzzle;
use tokio::sync::mpsc;

use super::{
    Core,
    engine::{Answer, Input},
};
use crate::{
    NodeError,
    work::race::miner::{Mined, Miner, Turn},
};

/// How long the validators of a new network wait for all of them before they mine.
const GATHERING: Duration = Duration::from_secs(10);

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

    /// Whether a correct peer says that more is final than here: what would be mined now would leave that out.
    pub(super) fn is_behind(&self) -> bool {
        let height = self.ledger.tip().height;
        let ahead = self.follow.heights().filter(|theirs| *theirs > height.saturating_add(1)).count();
        ahead > self.ledger.validators().len() - self.ledger.validators().quorum()
    }

    /// Whether the network is new and some of its validators are still to come: who mines alone wastes his work.
    pub(super) fn is_gathering(&self) -> bool {
        let alone = self.connected.len() + 1 < self.ledger.validators().len();
        self.ledger.tip().height == 0 && alone && self.started.elapsed() < GATHERING
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_consensus::Memory;
    use dtn_primitives::{Engine, Genesis, Mining, ValidatorIndex};

    use super::{super::testing, *};

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
