//! What a client cannot do, and why.

use std::net::SocketAddr;

use dtn_api::RefusalKind;
use dtn_ledger::StoreError;
use dtn_primitives::{Answer, B256, GenesisError};
use serde_json::{Value, json};

use crate::VerifyError;

/// Why a client has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The genesis names no possible set of validators.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// No connection can be made to an address.
    #[error("{address} is not an API address")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: jsonrpsee::core::ClientError,
    },
    /// So many peers refuse a transaction that one of them is correct.
    #[error("the network refuses the transaction: {reason}")]
    Refused {
        /// Why, for programs.
        kind: RefusalKind,
        /// Why, for people.
        reason: String,
    },
    /// So few peers answer that none may be correct.
    #[error("{answers} of {peers} peers answer, fewer than the {need} that convince")]
    TooFew {
        /// How many answered.
        answers: usize,
        /// How many there are.
        peers: usize,
        /// How many would do.
        need: usize,
    },
    /// A question has no answer that a quorum gives.
    #[error("{answers} of {peers} peers answered, and no quorum of {quorum} alike")]
    NoAccord {
        /// How many answered.
        answers: usize,
        /// How many there are.
        peers: usize,
        /// How many have to answer alike.
        quorum: usize,
    },
    /// A quorum answers another question than it was asked.
    #[error("peers answer {0:?}, which is not what they were asked for")]
    OtherAnswer(Answer),
    /// A transaction waits for too long. It may become final yet.
    #[error("order {transaction} is not final after {after_s} s; the network is at height {height} since {still_s} s")]
    NotFinal {
        /// The transaction's hash.
        transaction: B256,
        /// How long it has waited, in seconds.
        after_s: u64,
        /// The network's height.
        height: u64,
        /// How long that has been so, in seconds.
        still_s: u64,
    },
    /// A height that the network has not reached.
    #[error("there is no final block at height {0} yet")]
    NotYet(u64),
    /// A block that was final and that no peer keeps.
    #[error("no peer keeps the block at height {0} any more")]
    Gone(u64),
    /// A peer that alone was asked does not answer.
    #[error("the peer does not answer")]
    Silent(#[source] jsonrpsee::core::ClientError),
    /// A peer sent what does not hold, and no other sent better.
    #[error(transparent)]
    Wrong(#[from] VerifyError),
    /// A store that is read in place of a peer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ClientError {
    /// Its stable code, for programs, and what belongs to it.
    pub fn code(&self) -> (&'static str, Value) {
        match self {
            Self::Refused { kind, .. } => ("refused", json!(kind)),
            Self::TooFew { answers, peers, need } => {
                ("too_few_answers", json!({ "answers": answers, "peers": peers, "need": need }))
            }
            Self::NoAccord { answers, peers, quorum } => {
                ("no_accord", json!({ "answers": answers, "peers": peers, "quorum": quorum }))
            }
            Self::NotFinal { transaction, height, .. } => {
                ("not_final", json!({ "transaction": transaction, "height": height }))
            }
            Self::NotYet(height) => ("not_yet", json!({ "height": height })),
            Self::Gone(height) => ("gone", json!({ "height": height })),
            Self::Silent(_) => ("no_answer", Value::Null),
            Self::Wrong(_) | Self::OtherAnswer(_) => ("wrong_answer", Value::Null),
            Self::Genesis(_) => ("genesis", Value::Null),
            Self::Connect { address, .. } => ("bad_address", json!({ "address": address })),
            Self::Store(_) => ("store", Value::Null),
        }
    }
}
