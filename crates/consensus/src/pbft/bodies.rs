//! Who lacks a block asks for it. Votes and view changes name blocks by their hashes; a block itself is sent once to each
//! replica when it is proposed, and after that to whoever asks.

use std::{collections::BTreeSet, sync::Arc};

use dtn_primitives::{B256, Block, ValidatorIndex};

use super::{Effects, Fault, Message, Pbft};
use crate::protocol::Effect;

/// What each peer was given since the last look at the clock: nobody gets a block twice between two of them.
pub(super) type Served = BTreeSet<(ValidatorIndex, B256)>;

impl Pbft {
    /// A block above the last decided one that this replica proposed or found valid.
    pub(super) fn body(&self, block_hash: B256) -> Option<&Arc<Block>> {
        self.bodies.get(&block_hash)
    }

    /// Forgets the blocks that are neither under way nor prepared.
    pub(super) fn drop_bodies(&mut self) {
        let under_way = self.slots.values().filter_map(|slot| slot.accepted_hash());
        let prepared = self.prepared.values().map(|prepared| prepared.pre_prepare.block_hash);
        let kept: BTreeSet<_> = under_way.chain(prepared).collect();
        self.bodies.retain(|hash, _| kept.contains(hash));
    }

    pub(super) fn receive_want(&mut self, from: ValidatorIndex, block_hash: B256, effects: &mut Effects) {
        let Some(block) = self.body(block_hash).cloned() else { return };
        if self.served.insert((from, block_hash)) {
            effects.push(Effect::Send { to: from, message: Message::Body(block) });
        }
    }

    /// The hash of a block says what is in it, so it does not matter who sends it.
    pub(super) fn receive_body(&mut self, block: Arc<Block>, effects: &mut Effects) -> Result<(), Fault> {
        let block_hash = block.header.hash();
        let lacks = |height: &u64| {
            self.slots.get(height).is_some_and(|slot| slot.body.is_none() && slot.accepted_hash() == Some(block_hash))
        };
        let height = Some(block.header.height).filter(lacks);
        let Some(height) = height else { return Ok(()) };
        if !self.is_whole(&block) {
            return Err(Fault::WrongBlock);
        }
        self.slots.entry(height).or_default().body = Some(block);
        self.advance(effects);
        Ok(())
    }

    /// After a look at the clock: asks for the blocks that have not come, of one peer after the other, less and less often.
    pub(super) fn want_bodies(&mut self, effects: &mut Effects) {
        let (me, n) = (self.config.me, self.config.validators.len());
        for slot in self.slots.values_mut().filter(|slot| slot.body.is_none()) {
            let Some(accepted) = &slot.accepted else { continue };
            slot.lacking = slot.lacking.saturating_add(1);
            if !slot.lacking.is_power_of_two() {
                continue;
            }
            // Who has voted for it has it.
            let voted =
                slot.prepares.ballots_for(accepted.block_hash).chain(slot.commits.ballots_for(accepted.block_hash));
            let holders: BTreeSet<_> =
                voted.map(|vote| vote.validator).chain([accepted.validator]).filter(|holder| *holder != me).collect();
            let turn = slot.lacking.trailing_zeros() as usize + me.as_usize();
            if let Some(to) = holders.iter().nth(turn % holders.len().max(1)).filter(|to| to.as_usize() < n) {
                effects.push(Effect::Send { to: *to, message: Message::Want(accepted.block_hash) });
            }
        }
    }

    /// Asks for the blocks with which a view has to begin and which are not here: nobody sends those by himself.
    pub(super) fn want_required(&self, from: ValidatorIndex, effects: &mut Effects) {
        let lacking = self.slots.values().filter(|slot| slot.body.is_none()).filter_map(|slot| slot.accepted_hash());
        let asked = |hash| Effect::Send { to: from, message: Message::Want(hash) };
        effects.extend(lacking.filter(|_| from != self.config.me).map(asked));
    }
}
