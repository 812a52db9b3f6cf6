//! What of that which waits can be executed next, kept up to date as transactions come and go.

use dtn_primitives::{Address, B256, Payload};

use super::{Account, Entry, Kept, Mempool};
use crate::state::{Slot, View};

impl Mempool {
    pub(super) fn insert(&mut self, hash: B256, entry: Entry, kept: Kept, view: &View<'_>) {
        let sender = entry.transaction.sender;
        let account = self.accounts.entry(sender).or_insert_with(|| {
            let next = view.next_nonce(sender);
            Account { next, gap: next, pending: 0 }
        });
        account.pending += 1;
        self.waiting.entry(entry.class).or_default().add(&entry);
        let (nonce, slot) = (entry.transaction.payload.nonce(), Slot::of(&entry.transaction));
        self.entries.insert(hash, entry);
        if let Some(nonce) = nonce {
            self.by_nonce.insert((sender, nonce), hash);
            self.extend(sender);
        }
        match slot {
            Some(Slot::Claim(order, _)) if kept == Kept::Early => self.early.entry(order).or_default().push(hash),
            Some(Slot::Claim(order, _)) if kept == Kept::Known => self.known.entry(order).or_default().push(hash),
            Some(slot) => self.enter(slot, hash, view),
            None => {}
        }
    }

    /// Has a transaction wait for its slot.
    pub(super) fn enter(&mut self, slot: Slot, hash: B256, view: &View<'_>) {
        self.claims.insert(slot, hash);
        if let (Slot::Claim(order, _), Some(heard_ms)) = (slot, self.heard(hash)) {
            self.first_claims.entry(order).or_insert(heard_ms);
        }
        self.offer(slot, hash, view);
    }

    /// Offers what could be executed on top of all blocks known, and nothing else.
    pub(super) fn offer(&mut self, slot: Slot, hash: B256, view: &View<'_>) {
        let Some(entry) = self.entries.get(&hash) else { return };
        let leads = match &entry.transaction.payload {
            Payload::Claim(claim) => view.lead(claim.order).is_none_or(|lead| claim.hash < lead.claim.hash),
            _ => true,
        };
        if leads && view.takes(slot) {
            self.offer_claim(hash);
        } else {
            self.withdraw_claim(hash);
        }
    }

    /// Moves an account's gap up to the first nonce that no transaction has.
    fn extend(&mut self, sender: Address) {
        let Some(account) = self.accounts.get_mut(&sender) else { return };
        for ((_, nonce), hash) in self.by_nonce.range((sender, account.gap)..=(sender, u64::MAX)) {
            let Some(entry) = self.entries.get(hash).filter(|_| *nonce == account.gap) else { break };
            self.ready.add(entry);
            if *nonce == account.next {
                self.heads.insert(entry.place(*hash));
            }
            account.gap += 1;
        }
    }

    /// Moves an account's gap down to a nonce.
    fn cut(&mut self, sender: Address, nonce: u64) {
        let Some(account) = self.accounts.get_mut(&sender).filter(|account| nonce < account.gap) else { return };
        let from = nonce.max(account.next);
        for ((_, nonce), hash) in self.by_nonce.range((sender, from)..(sender, account.gap)) {
            let Some(entry) = self.entries.get(hash) else { continue };
            self.ready.subtract(entry);
            if *nonce == account.next {
                self.heads.remove(&entry.place(*hash));
            }
        }
        account.gap = from;
    }

    /// Tells an account's next nonce after all blocks known.
    pub(super) fn set_next(&mut self, sender: Address, next: u64) {
        let Some(account) = self.accounts.get_mut(&sender).filter(|account| account.next != next) else { return };
        if account.next < next && next < account.gap {
            // The usual case costs as much as what a block has executed, not as much as what the sender has waiting.
            for ((_, nonce), hash) in self.by_nonce.range((sender, account.next)..=(sender, next)) {
                let Some(entry) = self.entries.get(hash) else { continue };
                if *nonce == account.next {
                    self.heads.remove(&entry.place(*hash));
                }
                match *nonce == next {
                    true => _ = self.heads.insert(entry.place(*hash)),
                    false => self.ready.subtract(entry),
                }
            }
            account.next = next;
            return;
        }
        let before = account.next;
        self.cut(sender, before);
        if let Some(account) = self.accounts.get_mut(&sender) {
            (account.next, account.gap) = (next, next);
        }
        self.extend(sender);
    }

    fn offer_claim(&mut self, hash: B256) {
        if let Some(entry) = self.entries.get(&hash)
            && self.heads.insert(entry.place(hash))
        {
            self.ready.add(entry);
        }
    }

    pub(super) fn withdraw_claim(&mut self, hash: B256) {
        if let Some(entry) = self.entries.get(&hash)
            && self.heads.remove(&entry.place(hash))
        {
            self.ready.subtract(entry);
        }
    }

    /// Drops a transaction.
    pub(crate) fn remove(&mut self, hash: B256) {
        let Some(transaction) = self.get(hash) else { return };
        let (sender, nonce, slot) = (transaction.sender, transaction.payload.nonce(), Slot::of(transaction));
        if let Some(nonce) = nonce {
            if self.accounts.get(&sender).is_some_and(|account| nonce >= account.next) {
                self.cut(sender, nonce);
            }
            self.by_nonce.remove(&(sender, nonce));
        }
        if let Some(slot) = slot.filter(|slot| self.claims.get(slot) == Some(&hash)) {
            self.withdraw_claim(hash);
            self.claims.remove(&slot);
        }
        if let Some(Slot::Claim(order, _)) = slot {
            for kept in [&mut self.early, &mut self.known] {
                let Some(claims) = kept.get_mut(&order) else { continue };
                claims.retain(|claim| *claim != hash);
                if claims.is_empty() {
                    kept.remove(&order);
                }
            }
        }
        if let Some(account) = self.accounts.get_mut(&sender) {
            account.pending -= 1;
            if account.pending == 0 {
                self.accounts.remove(&sender);
            }
        }
        if let Some(entry) = self.entries.remove(&hash)
            && let Some(waiting) = self.waiting.get_mut(&entry.class)
        {
            waiting.subtract(&entry);
        }
    }
}
