//! Adversaries of each engine, in the words of all.

use dtn_adversary::{Adversary, Context, Kind, Outgoing};
use dtn_consensus::{
    HotStuff2, Nakamoto, Pbft, Simplex, Streamlet, hotstuff2::HotStuff2Rules, simplex::SimplexRules,
    streamlet::StreamletRules,
};
use dtn_primitives::{Engine as Named, ValidatorIndex};

use super::{Engine, Hosted, Words};

impl Engine {
    /// What lies in such a replica's place.
    pub(crate) fn adversary(&self, kind: Kind, named: Named) -> Box<dyn Adversary<Words> + Send> {
        // Which of several schemes.
        let seed = rand::random();
        match self {
            Self::Pbft(_) => Box::new(Speaking::<Pbft>(kind.create())),
            Self::Nakamoto(_) => {
                let confirmations = if let Named::Nakamoto(mining) = named { mining.confirmations } else { 0 };
                Box::new(Speaking::<Nakamoto>(kind.create_miner(confirmations, None)))
            }
            Self::Streamlet(_) => Box::new(Speaking::<Streamlet>(kind.create_chained::<StreamletRules>(seed))),
            Self::Simplex(_) => Box::new(Speaking::<Simplex>(kind.create_chained::<SimplexRules>(seed))),
            Self::HotStuff2(_) => Box::new(Speaking::<HotStuff2>(kind.create_chained::<HotStuff2Rules>(seed))),
        }
    }
}

/// An adversary of one engine.
struct Speaking<P: Hosted>(Box<dyn Adversary<P::Message> + Send>);

impl<P: Hosted> Speaking<P> {
    fn words(said: Vec<Outgoing<P::Message>>) -> Vec<Outgoing<Words>> {
        let word = |Outgoing { to, message, delay }| Outgoing { to, message: P::words(message), delay };
        said.into_iter().map(word).collect()
    }
}

impl<P: Hosted> Adversary<Words> for Speaking<P> {
    fn instead(&mut self, to: ValidatorIndex, words: Words, context: &mut Context<'_>) -> Vec<Outgoing<Words>> {
        P::heard(words).map(|message| Self::words(self.0.instead(to, message, context))).unwrap_or_default()
    }

    fn heard(&mut self, from: ValidatorIndex, words: &Words, context: &mut Context<'_>) -> Vec<Outgoing<Words>> {
        let heard = P::heard(words.clone());
        heard.map(|message| Self::words(self.0.heard(from, &message, context))).unwrap_or_default()
    }

    fn unasked(&mut self, height: u64, view: u64, context: &mut Context<'_>) -> Vec<Outgoing<Words>> {
        Self::words(self.0.unasked(height, view, context))
    }

    fn height(&mut self, own: u64, to: ValidatorIndex) -> Option<u64> {
        self.0.height(own, to)
    }

    fn catches_up(&self) -> bool {
        self.0.catches_up()
    }
}
