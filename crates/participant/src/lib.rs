//! An account that takes part in orders for trained models, over a peer's API: it orders and opens the rows that are drawn,
//! trains and claims, states scores and audits where it is drawn, challenges what is false, and rules if it is a validator.
//!
//! - A [`Peer`] is whom it asks; a [`Hand`] is what its key hands in, one after the other.
//! - [`errands`] says what is due for an order, from the order's state alone. So a [`Participant`] can be killed anywhere and
//!   started again; what it must not lose, its [`Folder`] keeps.
//! - A [`Draft`] makes an order of data, a recipe and money.
//! - [`Tools`] are a trainer and a scorer of its own, as commands.
//! - A [`Behaviour`] other than honest is for trials.

mod behaviour;
mod codes;
mod draft;
mod errand;
mod error;
mod folder;
mod made;
mod participant;
mod peer;
mod perform;
mod work;

pub use dtn_custom as custom;

pub use behaviour::{Behaviour, NoBehaviour};
pub use draft::{Draft, Drafted, Mode};
pub use errand::{Errand, Roles, errands};
pub use error::ParticipantError;
pub use folder::Folder;
pub use participant::{Event, Options, Participant, Tools};
pub use peer::{Hand, Peer};
pub use work::now_ms;
