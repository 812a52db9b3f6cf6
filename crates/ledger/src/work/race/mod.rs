//! Races for orders and lines: who may ask for one, which claims count, and what their end gives.

mod open;

use dtn_pow::Puzzle;
use dtn_primitives::{Address, B256, Claim, Order, Payload};

pub(crate) use self::open::CLAIM_LIMIT_MS;
pub use self::open::{
    CLAIM_WINDOW_MS, DELIVERY_MS, LINE_LIFETIME_MS, Lead, ORDER_LIFETIME_MS, OpenOrder, TOLERANCE_MS, races_over,
};
use super::Execution;
use crate::rules::{Refusal, Rules};

/// The most races for lines that are open, all validators' together: what they hold stays below 150 MB. Each validator has
/// an equal share, so that none fills that of others.
const MAX_OPEN_LINES: usize = 16_384;

/// The most races for orders that are open, shared by the requesters in the same way.
const MAX_OPEN_ORDERS: usize = 16_384;

impl Rules {
    /// Whether the sender may place such an order.
    pub(crate) fn allow_order(&self, sender: Address, order: &Order) -> Result<(), Refusal> {
        order.validate()?;
        if order.work.is_none() || self.requesters.contains(&sender) {
            Ok(())
        } else {
            Err(Refusal::NotRequester(sender))
        }
    }

    /// Whether an account that has so many open races may open another by what it asks for.
    pub(crate) fn allow_another(&self, requester: Address, payload: &Payload, open: usize) -> Result<(), Refusal> {
        let quota = match payload {
            Payload::Line(_) => MAX_OPEN_LINES / self.validators().len(),
            _ => MAX_OPEN_ORDERS / self.requesters.len().max(1),
        };
        if open < quota { Ok(()) } else { Err(Refusal::TooManyOpen { requester, open }) }
    }

    /// Whether the claim shows the work for an order, which is given if it is open.
    pub(crate) fn allow_claim<'a>(
        &self,
        sender: Address,
        claim: &Claim,
        open: Option<&'a OpenOrder>,
    ) -> Result<&'a OpenOrder, Refusal> {
        let open = open.ok_or(Refusal::NotOpen(claim.order))?;
        let expected_hashes = open.expected_hashes().ok_or(Refusal::NotOpen(claim.order))?;
        if claim.race != open.race {
            return Err(Refusal::WrongRace { have: claim.race, need: open.race });
        }
        let puzzle = Puzzle::new(self.domain.network_id, open.race, claim.order, sender, expected_hashes)?;
        puzzle.check(claim.nonce, claim.hash)?;
        Ok(open)
    }
}

impl Execution<'_> {
    pub(super) fn apply_order(&mut self, sender: Address, order: &Order, hash: B256) -> Result<(), Refusal> {
        self.rules.allow_order(sender, order)?;
        if order.work.is_some() {
            self.open(sender, Payload::Order(order.clone()), hash)?;
        }
        Ok(())
    }

    /// Opens a race.
    pub(super) fn open(&mut self, requester: Address, payload: Payload, hash: B256) -> Result<(), Refusal> {
        let parent = &self.parent;
        let open = self.open.entry(requester).or_insert_with(|| parent.open_of(requester));
        self.rules.allow_another(requester, &payload, *open)?;
        *open += 1;
        // A nonce is used at most once and is part of the hash, so no other order has this one.
        // The race follows from the block, see `Changes::sealed`.
        let (race, lead) = (B256::ZERO, None);
        let open = OpenOrder { requester, payload, height: self.height, opened_at_ms: self.timestamp_ms, race, lead };
        self.changes.orders.insert(hash, Some(open));
        Ok(())
    }

    /// An order as of now, if it is open and its race has begun: that of an order in this block begins above, because this
    /// block has no hash yet.
    fn open_order(&self, order: B256) -> Option<&OpenOrder> {
        match self.changes.orders.get(&order) {
            Some(changed) => changed.as_ref().filter(|open| open.height < self.height),
            None => self.parent.order(order),
        }
    }

    pub(super) fn apply_claim(&mut self, sender: Address, claim: &Claim, hash: B256) -> Result<(), Refusal> {
        let open = self.rules.allow_claim(sender, claim, self.open_order(claim.order))?;
        open.take(claim.order, claim.hash, self.timestamp_ms)?;
        let mut open = open.clone();
        let first_ms = open.lead.as_ref().map_or(self.timestamp_ms, |lead| lead.first_ms);
        open.lead = Some(Lead { first_ms, worker: sender, claim: claim.clone(), transaction: hash });
        self.changes.orders.insert(claim.order, Some(open));
        Ok(())
    }

    /// Whether the first claim for an order is in this block.
    pub(crate) fn begins_window(&self, order: B256) -> bool {
        self.parent.order(order).is_some_and(|open| open.lead.is_none())
    }

    /// The orders that have their winners when this block ends the races that are over.
    pub(crate) fn wins(&self) -> impl Iterator<Item = B256> {
        let over = self.parent.races_over(self.timestamp_ms).into_iter();
        over.filter(|order| self.parent.lead(*order).is_some())
    }

    /// Ends the races that are over: those with a lead have their winners now, and the rest have expired.
    pub(super) fn end_races(&mut self) {
        for order in self.parent.races_over(self.timestamp_ms) {
            match self.open_order(order).and_then(|open| open.result(order)) {
                Some((result, solution)) => {
                    self.results.push(result);
                    self.solutions.insert(order, solution);
                }
                None if self.parent.order(order).is_some_and(|open| matches!(open.payload, Payload::Order(_))) => {
                    self.expired.push(order);
                }
                None => {}
            }
            self.changes.orders.insert(order, None);
        }
    }
}
