//! An order as hosts keep it, with the block that opened it.

use dtn_primitives::{
    B256,
    codec::{self, CodecError},
};
use serde::{Deserialize, Serialize};

use crate::{
    state::Order,
    terms::{Proof, Terms},
};

/// The longest state of an order that hosts keep, in bytes.
pub const MAX_ORDER_BYTES: usize = 60 * 1024;

/// The longest encoding of a [`TrainingOrder`].
const MAX_BYTES: usize = MAX_ORDER_BYTES + crate::MAX_CALL_BYTES + 64;

/// An order for a trained model, with the block that opened it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingOrder {
    /// The height of that block.
    pub height: u64,
    /// Its hash, to which all runs for the order are bound.
    pub block: B256,
    /// What a claim has to show.
    pub proof: Proof,
    /// The order.
    pub order: Order,
}

impl TrainingOrder {
    /// What was agreed.
    pub fn terms(&self) -> Terms {
        Terms { proof: self.proof.clone(), deal: *self.order.deal() }
    }

    /// Its bytes: postcard, in the order of the fields.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`Self::encode`] has written.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_BYTES)
    }
}
