//! The rules of a training order, from the escrow to the last wei, as one state machine: the ledger runs it for what is
//! real, and the simulator for what could be.
//!
//! ```text
//! Claiming → Drawing → Opening → Revealing → Scoring → Challenging → Ruling ─┬→ Ended, where only scores count
//!                                                                            ▼
//!               next leader ← ─ ─ ─ ─ ─ ─  Ruling ← Challenging ← Auditing ← Tracing
//!                                            └→ Ended: final or void
//! ```
//!
//! - [`Terms`] say what a requester orders; [`Terms::check`] says whether a [`Network`] admits it.
//! - An [`Order`] takes [`Call`]s, a beacon by [`Order::draw`], and the time by [`Order::advance`]. Each phase ends by
//!   count or by its deadline, and each way through them ends with all money assigned.
//! - [`Moves`] say what is locked and what is paid. What an order holds is the difference, and nothing when it is over.
//! - [`Order::explain`] says why an account was paid, or was not.
//!
//! There is no clock here, no I/O and no randomness. What the host supplies:
//!
//! | what | how |
//! |---|---|
//! | the time | the timestamps of blocks, which never go back; [`Order::advance`] at the end of a block whose time is past a deadline |
//! | who calls | a verified sender, its free balance, and whether it is a validator |
//! | money | what [`Moves`] say, in the order in which they say it, before anything else touches a balance |
//! | the beacon | of the first round of sequential work that opened after the last claim, or the block's hash, see [`Beacon`] |
//! | that data is held | a peer votes for an order or a call only if it has what [`Terms::needs`] and [`Order::needs`] say |
//! | rulings | a peer votes for a [`Call::Ruling`] only if its own computation has come to the same [`Verdict`] |
//! | the origin of a run | network, opening block and order, with a claim's worker and attempt: [`Origin`](dtn_train::Origin) |
//!
//! The state is encoded with postcard, and bounded by the terms: an order that could outgrow its place in the host is
//! refused ([`Refusal::State`]). `docs/protocols/orders.md` has the rules in words.

mod call;
mod committee;
mod dispute;
mod explain;
mod grade;
mod money;
mod opened;
mod order;
mod refusal;
mod state;
mod terms;

pub use call::{Call, MAX_CALL_BYTES, Need, Reveal, Subject, Verdict, statement_path, statements_root};
pub use explain::{Explanation, Finding, Rule};
pub use grade::{Grade, Grades};
pub use money::{Moves, Payment, Why};
pub use opened::{MAX_ORDER_BYTES, TrainingOrder};
pub use refusal::Refusal;
pub use state::{Caller, Challenge, Claim, Ending, Fault, Forfeit, Member, Opinion, Order, Out, Phase, Stage, Void};
pub use terms::{
    BOUNTY, Beacon, Deal, LATE_WORKER, LEAST_TIMEOUTS, MAX_AMOUNT, MAX_CHALLENGES, MAX_CLAIMS, MAX_COMMITTEE,
    MAX_SEGMENTS, Material, Money, Network, Proof, STATEMENTS, Table, Terms, WHOLE, Windows, Work,
};
