//! Liars that know the textbook's protocols.

use std::{collections::BTreeSet, fmt, time::Duration};

use dtn_consensus::{
    Coin, DolevStrong, Party, SignatureChain, Standalone,
    agreement::{self, Word},
    broadcast::{self, Phase},
};
use dtn_primitives::{Bytes, ValidatorIndex};
use rand::Rng;
use serde::Serialize;

use crate::{
    adversary::{Adversary, Context, Outgoing},
    standalone::Liar,
};

/// What a liar does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// It says nothing.
    Silent,
    /// It says everything late.
    Slow,
    /// It says again what was said long ago.
    Replayer,
    /// It is two with one key.
    Twins,
    /// It says one thing to half of the others, and another to the other half.
    TwoFaced,
    /// It says what it has to say to some only.
    Withholder,
    /// It says more than it is asked: echoes of everything, to everybody.
    Flooder,
    /// It says a value of its own in another's place.
    Impostor,
    /// It tells one replica at the last moment what the liars have signed.
    LateReleaser,
    /// The same, of a signature less than it would have to have.
    LateReleaserOfLess,
    /// The same, having signed as often as there have to be signatures.
    LateReleaserOfRepeats,
    /// It tells all but one.
    Isolator,
    /// Its shares of the coin are of another round, for half of the others.
    ShareForger,
    /// It commits only when it knows what another has chosen, if there is a way.
    Peeker,
    /// It says another's commitment and reveal again as its own.
    Copier,
    /// It reveals too late, to half of the others.
    Refuser,
    /// It signs another state than it has.
    Desynced,
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Replayer => "replayer",
            Self::Twins => "twins",
            Self::TwoFaced => "two-faced",
            Self::Withholder => "withholder",
            Self::Flooder => "flooder",
            Self::Impostor => "impostor",
            Self::LateReleaser => "late-releaser",
            Self::LateReleaserOfLess => "late-releaser-of-less",
            Self::LateReleaserOfRepeats => "late-releaser-of-repeats",
            Self::Isolator => "isolator",
            Self::ShareForger => "share-forger",
            Self::Peeker => "peeker",
            Self::Copier => "copier",
            Self::Refuser => "refuser",
            Self::Desynced => "desynced",
        })
    }
}

impl Lie {
    /// Those told in broadcast.
    pub(super) const BROADCAST: [Self; 8] = [
        Self::Silent,
        Self::Slow,
        Self::Replayer,
        Self::Twins,
        Self::TwoFaced,
        Self::Withholder,
        Self::Flooder,
        Self::Impostor,
    ];

    /// Those told in lock step, where what is late is not said.
    pub(super) const LOCK_STEP: [Self; 8] = [
        Self::Silent,
        Self::Twins,
        Self::TwoFaced,
        Self::Withholder,
        Self::Impostor,
        Self::LateReleaser,
        Self::LateReleaserOfLess,
        Self::LateReleaserOfRepeats,
    ];

    /// Those told in binary agreement.
    pub(super) const AGREEMENT: [Self; 8] = [
        Self::Silent,
        Self::Slow,
        Self::Replayer,
        Self::Twins,
        Self::TwoFaced,
        Self::Withholder,
        Self::Flooder,
        Self::ShareForger,
    ];

    /// Those told in a common subset.
    pub(super) const COMMON_SUBSET: [Self; 9] = [
        Self::Silent,
        Self::Slow,
        Self::Replayer,
        Self::Twins,
        Self::TwoFaced,
        Self::Withholder,
        Self::Flooder,
        Self::Impostor,
        Self::ShareForger,
    ];

    /// Those told in rounds of events.
    pub(super) const EVENTS: [Self; 11] = [
        Self::Silent,
        Self::Slow,
        Self::Replayer,
        Self::Twins,
        Self::TwoFaced,
        Self::Withholder,
        Self::Isolator,
        Self::Peeker,
        Self::Copier,
        Self::Refuser,
        Self::Desynced,
    ];

    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Silent,
        Self::Slow,
        Self::Replayer,
        Self::Twins,
        Self::TwoFaced,
        Self::Withholder,
        Self::Flooder,
        Self::Impostor,
        Self::LateReleaser,
        Self::LateReleaserOfLess,
        Self::LateReleaserOfRepeats,
        Self::Isolator,
        Self::ShareForger,
        Self::Peeker,
        Self::Copier,
        Self::Refuser,
        Self::Desynced,
    ];

    /// Whether it is told by a sender.
    pub(super) fn is_senders(self) -> bool {
        matches!(
            self,
            Self::TwoFaced
                | Self::LateReleaser
                | Self::LateReleaserOfLess
                | Self::LateReleaserOfRepeats
                | Self::Isolator
        )
    }

    /// Whoever tells it, if it takes nobody who knows the protocol.
    pub(super) fn plain<M: Clone + 'static>(self) -> Option<Liar<M>> {
        match self {
            Self::Silent => Some(Liar::Silent),
            Self::Slow => Some(Liar::Slow),
            Self::Replayer => Some(Liar::Replayer),
            Self::Twins => Some(Liar::Twins),
            Self::Withholder => {
                Some(own(
                    |to, message, context: &mut Context<'_>| {
                        if context.rng.random() { vec![Outgoing::new(to, message)] } else { Vec::new() }
                    },
                ))
            }
            Self::Isolator => Some(own(
                |to: ValidatorIndex, message, _: &mut Context<'_>| {
                    if to.0 == VICTIM { Vec::new() } else { vec![Outgoing::new(to, message)] }
                },
            )),
            _ => None,
        }
    }
}

/// Who is isolated.
pub(super) const VICTIM: u16 = 0;

/// How often a loud liar answers: two that answer each other would never end.
const FLOOD: usize = 200;

/// What liars would have the others come to.
pub(super) const OTHER: &str = "another value";

/// A liar by what it says instead of what a correct replica would, and what it says when it hears something.
struct Own<I, H>(I, H);

impl<M, I, H> Adversary<M> for Own<I, H>
where
    I: FnMut(ValidatorIndex, M, &mut Context<'_>) -> Vec<Outgoing<M>>,
    H: FnMut(&M, &mut Context<'_>) -> Vec<Outgoing<M>>,
{
    fn instead(&mut self, to: ValidatorIndex, message: M, context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        self.0(to, message, context)
    }

    fn heard(&mut self, _: ValidatorIndex, message: &M, context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        self.1(message, context)
    }
}

fn own<M: 'static>(instead: impl FnMut(ValidatorIndex, M, &mut Context<'_>) -> Vec<Outgoing<M>> + 'static) -> Liar<M> {
    Liar::Own(Box::new(Own(instead, |_: &M, _: &mut Context<'_>| Vec::new())))
}

fn loud<M: Clone + 'static>(heard: impl FnMut(&M, &mut Context<'_>) -> Vec<M> + 'static) -> Liar<M> {
    let (mut heard, mut left) = (heard, FLOOD);
    let instead = |to, message, _: &mut Context<'_>| vec![Outgoing::new(to, message)];
    Liar::Own(Box::new(Own(instead, move |message: &M, context: &mut Context<'_>| {
        left = left.saturating_sub(1);
        let said = if left > 0 { heard(message, context) } else { Vec::new() };
        said.iter().flat_map(|message| Outgoing::to_all(message, context)).collect()
    })))
}

/// Which half of the others somebody is in.
fn half(who: ValidatorIndex) -> bool {
    who.0 % 2 == 1
}

fn faced(to: ValidatorIndex, value: Bytes) -> Bytes {
    if half(to) { OTHER.into() } else { value }
}

pub(super) fn broadcast(lie: Lie) -> Liar<broadcast::Message> {
    let say = |phase, value: &'static str| broadcast::Message { phase, value: value.into() };
    match lie {
        Lie::TwoFaced => own(|to, message: broadcast::Message, _: &mut Context<'_>| {
            vec![Outgoing::new(to, broadcast::Message { value: faced(to, message.value), ..message })]
        }),
        Lie::Flooder => loud(move |heard: &broadcast::Message, _: &mut Context<'_>| {
            let echo = broadcast::Message { phase: Phase::Echo, value: heard.value.clone() };
            vec![echo, say(Phase::Echo, OTHER), say(Phase::Ready, OTHER)]
        }),
        Lie::Impostor => loud(move |_: &broadcast::Message, _: &mut Context<'_>| {
            [Phase::Initial, Phase::Echo, Phase::Ready].map(|phase| say(phase, OTHER)).into()
        }),
        other => other.plain().unwrap_or(Liar::Silent),
    }
}

/// What the liars of a run in lock step know of each other.
#[derive(Debug, Clone)]
pub(super) struct Conspiracy {
    /// The liars, the sender among them or not.
    pub(super) liars: Vec<Party>,
    pub(super) rounds: usize,
    pub(super) delta: Duration,
    pub(super) victim: ValidatorIndex,
}

impl Conspiracy {
    /// What the sender's first words become: a chain that all liars have signed, for one replica, in the last round in which
    /// it may come with so many signatures; or in a later one, if a trick makes it look longer.
    fn release(
        &self,
        lie: Lie,
        to: ValidatorIndex,
        message: &SignatureChain,
        me: &Party,
    ) -> Vec<Outgoing<SignatureChain>> {
        if to != self.victim || message.links.len() != 1 {
            return Vec::new();
        }
        let others = self.liars.iter().filter(|party| party.me != me.me);
        let mut chain = others.fold(message.clone(), |chain, party| chain.signed(party, DolevStrong::NAME));
        let mut round = chain.links.len().min(self.rounds);
        match lie {
            Lie::LateReleaserOfLess => round = (chain.links.len() + 1).min(self.rounds),
            Lie::LateReleaserOfRepeats => {
                while chain.links.len() < self.rounds {
                    chain = chain.signed(me, DolevStrong::NAME);
                }
                round = self.rounds;
            }
            _ => {}
        }
        let delay = self.delta * (round - 1) as u32 + self.delta / 10;
        vec![Outgoing { to, message: chain, delay }]
    }
}

/// A liar in lock step, as one of these.
pub(super) fn lock_step(lie: Lie, me: Party, conspiracy: Conspiracy) -> Liar<SignatureChain> {
    match lie {
        Lie::TwoFaced => own(move |to, message: SignatureChain, _: &mut Context<'_>| {
            let is_sender = message.links.len() == 1;
            let other = || SignatureChain::new(faced(to, message.value.clone())).signed(&me, DolevStrong::NAME);
            vec![Outgoing::new(to, if is_sender { other() } else { message })]
        }),
        Lie::Impostor => own(move |to, message: SignatureChain, _: &mut Context<'_>| {
            let mut forged = SignatureChain { value: OTHER.into(), ..message.clone() };
            forged.links.truncate(1);
            let forged = forged.signed(&me, DolevStrong::NAME);
            vec![Outgoing::new(to, message), Outgoing::new(to, forged)]
        }),
        Lie::LateReleaser | Lie::LateReleaserOfLess | Lie::LateReleaserOfRepeats => {
            own(move |to, message: SignatureChain, _: &mut Context<'_>| conspiracy.release(lie, to, &message, &me))
        }
        other => other.plain().unwrap_or(Liar::Silent),
    }
}

pub(super) fn agreement<C: Coin<Share: 'static>>(lie: Lie) -> Liar<agreement::Message<C::Share>> {
    type Message<C> = agreement::Message<<C as Coin>::Share>;
    match lie {
        Lie::TwoFaced => two_faced::<C>(),
        Lie::Flooder => loud(|heard: &Message<C>, _: &mut Context<'_>| match heard {
            agreement::Message::Crusader(round, Word::Echo1(value)) => {
                let word = |word| agreement::Message::Crusader(*round, word);
                vec![word(Word::Echo1(!value)), word(Word::Echo2(!value)), word(Word::Echo3(None))]
            }
            agreement::Message::Crusader(..) | agreement::Message::Share(..) => Vec::new(),
            agreement::Message::Decide(value) => vec![agreement::Message::Decide(!value)],
        }),
        Lie::ShareForger => {
            let mut stale = None;
            own(move |to, message: Message<C>, _: &mut Context<'_>| match message {
                agreement::Message::Share(round, share) => {
                    let stale = stale.get_or_insert((round, share.clone()));
                    let forged = if half(to) || round == stale.0 { share } else { stale.1.clone() };
                    vec![Outgoing::new(to, agreement::Message::Share(round, forged))]
                }
                other => vec![Outgoing::new(to, other)],
            })
        }
        other => other.plain().unwrap_or(Liar::Silent),
    }
}

/// One that says, as soon as it hears of a round, all that there is to say in it, of one value to half of the others and of
/// the other to the rest.
fn two_faced<C: Coin<Share: 'static>>() -> Liar<agreement::Message<C::Share>> {
    let mut known = BTreeSet::new();
    let instead = |to, message, _: &mut Context<'_>| match message {
        agreement::Message::Crusader(..) => Vec::new(),
        agreement::Message::Decide(_) => vec![Outgoing::new(to, agreement::Message::Decide(half(to)))],
        share @ agreement::Message::Share(..) => vec![Outgoing::new(to, share)],
    };
    let heard = move |message: &agreement::Message<C::Share>, context: &mut Context<'_>| {
        let agreement::Message::Crusader(round, _) = message else { return Vec::new() };
        if !known.insert(*round) {
            return Vec::new();
        }
        let words = |value| [Word::Echo1(value), Word::Echo2(value), Word::Echo3(Some(value))];
        let all = |to| words(half(to)).map(|word| Outgoing::new(to, agreement::Message::Crusader(*round, word)));
        context.seat.others().flat_map(all).collect()
    };
    Liar::Own(Box::new(Own(instead, heard)))
}
