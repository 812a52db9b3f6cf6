//! The proofs of completions that this peer has verified: what it needs in order to vote for them, and serves to others.

use std::collections::BTreeMap;

use dtn_primitives::{Address, B128, B256, Completion};
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError};

/// Rounds below the last closed one whose proofs are kept, for peers that compare them afterwards.
const KEPT_ROUNDS: u64 = 2;

/// What a proof shows: a validator's result in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proven {
    pub(crate) round: u64,
    pub(crate) node: Address,
    pub(crate) result: B128,
}

/// The proofs in the store, by digest.
#[derive(Debug)]
pub(crate) struct Proofs {
    store: Store,
    known: BTreeMap<B256, Proven>,
}

impl Proofs {
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let known = store.proofs()?.into_iter().collect();
        Ok(Self { store, known })
    }

    /// Whether a completion's proof was verified.
    pub(crate) fn holds(&self, node: Address, completion: &Completion) -> bool {
        let Completion { round, result, .. } = *completion;
        self.known.get(&completion.proof_digest) == Some(&Proven { round, node, result })
    }

    /// Keeps a proof that holds. It becomes durable with the next vote, as everything that votes rest on.
    pub(crate) fn add(&mut self, node: Address, completion: &Completion, proof: &[u8]) -> Result<(), StoreError> {
        let Completion { round, result, proof_digest, .. } = *completion;
        let proven = Proven { round, node, result };
        self.store.put_proof(proof_digest, &proven, proof)?;
        self.known.insert(proof_digest, proven);
        Ok(())
    }

    /// Drops what is older than the rounds that are kept, after one was closed.
    pub(crate) fn prune(&mut self, closed: u64) -> Result<(), StoreError> {
        let below = closed.saturating_sub(KEPT_ROUNDS);
        let old: Vec<_> =
            self.known.iter().filter(|(_, proven)| proven.round < below).map(|(digest, _)| *digest).collect();
        if old.is_empty() {
            return Ok(());
        }
        self.store.remove_proofs(&old)?;
        old.iter().for_each(|digest| _ = self.known.remove(digest));
        Ok(())
    }
}
