//! Liars in the place of replicas, for simulated networks and real ones.
//!
//! In a liar's place a correct replica runs, and the liar decides what becomes of what that replica would say: so a liar
//! knows what a correct one knows and is where the others are, and its lies are about what happens. It has one key, its own.

mod accomplice;
mod amnesiac;
mod censor;
mod certifier;
mod chained;
mod conspirator;
mod equivocator;
mod exhauster;
mod forger;
mod height_liar;
mod kind;
mod miner;
mod permuter;
mod replayer;
mod revoter;
mod schemer;
mod seat;
mod silent;
mod slow;
mod slow_primary;
mod spammer;
mod stale;
mod withholder;

use std::time::Duration;

use dtn_consensus::Decision;
use dtn_primitives::ValidatorIndex;
use rand::rngs::StdRng;

pub use self::{
    kind::{Kind, UnknownKind},
    replayer::Replayer,
    seat::Seat,
    silent::Silent,
    slow::Slow,
};

/// What an adversary has to lie with.
pub struct Context<'a> {
    /// In whose place it is.
    pub seat: Seat<'a>,
    /// Its dice.
    pub rng: &'a mut StdRng,
}

/// A message that an adversary sends.
#[derive(Debug, Clone)]
pub struct Outgoing<M> {
    /// To whom.
    pub to: ValidatorIndex,
    /// What.
    pub message: M,
    /// What the link takes longer than it would.
    pub delay: Duration,
}

impl<M: Clone> Outgoing<M> {
    /// Without delay.
    pub fn new(to: ValidatorIndex, message: M) -> Self {
        Self { to, message, delay: Duration::ZERO }
    }

    /// To every other replica.
    pub fn to_all(message: &M, context: &Context<'_>) -> Vec<Self> {
        context.seat.others().map(|to| Self::new(to, message.clone())).collect()
    }
}

/// A liar that speaks a protocol.
pub trait Adversary<M> {
    /// What it says instead of what a correct replica would.
    fn instead(&mut self, to: ValidatorIndex, message: M, context: &mut Context<'_>) -> Vec<Outgoing<M>>;

    /// What it says when it hears something.
    fn heard(&mut self, _from: ValidatorIndex, _message: &M, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        Vec::new()
    }

    /// What it says unasked, now and then, given the height and view that it is at.
    fn unasked(&mut self, _height: u64, _view: u64, _context: &mut Context<'_>) -> Vec<Outgoing<M>> {
        Vec::new()
    }

    /// What it tells a replica instead of the height that it is at, when a correct one would tell that.
    fn height(&mut self, _own: u64, _to: ValidatorIndex) -> Option<u64> {
        None
    }

    /// What it gives a replica that fell behind instead of these decided blocks.
    fn blocks(&mut self, _decided: &[Decision], _context: &mut Context<'_>) -> Option<Vec<Decision>> {
        None
    }

    /// Whether it asks others for what they have decided without it.
    fn catches_up(&self) -> bool {
        false
    }
}
