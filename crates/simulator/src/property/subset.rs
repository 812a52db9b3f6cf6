//! Liars in a common subset: in each of its broadcasts and agreements that of broadcast, or of agreement.

use std::collections::BTreeMap;

use dtn_consensus::{Coin, agreement, broadcast, common_subset::Message};
use dtn_primitives::ValidatorIndex;

use super::liars::{self, Lie};
use crate::{
    adversary::{Adversary, Context, Outgoing},
    standalone::Liar,
};

/// The liar of one part, if it has something to lie about there; otherwise it is as it should be.
type Part<M> = Option<Box<dyn Adversary<M>>>;

struct Parts<C: Coin> {
    lie: Lie,
    /// By whose value they are about.
    broadcasts: BTreeMap<ValidatorIndex, Part<broadcast::Message>>,
    agreements: BTreeMap<ValidatorIndex, Part<agreement::Message<C::Share>>>,
}

fn own<M>(liar: Liar<M>) -> Part<M> {
    if let Liar::Own(adversary) = liar { Some(adversary) } else { None }
}

/// What a part's liar says, as the common subset has it.
fn said<M, N>(lies: Vec<Outgoing<M>>, as_part: impl Fn(M) -> N) -> Vec<Outgoing<N>> {
    let whole = |Outgoing { to, message, delay }| Outgoing { to, message: as_part(message), delay };
    lies.into_iter().map(whole).collect()
}

fn instead<M: Clone>(
    part: &mut Part<M>,
    to: ValidatorIndex,
    message: M,
    context: &mut Context<'_>,
) -> Vec<Outgoing<M>> {
    match part {
        Some(liar) => liar.instead(to, message, context),
        None => vec![Outgoing::new(to, message)],
    }
}

impl<C: Coin<Share: 'static>> Parts<C> {
    fn broadcast(&mut self, whose: ValidatorIndex) -> &mut Part<broadcast::Message> {
        let lie = self.lie;
        self.broadcasts.entry(whose).or_insert_with(|| own(liars::broadcast(lie)))
    }

    fn agreement(&mut self, whose: ValidatorIndex) -> &mut Part<agreement::Message<C::Share>> {
        let lie = self.lie;
        self.agreements.entry(whose).or_insert_with(|| own(liars::agreement::<C>(lie)))
    }
}

impl<C: Coin<Share: 'static>> Adversary<Message<C::Share>> for Parts<C> {
    fn instead(
        &mut self,
        to: ValidatorIndex,
        message: Message<C::Share>,
        context: &mut Context<'_>,
    ) -> Vec<Outgoing<Message<C::Share>>> {
        match message {
            Message::Broadcast(whose, message) => {
                said(instead(self.broadcast(whose), to, message, context), |it| Message::Broadcast(whose, it))
            }
            Message::Agreement(whose, message) => {
                said(instead(self.agreement(whose), to, message, context), |it| Message::Agreement(whose, it))
            }
        }
    }

    fn heard(
        &mut self,
        from: ValidatorIndex,
        message: &Message<C::Share>,
        context: &mut Context<'_>,
    ) -> Vec<Outgoing<Message<C::Share>>> {
        match message {
            Message::Broadcast(whose, message) => {
                let lies = self.broadcast(*whose).as_mut().map(|liar| liar.heard(from, message, context));
                said(lies.unwrap_or_default(), |it| Message::Broadcast(*whose, it))
            }
            Message::Agreement(whose, message) => {
                let lies = self.agreement(*whose).as_mut().map(|liar| liar.heard(from, message, context));
                said(lies.unwrap_or_default(), |it| Message::Agreement(*whose, it))
            }
        }
    }
}

pub(super) fn liar<C: Coin<Share: 'static> + 'static>(lie: Lie) -> Liar<Message<C::Share>> {
    let parts = || Parts::<C> { lie, broadcasts: BTreeMap::new(), agreements: BTreeMap::new() };
    lie.plain().unwrap_or_else(|| Liar::Own(Box::new(parts())))
}
