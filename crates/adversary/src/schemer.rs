//! Plays out what a rule of a protocol that chains blocks is there to prevent, among four replicas of which one hears nobody
//! but the liar. Chance never has it so: the liar leads, and each step takes that the one before it came about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dtn_consensus::{
    chained::{Message, Notarization, Offer, Proposal, Rules},
    quorum::Tally,
};
use dtn_primitives::{B256, Certificate, ValidatorIndex, Vote, VoteKind};

use crate::{
    Adversary, Context, Outgoing,
    chained::{notarize, vote},
};

/// One of the others: the first two hear each other, and the last one is cut off.
#[derive(Debug, Clone, Copy)]
enum Other {
    First,
    Second,
    Last,
}

use Other::{First, Last, Second};

/// All of the others.
const ALL: &[Other] = &[First, Second, Last];

/// Those who hear each other.
const PAIR: &[Other] = &[First, Second];

/// One who is in both halves of a scheme, and who is cut off.
const ASTRIDE: &[Other] = &[First, Last];

/// A proposal in one of the views that the liar leads.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// In which of them, from 0.
    turn: u64,
    /// The step whose proposal it is on top of; what the run begins with, without.
    on: Option<usize>,
    /// Who gets it.
    offered: &'static [Other],
    /// Who is shown that it is notarized.
    shown: &'static [Other],
    /// Who is shown that it is final.
    told: &'static [Other],
}

const fn step(turn: u64, on: Option<usize>, offered: &'static [Other], shown: &'static [Other]) -> Step {
    Step { turn, on, offered, shown, told: &[] }
}

/// Three in a row, of which only the one that is cut off knows the last: what the second one makes final it alone finds so.
/// Then three on top of what was before these: a shorter chain.
const SHORTER: &[Step] = &[
    step(0, None, ALL, ALL),
    step(1, Some(0), ALL, ALL),
    step(2, Some(1), ASTRIDE, &[Last]),
    step(3, None, PAIR, PAIR),
    step(4, Some(3), PAIR, PAIR),
    step(5, Some(4), PAIR, PAIR),
];

/// On top of the first, one that nobody knows to be notarized; two in a row as long as it, of which only the one that is cut off
/// knows the last; and then two on top of the former, which are as long as any chain that the others know. It is why Streamlet takes
/// three (§3.2).
const TWO_IN_A_ROW: &[Step] = &[
    step(0, None, ALL, ALL),
    step(1, Some(0), ASTRIDE, &[]),
    step(2, Some(0), ALL, ALL),
    step(3, Some(2), ASTRIDE, &[Last]),
    step(4, Some(1), PAIR, PAIR),
    step(5, Some(4), PAIR, PAIR),
];

/// One that is final, of which only the one that is cut off knows it, and in the liar's next view another one in its place.
const IN_ITS_PLACE: &[Step] = &[
    Step { turn: 0, on: None, offered: ALL, shown: ASTRIDE, told: &[Last] },
    Step { turn: 1, on: None, offered: PAIR, shown: PAIR, told: PAIR },
];

/// A liar with a scheme. In the views of others it says nothing but where it stands and that it gives them up.
pub(crate) struct Schemer {
    steps: &'static [Step],
    /// For how many views in a row a replica leads.
    turn: u64,
    /// Of each step that has begun.
    offers: BTreeMap<usize, Offer>,
    notarized: BTreeMap<usize, Arc<Notarization>>,
    certified: BTreeMap<usize, Certificate>,
    heard: BTreeMap<(usize, VoteKind), Tally<Arc<Vote>>>,
    /// What it has shown: once, since who forgets it in a restart is not to be reminded.
    shown: BTreeSet<(usize, VoteKind)>,
}

impl Schemer {
    pub(crate) fn new<R: Rules>(seed: u64) -> Self {
        let steps = match (R::BY_HEIGHT, seed.is_multiple_of(2)) {
            (true, true) => SHORTER,
            (true, false) => TWO_IN_A_ROW,
            (false, _) => IN_ITS_PLACE,
        };
        let (offers, notarized) = (BTreeMap::new(), BTreeMap::new());
        Self {
            steps,
            turn: R::TURN,
            offers,
            notarized,
            certified: BTreeMap::new(),
            heard: BTreeMap::new(),
            shown: BTreeSet::new(),
        }
    }

    /// Which of the views that the liar leads it is, from 0, of the first turn that is whole.
    fn view(&self, number: u64, context: &Context<'_>) -> u64 {
        let n = context.seat.validators.len() as u64;
        let first = (1..=n).find(|turn| context.seat.validators.primary(*turn, 0) == context.seat.me).unwrap_or(1);
        (first + number / self.turn * n) * self.turn + number % self.turn
    }

    fn offer(&self, number: usize, context: &Context<'_>) -> Option<Offer> {
        let step = self.steps.get(number)?;
        let root = Proposal { view: 0, parent: 0, length: 0, height: 0, block: context.seat.domain.network_id };
        let parent = match step.on {
            Some(on) => Some(self.notarized.get(&on)?.clone()),
            None => None,
        };
        let below = parent.as_ref().map_or(root, |parent| parent.proposal);
        let (view, height) = (self.view(step.turn, context), below.height + 1);
        let block = context.seat.block(height, below.block, number as u64);
        let (length, hash) = (below.length + 1, block.header.hash());
        let proposal = Proposal { view, parent: below.view, length, height, block: hash };
        let vote = notarize(&proposal, context);
        Some(Offer { proposal, vote, block: Some(block), parent, nullified: Vec::new() })
    }

    /// Begins what can begin, and says what it has to say: the proposal of the last step again and again.
    fn say(&mut self, context: &Context<'_>) -> Vec<Outgoing<Message>> {
        let others: Vec<_> = context.seat.others().collect();
        let (Some(last), [first, second, ..]) = (others.last().copied(), &others[..]) else { return Vec::new() };
        let who = |other: &Other| match other {
            First => *first,
            Second => *second,
            Last => last,
        };
        let mut said = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            // What a proposal carries is not to be known before it is its turn.
            if number > 0 && !self.notarized.contains_key(&(number - 1)) {
                break;
            }
            let known = self.offers.get(&number).cloned();
            let Some(offer) = known.or_else(|| self.offer(number, context)) else { break };
            self.offers.insert(number, offer.clone());
            let is_over = self.notarized.contains_key(&number) && number + 1 < self.steps.len();
            let mut is_new = |kind| self.shown.insert((number, kind));
            let notarized = self.notarized.get(&number).filter(|_| is_new(VoteKind::Notarize));
            let notarized = notarized.map(|it| Message::Notarized(it.clone()));
            let certified = self.certified.get(&number).filter(|_| is_new(VoteKind::Commit));
            let certified = certified.map(|it| Message::Final(Box::new(it.clone())));
            let offered = (!is_over).then(|| Message::Propose(Box::new(offer)));
            for (message, to) in [(offered, step.offered), (notarized, step.shown), (certified, step.told)] {
                let each = message.into_iter().flat_map(|message| to.iter().map(move |to| (who(to), message.clone())));
                said.extend(each.map(|(to, message)| Outgoing::new(to, message)));
            }
        }
        said
    }

    /// Counts a vote for one of its proposals, or a commit to its block. Whether that makes a quorum with its own.
    fn count(&mut self, heard: &Arc<Vote>, context: &Context<'_>) -> bool {
        let is_of = |proposal: &Proposal| match heard.kind {
            VoteKind::Notarize => proposal.hash() == heard.block_hash,
            VoteKind::Commit => {
                (proposal.view, proposal.height, proposal.block) == (heard.view, heard.height, heard.block_hash)
            }
            _ => false,
        };
        let Some((number, offer)) = self.offers.iter().find(|(_, offer)| is_of(&offer.proposal)) else { return false };
        let (number, proposal, kind) = (*number, offer.proposal, heard.kind);
        let tally = self.heard.entry((number, kind)).or_default();
        let own = vote(kind, (heard.view, heard.height), heard.block_hash, context);
        tally.extend([own, heard.clone()]);
        let Some(votes) = tally.quorum_for(heard.block_hash, context.seat.validators) else { return false };
        if kind == VoteKind::Commit {
            let certificate = Certificate::from_votes(votes.map(Arc::as_ref));
            return certificate.is_some_and(|certificate| self.certified.insert(number, certificate).is_none());
        }
        let signatures = votes.map(|vote| (vote.validator, vote.signature)).collect();
        self.notarized.insert(number, Arc::new(Notarization { proposal, signatures })).is_none()
    }

    fn block(&self, wanted: B256) -> Option<Message> {
        let mut blocks = self.offers.values().filter_map(|offer| offer.block.clone());
        blocks.find(|block| block.header.hash() == wanted).map(Message::Body)
    }
}

impl Adversary<Message> for Schemer {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        match message {
            Message::Status(mut status) => {
                (status.tip, status.proof) = (0, None);
                vec![Outgoing::new(to, Message::Status(status))]
            }
            Message::Vote(vote) if vote.kind == VoteKind::Nullify => vec![Outgoing::new(to, Message::Vote(vote))],
            _ => Vec::new(),
        }
    }

    fn heard(&mut self, from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let votes = match message {
            Message::Vote(vote) => std::slice::from_ref(vote),
            Message::Commit(votes) => votes,
            Message::Want(hash) => {
                return self.block(*hash).map(|block| Outgoing::new(from, block)).into_iter().collect();
            }
            _ => return Vec::new(),
        };
        let is_news = votes.iter().filter(|vote| self.count(vote, context)).count() > 0;
        if is_news { self.say(context) } else { Vec::new() }
    }

    fn unasked(&mut self, _height: u64, _view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        self.say(context)
    }
}
