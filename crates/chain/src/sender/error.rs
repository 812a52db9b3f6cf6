//! Why a transaction was not sent, and what one that was only tried would have done.

use std::fmt;

use alloy::{
    primitives::{Address, B256, U256},
    transports::TransportError,
};
use serde::Serialize;

use crate::{
    amount::format_amount,
    gas_ledger::{GasLedgerError, GasRecord},
};
use dtn_bindings::abi::Revert;

/// Why a transaction was not sent, or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The simulation reverts, so nothing was sent.
    #[error("{contract}.{function} would revert: {revert}")]
    WouldRevert {
        /// The contract called.
        contract: String,
        /// Its function.
        function: String,
        /// Why.
        revert: Box<Revert>,
    },
    /// It reverted in its block, although the simulation had succeeded: something happened in between.
    #[error("{contract}.{function} reverted on chain in {tx}: {revert}")]
    Reverted {
        /// The contract called.
        contract: String,
        /// Its function.
        function: String,
        /// The transaction.
        tx: B256,
        /// Why, as far as running it again tells.
        revert: Box<Revert>,
    },
    /// The account cannot pay.
    #[error("{account} holds {have} and cannot pay for this on network `{network}`; send it native currency first")]
    InsufficientFunds {
        /// The account.
        account: Address,
        /// Its balance.
        have: String,
        /// The network.
        network: String,
    },
    /// Gas is too dear at the moment.
    #[error(
        "gas costs {} at the least on network `{network}`, more than the {} of max_fee_per_gas or --gas-price: wait, or raise that",
        gwei(*fee), gwei(*ceiling)
    )]
    AboveCeiling {
        /// What a unit of gas costs, in wei.
        fee: u128,
        /// What it may cost.
        ceiling: u128,
        /// The network.
        network: String,
    },
    /// The tip is part of what is offered at most.
    #[error("a tip of {} is more than the {} that is offered in all", gwei(*tip), gwei(*max))]
    TipAboveCap {
        /// In wei a unit of gas.
        tip: u128,
        /// In wei a unit of gas.
        max: u128,
    },
    /// It takes more gas than was said to be allowed.
    #[error("it takes {estimate} gas now, more than the limit of {limit} that was given: it was not sent")]
    GasLimit {
        /// What was given.
        limit: u64,
        /// What it takes.
        estimate: u64,
    },
    /// No block has room for it.
    #[error("a transaction may use {most} gas at most on this chain, less than the limit of {limit} that was given")]
    GasLimitAboveBlock {
        /// What was given.
        limit: u64,
        /// What there is.
        most: u64,
    },
    /// Enough was spent for a day.
    #[error(
        "{} of the daily_budget of {} on network `{network}` are spent, and this takes up to {}: wait, or raise it",
        format_amount(U256::from(*spent)), format_amount(U256::from(*budget)), format_amount(U256::from(*cost))
    )]
    OverBudget {
        /// Spent on fees in 24 hours, or promised, in wei.
        spent: u128,
        /// What may be spent.
        budget: u64,
        /// What this can cost.
        cost: u128,
        /// The network.
        network: String,
    },
    /// It was not signed.
    #[error("the signer of {account}: {reason}")]
    Signer {
        /// Whose.
        account: Address,
        /// What it said.
        reason: String,
    },
    /// The node did not take it or could not be asked.
    #[error("the node: {0}")]
    Rpc(#[from] TransportError),
    /// No block had it in time. It may still come; the gas ledger remembers it.
    #[error(
        "no receipt of {tx} after {seconds} s; it may still be mined. Do not repeat it: the next command of this account \
         takes it up, `dtn-cli tx raise` offers more for it, `dtn-cli tx cancel` takes its place"
    )]
    NoReceipt {
        /// The transaction.
        tx: B256,
        /// How long it was waited for.
        seconds: u64,
    },
    /// What the account has sent before is not done, and everything after it would wait behind it.
    #[error(
        "{} of {} with nonce {} is still under way as {}, so nothing else was sent: wait, offer more for it with \
         `dtn-cli tx raise`, or take its place with `dtn-cli tx cancel`",
        .0.what(), .0.from, .0.nonce, .0.tx
    )]
    UnderWay(Box<GasRecord>),
    /// It was given to the node, whose answer did not come.
    #[error(
        "{} may have been sent as {}, nonce {}: {source}. Do not repeat it: the next command of this account finds out, and          `dtn-cli tx list` shows it",
        .record.what(), .record.tx, .record.nonce
    )]
    PerhapsSent {
        /// What was signed.
        record: Box<GasRecord>,
        /// Why nobody knows.
        source: TransportError,
    },
    /// An earlier process had sent the same, and it is done.
    #[error(
        "{} was sent before, as {}, and is done by now: nothing was sent. Run this again to do it once more",
        .0.what(), .0.tx
    )]
    DoneBefore(Box<GasRecord>),
    /// A nonce is used, and nobody shows by what.
    #[error(
        "nonce {} of {} is used, and this node shows neither {} as {} nor what took its place, so nobody knows whether that was          done. Nothing was sent: ask another node by --rpc, or say that it never was by `dtn-cli tx forget {}`",
        .0.nonce, .0.from, .0.what(), .0.tx, .0.tx
    )]
    InDoubt(Box<GasRecord>),
    /// What is under way waits for a transaction that nothing here has signed.
    #[error(
        "{} of {} as {} has nonce {}, and the chain waits for {next}: it was begun anew, or what came before was sent from          elsewhere. Nothing was sent: leave it out by `dtn-cli tx forget {}`",
        .record.what(), .record.from, .record.tx, .record.nonce, .record.tx
    )]
    Gap {
        /// What is under way.
        record: Box<GasRecord>,
        /// The nonce that is next.
        next: u64,
    },
    /// Another folder or program sends from the account.
    #[error(
        "{count} of {account} from nonce {nonce} on are under way that were not sent from here, so what is decided now may be done          twice. Nothing was sent: wait for them, or replace them where they come from"
    )]
    OthersUnderWay {
        /// The account.
        account: Address,
        /// The first nonce.
        nonce: u64,
        /// How many.
        count: u64,
    },
    /// The account has no such transaction under way.
    #[error("{account} has no transaction {tx} under way; `dtn-cli tx list` shows what it has")]
    NotUnderWay {
        /// The transaction.
        tx: B256,
        /// The account.
        account: Address,
    },
    /// Only the hash of a transaction is known here, as of one from an earlier version.
    #[error("what was signed as {0} was not kept; `dtn-cli tx cancel` can take its place")]
    NotKept(B256),
    /// It could not be written down, so it was not sent.
    #[error(transparent)]
    Ledger(#[from] GasLedgerError),
    /// The account only tries what would happen.
    #[error("{0}")]
    DryRun(Box<Quote>),
}

/// What a transaction would do and cost that was simulated and not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// The contract called, by name; empty for a plain transfer.
    pub contract: String,
    /// The function called, or what a plain transfer is for.
    pub function: String,
    /// The call in words, as far as its ABI is known.
    pub call: Option<String>,
    /// Who would send it.
    pub from: Address,
    /// Where it would go.
    pub to: Address,
    /// Wei that it would carry.
    pub value: U256,
    /// The gas that the simulation took.
    pub gas: u64,
    /// The gas that it may take, which is what the account must be able to pay.
    pub gas_limit: u64,
    /// Wei for a unit of gas at most, at today's prices.
    pub max_fee_per_gas: u128,
}

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { contract, function, call, from, to, value, gas, gas_limit, max_fee_per_gas } = self;
        let what = if contract.is_empty() { function.clone() } else { format!("{contract}.{function}") };
        let fee = format_amount(U256::from(*gas_limit) * U256::from(*max_fee_per_gas));
        writeln!(f, "{what}: from {from} to {to}, with {}", format_amount(*value))?;
        if let Some(call) = call {
            writeln!(f, "{call}")?;
        }
        write!(f, "It would take {gas} gas and cost {fee} at most. Nothing was signed or sent.")
    }
}

impl SendError {
    /// Why it reverts, if it does.
    pub fn revert(&self) -> Option<&Revert> {
        match self {
            Self::WouldRevert { revert, .. } | Self::Reverted { revert, .. } => Some(revert),
            _ => None,
        }
    }

    /// Whether it reverts with one of these Solidity errors.
    pub fn reverts_with(&self, names: &[&str]) -> bool {
        self.revert().is_some_and(|revert| names.iter().any(|name| revert.is(name)))
    }
}

fn gwei(wei: u128) -> String {
    format!("{} gwei", wei as f64 / 1e9)
}
