//! The proofs of completions that this peer has verified: what it needs in order to vote for them, and serves to others.

use std::collections::BTreeSet;

use dtn_primitives::{Address, B128, B256, Completion};

use crate::{Store, StoreError};

/// Rounds below the last closed one whose proofs are kept, for peers that compare them afterwards.
const KEPT_ROUNDS: u64 = 2;

/// What a proof shows: a validator's result in a round. The digest alone does not tell: bytes that prove one statement can
/// be stated to prove another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Proven {
    pub(crate) round: u64,
    pub(crate) node: Address,
    pub(crate) result: B128,
    pub(crate) digest: B256,
}

impl Proven {
    fn of(node: Address, completion: &Completion) -> Self {
        let Completion { round, result, proof_digest: digest, .. } = *completion;
        Self { round, node, result, digest }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let Self { round, node, result, digest } = self;
        [&round.to_be_bytes()[..], node.as_slice(), result.as_slice(), digest.as_slice()].concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (round, rest) = bytes.split_first_chunk()?;
        let (node, rest) = rest.split_first_chunk::<20>()?;
        let (result, digest) = rest.split_first_chunk::<16>()?;
        let (round, digest) = (u64::from_be_bytes(*round), digest.try_into().ok()?);
        Some(Self { round, node: node.into(), result: result.into(), digest })
    }
}

/// The proofs in the store.
#[derive(Debug)]
pub(crate) struct Proofs {
    store: Store,
    known: BTreeSet<Proven>,
}

impl Proofs {
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let known = store.proven()?.into_iter().collect();
        Ok(Self { store, known })
    }

    /// Whether a completion's proof was verified.
    pub(crate) fn holds(&self, node: Address, completion: &Completion) -> bool {
        self.known.contains(&Proven::of(node, completion))
    }

    /// Keeps a proof that holds. It becomes durable with the next vote, as everything that votes rest on.
    pub(crate) fn add(&mut self, node: Address, completion: &Completion, proof: &[u8]) -> Result<(), StoreError> {
        let proven = Proven::of(node, completion);
        self.store.put_proof(&proven, proof)?;
        self.known.insert(proven);
        Ok(())
    }

    /// Drops what is older than the rounds that are kept, after one was closed.
    pub(crate) fn prune(&mut self, closed: u64) -> Result<(), StoreError> {
        let below = closed.saturating_sub(KEPT_ROUNDS);
        let old: Vec<_> = self.known.iter().take_while(|proven| proven.round < below).copied().collect();
        if old.is_empty() {
            return Ok(());
        }
        old.iter().for_each(|proven| _ = self.known.remove(proven));
        let used: BTreeSet<_> = self.known.iter().map(|proven| proven.digest).collect();
        self.store.remove_proofs(&old, |digest| used.contains(&digest))
    }
}
