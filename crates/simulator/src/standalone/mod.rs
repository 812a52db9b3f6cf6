//! Protocols without blocks, anybody's: a [`Trial`] plays any [`Standalone`] in virtual time, unchanged, under power cuts, links
//! that delay, lose, repeat and part, and liars. Most liars know nothing of the protocol ([`Liar`]); whoever knows it adds
//! one of his own. What the protocol promises, its author writes down as an [`Oracle`].
//!
//! A run is a function of its [`Setting`] and of what the trial is given, so a failure is had again by its seed.

mod machine;
mod setting;
mod world;

use std::{collections::BTreeMap, fmt, time::Duration};

use dtn_consensus::Standalone;
use dtn_primitives::{ValidatorIndex, memo};
use rand::rngs::StdRng;

use crate::{
    Members, Traffic,
    adversary::{Adversary, Replayer, Silent, Slow},
};

pub use setting::Setting;

/// Signatures that a run remembers, so that each is made and checked once although many replicas do.
const REMEMBERED_SIGNATURES: usize = 1 << 16;

/// A replica that does as it likes. In its place a correct one runs, of which the liar makes what it wants.
pub enum Liar<M> {
    /// It says nothing.
    Silent,
    /// It says everything most of a second late.
    Slow,
    /// It says again what it and others said long ago, to everyone.
    Replayer,
    /// It is two correct replicas with one key, of which each of the others sees one, or both, and now and then others
    /// (Bano et al., "Twins: BFT Systems Made Robust", 2020). Whatever a replica can do by contradicting itself,
    /// forgetting or going back, twins do, whatever they speak.
    Twins,
    /// One that knows the protocol.
    Own(Box<dyn Adversary<M>>),
}

impl<M: Clone + 'static> Liar<M> {
    /// What it says; nothing of its own where it is twins.
    fn adversary(self) -> Option<Box<dyn Adversary<M>>> {
        match self {
            Self::Silent => Some(Box::new(Silent)),
            Self::Slow => Some(Box::new(Slow)),
            Self::Replayer => Some(Box::new(Replayer::default())),
            Self::Twins => None,
            Self::Own(adversary) => Some(adversary),
        }
    }
}

/// What a protocol promises, as its author has it. It sees only what correct replicas do.
pub trait Oracle<P: Standalone> {
    /// A replica has come to something, perhaps for the second time after a restart. The error says which promise that
    /// breaks.
    fn comes(&mut self, replica: ValidatorIndex, output: &P::Output) -> Result<(), String>;

    /// A replica says something. The error says which promise that breaks.
    fn says(&mut self, _replica: ValidatorIndex, _message: &P::Message) -> Result<(), String> {
        Ok(())
    }

    /// Whether everything has come that was promised to come.
    fn is_content(&self) -> bool;
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No promise was broken, and everything that was promised came.
    Pass,
    /// Something did not come, although nothing more happened to the replicas for as long as the setting says.
    NoProgress,
    /// A promise was broken, or a correct replica was called a liar by another.
    Broken(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::NoProgress => f.write_str("no progress"),
            Self::Broken(promise) => write!(f, "broken: {promise}"),
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// The number of its events.
    pub events: u64,
    /// The virtual time that passed.
    pub elapsed: Duration,
    /// A fingerprint of everything that happened.
    pub digest: u128,
    /// What was sent, by the kind of message, once for each receiver; the bytes as a message is encoded.
    pub sent: BTreeMap<&'static str, Traffic>,
    /// The faults that correct replicas found.
    pub faults: u64,
    /// The writes of each replica, for power cuts at each of them.
    pub writes: Vec<u64>,
    /// The longest chain of messages, each of which was heard before the next was said, at whose end a correct replica came
    /// to something.
    pub rounds: u32,
}

impl Report {
    /// Whether no promise was broken.
    pub fn passes(&self) -> bool {
        self.verdict == Verdict::Pass
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, verdict, events, elapsed, .. } = self;
        write!(f, "DTN_SEED={seed}: {verdict} ({events} events, {:.3} s)", elapsed.as_secs_f64())
    }
}

/// What a host is told of by whom, and after how long the protocol has its answer; no answer without.
type Answering<'a, P> = dyn FnMut(ValidatorIndex, &<P as dtn_consensus::Protocol>::Ask, &mut StdRng) -> Reply<P> + 'a;

/// After how long a host answers, and what.
type Reply<P> = Option<(Duration, <P as dtn_consensus::Protocol>::Answer)>;

/// Makes a replica of the records that it had made durable.
type Create<'a, P> = dyn Fn(&Members, ValidatorIndex, Vec<<P as dtn_consensus::Protocol>::Record>) -> P + 'a;

/// Something that a host tells its replica unasked.
struct Told<P: Standalone> {
    replica: usize,
    /// It is for the second one of twins only.
    twin: bool,
    at: Duration,
    answer: P::Answer,
}

/// A run before it is played.
pub struct Trial<'a, P: Standalone> {
    setting: Setting,
    members: Members,
    create: Box<Create<'a, P>>,
    answering: Box<Answering<'a, P>>,
    told: Vec<Told<P>>,
    liars: BTreeMap<usize, Liar<P::Message>>,
}

impl<'a, P> Trial<'a, P>
where
    P: Standalone<Message: 'static, Answer: Clone>,
{
    /// Replicas that `create` makes, of who takes part, which of them each is, and what it had made durable, by slots. They
    /// all are correct, and are told and answered nothing.
    pub fn new(setting: Setting, create: impl Fn(&Members, ValidatorIndex, Vec<P::Record>) -> P + 'a) -> Self {
        Self {
            members: Members::new(setting.n, Duration::from_secs(1)),
            setting,
            create: Box::new(create),
            answering: Box::new(|_, _, _| None),
            told: Vec::new(),
            liars: BTreeMap::new(),
        }
    }

    /// A replica is told something at a time, and again whenever it starts after that; twins both are.
    #[must_use]
    pub fn told(mut self, replica: usize, at: Duration, answer: P::Answer) -> Self {
        self.told.push(Told { replica, twin: false, at, answer });
        self
    }

    /// The second one of twins is told this, and nothing of what the first one is told.
    #[must_use]
    pub fn twin_told(mut self, replica: usize, at: Duration, answer: P::Answer) -> Self {
        self.told.push(Told { replica, twin: true, at, answer });
        self
    }

    /// How hosts answer what their replicas ask.
    #[must_use]
    pub fn answering(self, answer: impl FnMut(ValidatorIndex, &P::Ask, &mut StdRng) -> Reply<P> + 'a) -> Self {
        Self { answering: Box::new(answer), ..self }
    }

    /// A replica lies. What happens to a liar's machine proves nothing, so its power does not fail.
    #[must_use]
    pub fn with(mut self, replica: usize, liar: Liar<P::Message>) -> Self {
        self.liars.insert(replica, liar);
        self
    }

    /// Those to whom promises are kept: they do not lie, and neither stay away nor lose their disks.
    pub fn correct(&self) -> Vec<ValidatorIndex> {
        let faulty = |replica: &usize| self.liars.contains_key(replica) || self.setting.is_faulty(*replica);
        (0..self.setting.n).filter(|replica| !faulty(replica)).map(|replica| ValidatorIndex(replica as u16)).collect()
    }

    /// Plays it to its end.
    pub fn play(self, oracle: &mut dyn Oracle<P>) -> Report {
        let _remembering = (!memo::is_remembering()).then(|| memo::remember(REMEMBERED_SIGNATURES));
        world::World::new(self, oracle).play()
    }
}
