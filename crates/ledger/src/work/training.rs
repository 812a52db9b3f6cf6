//! Orders for trained models: `dtn_training` has their rules, and the ledger has the money, the time and the randomness.

use std::collections::BTreeSet;

use dtn_primitives::{Address, B256, Payload, RoundOrder, TrainingCall, TrainingTerms, Transaction, ValidatorSet};
use dtn_training::{
    Beacon, Call, Caller, MAX_ORDER_BYTES, Moves, Need, Network, Order, Phase, Terms, TrainingOrder, Why,
};

use super::{Execution, open::Ends};
use crate::rules::{Refusal, Rules};

/// The most orders that are open.
const MAX_OPEN: usize = 512;

/// The most of one account that are open.
const MAX_OPEN_OF_ONE: usize = 64;

impl Ends for TrainingOrder {
    fn ends_ms(&self) -> u64 {
        self.order.deadline_ms()
    }

    fn requester(&self) -> Address {
        self.order.requester()
    }
}

/// What a peer has to hold or to have computed before it votes for a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The order that it is about, or would open.
    pub order: B256,
    /// What.
    pub need: Need,
}

impl Missing {
    /// What tells it apart from all others.
    pub fn id(&self) -> B256 {
        self.need.id(self.order)
    }
}

/// What the network demands of orders, as their rules take it.
pub(crate) fn network(terms: &TrainingTerms, validators: &ValidatorSet) -> Network {
    Network {
        view_timeout_ms: terms.view_timeout_ms,
        ruling_ms: terms.ruling_ms,
        max_life_ms: terms.max_life_ms,
        max_state_bytes: MAX_ORDER_BYTES,
        price: terms.price,
        validators: validators.len() as u16,
    }
}

impl Rules {
    fn training(&self) -> Result<&TrainingTerms, Refusal> {
        self.training.as_ref().ok_or(Refusal::NoTraining)
    }
}

impl Execution<'_> {
    /// An order that is open, with what this block has changed so far.
    fn training_order(&self, id: B256) -> Result<&TrainingOrder, Refusal> {
        let changed = self.changes.training.get(&id);
        changed.map_or_else(|| self.parent.training_order(id), Option::as_ref).ok_or(Refusal::NoTrainingOrder(id))
    }

    fn caller(&self, account: Address) -> Caller {
        let validator = self.rules.validators().index_of(account).is_some();
        Caller { account, free: self.balance(account).free, validator }
    }

    pub(super) fn apply_training(&mut self, sender: Address, call: &TrainingCall, hash: B256) -> Result<(), Refusal> {
        let terms = *self.rules.training()?;
        let Some(id) = call.order else { return self.open_training(sender, &terms, &call.body, hash) };
        let decoded = Call::decode(&call.body).map_err(Refusal::Encoding)?;
        let mut open = self.training_order(id)?.clone();
        let moves = open.order.apply(self.timestamp_ms, &self.caller(sender), &decoded).map_err(refused)?;
        self.keep(open, moves)
    }

    fn open_training(
        &mut self,
        sender: Address,
        network_terms: &TrainingTerms,
        body: &[u8],
        hash: B256,
    ) -> Result<(), Refusal> {
        let terms = Terms::decode(body).map_err(Refusal::Encoding)?;
        let (open, of_sender) = self.parent.open_training(sender, &self.changes.training);
        if of_sender >= MAX_OPEN_OF_ONE {
            return Err(Refusal::TooManyOpen { requester: sender, open: of_sender });
        }
        if open >= MAX_OPEN {
            return Err(Refusal::TrainingFull { open });
        }
        let network = network(network_terms, self.rules.validators());
        let opened = Order::open(hash, &self.caller(sender), &terms, &network, self.timestamp_ms);
        let (order, moves) = opened.map_err(refused)?;
        // Follows from the block, see `Changes::sealed`.
        self.keep(TrainingOrder { height: self.height, block: B256::ZERO, proof: terms.proof, order }, moves)
    }

    /// Does what an order moves, and keeps the order while it is open.
    fn keep(&mut self, open: TrainingOrder, moves: Moves) -> Result<(), Refusal> {
        for (account, amount) in moves.locked {
            self.debit(account, amount)?;
        }
        for payment in moves.paid {
            match (payment.to, payment.why) {
                (None, _) => self.changes.pot = self.changes.pot.saturating_add(payment.amount),
                // Whom a winner names may have nothing but an address: it is paid without asking.
                (Some(payee), Why::Prize { .. }) => self.earn(payee, payment.amount),
                (Some(account), _) => self.credit(account, payment.amount),
            }
        }
        let id = open.order.id();
        if open.order.is_over() {
            self.changes.training.insert(id, None);
            self.changes.ended_training.push(open);
        } else {
            self.changes.training.insert(id, Some(open));
        }
        Ok(())
    }

    /// Ends the phases whose time is up, draws by what is random now, and asks for randomness where an order waits for it.
    pub(super) fn pass_training(&mut self) {
        if self.rules.training.is_none() {
            return;
        }
        for id in self.parent.training_over(self.timestamp_ms) {
            let Ok(mut open) = self.training_order(id).cloned() else { continue };
            let moves = open.order.advance(self.timestamp_ms);
            // What is only paid can always be paid.
            self.keep(open, moves).ok();
        }
        let ids = self.parent.training_ids(&self.changes.training);
        ids.iter().for_each(|id| self.draw(*id));
        self.open_beacon(&ids);
    }

    /// Draws for an order if what it waits for has come.
    fn draw(&mut self, id: B256) {
        let Ok(TrainingOrder { order, .. }) = self.training_order(id) else { return };
        let Phase::Drawing { claims_ms } = order.phase() else { return };
        let round = || {
            let closed = self.changes.closed_rounds.iter().find(|round| round.opened_at_ms > claims_ms)?;
            closed.closing.as_ref().map(|closing| (closing.beacon, closed.opened_at_ms))
        };
        let block = || (self.below.timestamp > claims_ms).then_some((self.below.hash, self.below.timestamp));
        let drawn = match order.deal().beacon {
            Beacon::Round => round(),
            Beacon::Block => block(),
        };
        let Some((beacon, begun_ms)) = drawn else { return };
        let validators = self.rules.validators().iter().map(|(_, validator)| validator.address);
        let candidates: Vec<_> = validators.map(|account| (account, self.balance(account).free)).collect();
        let Ok(mut open) = self.training_order(id).cloned() else { return };
        if let Ok(moves) = open.order.draw(self.timestamp_ms, beacon, begun_ms, &candidates) {
            self.keep(open, moves).ok();
        }
    }

    /// Opens a round of sequential work if one of these orders waits for one and none is open. Orders share it.
    fn open_beacon(&mut self, ids: &BTreeSet<B256>) {
        let Ok(terms) = self.rules.training() else { return };
        let waits = |id: &B256| {
            let open = self.training_order(*id).ok();
            let order = open.map(|open| &open.order).filter(|order| order.deal().beacon == Beacon::Round);
            order.is_some_and(
                |order| matches!(order.phase(), Phase::Drawing { claims_ms } if self.timestamp_ms > claims_ms),
            )
        };
        if self.rounds().open.is_some() || !ids.iter().any(waits) {
            return;
        }
        let quorum = self.rules.validators().quorum() as u16;
        let (steps, duration_ms) = (terms.beacon_steps, terms.beacon_ms);
        self.begin_round(&RoundOrder { nonce: 0, steps, quorum, duration_ms, reward: Default::default() });
    }

    /// What a peer has to hold before it votes for a block with a transaction here.
    pub(crate) fn missing(&self, transaction: &Transaction, hash: B256) -> Option<Missing> {
        let Payload::Training(call) = &transaction.payload else { return None };
        let (order, need) = match call.order {
            None => (hash, Terms::decode(&call.body).ok()?.needs()?),
            Some(id) => (id, self.training_order(id).ok()?.order.needs(&Call::decode(&call.body).ok()?)?),
        };
        Some(Missing { order, need })
    }
}

fn refused(refusal: dtn_training::Refusal) -> Refusal {
    Refusal::Training(Box::new(refusal))
}
