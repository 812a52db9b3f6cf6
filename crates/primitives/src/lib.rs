//! What every part of DTN agrees on: keys, signed transactions, blocks, votes, certificates and the genesis that
//! binds them.
//!
//! One secp256k1 key is one identity: a validator's address, its votes, its libp2p peer id and its seat among the
//! multisig's owners derive from it. Every signature is over an EIP-712 digest in the network's own [`Domain`], so a
//! signature of one kind, network, view or height is never valid as another, and a PBFT commit vote is at the same
//! time what the settlement contract checks. A BLS key beside it, which its account registers, lets a large validator
//! set sign together at the price of one signature. The bytes are specified in `docs/reference/formats.md`.

mod address;
mod bank;
mod batch;
mod block;
#[cfg(feature = "bls")]
mod bls;
mod certificate;
pub mod codec;
mod distribution;
mod domain;
mod ecdsa;
mod engine;
mod evidence;
mod genesis;
mod items;
mod key;
mod kind;
mod membership;
pub mod memo;
pub mod merkle;
mod quantity;
mod read;
mod result;
mod round;
mod settlement;
mod shared;
pub mod signatures;
mod transaction;
mod validators;
mod vote;

pub use address::{AddressError, deserialize_address, deserialize_addresses, parse_address};
pub use alloy_primitives::{Address, B128, B256, Bytes, U256, aliases::U96, keccak256};
pub use bank::{Deposit, Withdrawal};
pub use batch::{Batch, Payout};
pub use block::{Block, Header};
#[cfg(feature = "bls")]
pub use bls::{BlsError, BlsPublicKey, BlsSecretKey, BlsSignature, GROUP_ORDER};
pub use certificate::{Certificate, CertificateError, CheckpointCertificate};
pub use distribution::{Allotment, Distribution, DistributionError, Earning, Earnings, Statement};
pub use domain::Domain;
pub use engine::{Engine, MAX_UNDECIDED, Mining};
pub use evidence::{Evidence, EvidenceError};
pub use genesis::{
    Genesis, GenesisError, GenesisFile, MAX_VALIDATORS, MIN_VALIDATORS, TrainingTerms, UNVERSIONED, VERSION,
};
pub use items::Items;
pub use key::{KeyError, PublicKey, SecretKey, Signature};
pub use kind::{Kind, KindError, MAX_KIND_NAME_BYTES};
pub use membership::{Epochs, Membership};
pub use read::{Answer, Question, SignedAnswer};
pub use result::{FinalizedResult, Solution, WorkResult};
pub use round::{
    Closing, Completed, Completion, MAX_PROOF_BYTES, MAX_ROUND_MS, MAX_ROUND_STEPS, MAX_SEGMENT_STEPS, Round,
    RoundOrder, Rounds, elect,
};
#[cfg(feature = "bls")]
pub use settlement::{BlsCertificate, SettlementCertificate};
pub use settlement::{EcdsaCertificate, Rotation, RotationError, SettlementMessage};
pub use shared::SharedProof;
pub use transaction::{
    Claim, Custom, Line, MAX_DATA_ITEMS, MAX_LINE_BYTES, MAX_LINE_HASHES, MAX_ORDER_HASHES, MAX_TEXT_BYTES,
    MAX_TRANSACTION_BYTES, Order, Payload, TrainingCall, Transaction, TransactionError, Work,
};
pub use validators::{TURN, Validator, ValidatorIndex, ValidatorSet, max_faulty, quorum};
pub use vote::{Reply, Vote, VoteKind, new_view_digest, view_change_digest};
