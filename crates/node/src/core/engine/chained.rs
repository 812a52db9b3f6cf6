//! The protocols that chain blocks, as engines.

use dtn_consensus::{
    Chained, ChainedConfig, Pbft, PbftConfig,
    chained::{self as chains, Message, Rules},
    hotstuff2::HotStuff2Rules,
    pbft,
    simplex::SimplexRules,
    streamlet::StreamletRules,
};
use dtn_primitives::{Certificate, CheckpointCertificate};

use super::{Answer, Effect, EngineError, Fault, Hosted, Record, Standing, Timer, Words, recorded};

/// A replica that chains blocks.
pub(super) fn start<R: Spoken>(
    replica: PbftConfig,
    certificate: Option<Certificate>,
    stable: Option<CheckpointCertificate>,
    records: Vec<(u64, Vec<u8>)>,
) -> Result<Box<Chained<R>>, EngineError> {
    // What is lost on a link is said again: nothing has to be passed on.
    let config = ChainedConfig { replica, relays: false, lots: false, lapse: None };
    Ok(Box::new(Chained::new(config, certificate, stable, recorded::<Chained<R>>(records)?)))
}

impl Standing {
    pub(super) fn of_chain<R: Rules>(chain: &Chained<R>) -> Self {
        Self {
            view: chain.view(),
            primary: chain.primary(),
            stable_height: chain.stable().map_or(0, |stable| stable.height),
            is_silent: chain.is_silent(),
            is_changing_view: chain.is_changing_view(),
        }
    }
}

/// Rules of a protocol that chains blocks, whose words have a tag of their own.
pub(super) trait Spoken: Rules {
    fn words(message: Message) -> Words;
    fn heard(words: Words) -> Result<Message, &'static str>;
}

macro_rules! spoken {
    ($($rules:ty: $name:ident,)*) => {
        $(impl Spoken for $rules {
            fn words(message: Message) -> Words {
                Words::$name(message)
            }

            fn heard(words: Words) -> Result<Message, &'static str> {
                if let Words::$name(message) = words { Ok(message) } else { Err(words.engine()) }
            }
        })*
    };
}

spoken! {
    StreamletRules: Streamlet,
    SimplexRules: Simplex,
    HotStuff2Rules: HotStuff2,
}

impl<R: Spoken> Hosted for Chained<R> {
    const NAME: &'static str = R::NAME;

    fn words(message: Message) -> Words {
        R::words(message)
    }

    fn heard(words: Words) -> Result<Message, &'static str> {
        R::heard(words)
    }

    fn record(record: chains::Record) -> (u64, Record) {
        (record.height(), Record::Chained(record))
    }

    fn recorded(record: Record) -> Option<chains::Record> {
        if let Record::Chained(record) = record { Some(record) } else { None }
    }

    fn timer(timer: chains::Timer) -> Timer {
        match timer {
            chains::Timer::Retransmit => Timer::Retransmit,
            chains::Timer::View => Timer::ViewChange,
            chains::Timer::Propose => Timer::Tick,
        }
    }

    fn expired(timer: Timer) -> Option<chains::Timer> {
        Some(match timer {
            Timer::Retransmit => chains::Timer::Retransmit,
            Timer::ViewChange => chains::Timer::View,
            Timer::Tick => chains::Timer::Propose,
        })
    }

    fn fault(fault: chains::Fault) -> Fault {
        fault.into()
    }

    fn asked(ask: pbft::Ask) -> Effect {
        Pbft::asked(ask)
    }

    fn answer(answer: Answer) -> Option<pbft::Answer> {
        Pbft::answer(answer)
    }

    fn output(output: pbft::Output) -> Effect {
        Pbft::output(output)
    }
}
