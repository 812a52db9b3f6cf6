//! Liars in protocols that chain blocks.

use std::{collections::BTreeMap, sync::Arc};

use dtn_consensus::{
    chained::{Message, Notarization, Offer, Proposal, Status},
    quorum::Tally,
};
use dtn_primitives::{B256, Block, Certificate, ValidatorIndex, Vote, VoteKind};
use rand::Rng;

use crate::{
    Adversary, Context, Outgoing,
    forger::{in_anothers_name, spoiled},
    permuter::permuted,
};

/// Messages that a forger answers between two looks at itself.
const FORGED_AT_ONCE: usize = 32;

/// What a liar remembers of each kind.
const REMEMBERED: usize = 64;

/// The part of a view's time that a slow leader's proposal takes, in percent.
const PERCENT: u32 = 85;

pub(super) fn is_odd(to: ValidatorIndex) -> bool {
    !to.0.is_multiple_of(2)
}

pub(crate) fn vote(kind: VoteKind, (view, height): (u64, u64), hash: B256, context: &Context<'_>) -> Arc<Vote> {
    context.seat.vote(kind, (view, height), hash)
}

pub(super) fn notarize(proposal: &Proposal, context: &Context<'_>) -> Arc<Vote> {
    vote(VoteKind::Notarize, (proposal.view, 0), proposal.hash(), context)
}

fn to_all(messages: &[Message], context: &Context<'_>) -> Vec<Outgoing<Message>> {
    messages.iter().flat_map(|message| Outgoing::to_all(message, context)).collect()
}

/// Leads with two proposals, and votes for both of any two that it knows.
#[derive(Default)]
pub(crate) struct TwoFaced {
    /// The second block in the place of each that it has proposed itself.
    offered: BTreeMap<B256, B256>,
    /// The second in the place of each proposal.
    others: BTreeMap<B256, Proposal>,
    /// The same for blocks.
    hashes: BTreeMap<B256, B256>,
    /// What it has heard for those: where votes go to the leader alone, it shows what they come to.
    heard: BTreeMap<(VoteKind, B256), Tally<Arc<Vote>>>,
}

impl TwoFaced {
    /// The second proposal in the place of one: with another block, or another parent.
    fn other(&mut self, offer: &Offer, context: &Context<'_>) -> Offer {
        let mut other = offer.clone();
        match &offer.block {
            Some(block) => {
                let mut twin = Block::clone(block);
                let parent = self.offered.get(&twin.header.parent_hash).copied();
                twin.header.parent_hash = parent.unwrap_or(twin.header.parent_hash);
                twin.header.timestamp += 1;
                let twin = Arc::new(twin);
                if offer.vote.validator == context.seat.me {
                    self.offered.insert(block.header.hash(), twin.header.hash());
                }
                other.proposal.block = twin.header.hash();
                self.hashes.insert(offer.proposal.block, other.proposal.block);
                other.block = Some(twin);
            }
            None => other.proposal.length += 1,
        }
        other.vote = notarize(&other.proposal, context);
        self.others.insert(offer.proposal.hash(), other.proposal);
        while self.others.len() > REMEMBERED {
            self.others.pop_first();
        }
        for known in [&mut self.hashes, &mut self.offered] {
            while known.len() > REMEMBERED {
                known.pop_first();
            }
        }
        other
    }

    fn twin(&self, said: &Vote, context: &Context<'_>) -> Option<Arc<Vote>> {
        let hash = match said.kind {
            VoteKind::Notarize => self.others.get(&said.block_hash)?.hash(),
            VoteKind::Commit => *self.hashes.get(&said.block_hash)?,
            _ => return None,
        };
        Some(vote(said.kind, (said.view, said.height), hash, context))
    }
}

impl TwoFaced {
    /// A vote for a second proposal or block: once they are a quorum with the liar's own, others are shown that.
    fn collect(&mut self, heard: &Arc<Vote>, context: &Context<'_>) -> Option<Message> {
        let proposal = self.others.values().find(|proposal| proposal.hash() == heard.block_hash).copied();
        let is_twin = proposal.is_some() || self.hashes.values().any(|hash| *hash == heard.block_hash);
        if !is_twin || !matches!(heard.kind, VoteKind::Notarize | VoteKind::Commit) {
            return None;
        }
        while self.heard.len() > REMEMBERED {
            self.heard.pop_first();
        }
        let tally = self.heard.entry((heard.kind, heard.block_hash)).or_default();
        tally.extend([heard.clone(), vote(heard.kind, (heard.view, heard.height), heard.block_hash, context)]);
        let votes = tally.quorum_for(heard.block_hash, context.seat.validators)?;
        match proposal {
            Some(proposal) => {
                let signatures = votes.map(|vote| (vote.validator, vote.signature)).collect();
                Some(Message::Notarized(Arc::new(Notarization { proposal, signatures })))
            }
            None => Certificate::from_votes(votes.map(Arc::as_ref)).map(|it| Message::Final(Box::new(it))),
        }
    }
}

impl Adversary<Message> for TwoFaced {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        match message {
            Message::Propose(offer) if offer.vote.validator == context.seat.me && is_odd(to) => {
                let other = self.other(&offer, context);
                let both = [Message::Vote(other.vote.clone()), Message::Propose(Box::new(other))];
                both.map(|message| Outgoing::new(to, message)).into()
            }
            Message::Vote(said) => {
                let twin = self.twin(&said, context).map(Message::Vote);
                // The order decides which of the two counts.
                let mut both: Vec<_> = [Some(Message::Vote(said)), twin].into_iter().flatten().collect();
                if is_odd(to) {
                    both.reverse();
                }
                both.into_iter().map(|message| Outgoing::new(to, message)).collect()
            }
            Message::Commit(said) => {
                let twins: Vec<_> = said.iter().filter_map(|vote| self.twin(vote, context)).collect();
                let mut both = vec![Message::Commit(said), Message::Commit(twins)];
                if is_odd(to) {
                    both.reverse();
                }
                both.into_iter().map(|message| Outgoing::new(to, message)).collect()
            }
            message => vec![Outgoing::new(to, message)],
        }
    }

    fn heard(&mut self, _from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let votes = match message {
            Message::Propose(offer) => {
                self.other(offer, context);
                return Vec::new();
            }
            Message::Vote(vote) => std::slice::from_ref(vote),
            Message::Commit(votes) => votes,
            _ => return Vec::new(),
        };
        let shown: Vec<_> = votes.iter().filter_map(|vote| self.collect(vote, context)).collect();
        let fooled = context.seat.others().filter(|to| is_odd(*to));
        fooled.flat_map(|to| shown.iter().map(move |it| Outgoing::new(to, it.clone()))).collect()
    }
}

/// Leads on top of the oldest chain that it knows, says that it knows none, and keeps certificates to itself.
#[derive(Default)]
pub(crate) struct StaleLeader {
    known: BTreeMap<u64, Arc<Notarization>>,
}

impl StaleLeader {
    fn remember(&mut self, notarization: &Arc<Notarization>) {
        self.known.insert(notarization.proposal.view, notarization.clone());
        while self.known.len() > REMEMBERED {
            self.known.pop_first();
        }
    }

    /// A proposal like one of its own, on top of what came before.
    fn stale(&self, offer: Offer, context: &Context<'_>) -> Offer {
        let older = offer.parent.as_ref().and_then(|parent| self.known.get(&parent.proposal.parent));
        let Some(older) = older else { return offer };
        let Proposal { view, length, height, block, .. } = older.proposal;
        let twin = context.seat.block(height + 1, block, offer.proposal.view);
        let proposal = Proposal {
            view: offer.proposal.view,
            parent: view,
            length: length + 1,
            height: height + 1,
            block: twin.header.hash(),
        };
        let vote = notarize(&proposal, context);
        Offer { proposal, vote, block: Some(twin), parent: Some(older.clone()), nullified: offer.nullified }
    }
}

impl Adversary<Message> for StaleLeader {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let message = match message {
            Message::Propose(offer) if offer.vote.validator == context.seat.me => {
                offer.parent.iter().for_each(|parent| self.remember(parent));
                Message::Propose(Box::new(self.stale(*offer, context)))
            }
            Message::Status(status) => Message::Status(Box::new(Status { tip: 0, proof: None, ..*status })),
            Message::Notarized(_) | Message::Nullified(_) | Message::Final(_) if is_odd(to) => return Vec::new(),
            message => message,
        };
        vec![Outgoing::new(to, message)]
    }

    fn heard(
        &mut self,
        _from: ValidatorIndex,
        message: &Message,
        _context: &mut Context<'_>,
    ) -> Vec<Outgoing<Message>> {
        match message {
            Message::Notarized(notarization) => self.remember(notarization),
            Message::Propose(offer) => offer.parent.iter().for_each(|parent| self.remember(parent)),
            _ => {}
        }
        Vec::new()
    }
}

/// Binds itself to nothing: votes for whatever is proposed, gives up each view in which it commits, and commits in each that it
/// gives up.
#[derive(Default)]
pub(crate) struct Unbound {
    /// By view.
    proposals: BTreeMap<u64, Proposal>,
}

impl Adversary<Message> for Unbound {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let mut said = vec![Outgoing::new(to, message.clone())];
        match message {
            Message::Commit(votes) => said.extend(votes.first().map(|commit| {
                let nullify = vote(VoteKind::Nullify, (commit.view, 0), B256::ZERO, context);
                Outgoing::new(to, Message::Vote(nullify))
            })),
            Message::Vote(nullify) if nullify.kind == VoteKind::Nullify => {
                said.extend(self.proposals.get(&nullify.view).map(|proposal| {
                    let place = (proposal.view, proposal.height);
                    Outgoing::new(to, Message::Commit(vec![vote(VoteKind::Commit, place, proposal.block, context)]))
                }));
            }
            _ => {}
        }
        said
    }

    fn heard(&mut self, from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let Message::Propose(offer) = message else { return Vec::new() };
        let proposal = offer.proposal;
        self.proposals.insert(proposal.view, proposal);
        while self.proposals.len() > REMEMBERED {
            self.proposals.pop_first();
        }
        // Only what a leader says itself, lest two of them answer each other for ever.
        if offer.vote.validator != from {
            return Vec::new();
        }
        let votes = [
            Message::Vote(notarize(&proposal, context)),
            Message::Commit(vec![vote(VoteKind::Commit, (proposal.view, proposal.height), proposal.block, context)]),
            Message::Commit(vec![vote(VoteKind::Commit, (0, proposal.height), proposal.block, context)]),
        ];
        to_all(&votes, context)
    }
}

/// Votes for some only, so that they know a certificate which others do not.
pub(crate) struct Selective;

impl Adversary<Message> for Selective {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let chosen = match &message {
            Message::Vote(vote) => u64::from(to.0) % 3 == vote.view % 3,
            Message::Commit(votes) => votes.first().is_some_and(|vote| u64::from(to.0) % 3 == vote.height % 3),
            Message::Notarized(_) | Message::Nullified(_) | Message::Final(_) => context.rng.random_bool(0.3),
            Message::Status(status) => status.asks != 0,
            _ => true,
        };
        if chosen { vec![Outgoing::new(to, message)] } else { Vec::new() }
    }
}

/// Shows certificates of proposals for which no quorum voted.
pub(crate) struct FalseNotary;

impl FalseNotary {
    fn certificate(proposal: Proposal, context: &mut Context<'_>) -> Arc<Notarization> {
        let (quorum, own) = (context.seat.validators.quorum(), notarize(&proposal, context).signature);
        let signers: Vec<ValidatorIndex> = (0..quorum as u16).map(ValidatorIndex).collect();
        let signatures = match context.rng.random_range(0..3) {
            0 => signers.into_iter().map(|signer| (signer, own)).collect(),
            1 => vec![(context.seat.me, own); quorum],
            _ => vec![(context.seat.me, own)],
        };
        Arc::new(Notarization { proposal, signatures })
    }
}

impl Adversary<Message> for FalseNotary {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        match message {
            Message::Propose(offer) if offer.vote.validator == context.seat.me && is_odd(to) => {
                let mut offer = *offer;
                let Some(parent) = offer.parent.as_ref().map(|parent| parent.proposal) else {
                    return vec![Outgoing::new(to, Message::Propose(Box::new(offer)))];
                };
                let parent = Proposal { length: parent.length + 7, ..parent };
                (offer.parent, offer.proposal.length) = (Some(Self::certificate(parent, context)), parent.length + 1);
                offer.vote = notarize(&offer.proposal, context);
                vec![Outgoing::new(to, Message::Propose(Box::new(offer)))]
            }
            message => vec![Outgoing::new(to, message)],
        }
    }

    fn unasked(&mut self, height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let block = context.seat.block(height + 1, B256::repeat_byte(1), view).header.hash();
        let proposal = Proposal { view: view + 1, parent: view, length: height + 1, height: height + 1, block };
        to_all(&[Message::Notarized(Self::certificate(proposal, context))], context)
    }
}

/// Votes in other views than the one in which the others are, and for heights at which nobody is.
pub(crate) struct Spammer;

impl Adversary<Message> for Spammer {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let mut said = vec![Outgoing::new(to, message.clone())];
        if let Message::Vote(own) = message {
            for view in [own.view.wrapping_sub(1), own.view.saturating_add(1), u64::MAX] {
                let lie = vote(own.kind, (view, 0), own.block_hash, context);
                said.push(Outgoing::new(to, Message::Vote(lie)));
            }
        }
        said
    }

    fn unasked(&mut self, height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let far = view.saturating_add(context.rng.random_range(1..1_000_000));
        let mut lies = Vec::new();
        for view in [view + 1, view + 2, far, u64::MAX] {
            let status = Status { view, tip: view, proof: None, asks: 0, answers: 1, silent: context.rng.random() };
            let commit = vote(VoteKind::Commit, (view, height + 1), B256::repeat_byte(3), context);
            lies.extend([Message::Status(Box::new(status)), Message::Commit(vec![commit])]);
            lies.push(Message::Vote(vote(VoteKind::Notarize, (view, 0), B256::repeat_byte(2), context)));
        }
        to_all(&lies, context)
    }
}

/// Sends as much as it can that has to be kept.
pub(crate) struct Exhauster;

impl Adversary<Message> for Exhauster {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        vec![Outgoing::new(to, message)]
    }

    fn unasked(&mut self, height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let mut lies = Vec::new();
        for ahead in 0..16 {
            let (hash, view) = (B256::from(context.rng.random::<[u8; 32]>()), view + ahead);
            let kind = if context.rng.random() { VoteKind::Notarize } else { VoteKind::Nullify };
            let for_what = if kind == VoteKind::Nullify { B256::ZERO } else { hash };
            lies.push(Message::Vote(vote(kind, (view, 0), for_what, context)));
            lies.push(Message::Commit(vec![vote(VoteKind::Commit, (view, height + ahead), hash, context)]));
            let block: Arc<Block> = context.seat.block(height + ahead, hash, view);
            let proposal = Proposal { view, parent: 0, length: 1, height: height + ahead, block: block.header.hash() };
            let (own, asks) = (notarize(&proposal, context), context.rng.random());
            let status = Status { view, tip: u64::MAX, proof: None, asks, answers: 0, silent: true };
            lies.extend([Message::Body(block.clone()), Message::Want(hash), Message::Status(Box::new(status))]);
            let offer = Offer { proposal, vote: own, block: Some(block), parent: None, nullified: Vec::new() };
            lies.push(Message::Propose(Box::new(offer)));
        }
        to_all(&lies, context)
    }
}

/// Gives the same block to some in another order of its transactions.
pub(crate) struct Shuffler;

impl Adversary<Message> for Shuffler {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let message = match message {
            Message::Propose(mut offer) if is_odd(to) => {
                offer.block = offer.block.map(|block| permuted(&block));
                Message::Propose(offer)
            }
            Message::Body(block) if is_odd(to) => Message::Body(permuted(&block)),
            message => message,
        };
        vec![Outgoing::new(to, message)]
    }
}

/// As the leader proposes as late as it can.
pub(crate) struct SlowLeader;

impl Adversary<Message> for SlowLeader {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let own = matches!(&message, Message::Propose(offer) if offer.vote.validator == context.seat.me);
        let mut outgoing = Outgoing::new(to, message);
        if own {
            outgoing.delay = context.seat.view_timeout * PERCENT / 100;
        }
        vec![outgoing]
    }
}

/// Changes what others say, and signs in their names.
#[derive(Default)]
pub(crate) struct Forger {
    forged: usize,
}

impl Adversary<Message> for Forger {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        vec![Outgoing::new(to, message)]
    }

    fn heard(&mut self, _from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        if self.forged == FORGED_AT_ONCE {
            return Vec::new();
        }
        self.forged += 1;
        let changed = spoiled(message, context);
        let mut lies: Vec<_> = changed.iter().flat_map(|changed| Outgoing::to_all(changed, context)).collect();
        if let Message::Vote(heard) = message {
            let own =
                |context: &mut Context<'_>| vote(heard.kind, (heard.view, heard.height), heard.block_hash, context);
            let forged: Vec<_> = in_anothers_name(context, own).into_iter().map(Message::Vote).collect();
            lies.extend(to_all(&forged, context));
        }
        lies
    }

    fn unasked(&mut self, _height: u64, _view: u64, _context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        self.forged = 0;
        Vec::new()
    }
}
