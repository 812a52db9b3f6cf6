//! The engine that the genesis names, behind one face: PBFT speaks the part of Nakamoto's words that is its own.

use dtn_consensus::{
    Base, Effect, Input, Nakamoto, Pbft, PbftConfig, Protocol,
    nakamoto::{Fault, Message, NakamotoConfig, Record, Timer},
};
use dtn_ledger::{Ledger, StoreError};
use dtn_primitives::Mining;

/// What decides which blocks become final.
pub(crate) enum Engine {
    /// The primaries propose blocks.
    Pbft(Box<Pbft>),
    /// Blocks are mined, and PBFT makes the confirmed ones final.
    Nakamoto(Box<Nakamoto>),
}

impl Engine {
    /// The engine for what a ledger holds, with the records that this replica made durable.
    pub(crate) fn new(
        pbft: PbftConfig,
        mining: Option<Mining>,
        ledger: &Ledger,
        records: Vec<Record>,
    ) -> Result<Self, StoreError> {
        let certificate = ledger.certificate(ledger.tip().height)?;
        let stable = ledger.stable_checkpoint().cloned();
        Ok(match mining {
            Some(mining) => {
                let config = NakamotoConfig { pbft, mining };
                Self::Nakamoto(Box::new(Nakamoto::new(config, base(ledger), certificate, stable, records)))
            }
            None => {
                let records = records.into_iter().filter_map(|record| match record {
                    Record::Pbft(record) => Some(record),
                    Record::Block(_) => None,
                });
                Self::Pbft(Box::new(Pbft::new(pbft, certificate, stable, records)))
            }
        })
    }

    /// What makes blocks final.
    pub(crate) fn finality(&self) -> &Pbft {
        match self {
            Self::Pbft(pbft) => pbft,
            Self::Nakamoto(nakamoto) => nakamoto.finality(),
        }
    }

    /// The chain that is mined, where blocks are.
    pub(crate) fn chain(&self) -> Option<&Nakamoto> {
        match self {
            Self::Pbft(_) => None,
            Self::Nakamoto(nakamoto) => Some(nakamoto),
        }
    }

    /// [`Protocol::handle`].
    pub(crate) fn handle(&mut self, input: Input<Message, Timer>) -> Vec<Effect<Message, Record, Timer, Fault>> {
        let pbft = match self {
            Self::Nakamoto(nakamoto) => return nakamoto.handle(input),
            Self::Pbft(pbft) => pbft,
        };
        let input = match input {
            Input::Message { from, message: Message::Pbft(message) } => Input::Message { from, message },
            Input::Message { from, .. } => return vec![Effect::Fault { from, fault: Fault::NotMined }],
            Input::Timer(Timer::Pbft(timer)) => Input::Timer(timer),
            Input::Timer(Timer::Tick) => return Vec::new(),
            Input::Start { memory, boot } => Input::Start { memory, boot },
            Input::Connected(peer) => Input::Connected(peer),
            Input::Proposal(block) => Input::Proposal(block),
            Input::Validated { block_hash, valid } => Input::Validated { block_hash, valid },
            Input::CaughtUp { certificate, base, decided } => Input::CaughtUp { certificate, base, decided },
            Input::Mined { block_hash, nonce } => Input::Mined { block_hash, nonce },
            Input::Checkpoint { height, state_root } => Input::Checkpoint { height, state_root },
            Input::Waiting(waiting) => Input::Waiting(waiting),
        };
        let effects = pbft.handle(input).into_iter();
        effects.map(|effect| effect.map(Message::Pbft, Record::Pbft, Timer::Pbft, Fault::Pbft)).collect()
    }
}

/// What the last block of a ledger leaves to those that follow.
pub(crate) fn base(ledger: &Ledger) -> Base {
    let tip = ledger.tip();
    Base { height: tip.height, hash: tip.hash, timestamp: tip.timestamp, next_work: ledger.next_work() }
}
