//! Protocols that agree on something that is no block.

use std::fmt::{Debug, Display};

use serde::{Serialize, de::DeserializeOwned};

use crate::Protocol;

/// A protocol without blocks, and what any host of one has to know of it beside how to run it. The simulator and the host
/// over libp2p run the same type, unchanged.
///
/// What it is to agree on, it is told by [`Input::Answer`](crate::Input::Answer); what it needs of its host, such as a share
/// of a coin, it asks for by [`Effect::Ask`](crate::Effect::Ask); what it comes to is its
/// [`Effect::Output`](crate::Effect::Output). After a crash it is told again what it was told before, and may come to the same
/// again: who takes its outputs has to bear a repetition.
///
/// Messages may be lost whenever a channel breaks, and a host may drop some where too many wait. So a protocol says again what
/// counts, at the latest by [`Input::Connected`](crate::Input::Connected) and by a timer.
pub trait Standalone:
    Protocol<
        Message: Clone + Debug + Serialize + DeserializeOwned,
        Record: Clone + Debug + Serialize + DeserializeOwned,
        Timer: Copy + Ord + Debug,
        Fault: Debug + Display,
    >
{
    /// Its name. Peers that run protocols of other names have nothing to say to each other, so whoever changes messages or
    /// rules changes it too: `broadcast/2`.
    const NAME: &'static str;

    /// What a message is, as counters name it.
    fn kind(message: &Self::Message) -> &'static str;

    /// The place of a record. Of each place the last record is kept, so what a host keeps is bounded by the number of places
    /// that a protocol uses.
    fn slot(record: &Self::Record) -> u64;
}
