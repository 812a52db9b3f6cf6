//! Liars about blocks and about what makes them final.

use dtn_consensus::{
    Decision, Message as Pbft,
    nakamoto::{Message, Sealed},
};
use dtn_primitives::{B256, ValidatorIndex};
use rand::Rng;

use crate::{Adversary, Context, Outgoing, forger::spoiled};

/// Rumours between two looks of a liar at itself.
const RUMOURS_AT_ONCE: u64 = 16;

/// Blocks that a liar answers with forgeries between two looks at itself.
const FORGED_AT_ONCE: usize = 8;

/// Lies about what is final as a liar of PBFT does, and mines like a correct miner.
pub(crate) struct Finalizing(pub(crate) Box<dyn Adversary<Pbft> + Send>);

fn lifted(lies: Vec<Outgoing<Pbft>>) -> Vec<Outgoing<Message>> {
    let lift = |Outgoing { to, message, delay }| Outgoing { to, message: Message::Pbft(message), delay };
    lies.into_iter().map(lift).collect()
}

impl Adversary<Message> for Finalizing {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        match message {
            Message::Pbft(message) => lifted(self.0.instead(to, message, context)),
            message => vec![Outgoing::new(to, message)],
        }
    }

    fn heard(&mut self, from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        match message {
            Message::Pbft(message) => lifted(self.0.heard(from, message, context)),
            _ => Vec::new(),
        }
    }

    fn unasked(&mut self, height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        lifted(self.0.unasked(height, view, context))
    }

    fn blocks(&mut self, decided: &[Decision], context: &mut Context<'_>) -> Option<Vec<Decision>> {
        self.0.blocks(decided, context)
    }
}

/// Answers every block with a changed one, and with one of its own on top of it for which it has not worked.
pub(crate) struct FalseMiner {
    finalizing: Finalizing,
    forged: usize,
}

impl FalseMiner {
    /// One that lies about what is final, too.
    pub(crate) fn new(forger: Box<dyn Adversary<Pbft> + Send>) -> Self {
        Self { finalizing: Finalizing(forger), forged: 0 }
    }
}

impl Adversary<Message> for FalseMiner {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        self.finalizing.instead(to, message, context)
    }

    fn heard(&mut self, from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let Message::Block(Sealed { block, .. }) = message else {
            return self.finalizing.heard(from, message, context);
        };
        if self.forged == FORGED_AT_ONCE {
            return Vec::new();
        }
        self.forged += 1;
        let (header, nonce) = (&block.header, context.rng.random());
        let place = (header.height + 1, header.hash());
        let free = context.seat.block_at(header.timestamp + 1, place, nonce);
        let mut lies = vec![Message::Block(Sealed { block: free, nonce })];
        lies.extend(spoiled(message, context));
        lies.iter().flat_map(|lie| Outgoing::to_all(lie, context)).collect()
    }

    fn unasked(&mut self, height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        self.forged = 0;
        self.finalizing.unasked(height, view, context)
    }
}

/// Tells of blocks that do not exist, sends blocks whose parents do not, and asks for everything.
pub(crate) struct Rumourmonger(Finalizing);

impl Rumourmonger {
    /// One that exhausts what makes blocks final, too.
    pub(crate) fn new(exhauster: Box<dyn Adversary<Pbft> + Send>) -> Self {
        Self(Finalizing(exhauster))
    }
}

impl Adversary<Message> for Rumourmonger {
    fn instead(&mut self, to: ValidatorIndex, message: Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        self.0.instead(to, message, context)
    }

    fn heard(&mut self, from: ValidatorIndex, message: &Message, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let asks = match message {
            Message::Tip { hash, .. } => vec![Outgoing::new(from, Message::Ask { hash: *hash, above: 0 }); 2],
            _ => Vec::new(),
        };
        asks.into_iter().chain(self.0.heard(from, message, context)).collect()
    }

    fn unasked(&mut self, height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Message>> {
        let mut lies = self.0.unasked(height, view, context);
        for _ in 0..RUMOURS_AT_ONCE {
            let (ahead, hash) =
                (height + context.rng.random_range(1..200), B256::from(context.rng.random::<[u8; 32]>()));
            let orphan = context.seat.block_at(u64::MAX / 2, (ahead, hash), ahead);
            for rumour in [Message::Tip { height: ahead, hash }, Message::Block(Sealed { block: orphan, nonce: ahead })]
            {
                lies.extend(Outgoing::to_all(&rumour, context));
            }
        }
        lies
    }
}
