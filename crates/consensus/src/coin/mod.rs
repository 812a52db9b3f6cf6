//! A coin that replicas toss: one for each round of a protocol, that nobody knows before it has come.

mod ceremony;
mod dealing;
mod local;
mod polynomial;
#[cfg(test)]
mod tests;
mod threshold;

use std::{collections::BTreeMap, fmt::Debug};

use dtn_primitives::ValidatorIndex;
use serde::{Serialize, de::DeserializeOwned};

pub use ceremony::{Ceremony, Fault, ShareError, Stage, Terms};
pub use local::Local;
pub use threshold::{Dealt, Threshold, deal};

/// A coin for each round, as one replica has it.
pub trait Coin {
    /// What a replica says for the coin of a round to come.
    type Share: Clone + Debug + PartialEq + Serialize + DeserializeOwned;

    /// This replica's share of a round's coin, to be said to all; none where nothing is to be said.
    fn share(&self, round: u64) -> Option<Self::Share>;

    /// The coin of a round, once these shares are enough. The error names those whose share is none: without them it may be
    /// tried again.
    fn combine(
        &self,
        round: u64,
        shares: &BTreeMap<ValidatorIndex, Self::Share>,
    ) -> Result<Option<bool>, Vec<ValidatorIndex>>;
}
