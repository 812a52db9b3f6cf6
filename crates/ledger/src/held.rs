//! What this peer holds or has computed of what orders for trained models take: what it needs in order to vote for them.

use std::collections::BTreeSet;

use dtn_primitives::B256;

use crate::{Missing, Store, StoreError};

/// What is held, by order. What it is, data and models, the peer keeps elsewhere; here is only that it has looked.
#[derive(Debug)]
pub(crate) struct Held {
    store: Store,
    known: BTreeSet<(B256, B256)>,
}

impl Held {
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let known = store.held()?.into_iter().collect();
        Ok(Self { store, known })
    }

    pub(crate) fn contains(&self, missing: &Missing) -> bool {
        self.known.contains(&(missing.order, missing.id()))
    }

    /// Notes that something is held. It becomes durable with the next vote, as everything that votes rest on.
    pub(crate) fn add(&mut self, missing: &Missing) -> Result<(), StoreError> {
        let (order, id) = (missing.order, missing.id());
        self.store.put_held(order, id)?;
        self.known.insert((order, id));
        Ok(())
    }

    /// Forgets what was held for an order that is over, as the store has.
    pub(crate) fn forget(&mut self, order: B256) {
        let of_order = (order, B256::ZERO)..=(order, B256::repeat_byte(u8::MAX));
        let old: Vec<_> = self.known.range(of_order).copied().collect();
        old.iter().for_each(|one| _ = self.known.remove(one));
    }
}
