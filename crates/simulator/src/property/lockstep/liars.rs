//! Cheats that know the protocol.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dtn_consensus::{
    Party,
    lockstep::{Commit, Message, Mode, Reveal, group, view},
    sealed::{Opening, Place},
};
use dtn_primitives::{B256, Bytes, ValidatorIndex};
use rand::Rng;

use super::{super::Lie, CHOICES, Table};
use crate::adversary::{Adversary, Context, Outgoing};

/// For how many ticks a cheat keeps back a commitment that is due before another one.
const PATIENCE: u32 = 2;

/// What a cheat does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cheat {
    /// It commits when it knows the victim's choice, or has waited for that long enough: look-ahead, by whatever way there
    /// is; of a pipeline, it commits to the second of two rounds first.
    Peeker,
    /// It says the victim's commitment and reveal again as its own: a replay.
    Copier,
    /// It makes two commitments, each with its reveal: one for those with an even number, and one for the others.
    TwoFaced,
    /// It reveals when it is too late, to half of the others.
    Refuser,
    /// It signs another state than it has.
    Desynced,
}

impl Cheat {
    /// That of a lie, if it takes somebody who knows the protocol.
    pub(super) fn of(lie: Lie) -> Option<Self> {
        Some(match lie {
            Lie::Peeker => Self::Peeker,
            Lie::Copier => Self::Copier,
            Lie::TwoFaced => Self::TwoFaced,
            Lie::Refuser => Self::Refuser,
            Lie::Desynced => Self::Desynced,
            _ => return None,
        })
    }

    /// One in this peer's place.
    pub fn adversary(self, me: Party, table: Table) -> Box<dyn Adversary<Message>> {
        let known = Known { me, table, commits: BTreeMap::new(), choices: BTreeMap::new(), salt: None };
        match self {
            Self::Peeker => Box::new(Peeker { known, begun: BTreeMap::new(), own: BTreeMap::new(), ticks: 0 }),
            Self::Copier => Box::new(Copier(known)),
            Self::TwoFaced => Box::new(TwoFaced { known, own: BTreeMap::new(), said: BTreeSet::new() }),
            Self::Refuser => Box::new(Refuser(known)),
            Self::Desynced => Box::new(Desynced(known)),
        }
    }
}

/// What a cheat has heard.
struct Known {
    me: Party,
    table: Table,
    commits: BTreeMap<u64, BTreeMap<ValidatorIndex, B256>>,
    /// Choices of the victim, by round.
    choices: BTreeMap<u64, u8>,
    /// The last salt of the victim.
    salt: Option<B256>,
}

impl Known {
    fn place(&self, round: u64, by: ValidatorIndex) -> Place {
        let (round, by) = if self.table.rules.seals_place { (round, by) } else { (0, ValidatorIndex(0)) };
        Place { group: group(&self.me), round, by }
    }

    fn hear(&mut self, message: &Message) {
        match message {
            Message::Commit(commit) => {
                self.commits.entry(commit.round).or_default().insert(commit.by, commit.seal);
                if commit.by == self.table.victim {
                    self.try_salt(commit);
                }
            }
            Message::Reveal(reveal) if reveal.by == self.table.victim => {
                if let [before, now, ..] = reveal.opening.items.first().map_or(&[][..], |event| &event[..]) {
                    self.choices.insert(reveal.round - 1, *before);
                    self.choices.insert(reveal.round, *now);
                }
                self.salt = Some(reveal.opening.salt);
            }
            _ => {}
        }
    }

    /// Tries whether a salt is used again.
    fn try_salt(&mut self, commit: &Commit) {
        let (Some(salt), Some(before)) = (self.salt, self.choices.get(&(commit.round - 1)).copied()) else { return };
        let place = self.place(commit.round, commit.by);
        let fits = |now: &u8| Opening { salt, items: vec![vec![before, *now].into()] }.seal(&place) == commit.seal;
        if let Some(now) = (0..CHOICES).find(fits) {
            self.choices.insert(commit.round, now);
        }
    }

    fn commit(&self, round: u64, opening: &Opening, state: B256) -> Commit {
        Commit::sign(&self.me, round, opening.seal(&self.place(round, self.me.me)), state)
    }

    /// The view of whoever has heard the same, and of this peer this seal.
    fn view(&self, round: u64, own: B256) -> Option<B256> {
        let mut seals = self.commits.get(&round)?.clone();
        seals.insert(self.me.me, own);
        (seals.len() == self.me.n()).then(|| view(&seals.into_iter().collect::<Vec<_>>()))
    }
}

struct Peeker {
    known: Known,
    /// Rounds that have begun without it: the state that the victim has signed, and the tick at which it did.
    begun: BTreeMap<u64, (B256, u32)>,
    /// What it has said, by round.
    own: BTreeMap<u64, (Opening, Vec<Message>)>,
    ticks: u32,
}

impl Peeker {
    /// Commits to what it may, if it knows enough or has waited long enough.
    fn commit(&mut self, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let mut said = Vec::new();
        let rounds: Vec<_> = self.begun.iter().map(|(round, it)| (*round, *it)).collect();
        for (round, (state, since)) in rounds {
            let choice = self.known.choices.get(&round).copied();
            let is_first_of_two = round % 2 == 1 && self.known.table.config.pipeline > 1;
            let patience = if is_first_of_two { PATIENCE } else { 1 };
            let is_second = round % 2 == 0 && self.begun.contains_key(&(round - 1));
            if choice.is_none() && self.ticks - since < patience && !is_second {
                continue;
            }
            let choice = choice.unwrap_or_else(|| context.rng.random_range(0..CHOICES));
            let salt = B256::from(context.rng.random::<[u8; 32]>());
            let opening = Opening { salt, items: vec![vec![0, choice].into()] };
            let commit = self.known.commit(round, &opening, state);
            self.begun.remove(&round);
            self.own.insert(round, (opening, vec![Message::Commit(commit)]));
            said.extend(Outgoing::to_all(&Message::Commit(commit), context));
        }
        said
    }

    /// Reveals with the view of the victim, which holds all commitments.
    fn reveal(&mut self, round: u64, view: B256, context: &Context<'_>) -> Vec<Outgoing<Message>> {
        let Some((opening, words)) = self.own.get_mut(&round) else { return Vec::new() };
        let reveal = Message::Reveal(Reveal::sign(&self.known.me, round, opening.clone(), view).into());
        words.truncate(1);
        words.push(reveal.clone());
        Outgoing::to_all(&reveal, context)
    }

    /// In a bucket, says what it has seen.
    fn echo(&self, round: u64, context: &Context<'_>) -> Vec<Outgoing<Message>> {
        let Some(choice) = self.known.choices.get(&round) else { return Vec::new() };
        let opening = Opening { salt: B256::ZERO, items: vec![vec![0, *choice].into()] };
        let reveal = Reveal::sign(&self.known.me, round, opening, B256::ZERO);
        Outgoing::to_all(&Message::Reveal(reveal.into()), context)
    }
}

impl Adversary<Message> for Peeker {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let own = match &message {
            Message::Commit(commit) => commit.by == self.known.me.me,
            Message::Reveal(reveal) => reveal.by == self.known.me.me,
            _ => false,
        };
        if own { Vec::new() } else { vec![Outgoing::new(to, message)] }
    }

    fn heard(&mut self, from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        self.known.hear(message);
        let mut said = Vec::new();
        match message {
            Message::Commit(it) if it.by == self.known.table.victim && !self.own.contains_key(&it.round) => {
                self.begun.entry(it.round).or_insert((it.state, self.ticks));
            }
            Message::Reveal(it) if it.by == self.known.table.victim => {
                let is_bucket = matches!(self.known.table.config.mode, Mode::Bucket { .. });
                said = if is_bucket { self.echo(it.round, context) } else { self.reveal(it.round, it.view, context) };
            }
            Message::Missing { round, whom } if whom.contains(&self.known.me.me) => {
                let words = self.own.get(round).map_or(&[][..], |(_, words)| words);
                said = words.iter().map(|word| Outgoing::new(from, word.clone())).collect();
            }
            _ => {}
        }
        said.extend(self.commit(context));
        said
    }

    fn unasked(&mut self, _: u64, _: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        self.ticks += 1;
        self.commit(context)
    }
}

struct Copier(Known);

impl Adversary<Message> for Copier {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        match message {
            Message::Commit(commit) if commit.by == self.0.me.me => Vec::new(),
            Message::Reveal(reveal) if reveal.by == self.0.me.me => Vec::new(),
            other => vec![Outgoing::new(to, other)],
        }
    }

    fn heard(&mut self, _: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let said = match message {
            Message::Commit(it) if it.by == self.0.table.victim => {
                Message::Commit(Commit::sign(&self.0.me, it.round, it.seal, it.state))
            }
            Message::Reveal(it) if it.by == self.0.table.victim => {
                Message::Reveal(Reveal::sign(&self.0.me, it.round, it.opening.clone(), it.view).into())
            }
            _ => return Vec::new(),
        };
        Outgoing::to_all(&said, context)
    }
}

struct TwoFaced {
    known: Known,
    /// By round: the state, and what it shows to those with an even number and to the others.
    own: BTreeMap<u64, (B256, [Opening; 2])>,
    said: BTreeSet<u64>,
}

impl TwoFaced {
    /// Says each half the reveal that goes with its commitment.
    fn reveal(&mut self, round: u64, context: &Context<'_>) -> Vec<Outgoing<Message>> {
        let Some((_, openings)) = self.own.get(&round) else { return Vec::new() };
        let seals = openings.clone().map(|it| it.seal(&self.known.place(round, self.known.me.me)));
        let views = seals.map(|seal| self.known.view(round, seal));
        let [Some(even), Some(odd)] = views else { return Vec::new() };
        if !self.said.insert(round) {
            return Vec::new();
        }
        let views = if self.known.table.rules.compares_views { [even, odd] } else { [B256::ZERO; 2] };
        let face = |to: ValidatorIndex| {
            let face = usize::from(to.0 % 2);
            let reveal = Reveal::sign(&self.known.me, round, openings[face].clone(), views[face]);
            Outgoing::new(to, Message::Reveal(reveal.into()))
        };
        context.seat.others().map(face).collect()
    }
}

impl Adversary<Message> for TwoFaced {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let me = self.known.me.me;
        match message {
            Message::Commit(commit) if commit.by == me => {
                let opening =
                    |face: u8| Opening { salt: B256::repeat_byte(face), items: vec![Bytes::from(vec![face, face])] };
                let round = commit.round;
                let (state, openings) =
                    self.own.entry(round).or_insert_with(|| (commit.state, [opening(1), opening(2)])).clone();
                let faced = self.known.commit(round, &openings[usize::from(to.0 % 2)], state);
                let mut said = vec![Outgoing::new(to, Message::Commit(faced))];
                said.extend(self.reveal(round, context));
                said
            }
            Message::Reveal(reveal) if reveal.by == me => Vec::new(),
            other => vec![Outgoing::new(to, other)],
        }
    }

    fn heard(&mut self, _: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        if !matches!(message, Message::Commit(commit) if commit.by == self.known.me.me) {
            self.known.hear(message);
        }
        if let Message::Commit(commit) = message { self.reveal(commit.round, context) } else { Vec::new() }
    }
}

struct Refuser(Known);

impl Adversary<Message> for Refuser {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let deadline = if let Mode::Timed { deadline } = self.0.table.config.mode { deadline } else { Duration::ZERO };
        match message {
            Message::Reveal(reveal) if reveal.by == self.0.me.me => {
                let late =
                    Outgoing { delay: 2 * deadline + deadline / 2, ..Outgoing::new(to, Message::Reveal(reveal)) };
                if to.0.is_multiple_of(2) { vec![late] } else { Vec::new() }
            }
            // It says nothing of it in reports either.
            Message::Report { .. } => Vec::new(),
            other => vec![Outgoing::new(to, other)],
        }
    }
}

struct Desynced(Known);

impl Adversary<Message> for Desynced {
    fn instead(&mut self, to: ValidatorIndex, message: Message, _: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let message = match message {
            Message::Commit(it) if it.by == self.0.me.me => {
                Message::Commit(Commit::sign(&self.0.me, it.round, it.seal, B256::repeat_byte(1)))
            }
            other => other,
        };
        vec![Outgoing::new(to, message)]
    }
}
