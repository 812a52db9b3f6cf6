//! The one place where the engine that the genesis names becomes a type. Everything else here speaks of engines as a whole:
//! of what they say ([`Words`]), what reaches them ([`Input`]) and what they have the core do ([`Effect`]).
//!
//! An engine is a protocol that is [`Hosted`], an arm of [`Engine`], and a variant of [`Words`], whose place is its tag on
//! the wire.

mod adversary;
mod chained;

use std::{sync::Arc, time::Duration};

use dtn_consensus::{
    self as consensus, Decision, Evidence, HotStuff2, Memory, Nakamoto, Pbft, PbftConfig, Protocol, Simplex, Streamlet,
    chained as chains,
    nakamoto::{self, Base, NakamotoConfig, Sealed},
    pbft,
};
use dtn_ledger::{Ledger, StoreError};
use dtn_pow::Puzzle;
use dtn_primitives::{
    B256, Block, Bytes, Certificate, CheckpointCertificate, Engine as Named, ValidatorIndex,
    codec::{self, CodecError},
};
use serde::{Deserialize, Serialize};

use crate::wire::Mark;

/// What decides which blocks become final.
pub(crate) enum Engine {
    /// The primaries propose blocks.
    Pbft(Box<Pbft>),
    /// Blocks are mined, and PBFT makes the confirmed ones final.
    Nakamoto(Box<Nakamoto>),
    /// The leaders of epochs propose blocks.
    Streamlet(Box<Streamlet>),
    /// The leaders of views do, and views are given up.
    Simplex(Box<Simplex>),
    /// The leaders of views do, and all talk to them alone.
    HotStuff2(Box<HotStuff2>),
}

/// What the replicas of an engine say to each other. The first byte of the encoding is the engine's tag: what it says is
/// decoded only where the same engine runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Words {
    /// PBFT's.
    Pbft(pbft::Message),
    /// Those of replicas that mine.
    Nakamoto(nakamoto::Message),
    /// Those of a protocol without blocks, which no genesis names: see [`crate::standalone`].
    Own { protocol: Mark, message: Bytes },
    /// Streamlet's.
    Streamlet(chains::Message),
    /// Simplex's.
    Simplex(chains::Message),
    /// HotStuff-2's.
    HotStuff2(chains::Message),
}

/// What must survive a crash, as the journal has it. What makes blocks final is kept in one way, whoever makes them.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Record {
    Finality(pbft::Record),
    Block(Sealed),
    Chained(chains::Record),
}

/// What an engine sets timers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// It says again what may have been lost.
    Retransmit,
    /// It gives up the view.
    ViewChange,
    /// It mines a block with what came since, or has waited long enough to propose one.
    Tick,
}

impl Timer {
    /// As metrics name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Retransmit => "retransmit",
            Self::ViewChange => "view_change",
            Self::Tick => "tick",
        }
    }
}

/// What reaches an engine.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// It begins.
    Start { memory: Memory, boot: u64 },
    /// A peer said something.
    Heard { from: ValidatorIndex, words: Words },
    /// A channel to a peer opened.
    Connected(ValidatorIndex),
    /// A timer expired.
    Timer(Timer),
    /// What was asked for, or is to be known.
    Answer(Answer),
}

/// What the core answers an engine, or tells it unasked.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// To [`Effect::Propose`].
    Proposal(Arc<Block>),
    /// To [`Effect::Validate`], for the block of this hash.
    Validated { block_hash: B256, valid: bool },
    /// To [`Effect::Mine`]: the block of this hash has its proof of work.
    Mined { block_hash: B256, nonce: u64 },
    /// The core took over what others decided: the last block's certificate, what it leaves to those that follow, and the
    /// hashes of the blocks, none if it took over a state.
    CaughtUp { certificate: Certificate, base: Base, decided: Vec<B256> },
    /// It has executed everything up to a checkpoint.
    Checkpoint { height: u64, state_root: B256 },
    /// The request that has waited longest of those that could be executed now.
    Waiting(Option<B256>),
}

/// What an engine has the core do, in this order.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// Say something to one peer.
    Send { to: ValidatorIndex, words: Box<Words> },
    /// Say something to all.
    Broadcast(Box<Words>),
    /// Tell it after a while; replaces the same timer.
    SetTimer { timer: Timer, after: Duration },
    /// Do not tell it.
    CancelTimer(Timer),
    /// Make durable, for as long as this height is undecided, before anything else leaves.
    Persist { height: u64, record: Vec<u8> },
    /// Propose a block on top of this one; at once, if it may be empty.
    Propose { height: u64, parent: B256, empty: bool },
    /// Say whether a block may follow its parent.
    Validate { block: Arc<Block>, fresh: bool },
    /// Search for the proof of work of the last proposal.
    Mine(Puzzle),
    /// The block is final.
    Decide(Decision),
    /// A quorum has executed everything up to a checkpoint.
    Stable(CheckpointCertificate),
    /// A validator contradicted itself.
    Evidence(Box<Evidence>),
    /// The operator should know.
    Notice(Notice),
    /// A peer sent what no correct peer sends.
    Fault { from: ValidatorIndex, fault: Fault },
}

/// What an operator should know.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Notice {
    /// Of what makes blocks final.
    Finality(pbft::Notice),
    /// Of the chain that is mined.
    Chain(nakamoto::Notice),
}

/// What can be wrong with what a peer says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Pbft(#[from] pbft::Fault),
    #[error(transparent)]
    Nakamoto(#[from] nakamoto::Fault),
    #[error(transparent)]
    Chained(#[from] chains::Fault),
    /// Its network runs another engine, or it does.
    #[error("it speaks {theirs}, and this network runs {ours}: it needs the genesis of this network")]
    OtherEngine { theirs: &'static str, ours: &'static str },
}

impl Fault {
    /// As metrics name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Pbft(fault) => fault.kind(),
            Self::Nakamoto(fault) => fault.kind(),
            Self::Chained(fault) => fault.kind(),
            Self::OtherEngine { .. } => "other_engine",
        }
    }

    /// Whether the sender of a message must have known that it is faulty. What its receiver's clock or ledger decides may
    /// look right to others.
    pub(crate) fn is_the_senders(&self) -> bool {
        use pbft::Fault as Finality;
        let finality = match self {
            Self::Pbft(fault) | Self::Nakamoto(nakamoto::Fault::Pbft(fault)) => fault,
            Self::Nakamoto(fault) => return *fault != nakamoto::Fault::UnknownParent,
            Self::Chained(fault) => return *fault != chains::Fault::InvalidBlock,
            Self::OtherEngine { .. } => return true,
        };
        !matches!(finality, Finality::InvalidBlock | Finality::NotChained | Finality::NotRequired)
    }
}

impl Words {
    /// What it is, as counters name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Pbft(message) => message.kind(),
            Self::Nakamoto(message) => message.kind(),
            Self::Streamlet(message) | Self::Simplex(message) | Self::HotStuff2(message) => message.kind(),
            Self::Own { .. } => "own",
        }
    }

    fn engine(&self) -> &'static str {
        match self {
            Self::Pbft(_) => Pbft::NAME,
            Self::Nakamoto(_) => Nakamoto::NAME,
            Self::Streamlet(_) => Streamlet::NAME,
            Self::Simplex(_) => Simplex::NAME,
            Self::HotStuff2(_) => HotStuff2::NAME,
            Self::Own { .. } => "a protocol of its own",
        }
    }
}

/// Where an engine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The view that it is in.
    pub(crate) view: u64,
    /// Who proposes next there.
    pub(crate) primary: ValidatorIndex,
    /// The height of the last stable checkpoint.
    pub(crate) stable_height: u64,
    /// It does not vote, because it may have forgotten what it said.
    pub(crate) is_silent: bool,
    /// It has asked for its view, which has not begun for it.
    pub(crate) is_changing_view: bool,
}

/// Where the chain that is mined stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MinedChain {
    /// The height of its last block that is executed.
    pub(crate) height: u64,
    /// That block.
    pub(crate) head: B256,
    /// The expected hashes for the block that is being mined.
    pub(crate) next_work: Option<u64>,
}

impl Engine {
    /// The engine for what a ledger holds, with the records that this replica made durable.
    pub(crate) fn new(
        pbft: PbftConfig,
        named: Named,
        ledger: &Ledger,
        records: Vec<(u64, Vec<u8>)>,
    ) -> Result<Self, EngineError> {
        let certificate = ledger.certificate(ledger.tip().height)?;
        let stable = ledger.stable_checkpoint().cloned();
        Ok(match named {
            Named::Nakamoto(mining) => {
                let (config, records) = (NakamotoConfig { pbft, mining }, recorded::<Nakamoto>(records)?);
                Self::Nakamoto(Box::new(Nakamoto::new(config, base(ledger), certificate, stable, records)))
            }
            Named::Pbft => Self::Pbft(Box::new(Pbft::new(pbft, certificate, stable, recorded::<Pbft>(records)?))),
            Named::Streamlet => Self::Streamlet(chained::start(pbft, certificate, stable, records)?),
            Named::Simplex => Self::Simplex(chained::start(pbft, certificate, stable, records)?),
            Named::HotStuff2 => Self::HotStuff2(chained::start(pbft, certificate, stable, records)?),
        })
    }

    /// Takes one input and gives what follows from it.
    pub(crate) fn handle(&mut self, input: Input) -> Vec<Effect> {
        match self {
            Self::Pbft(pbft) => step(pbft.as_mut(), input),
            Self::Nakamoto(nakamoto) => step(nakamoto.as_mut(), input),
            Self::Streamlet(chain) => step(chain.as_mut(), input),
            Self::Simplex(chain) => step(chain.as_mut(), input),
            Self::HotStuff2(chain) => step(chain.as_mut(), input),
        }
    }

    /// Where it stands.
    pub(crate) fn standing(&self) -> Standing {
        match self {
            Self::Pbft(pbft) => Standing::of(pbft),
            Self::Nakamoto(nakamoto) => Standing::of(nakamoto.finality()),
            Self::Streamlet(chain) => Standing::of_chain(chain),
            Self::Simplex(chain) => Standing::of_chain(chain),
            Self::HotStuff2(chain) => Standing::of_chain(chain),
        }
    }

    /// The last stable checkpoint.
    pub(crate) fn stable(&self) -> Option<&CheckpointCertificate> {
        match self {
            Self::Pbft(pbft) => pbft.stable(),
            Self::Nakamoto(nakamoto) => nakamoto.finality().stable(),
            Self::Streamlet(chain) => chain.stable(),
            Self::Simplex(chain) => chain.stable(),
            Self::HotStuff2(chain) => chain.stable(),
        }
    }

    /// The chain that is mined, where blocks are.
    pub(crate) fn mined(&self) -> Option<MinedChain> {
        let Self::Nakamoto(nakamoto) = self else { return None };
        let (height, head) = nakamoto.head();
        Some(MinedChain { height, head, next_work: nakamoto.next_work() })
    }

    /// How a peer says that a checkpoint is stable.
    pub(crate) fn stable_words(&self, stable: CheckpointCertificate) -> Words {
        match self {
            Self::Pbft(_) => Words::Pbft(pbft::Message::Stable(stable)),
            Self::Nakamoto(_) => Words::Nakamoto(nakamoto::Message::Pbft(pbft::Message::Stable(stable))),
            Self::Streamlet(_) => Words::Streamlet(chains::Message::Stable(stable)),
            Self::Simplex(_) => Words::Simplex(chains::Message::Stable(stable)),
            Self::HotStuff2(_) => Words::HotStuff2(chains::Message::Stable(stable)),
        }
    }
}

impl Standing {
    fn of(pbft: &Pbft) -> Self {
        Self {
            view: pbft.view(),
            primary: pbft.primary(),
            stable_height: pbft.stable().map_or(0, |stable| stable.height),
            is_silent: pbft.is_silent(),
            is_changing_view: pbft.is_changing_view(),
        }
    }
}

/// Why an engine cannot go on from a ledger.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is not one of this engine.
    #[error("the record at height {height}: {error}")]
    Record { height: u64, error: CodecError },
}

impl From<EngineError> for crate::NodeError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => Self::Store(error),
            EngineError::Record { height, error } => Self::Journal { height, error },
        }
    }
}

/// A protocol that the core can run.
trait Hosted: Protocol {
    /// As operators know it.
    const NAME: &'static str;

    fn words(message: Self::Message) -> Words;
    /// What was said, if it is this engine's; otherwise the engine whose it is.
    fn heard(words: Words) -> Result<Self::Message, &'static str>;
    fn record(record: Self::Record) -> (u64, Record);
    fn recorded(record: Record) -> Option<Self::Record>;
    fn timer(timer: Self::Timer) -> Timer;
    fn expired(timer: Timer) -> Option<Self::Timer>;
    fn fault(fault: Self::Fault) -> Fault;
    fn asked(ask: Self::Ask) -> Effect;
    /// Nothing where the engine has no use for it.
    fn answer(answer: Answer) -> Option<Self::Answer>;
    fn output(output: Self::Output) -> Effect;
}

fn step<P: Hosted>(protocol: &mut P, input: Input) -> Vec<Effect> {
    let input = match input {
        Input::Start { memory, boot } => Some(consensus::Input::Start { memory, boot }),
        Input::Heard { from, words } => match P::heard(words) {
            Ok(message) => Some(consensus::Input::Message { from, message }),
            Err(theirs) => return vec![Effect::Fault { from, fault: Fault::OtherEngine { theirs, ours: P::NAME } }],
        },
        Input::Connected(peer) => Some(consensus::Input::Connected(peer)),
        Input::Timer(timer) => P::expired(timer).map(consensus::Input::Timer),
        Input::Answer(answer) => P::answer(answer).map(consensus::Input::Answer),
    };
    let effects = input.map(|input| protocol.handle(input)).unwrap_or_default();
    effects.into_iter().map(effect::<P>).collect()
}

fn effect<P: Hosted>(effect: consensus::Effect<P>) -> Effect {
    match effect {
        consensus::Effect::Send { to, message } => Effect::Send { to, words: Box::new(P::words(message)) },
        consensus::Effect::Broadcast(message) => Effect::Broadcast(Box::new(P::words(message))),
        consensus::Effect::SetTimer { timer, after } => Effect::SetTimer { timer: P::timer(timer), after },
        consensus::Effect::CancelTimer(timer) => Effect::CancelTimer(P::timer(timer)),
        consensus::Effect::Persist(record) => {
            let (height, record) = P::record(record);
            Effect::Persist { height, record: codec::encode(&record) }
        }
        consensus::Effect::Ask(ask) => P::asked(ask),
        consensus::Effect::Output(output) => P::output(output),
        consensus::Effect::Fault { from, fault } => Effect::Fault { from, fault: P::fault(fault) },
    }
}

fn recorded<P: Hosted>(records: Vec<(u64, Vec<u8>)>) -> Result<Vec<P::Record>, EngineError> {
    let decoded = |(height, bytes): (u64, Vec<u8>)| {
        let other = || CodecError::Malformed(format!("it is not a record of {}", P::NAME));
        let record = codec::decode(&bytes, usize::MAX).and_then(|record| P::recorded(record).ok_or_else(other));
        record.map_err(|error| EngineError::Record { height, error })
    };
    records.into_iter().map(decoded).collect()
}

impl Hosted for Pbft {
    const NAME: &'static str = "pbft";

    fn words(message: pbft::Message) -> Words {
        Words::Pbft(message)
    }

    fn heard(words: Words) -> Result<pbft::Message, &'static str> {
        if let Words::Pbft(message) = words { Ok(message) } else { Err(words.engine()) }
    }

    fn record(record: pbft::Record) -> (u64, Record) {
        (record.height(), Record::Finality(record))
    }

    fn recorded(record: Record) -> Option<pbft::Record> {
        if let Record::Finality(record) = record { Some(record) } else { None }
    }

    fn timer(timer: pbft::Timer) -> Timer {
        match timer {
            pbft::Timer::Retransmit => Timer::Retransmit,
            pbft::Timer::ViewChange => Timer::ViewChange,
        }
    }

    fn expired(timer: Timer) -> Option<pbft::Timer> {
        match timer {
            Timer::Retransmit => Some(pbft::Timer::Retransmit),
            Timer::ViewChange => Some(pbft::Timer::ViewChange),
            Timer::Tick => None,
        }
    }

    fn fault(fault: pbft::Fault) -> Fault {
        fault.into()
    }

    fn asked(ask: pbft::Ask) -> Effect {
        match ask {
            pbft::Ask::Propose { height, parent, empty } => Effect::Propose { height, parent, empty },
            pbft::Ask::Validate { block, fresh } => Effect::Validate { block, fresh },
        }
    }

    fn answer(answer: Answer) -> Option<pbft::Answer> {
        Some(match answer {
            Answer::Proposal(block) => pbft::Answer::Proposal(block),
            Answer::Validated { block_hash, valid } => pbft::Answer::Validated { block_hash, valid },
            Answer::CaughtUp { certificate, .. } => pbft::Answer::CaughtUp(certificate),
            Answer::Checkpoint { height, state_root } => pbft::Answer::Checkpoint { height, state_root },
            Answer::Waiting(waiting) => pbft::Answer::Waiting(waiting),
            Answer::Mined { .. } => return None,
        })
    }

    fn output(output: pbft::Output) -> Effect {
        match output {
            pbft::Output::Decide(decision) => Effect::Decide(decision),
            pbft::Output::Stable(certificate) => Effect::Stable(certificate),
            pbft::Output::Evidence(evidence) => Effect::Evidence(evidence),
            pbft::Output::Notice(notice) => Effect::Notice(Notice::Finality(notice)),
        }
    }
}

impl Hosted for Nakamoto {
    const NAME: &'static str = "nakamoto";

    fn words(message: nakamoto::Message) -> Words {
        Words::Nakamoto(message)
    }

    fn heard(words: Words) -> Result<nakamoto::Message, &'static str> {
        if let Words::Nakamoto(message) = words { Ok(message) } else { Err(words.engine()) }
    }

    fn record(record: nakamoto::Record) -> (u64, Record) {
        let height = record.height();
        let record = match record {
            nakamoto::Record::Pbft(record) => Record::Finality(record),
            nakamoto::Record::Block(sealed) => Record::Block(sealed),
        };
        (height, record)
    }

    fn recorded(record: Record) -> Option<nakamoto::Record> {
        Some(match record {
            Record::Finality(record) => nakamoto::Record::Pbft(record),
            Record::Block(sealed) => nakamoto::Record::Block(sealed),
            Record::Chained(_) => return None,
        })
    }

    fn timer(timer: nakamoto::Timer) -> Timer {
        match timer {
            nakamoto::Timer::Pbft(timer) => Pbft::timer(timer),
            nakamoto::Timer::Tick => Timer::Tick,
        }
    }

    fn expired(timer: Timer) -> Option<nakamoto::Timer> {
        Some(Pbft::expired(timer).map_or(nakamoto::Timer::Tick, nakamoto::Timer::Pbft))
    }

    fn fault(fault: nakamoto::Fault) -> Fault {
        fault.into()
    }

    fn asked(ask: nakamoto::Ask) -> Effect {
        match ask {
            nakamoto::Ask::Propose { height, parent } => Effect::Propose { height, parent, empty: true },
            nakamoto::Ask::Validate(block) => Effect::Validate { block, fresh: true },
            nakamoto::Ask::Mine(puzzle) => Effect::Mine(puzzle),
        }
    }

    fn answer(answer: Answer) -> Option<nakamoto::Answer> {
        Some(match answer {
            Answer::Proposal(block) => nakamoto::Answer::Proposal(block),
            Answer::Validated { block_hash, valid } => nakamoto::Answer::Validated { block_hash, valid },
            Answer::Mined { block_hash, nonce } => nakamoto::Answer::Mined { block_hash, nonce },
            Answer::CaughtUp { certificate, base, decided } => {
                nakamoto::Answer::CaughtUp { certificate, base, decided }
            }
            Answer::Checkpoint { height, state_root } => nakamoto::Answer::Checkpoint { height, state_root },
            // Blocks are mined whether or not anything waits.
            Answer::Waiting(_) => return None,
        })
    }

    fn output(output: nakamoto::Output) -> Effect {
        match output {
            nakamoto::Output::Finality(output) => Pbft::output(output),
            nakamoto::Output::Notice(notice) => Effect::Notice(Notice::Chain(notice)),
        }
    }
}

/// What the last block of a ledger leaves to those that follow.
pub(crate) fn base(ledger: &Ledger) -> Base {
    let tip = ledger.tip();
    Base { height: tip.height, hash: tip.hash, timestamp: tip.timestamp, next_work: ledger.next_work() }
}
