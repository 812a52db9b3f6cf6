//! What a transaction may do, given what was done before it.

use std::collections::BTreeSet;

use dtn_pow::PowError;
use dtn_primitives::{
    Address, B256, Domain, Epochs, Genesis, Kind, Membership, TrainingTerms, TransactionError, ValidatorSet,
    codec::CodecError,
};

use crate::{Kinds, WorkError, accounts::MAX_ACCOUNTS};

/// Why a transaction may not be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not acceptable whatever the state: a field or the signature is wrong.
    #[error(transparent)]
    Invalid(#[from] TransactionError),
    /// The nonce was used before.
    #[error("nonce {have} was used before; the account's next is {next}")]
    NonceTooLow {
        /// The order's nonce.
        have: u64,
        /// The account's next one.
        next: u64,
    },
    /// The nonce leaves a gap, or a gap that is too long to wait for.
    #[error("nonce {have} is too high; the account's next is {next}")]
    NonceTooHigh {
        /// The order's nonce.
        have: u64,
        /// The account's next one.
        next: u64,
    },
    /// Only the genesis's requesters may ask for work.
    #[error("{0} is not among the requesters of the genesis, so its orders may ask for no work")]
    NotRequester(Address),
    /// The order takes no claim: it has its winner, asks for no work, or is in no block.
    #[error("order {0} is not open: it has its winner, asks for no work, or is in no block before this one")]
    NotOpen(B256),
    /// The claim does not take the lead.
    #[error("a claim for order {order} has the hash {lowest}, which is lower")]
    Outdone {
        /// The order.
        order: B256,
        /// The lowest hash so far.
        lowest: B256,
    },
    /// The account has as many open races as it may have.
    #[error("{requester} has {open} open races, as many as it may have")]
    TooManyOpen {
        /// The account.
        requester: Address,
        /// How many races it has.
        open: usize,
    },
    /// The claim is for another race than that of the order's block.
    #[error("the claim is for race {have}, and the order's is {need}")]
    WrongRace {
        /// The claim's.
        have: B256,
        /// The hash of the block that holds the order.
        need: B256,
    },
    /// Only validators take part in rounds and take in lines.
    #[error("{0} is not a validator, so it has no part in rounds and takes in no lines")]
    NotValidator(Address),
    /// There is one round at a time.
    #[error("round {0} is still open")]
    RoundUnderWay(u64),
    /// More completions than validators would be needed.
    #[error("a round that closes at {quorum} completions cannot close: there are {validators} validators")]
    RoundQuorum {
        /// What was asked for.
        quorum: u16,
        /// How many there are.
        validators: usize,
    },
    /// The round takes nothing: it is closed, in no block, or begins with this one.
    #[error("round {0} is not open: it is closed, in no block, or begins with this one")]
    RoundNotOpen(u64),
    /// The validator has completed the round before.
    #[error("{node} has completed round {round} before")]
    CompletedBefore {
        /// The round.
        round: u64,
        /// The validator.
        node: Address,
    },
    /// The completion comes after the deadline.
    #[error(
        "round {round} was to be completed until {deadline_ms}, and it is {timestamp_ms} (ms since the Unix epoch)"
    )]
    RoundOver {
        /// The round.
        round: u64,
        /// Its deadline.
        deadline_ms: u64,
        /// The block's timestamp.
        timestamp_ms: u64,
    },
    /// The round has time left.
    #[error("round {round} is open until {deadline_ms}, and it is {timestamp_ms} (ms since the Unix epoch)")]
    RoundNotOver {
        /// The round.
        round: u64,
        /// Its deadline.
        deadline_ms: u64,
        /// The block's timestamp.
        timestamp_ms: u64,
    },
    /// The network has no such kind of work.
    #[error("this network has no kind of work {0}: its genesis names those that it has")]
    UnknownKind(Kind),
    /// The rules of a custom kind of work do not take the call.
    #[error("{kind}: {error}")]
    Work {
        /// The kind.
        kind: Kind,
        /// Why.
        error: WorkError,
    },
    /// The genesis has no terms for orders of trained models, nor money.
    #[error("this network takes no orders for trained models and holds no money: its genesis has no terms for them")]
    NoTraining,
    /// The bytes of a call, or of the terms of an order, are none.
    #[error("the call: {0}")]
    Encoding(CodecError),
    /// The order for a trained model is over, or in no block.
    #[error("order {0} is not open: it is over, or in no block before this one")]
    NoTrainingOrder(B256),
    /// So many are open that no more can be.
    #[error("{open} orders for trained models are open, as many as there may be; try again when some are over")]
    TrainingFull {
        /// How many.
        open: usize,
    },
    /// The rules of orders for trained models do not take it.
    #[error(transparent)]
    Training(Box<dtn_training::Refusal>),
    /// The account has not so much free.
    #[error("{account} has {free} wei free, and {needed} are needed")]
    Short {
        /// Whose.
        account: Address,
        /// What it has.
        free: u128,
        /// What it takes.
        needed: u128,
    },
    /// The deposit was credited, or stated by this validator, before.
    #[error("deposit {number} of the vault was stated before")]
    DepositStated {
        /// Its number.
        number: u64,
    },
    /// Earlier deposits have to come first.
    #[error("deposit {number} is too far ahead; the vault's next is {next}")]
    DepositAhead {
        /// Its number.
        number: u64,
        /// The next one's.
        next: u64,
    },
    /// The validator has named too many vaults that have brought nothing.
    #[error("{validator} was the first to name {named} vaults that have brought nothing yet, and may name no more")]
    TooManyVaults {
        /// Who.
        validator: Address,
        /// How many.
        named: usize,
    },
    /// The claim does not show the work that the order asks for.
    #[error("the work: {0}")]
    InvalidWork(#[from] PowError),
}

impl Refusal {
    /// Whether a transaction that was executed is refused like this.
    pub(crate) fn may_be_executed(&self) -> bool {
        matches!(
            self,
            Self::NonceTooLow { .. }
                | Self::NotOpen(_)
                | Self::Outdone { .. }
                | Self::RoundNotOpen(_)
                | Self::CompletedBefore { .. }
                | Self::DepositStated { .. }
        )
    }
}

/// What an account is by the genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may ask for work.
    Requester,
    /// It votes.
    Validator,
    /// Nothing.
    Stranger,
}

/// The part of the genesis that execution depends on.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) domain: Domain,
    pub(crate) requesters: BTreeSet<Address>,
    pub(crate) membership: Membership,
    /// The custom kinds of work that the genesis names.
    pub(crate) kinds: Kinds,
    /// What orders for trained models have to meet, if the network takes any.
    pub(crate) training: Option<TrainingTerms>,
    pub(crate) max_accounts: usize,
}

impl Rules {
    pub(crate) fn new(genesis: &Genesis, membership: Membership, kinds: Kinds) -> Self {
        let requesters = genesis.requesters.iter().copied().collect();
        let training = genesis.training;
        Self { domain: genesis.domain(), requesters, membership, kinds, training, max_accounts: MAX_ACCOUNTS }
    }

    /// Who validates now.
    pub(crate) fn validators(&self) -> &ValidatorSet {
        self.membership.now()
    }

    /// What an account is.
    pub(crate) fn standing(&self, account: Address) -> Standing {
        match self.validators().index_of(account) {
            _ if self.requesters.contains(&account) => Standing::Requester,
            Some(_) => Standing::Validator,
            None => Standing::Stranger,
        }
    }
}

/// Whether a nonce is among those allowed, the first of which is the account's next. The last nonce there is would
/// leave the account without a next one, so it is never allowed.
pub(crate) fn check_nonce(have: u64, allowed: std::ops::RangeInclusive<u64>) -> Result<(), Refusal> {
    let next = *allowed.start();
    if have < next {
        Err(Refusal::NonceTooLow { have, next })
    } else if have > *allowed.end() || have == u64::MAX {
        Err(Refusal::NonceTooHigh { have, next })
    } else {
        Ok(())
    }
}
