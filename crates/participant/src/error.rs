//! Why something was not done for an order.

use std::time::Duration;

use dtn_api::RefusalKind;
use dtn_client::ClientError;
use dtn_custom::ToolError;
use dtn_files::FileError;
use dtn_primitives::{B256, codec::CodecError};
use dtn_trainer::{BlobError, Unmet};
use dtn_training::Refusal;
use jsonrpsee::core::ClientError as CallError;

/// Why something was not done for an order.
#[derive(Debug, thiserror::Error)]
pub enum ParticipantError {
    /// The peer's address is none.
    #[error(transparent)]
    Connect(#[from] ClientError),
    /// The peer does not answer, or not as a peer does.
    #[error("the peer: {0}")]
    Call(#[from] CallError),
    /// There is nobody to ask.
    #[error("no peer was named")]
    NoPeer,
    /// The network takes no orders for trained models.
    #[error("the network takes no orders for trained models: its genesis has no terms for them")]
    NoTraining,
    /// There is no such order, as far as the peer knows.
    #[error("the peer knows no order {0} for a trained model")]
    NoOrder(B256),
    /// What the peer answers cannot be read.
    #[error("what the peer answers cannot be read: {0}")]
    Encoding(#[from] CodecError),
    /// The peer gave something else than was asked for.
    #[error("the peer gave something else than was asked for: {0}")]
    Blob(#[from] BlobError),
    /// The peer refuses what was handed in.
    #[error("{reason}")]
    Refused {
        /// Why, for people.
        reason: String,
        /// Why, for programs.
        kind: RefusalKind,
    },
    /// It was handed in and is not final.
    #[error("{what} was handed in and is not final after {} s", .after.as_secs())]
    NotFinal {
        /// What.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// An order was handed in and is not final, and may become so yet.
    #[error("order {order} was handed in and is not final after {} s; it may become so yet", .after.as_secs())]
    OrderNotFinal {
        /// The order.
        order: B256,
        /// How long it was waited for.
        after: Duration,
    },
    /// Nobody would be paid.
    #[error("the payee is the zero address, and nobody has that")]
    NoPayee,
    /// It cannot be computed.
    #[error(transparent)]
    Unmet(#[from] Unmet),
    /// The terms are not admitted.
    #[error(transparent)]
    Terms(#[from] Refusal),
    /// The data is none.
    #[error(transparent)]
    Data(#[from] dtn_train::data::DataError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of claims.
    #[error("{} is no file of claims: {source}", file.display())]
    Claims {
        /// Which.
        file: std::path::PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Nothing came of a trainer or a scorer of one's own.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// What had to be computed was given up.
    #[error("there was too little time to train")]
    NoTime,
}
