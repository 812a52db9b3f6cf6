//! What this peer does for each kind of work. The rules of a kind are the ledger's; here is what a peer adds: threads that
//! search, compute and prove, and what it asks of others.

pub(crate) mod line;
pub(crate) mod race;
pub(crate) mod round;
pub(crate) mod training;
