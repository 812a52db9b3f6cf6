//! `dtn-cli tx`: transactions that were sent from here and are in no block yet.

use alloy_primitives::B256;
use anyhow::Result;
use clap::{Args, Subcommand};
use dtn_chain::{
    Account,
    amount::format_amount,
    gas_ledger::{GasRecord, TransactionStatus},
};
use dtn_keys::KeyChoice;
use dtn_report::{Table, left, right};
use serde_json::json;

use crate::{
    context::{Context, Price, Sender},
    output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what is under way, by account and nonce
    #[command(after_help = "Examples:
  dtn-cli tx list
  dtn-cli tx list --json | jq -r '.[].tx'

A transaction is under way from when it is signed until its receipt is known. Of one account they are mined in the order of
their nonces, so the first holds up those after it.")]
    List,
    /// Offer more for a transaction, so that a block takes it
    #[command(after_help = "Examples:
  dtn-cli tx raise 0x1234… --from owner-01
  dtn-cli tx raise 0x1234… --from owner-01 --gas-price 12gwei

The same call with the same nonce is signed for an eighth more, or for what the market asks for: at most one of the two is ever
mined. max_fee_per_gas of the network bounds what is offered.")]
    Raise(ByHash),
    /// Take the place of a transaction by one that does nothing
    #[command(after_help = "Example:
  dtn-cli tx cancel 0x1234… --from owner-01

It costs the gas of a transfer. If a block takes the other one first, that is done, and said.")]
    Cancel(ByHash),
    /// Say that a transaction was never mined, and is not to be sent again
    #[command(after_help = "Example:
  dtn-cli tx forget 0x1234…

For what the next command cannot bring to an end by itself: a development chain was begun anew, or another program has used the
nonce. It is refused while the node has the transaction.")]
    Forget {
        /// The transaction's hash
        tx: B256,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ByHash {
    /// The transaction's hash
    tx: B256,
    /// The key of its account: a name, an address, a file, dev:N [default on a development chain: dev:0], or
    /// remote:ADDRESS@URL for a program that signs
    #[arg(long, env = "DTN_FROM", hide_env_values = true, value_name = "KEY")]
    from: Option<KeyChoice>,
    #[command(flatten)]
    price: Price,
}

impl ByHash {
    async fn account(&self, context: &Context) -> Result<Account> {
        let sender = Sender { from: self.from.clone(), price: self.price, ..Sender::default() };
        sender.account_as_it_is(&context.connect().await?, context).await
    }
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::List => list(context).await,
        Command::Raise(args) => ended(args.tx, &args.account(context).await?.raise(args.tx).await?, context),
        Command::Forget { tx } => forget(tx, context).await,
        Command::Cancel(args) => ended(args.tx, &args.account(context).await?.cancel(args.tx).await?, context),
    }
}

async fn list(context: &Context) -> Result<()> {
    let (chain, ledger) = (context.connect().await?, context.gas_ledger());
    ledger.reconcile(&chain).await?;
    let mut open = ledger.read()?.records;
    open.retain(|record| record.status == TransactionStatus::Pending && record.chain_id == chain.chain_id());
    open.sort_by_key(|record| (record.from, record.nonce));
    if context.json {
        return output::json(&open);
    }
    let mut table =
        Table::new("", [left("transaction"), left("account"), right("nonce"), left("what"), right("since")]);
    for record in &open {
        let GasRecord { tx, from, nonce, value, at, .. } = record;
        let value = if value.is_zero() { String::new() } else { format!(" of {}", format_amount(*value)) };
        let what = format!("{}{value}", record.what());
        table.row([tx.to_string(), from.to_string(), nonce.to_string(), what, output::date(at / 1_000)]);
    }
    output::list(&table, "Nothing is under way.")
}

async fn forget(tx: B256, context: &Context) -> Result<()> {
    let record = context.gas_ledger().forget(tx, &context.connect().await?).await?;
    if context.json {
        return output::json(&json!({ "forgotten": record }));
    }
    output::line(format_args!("{} in {tx}, nonce {}, is left out", record.what(), record.nonce))
}

/// What was mined in the end.
fn ended(asked: B256, record: &GasRecord, context: &Context) -> Result<()> {
    if context.json {
        return output::json(&json!({ "asked": asked, "transaction": record }));
    }
    let GasRecord { tx, nonce, .. } = record;
    output::line(format_args!("{} in {tx}, nonce {nonce}", record.what()))
}
