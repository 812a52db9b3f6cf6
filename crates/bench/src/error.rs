//! Why something is not measured.

use std::{io, path::PathBuf};

use alloy::transports::TransportError;
use alloy_primitives::Address;
use dtn_aow::ProofError;
use dtn_api::NotAdmitted;
use dtn_chain::{
    SendError,
    connection::{AnvilError, ConnectError, ReadError},
};
use dtn_client::ClientError;
use dtn_peer::{ConfigError, files::FileError};
use dtn_pow::PowError;
use dtn_primitives::{DistributionError, GenesisError, KeyError, MAX_TRANSACTION_BYTES};
use dtn_settlement::{
    deploy::{DeployError, PlanError},
    message::MessageError,
    multisig::MultisigError,
};
use dtn_simulator::Impossible;
use dtn_testbed::TestbedError;
use jsonrpsee::types::ErrorObjectOwned;

use crate::{
    proofs::Case,
    workload::{MAX_BYTES, OVERHEAD},
};

/// Why something is not measured. An error of another library is told as it is, and is the source of this one, so that who
/// looks for it among the causes finds it.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// An order for a trained model cannot be made.
    #[error(transparent)]
    Participant(#[from] dtn_participant::ParticipantError),
    /// A rate is out of its range.
    #[error("a rate is 1 to 10,000,000 a second")]
    Rate,
    /// The measured time is out of its range.
    #[error("--seconds is 0.1 to 86,400")]
    Seconds,
    /// The time before is out of its range.
    #[error("--warm-up is 0 to 3,600")]
    WarmUp,
    /// More peers are to fail than may.
    #[error("{peers} peers tolerate {faulty} {how}, not {asked}")]
    Faults {
        /// How many peers there are.
        peers: usize,
        /// How many of them may be faulty.
        faulty: usize,
        /// In which way they are to.
        how: &'static str,
        /// How many.
        asked: usize,
    },
    /// Peers are to be killed under several rates.
    #[error("peers are killed under one rate only")]
    OneRate,
    /// A signed transaction is too short or too long.
    #[error("a signed transaction has {OVERHEAD} to {MAX_TRANSACTION_BYTES} bytes, not {0}")]
    Size(usize),
    /// An item is too short or too long.
    #[error("an item has 1 to {most} bytes, not {size}")]
    ItemSize {
        /// How long it may be.
        most: usize,
        /// How long it is to be.
        size: usize,
    },
    /// Too few or too many items are to share a signature.
    #[error("1 to {most} items of {size} bytes share a signature, not {items}")]
    Items {
        /// How many may.
        most: usize,
        /// How long each is.
        size: usize,
        /// How many are to.
        items: usize,
    },
    /// The load does not fit into memory.
    #[error("the load would be {count} transactions of {bytes} bytes; at most {MAX_BYTES} bytes are held in memory")]
    TooMuch {
        /// How many transactions it has.
        count: usize,
        /// How long each is.
        bytes: usize,
    },
    /// Something else than a number that is out of its range, by the name of its option.
    #[error("--{option} {value}: give {least} to {most}")]
    OutOfRange {
        /// The option.
        option: &'static str,
        /// Its value.
        value: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// What must be there is not.
    #[error("{0}")]
    Missing(&'static str),
    /// A peer refuses a transaction of the load for good.
    #[error("a peer refuses the load: {0}")]
    Refused(NotAdmitted),
    /// A peer refuses a call.
    #[error("a peer refuses a call")]
    Call(#[source] ErrorObjectOwned),
    /// A peer does not answer.
    #[error("a peer does not answer")]
    Silent(#[source] jsonrpsee::core::ClientError),
    /// No peer serves a block that has become final.
    #[error("no peer serves block {0}")]
    Gone(u64),
    /// A peer that the network does not have.
    #[error("there is no peer {peer}: they are 0 to {last}")]
    NoPeer {
        /// Its number.
        peer: usize,
        /// The last that there is.
        last: usize,
    },
    /// Too few peers agree on nothing.
    #[error("{0} peers; there must be 4 at least")]
    Peers(usize),
    /// Simulated replicas do not decide.
    #[error("the simulated replicas decide nothing under these delays ({0})")]
    UndecidedRound(&'static str),
    /// A round was completed by others than all that work.
    #[error("round {number} was completed by {completed} peers, and {workers} work")]
    Completed {
        /// The round.
        number: u64,
        /// How many completed it.
        completed: usize,
        /// How many work.
        workers: usize,
    },
    /// Somebody accepted what is no work, or refused what is.
    #[error("round {number}: {node} was judged wrongly by {verifier}")]
    Judged {
        /// The round.
        number: u64,
        /// Whose work it is.
        node: Address,
        /// Who judged.
        verifier: Address,
    },
    /// Too few or too many verifications succeeded.
    #[error("round {number}: {valid} verifications succeeded, and {expected} should have")]
    Verifications {
        /// The round.
        number: u64,
        /// How many did.
        valid: usize,
        /// How many should have.
        expected: usize,
    },
    /// Whoever was told had enough.
    #[error("interrupted")]
    Interrupted,
    /// A count of proofs that were tampered with is of another seed.
    #[error("the file is of seed {0}: give that one")]
    OtherSeed(u64),
    /// A simulated network did not decide.
    #[error("{nodes} replicas: {verdict}")]
    Undecided {
        /// How many replicas it had.
        nodes: usize,
        /// How its run ended.
        verdict: String,
    },
    /// What cannot be simulated.
    #[error("{0}")]
    Scenario(#[from] Impossible),
    /// A process that measures cannot be started.
    #[error("{0}")]
    Process(#[source] io::Error),
    /// A process that measures failed.
    #[error("measuring {case:?}: {said}")]
    Failed {
        /// What.
        case: Case,
        /// What it said.
        said: String,
    },
    /// What such a process answers is not what it should.
    #[error("measuring {case:?}")]
    Answer {
        /// What it measured.
        case: Case,
        /// Why it is not.
        source: serde_json::Error,
    },
    /// Threads cannot be started.
    #[error("{0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Sequential work.
    #[error("{0}")]
    Proof(#[from] ProofError),
    /// A contract is not where it was created.
    #[error("nothing was created at {0}")]
    NotCreated(Address),
    /// Other validators have registered a key than were to.
    #[error("{0} keys were registered")]
    Registered(usize),
    /// A file of a package is not what it should be.
    #[error("{} is no artifact", file.display())]
    Artifact {
        /// The file.
        file: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Something cannot be done with a file.
    #[error("cannot {what} {}", file.display())]
    Path {
        /// What.
        what: &'static str,
        /// With which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no temporary folder.
    #[error("cannot make a temporary folder")]
    NoFolder(#[source] io::Error),
    /// A file.
    #[error("{0}")]
    File(#[from] FileError),
    /// A network of processes.
    #[error("{0}")]
    Testbed(#[from] TestbedError),
    /// A peer's configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// What a network answers.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// A genesis that cannot be.
    #[error("{0}")]
    Genesis(#[from] GenesisError),
    /// A development chain.
    #[error("{0}")]
    Anvil(#[from] AnvilError),
    /// The way to a chain.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// What a chain answers.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// A call of a chain's node.
    #[error("{0}")]
    Rpc(#[from] TransportError),
    /// A transaction.
    #[error("{0}")]
    Send(#[from] SendError),
    /// A deployment that cannot be.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// A deployment.
    #[error("{0}")]
    Deploy(#[from] DeployError),
    /// The multisig.
    #[error("{0}")]
    Multisig(#[from] MultisigError),
    /// An event that is none of its contract's.
    #[error("{0}")]
    Event(#[from] alloy::sol_types::Error),
    /// A key.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// A message of the validators.
    #[error("{0}")]
    Message(#[from] MessageError),
    /// Earnings that cannot be distributed.
    #[error("{0}")]
    Distribution(#[from] DistributionError),
    /// Hashing.
    #[error("{0}")]
    Pow(#[from] PowError),
}

impl BenchError {
    /// For `map_err`: what cannot be done with a file.
    pub(crate) fn path(what: &'static str, file: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Path { what, file, source }
    }
}
