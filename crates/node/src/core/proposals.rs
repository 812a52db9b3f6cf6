//! Proposals: when this peer makes one, and its verdict on those of others.
//!
//! One that contains a completion whose proof is not here waits, and so does every proposal after it, since those build
//! on it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use dtn_ledger::MAX_BLOCK_TRANSACTIONS;
use dtn_primitives::{B256, Block};
use tokio::time::Instant;

use super::{
    Core,
    engine::{Answer, Input},
    now_ms,
};
use crate::{NodeError, metrics::Step};

/// While blocks are under way, the next one is proposed this long after there is something for it, or once it is half
/// full: small blocks cost as many votes and writes as large ones.
pub(super) const BATCH_DELAY: Duration = Duration::from_millis(4);

/// Proposals that may wait for proofs; more are refused.
const MAX_DEFERRED: usize = 32;

/// A proposal that consensus wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) height: u64,
    pub(super) parent: B256,
    /// Even if there is nothing to put into the block.
    pub(super) empty: bool,
}

#[derive(Clone)]
pub(crate) struct Proposal {
    block: Arc<Block>,
    /// When it came, in milliseconds since the Unix epoch.
    arrived_ms: u64,
    /// Nobody may have prepared it before.
    fresh: bool,
    /// The log says already that it has to wait.
    told: bool,
}

/// Proposals that wait for proofs, or to be found fair, in the order in which they came.
pub(super) type Deferred = VecDeque<Proposal>;

impl Core {
    /// Answers consensus's wish for a proposal once there is something to propose.
    pub(super) fn propose(&mut self) -> Result<(), NodeError> {
        let mined = self.genesis.engine.mining().is_some();
        while let Some(Wish { height, parent, empty }) = self.wanted {
            // Only what is ready on top of this very parent counts.
            let ready = self.ledger.build_on(parent);
            let empty = empty || self.ledger.is_due(now_ms());
            if ready.transactions == 0 && !empty {
                break;
            }
            let under_way = height > self.ledger.tip().height + 1 && !mined;
            let since = *self.batching.get_or_insert_with(Instant::now);
            let half_full = 2 * self.ledger.ready().bytes as u64 > self.genesis.max_block_bytes;
            if under_way && !half_full && since.elapsed() < BATCH_DELAY {
                return Ok(());
            }
            self.batching = None;
            let proposer = self.key.address();
            let ledger = &mut self.ledger;
            let propose = || ledger.propose(parent, now_ms(), proposer, MAX_BLOCK_TRANSACTIONS, empty);
            let Some(block) = self.metrics.timed(Step::Propose, propose) else { return Ok(()) };
            self.metrics.proposals.inc();
            self.wanted = None;
            self.began.insert(height, (block.header.hash(), Instant::now()));
            self.input(Input::Answer(Answer::Proposal(block)))?;
        }
        self.batching = None;
        Ok(())
    }

    /// Checks a proposal, as soon as the proofs of its completions and the proposals before it are checked.
    pub(crate) fn validate(&mut self, block: Arc<Block>, fresh: bool) {
        if self.deferred.iter().any(|deferred| deferred.block == block) {
            return;
        }
        let has_room = self.deferred.len() < MAX_DEFERRED;
        let lacking = self.lacking(&block);
        let lacks = !lacking.is_empty() || self.missing_proofs(&block).next().is_some();
        let waits = lacks || !self.deferred.is_empty();
        let proposal = Proposal { block, arrived_ms: now_ms(), fresh, told: false };
        let may_come = waits && has_room && self.may_become_valid(&proposal.block);
        if may_come && self.want_training_for(&proposal.block, &lacking) {
            self.want_proofs_for(&proposal.block);
            self.deferred.push_back(proposal);
        } else if !self.validate_now(&proposal) && has_room {
            self.deferred.push_back(Proposal { told: true, ..proposal });
        }
    }

    /// Forgets the proposals that wait, because consensus has moved to another view and asks anew.
    pub(super) fn forget_deferred(&mut self) {
        self.deferred.clear();
    }

    /// Goes on with the proposals that waited.
    pub(crate) fn validate_deferred(&mut self) -> Result<(), NodeError> {
        let height = self.ledger.tip().height;
        while let Some(proposal) = self.deferred.front().cloned() {
            let block = &proposal.block;
            let missing: Vec<_> = self.missing_proofs(block).collect();
            let lacking = self.lacking(block);
            let is_hopeful = self.want_training_for(block, &lacking);
            let is_rejected = !is_hopeful || missing.iter().any(|stated| self.rounds.proofs.is_rejected(stated));
            let is_above = block.header.height > height;
            let waits = !missing.is_empty() || !lacking.is_empty();
            if waits && !is_rejected && is_above {
                self.want_proofs_for(block);
                break;
            }
            if is_above && !self.validate_now(&proposal) {
                self.deferred.front_mut().into_iter().for_each(|proposal| proposal.told = true);
                break;
            }
            self.deferred.pop_front();
            self.pump()?;
        }
        Ok(())
    }

    /// Tells consensus whether a proposal is good, unless it is to be judged again later.
    fn validate_now(&mut self, Proposal { block, arrived_ms, fresh, told }: &Proposal) -> bool {
        let (height, block_hash) = (block.header.height, block.header.hash());
        let ledger = &mut self.ledger;
        ledger.tell_time(now_ms());
        let check = || ledger.check_proposal(block.clone(), *arrived_ms, *fresh);
        let checked = self.metrics.timed(Step::Validate, check);
        if let Err(error) = &checked {
            if !told || !error.is_for_now() {
                tracing::warn!(height, %block_hash, %error, "a block was proposed that this validator does not accept");
            }
            // Where blocks are mined, the chain that is followed asks again by itself.
            if error.is_for_now() && self.genesis.engine.mining().is_none() {
                return false;
            }
        }
        self.inputs.push_back(Input::Answer(Answer::Validated { block_hash, valid: checked.is_ok() }));
        true
    }

    /// Tells consensus which transaction waits longest. Where more waits than a block takes, only that something is decided
    /// at all: then nobody can tell from here in which order the primary got it.
    pub(super) fn tell_what_waits(&mut self) -> Result<(), NodeError> {
        let backlog = self.ledger.ready();
        let crowded =
            backlog.bytes as u64 > self.genesis.max_block_bytes || backlog.transactions > MAX_BLOCK_TRANSACTIONS;
        let oldest = self.ledger.oldest_executable();
        self.awaited = oldest.map(|oldest| if crowded { self.ledger.tip().hash } else { oldest });
        self.input(Input::Answer(Answer::Waiting(self.awaited)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::{Payload, SecretKey, Transaction};

    use super::{super::testing, *};

    #[test]
    fn a_wish_for_a_proposal_is_answered_although_a_block_that_was_dropped_held_all_that_waits() {
        let genesis = testing::genesis();
        let (mut core, _commands) = testing::core(genesis.clone(), false);
        let stranger = SecretKey::from_bytes(&[9; 32]).unwrap();
        for nonce in 0..2 {
            let data = Payload::Data { nonce, items: vec![[1]].into() };
            core.admit(Transaction::sign(data, &stranger, &core.domain)).unwrap();
        }
        let primary = testing::keys()[0].address();
        let propose = |core: &mut Core, parent| core.ledger.propose(parent, now_ms(), primary, 1, false).unwrap();
        let parent = core.ledger.tip().hash;
        let first = propose(&mut core, parent);
        let parent = first.header.hash();
        propose(&mut core, parent);
        core.commit(first.clone(), testing::certificate(&first, &genesis)).unwrap();
        core.wanted = Some(Wish { height: 2, parent, empty: false });
        core.propose().unwrap();
        assert_eq!((core.wanted, core.metrics.proposals.get()), (None, 1));
    }
}
