//! What replicas sign: the votes of PBFT's three phases and of protocols that chain blocks, and the reply to a client.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{Domain, Epochs, KeyError, SecretKey, Signature, ValidatorIndex, memo};

/// The typed structs of EIP-712, named and ordered as in `docs/reference/formats.md`.
mod typed {
    alloy_sol_types::sol! {
        struct PrePrepare { uint64 epoch; uint64 view; uint64 height; bytes32 blockHash; }
        struct Prepare { uint64 epoch; uint64 view; uint64 height; bytes32 blockHash; }
        struct Commit { uint64 epoch; uint64 view; uint64 height; bytes32 blockHash; }
        struct Checkpoint { uint64 epoch; uint64 height; bytes32 stateRoot; }
        struct Notarize { uint64 epoch; uint64 view; bytes32 blockHash; }
        struct Nullify { uint64 epoch; uint64 view; }
        struct ViewChange {
            uint64 epoch;
            uint64 view;
            uint64 height;
            bytes32 blockHash;
            bytes32 prepared;
        }
        struct NewView { uint64 epoch; uint64 view; bytes32 viewChanges; }
        struct Reply { bytes32 transactionHash; uint64 height; bytes32 blockHash; }
    }
}

/// What a vote says (OSDI '99, §4.2 and §4.3; of the last two, Chan & Pass, TCC 2023, eprint 2023/463, §2).
///
/// The discriminants are the numbers of the contracts' `VoteKind`, which has two messages of its own in between. On the
/// wire a kind is its place in this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoteKind {
    /// The primary assigns the height to the block.
    PrePrepare,
    /// A replica accepted that assignment.
    Prepare,
    /// A replica holds a quorum of prepares; a quorum of these finalizes the block and settles on chain.
    Commit,
    /// A replica has executed all blocks up to a height (§4.3). Bound to no view.
    Checkpoint,
    /// A replica takes the block for that of its view. It says so once a view, at whatever height the block is, and
    /// therefore signs no height: two of these at two heights contradict each other as well.
    Notarize = 6,
    /// A replica has given the view up, and signs no [`Commit`](Self::Commit) in it, before or after. A protocol whose
    /// replicas leave views in which they have committed, as PBFT's and HotStuff-2's do, has no use for it.
    Nullify,
}

impl VoteKind {
    /// As counters and tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrePrepare => "pre_prepare",
            Self::Prepare => "prepare",
            Self::Commit => "commit",
            Self::Checkpoint => "checkpoint",
            Self::Notarize => "notarize",
            Self::Nullify => "nullify",
        }
    }
}

/// A validator's signed statement about one block in one view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// What it says.
    pub kind: VoteKind,
    /// The validator set's epoch.
    pub epoch: u64,
    /// The view in which it is cast; 0 for a checkpoint.
    pub view: u64,
    /// The block's height, PBFT's sequence number; 0 for a notarization and for a nullification, which have none.
    pub height: u64,
    /// The block's hash; of a checkpoint, the root of the state after that block; zero for a nullification.
    pub block_hash: B256,
    /// Who says so.
    pub validator: ValidatorIndex,
    /// Over [`Vote::digest`].
    pub signature: Signature,
}

impl Vote {
    /// Signs a vote.
    pub fn sign(
        kind: VoteKind,
        (epoch, view, height): (u64, u64, u64),
        block_hash: B256,
        validator: ValidatorIndex,
        key: &SecretKey,
        domain: &Domain,
    ) -> Self {
        let signature = key.sign(Self::digest(domain, kind, (epoch, view, height), block_hash));
        Self { kind, epoch, view, height, block_hash, validator, signature }
    }

    /// The EIP-712 digest that a vote signs. The kind is part of the type hash, so no phase's signature serves another.
    pub fn digest(domain: &Domain, kind: VoteKind, place: (u64, u64, u64), block_hash: B256) -> B256 {
        let (epoch, view, height) = place;
        #[allow(non_snake_case)] // Solidity's name of the field
        let blockHash = block_hash;
        memo::digest((*domain, kind, place, block_hash), || match kind {
            VoteKind::PrePrepare => domain.digest(&typed::PrePrepare { epoch, view, height, blockHash }),
            VoteKind::Prepare => domain.digest(&typed::Prepare { epoch, view, height, blockHash }),
            VoteKind::Commit => domain.digest(&typed::Commit { epoch, view, height, blockHash }),
            VoteKind::Checkpoint => domain.digest(&typed::Checkpoint { epoch, height, stateRoot: block_hash }),
            VoteKind::Notarize => domain.digest(&typed::Notarize { epoch, view, blockHash }),
            VoteKind::Nullify => domain.digest(&typed::Nullify { epoch, view }),
        })
    }

    /// Succeeds only if the vote is signed by the validator that it names, in this set and domain.
    pub fn verify(&self, domain: &Domain, epochs: &impl Epochs) -> Result<(), KeyError> {
        let validator = epochs.signer(self.epoch, self.validator)?;
        // What a kind does not sign has one value, so that one signature is one vote.
        let is_off = match self.kind {
            VoteKind::PrePrepare | VoteKind::Prepare | VoteKind::Commit => false,
            VoteKind::Checkpoint => self.view != 0,
            VoteKind::Notarize => self.height != 0,
            VoteKind::Nullify => self.height != 0 || !self.block_hash.is_zero(),
        };
        if is_off {
            return Err(KeyError::MalformedSignature);
        }
        let digest = Self::digest(domain, self.kind, (self.epoch, self.view, self.height), self.block_hash);
        self.signature.verify(digest, validator.address)
    }
}

/// The EIP-712 digest that a replica signs to leave for a view (OSDI '99, §4.4): the last block that it has decided,
/// and what it has prepared on top of that, height by height, as the view and the block's hash.
pub fn view_change_digest(
    domain: &Domain,
    epoch: u64,
    view: u64,
    (height, block_hash): (u64, B256),
    prepared: &[(u64, B256)],
) -> B256 {
    let prepared: Vec<_> =
        prepared.iter().flat_map(|(view, hash)| [B256::from(alloy_primitives::U256::from(*view)), *hash]).collect();
    domain.digest(&typed::ViewChange {
        epoch,
        view,
        height,
        blockHash: block_hash,
        prepared: alloy_primitives::keccak256(prepared.concat()),
    })
}

/// The EIP-712 digest that a primary signs to begin its view, over the digests of the view changes that justify it.
pub fn new_view_digest(domain: &Domain, epoch: u64, view: u64, view_changes: &[B256]) -> B256 {
    let view_changes = alloy_primitives::keccak256(view_changes.concat());
    domain.digest(&typed::NewView { epoch, view, viewChanges: view_changes })
}

/// A replica's signed answer to a client: this transaction is in that finalized block (OSDI '99, §4.1).
///
/// A client that holds matching replies of f + 1 replicas knows that a correct one is among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The transaction.
    pub transaction: B256,
    /// The height of its block.
    pub height: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// Who answers.
    pub validator: ValidatorIndex,
    /// Over the EIP-712 struct `Reply`.
    pub signature: Signature,
}

impl Reply {
    /// Signs a reply.
    pub fn sign(
        transaction: B256,
        height: u64,
        block_hash: B256,
        validator: ValidatorIndex,
        key: &SecretKey,
        domain: &Domain,
    ) -> Self {
        let signature = key.sign(Self::digest(domain, transaction, height, block_hash));
        Self { transaction, height, block_hash, validator, signature }
    }

    fn digest(domain: &Domain, transaction: B256, height: u64, block_hash: B256) -> B256 {
        domain.digest(&typed::Reply { transactionHash: transaction, height, blockHash: block_hash })
    }

    /// Succeeds only if the reply is signed by the validator that it names.
    pub fn verify(&self, domain: &Domain, epochs: &impl Epochs) -> Result<(), KeyError> {
        let validator = epochs.signer(epochs.now().epoch(), self.validator)?;
        let digest = Self::digest(domain, self.transaction, self.height, self.block_hash);
        self.signature.verify(digest, validator.address)
    }
}
