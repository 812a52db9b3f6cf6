//! What blocks change about that which waits.

use dtn_primitives::{B256, Payload};

use super::{Entry, Mempool};
use crate::{
    rules::Rules,
    state::{Changes, Slot, State, View},
};

impl Mempool {
    /// Takes in that blocks were added or dropped, final or not, which changed this much: `view` is the state after all
    /// blocks that are known now.
    pub(crate) fn refresh(&mut self, changes: &Changes, view: &View<'_>) {
        let senders: Vec<_> = if view.floor() == self.floor {
            changes.nonces.keys().copied().collect()
        } else {
            self.accounts.keys().copied().collect()
        };
        self.floor = view.floor();
        for sender in senders {
            self.set_next(sender, view.next_nonce(sender));
        }
        for order in changes.orders.keys().filter(|order| view.lead(**order).is_some()) {
            self.first_claims.entry(*order).or_insert(self.now_ms);
        }
        let mut slots = self.of_rounds_and_vaults(changes);
        slots.extend(changes.orders.keys().flat_map(|order| self.claims_for(*order)).map(|(slot, _)| slot));
        for slot in slots {
            if let Some(claim) = self.claims.get(&slot).copied() {
                self.offer(slot, claim, view);
            }
        }
    }

    /// What waits for a part in rounds and deposits, if those have changed.
    fn of_rounds_and_vaults(&self, changes: &Changes) -> Vec<Slot> {
        let no_claims = self.claims.keys().rev().take_while(|slot| !matches!(slot, Slot::Claim(..)));
        let is_affected = changes.rounds.is_some() || !changes.vaults.is_empty();
        if is_affected { no_claims.copied().collect() } else { Vec::new() }
    }

    /// Drops what a final block has executed or made impossible. `state` already includes the block's changes.
    pub(crate) fn prune(
        &mut self,
        changes: &Changes,
        transactions: &[B256],
        rules: &Rules,
        state: &State,
        view: &View<'_>,
    ) {
        let has_forgotten = changes.nonces.values().any(Option::is_none);
        let senders: Vec<_> = if has_forgotten {
            self.accounts.keys().copied().collect()
        } else {
            changes.nonces.keys().copied().collect()
        };
        for sender in senders {
            let used = self.by_nonce.range((sender, 0)..(sender, state.next_nonce(sender)));
            let used: Vec<_> = used.map(|(_, hash)| *hash).collect();
            used.into_iter().for_each(|hash| self.remove(hash));
        }
        let at_tip = View::new(state, std::iter::empty());
        let over = self.of_rounds_and_vaults(changes).into_iter().filter(|slot| !at_tip.takes(*slot));
        let mut over: Vec<_> = over.filter_map(|slot| self.claims.get(&slot).copied()).collect();
        for (order, open) in &changes.orders {
            let lead = open.as_ref().map(|open| open.lead.as_ref().map(|lead| lead.claim.hash));
            let beaten = |hash: &B256| match (lead, self.get(*hash).map(|transaction| &transaction.payload)) {
                (Some(None), _) => false,
                (Some(Some(lowest)), Some(Payload::Claim(claim))) => claim.hash >= lowest,
                _ => true,
            };
            over.extend(self.claims_for(*order).map(|(_, hash)| hash).filter(beaten));
            over.extend(self.known.get(order).into_iter().flatten().copied().filter(beaten));
        }
        over.into_iter().for_each(|hash| self.remove(hash));
        changes.closed().for_each(|order| _ = self.first_claims.remove(&order));
        if changes.rounds.as_ref().is_some_and(|rounds| rounds.open.as_ref().is_some_and(|it| it.completed.is_empty()))
        {
            let is_round = |(hash, entry): (&B256, &Entry)| {
                matches!(entry.transaction.payload, Payload::Round(_)).then_some(*hash)
            };
            let rounds: Vec<_> = self.entries.iter().filter_map(is_round).collect();
            rounds.into_iter().for_each(|hash| self.remove(hash));
        }
        for order in transactions {
            for hash in self.early.remove(order).unwrap_or_default() {
                self.settle_early(hash, *order, rules, state, view);
            }
        }
    }

    /// An early claim whose order is known now competes for it if it shows the work.
    fn settle_early(&mut self, hash: B256, order: B256, rules: &Rules, state: &State, view: &View<'_>) {
        let Some(entry) = self.entries.get(&hash) else { return };
        let Payload::Claim(claim) = &entry.transaction.payload else { return };
        let sender = entry.transaction.sender;
        let wins = rules.allow_claim(sender, claim, state.orders.get(&order)).is_ok();
        let slot = Slot::Claim(order, sender);
        let outdone = self.outdone(hash, claim);
        if !wins || self.claims.contains_key(&slot) || outdone == Some(hash) {
            self.remove(hash);
            return;
        }
        outdone.into_iter().for_each(|rival| self.remove(rival));
        self.enter(slot, hash, view);
    }
}
