//! The blocks of the ledger that are undecided: who lacks one asks for it, the host executes them one on top of the other,
//! and those with a certificate are final.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dtn_primitives::{B256, Block, Certificate, ValidatorIndex};

use super::{Chained, Effects, Fault, Message, Record, Rules};
use crate::{
    Decision,
    pbft::{Ask, Output, PIPELINE},
    protocol::Effect,
};

/// How far above the last decided block one may be to be looked at: who is further behind has to catch up first.
pub(super) const FAR: u64 = 2 * PIPELINE;

/// Undecided blocks, and how far the host is with them.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocks {
    /// Each was proposed by a leader in one of the views that are remembered, or asked for.
    bodies: BTreeMap<B256, Body>,
    /// What the host has executed above the last decided block, each on top of the other.
    executed: Vec<B256>,
    /// What the host is judging.
    judged: Option<B256>,
    /// What the host found invalid since the last look at the clock.
    refused: BTreeSet<B256>,
    /// What is lacking, and how often it was asked for.
    wanted: BTreeMap<B256, usize>,
    /// What each peer was given since the last look at the clock.
    served: BTreeSet<(ValidatorIndex, B256)>,
}

#[derive(Debug, Clone)]
struct Body {
    block: Arc<Block>,
    is_durable: bool,
}

impl Blocks {
    pub(super) fn keep(&mut self, block: Arc<Block>, is_durable: bool) {
        let hash = block.header.hash();
        self.wanted.remove(&hash);
        self.bodies.entry(hash).or_insert(Body { block, is_durable }).is_durable |= is_durable;
    }

    pub(super) fn get(&self, hash: B256) -> Option<&Arc<Block>> {
        self.bodies.get(&hash).map(|body| &body.block)
    }

    /// Forgets what none of these names, directly or as what it is on top of.
    pub(super) fn keep_only(&mut self, named: impl Iterator<Item = B256>) {
        let mut kept = BTreeSet::new();
        for mut hash in named {
            while kept.insert(hash) {
                let Some(body) = self.bodies.get(&hash) else { break };
                hash = body.block.header.parent_hash;
            }
        }
        self.bodies.retain(|hash, _| kept.contains(hash));
    }

    /// A block is decided.
    fn decide(&mut self, height: u64, hash: B256) {
        self.bodies.retain(|_, body| body.block.header.height > height);
        self.wanted.clear();
        match self.executed.first() {
            Some(first) if *first == hash => _ = self.executed.remove(0),
            // The host is at the decided block then, and executes what it had on top of it again.
            _ => self.executed.clear(),
        }
    }

    /// Another look at the clock: what was answered or refused may be so no more.
    pub(super) fn look_at_clock(&mut self) {
        self.served.clear();
        self.refused.clear();
        self.judged = None;
    }
}

/// What lies between the last decided block and another one.
enum Path {
    /// These blocks, in ascending order, that one included.
    Whole(Vec<Arc<Block>>),
    /// This one, and nobody knows what below.
    Lacking(B256),
    /// It is not above the last decided block.
    Apart,
}

impl<R: Rules> Chained<R> {
    fn path(&self, mut hash: B256, mut height: u64) -> Path {
        let mut path = Vec::new();
        if height > self.decided.saturating_add(FAR) {
            return Path::Apart;
        }
        while height > self.decided {
            let Some(block) = self.blocks.get(hash) else { return Path::Lacking(hash) };
            if block.header.height != height {
                return Path::Apart;
            }
            (hash, height) = (block.header.parent_hash, height - 1);
            path.push(block.clone());
        }
        path.reverse();
        if hash == self.decided_hash() && height == self.decided { Path::Whole(path) } else { Path::Apart }
    }

    /// The hashes between the last decided block and another one, if all are here.
    pub(super) fn chain_to(&self, hash: B256, height: u64) -> Option<Vec<Arc<Block>>> {
        if let Path::Whole(path) = self.path(hash, height) { Some(path) } else { None }
    }

    /// Whether the host has executed everything up to a block. If not, it is asked to, one block at a time, and a block that is
    /// lacking is asked for.
    pub(super) fn follow(&mut self, hash: B256, height: u64, effects: &mut Effects<R>) -> bool {
        let path = match self.path(hash, height) {
            Path::Whole(path) => path,
            Path::Apart => return false,
            Path::Lacking(lacking) => {
                if !self.blocks.wanted.contains_key(&lacking) && self.blocks.wanted.len() < FAR as usize {
                    self.want(lacking, effects);
                }
                return false;
            }
        };
        let known = path.iter().map(|block| block.header.hash()).enumerate();
        let next = known.into_iter().find(|(at, hash)| self.blocks.executed.get(*at) != Some(hash));
        let Some((at, next)) = next else { return true };
        if self.blocks.judged.is_none() && !self.blocks.refused.contains(&next) {
            self.blocks.judged = Some(next);
            let fresh = !self.notarized.values().any(|notarization| notarization.proposal.block == next);
            effects.push(Effect::Ask(Ask::Validate { block: path[at].clone(), fresh }));
        }
        false
    }

    /// How many blocks are executed up to one of them, or to the last decided one.
    fn executed_up_to(&self, hash: B256) -> Option<usize> {
        let place = self.blocks.executed.iter().position(|executed| *executed == hash);
        place.map(|place| place + 1).or_else(|| (hash == self.decided_hash()).then_some(0))
    }

    /// The host has executed a block on top of its parent, and dropped what it had there.
    pub(super) fn executes(&mut self, block: &Block) -> bool {
        let Some(kept) = self.executed_up_to(block.header.parent_hash) else { return false };
        self.blocks.executed.truncate(kept);
        self.blocks.executed.push(block.header.hash());
        true
    }

    /// The host has judged a block.
    pub(super) fn judged(&mut self, hash: B256, valid: bool, effects: &mut Effects<R>) {
        if self.blocks.judged.take_if(|judged| *judged == hash).is_none() {
            return;
        }
        if valid {
            let block = self.blocks.get(hash).cloned();
            block.into_iter().for_each(|block| _ = self.executes(&block));
            return;
        }
        // Not for good: it may only be ahead of this host's clock.
        self.blocks.refused.insert(hash);
        // Where the host stands is not certain any more; what it has executed it says again at once.
        self.blocks.executed.clear();
        let view = self.standing.view;
        let offered = self.slots.get(&view).and_then(|slot| slot.offer.as_ref());
        if offered.is_some_and(|offer| offer.proposal.block == hash) {
            effects.push(Effect::Fault { from: self.leader(view), fault: Fault::InvalidBlock });
        }
    }

    /// Makes the blocks up to one durable.
    pub(super) fn persist_blocks(&mut self, hash: B256, height: u64, effects: &mut Effects<R>) {
        for block in self.chain_to(hash, height).into_iter().flatten() {
            if let Some(body) = self.blocks.bodies.get_mut(&block.header.hash()).filter(|body| !body.is_durable) {
                body.is_durable = true;
                effects.push(Effect::Persist(Record::Block(block)));
            }
        }
    }

    /// Asks for a block: the leader first, then one after the other.
    fn want(&mut self, hash: B256, effects: &mut Effects<R>) {
        let (n, leader) = (self.config.replica.validators.len(), self.primary().as_usize());
        let asked = self.blocks.wanted.entry(hash).or_default();
        let place = leader + *asked;
        *asked += 1;
        let to = ValidatorIndex((place % n) as u16);
        if to != self.config.replica.me {
            effects.push(Effect::Send { to, message: Message::Want(hash) });
        }
    }

    /// After a look at the clock: asks for what has not come.
    pub(super) fn want_again(&mut self, effects: &mut Effects<R>) {
        let wanted: Vec<_> = self.blocks.wanted.keys().copied().collect();
        wanted.into_iter().for_each(|hash| self.want(hash, effects));
    }

    pub(super) fn receive_want(&mut self, from: ValidatorIndex, hash: B256, effects: &mut Effects<R>) {
        let Some(block) = self.blocks.get(hash).cloned() else { return };
        if self.blocks.served.insert((from, hash)) {
            effects.push(Effect::Send { to: from, message: Message::Body(block) });
        }
    }

    /// The hash of a block says what is in it, so it does not matter who sends it.
    pub(super) fn receive_body(&mut self, block: Arc<Block>) -> Result<(), Fault> {
        if !self.blocks.wanted.contains_key(&block.header.hash()) {
            return Ok(());
        }
        if !self.is_whole(&block) {
            return Err(Fault::WrongBlock);
        }
        self.blocks.keep(block, false);
        Ok(())
    }

    /// The certificate of the next block, once there is one.
    fn next_certificate(&self) -> Option<Certificate> {
        let (height, quorum) = (self.decided.saturating_add(1), self.quorum());
        let counted = || {
            self.commits.range((height, 0)..=(height, u64::MAX)).find_map(|(_, tally)| {
                let votes = tally.ballots_for(tally.choice_of(quorum)?).take(quorum);
                Certificate::from_votes(votes.map(Arc::as_ref))
            })
        };
        self.finals.get(&height).cloned().or_else(counted)
    }

    /// Decides the next block if it has a certificate and the host has executed it.
    pub(super) fn decide_next(&mut self, effects: &mut Effects<R>) -> bool {
        let Some(certificate) = self.next_certificate() else { return false };
        let (hash, height, view) = (certificate.block_hash, certificate.height, certificate.view);
        let block = self.blocks.get(hash).cloned();
        let Some(block) = block.filter(|_| self.follow(hash, height, effects)) else {
            // Whoever has it has executed it already.
            self.follow(hash, height, effects);
            return false;
        };
        if R::LINEAR && !self.finals.contains_key(&height) {
            effects.push(Effect::Broadcast(Message::Final(Box::new(certificate.clone()))));
        }
        self.decide(certificate.clone(), effects);
        effects.push(Effect::Output(Output::Decide(Decision { block, certificate })));
        R::decided(self, view, effects);
        true
    }

    fn decide(&mut self, certificate: Certificate, effects: &mut Effects<R>) {
        let (height, hash) = (certificate.height, certificate.block_hash);
        let known = self.commits.get(&(height, certificate.view)).into_iter();
        let evidence = known.flat_map(|tally| tally.against(&certificate)).map(Output::Evidence);
        effects.extend(evidence.map(Effect::Output));
        (self.decided, self.certificate) = (height, Some(certificate));
        self.blocks.decide(height, hash);
        self.commits.retain(|(above, _), _| *above > height);
        self.finals.retain(|above, _| *above > height);
        (self.pace.failures, self.pace.quiet) = (0, 0);
        self.pace.asked = None;
    }

    /// A peer shows that a block is final.
    pub(super) fn receive_final(&mut self, certificate: Certificate) -> Result<(), Fault> {
        let height = certificate.height;
        let near = height > self.decided && height <= self.decided.saturating_add(FAR);
        if near && !self.finals.contains_key(&height) {
            certificate.verify(&self.config.replica.domain, &self.config.replica.validators)?;
            self.finals.insert(height, certificate);
        }
        Ok(())
    }

    /// Others decided up to here.
    pub(super) fn caught_up(&mut self, certificate: Certificate, effects: &mut Effects<R>) {
        if certificate.height > self.decided {
            let view = certificate.view;
            self.decide(certificate, effects);
            R::decided(self, view, effects);
        }
    }
}
