//! What a peer does for training orders: it holds what they are about, trains, evaluates, audits, and comes to verdicts.
//!
//! - A [`Blob`] is data, opened rows, a model, a trace or a state, named by a hash that its bytes are checked against, whoever
//!   they come from. A [`Library`] keeps them on disk, order by order.
//! - A [`Holdout`] is what a requester holds out, salted row by row; an [`Opening`] shows some of its rows.
//! - A [`Brief`] is what an order asks for. It checks a [`Need`](dtn_training::Need) against a library, states scores and audits,
//!   comes to verdicts, and trains.
//!
//! All of it takes time that nobody who votes has; there is no network here, and no clock.

mod blob;
mod brief;
mod holdout;
mod library;

pub use dtn_files as files;

pub use blob::{Blob, BlobError, blobs, states_of};
pub use brief::{Brief, Found, Trained, Unmet, admit};
pub use holdout::{Holdout, MAX_OPENING_BYTES, OpenRow, Opening, OpeningError};
pub use library::Library;
