//! `dtn-cli stake`: what validators put at stake with the registry, and what evidence brings.

use alloy_primitives::{Address, U256};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use dtn_report::{Table, left, right};
use dtn_settlement::{
    calls::OpenCall,
    guard::{Stake, StakeTerms},
    rewards::{amount_of, token_name},
};
use serde_json::json;

use crate::{
    commands::desk::{Desk, done, send_open},
    context::{Context, Sender, amount},
    output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put more at stake
    #[command(after_help = "Examples:
  dtn-cli stake add 2ether --from validator-0
  dtn-cli stake add 500000000 --from validator-0       (of the token that `stake show` names, in its smallest unit)

Of a token the registry is allowed to take as much first. Who has asked for its stake back is not leaving any more.")]
    Add(Add),
    /// Ask for the stake back, which the account is no validator for any more; it is free 21 days later
    Remove(Sender),
    /// Take the stake back, once it is free
    #[command(after_help = "Example:
  dtn-cli stake reclaim --from validator-0 --to treasurer")]
    Reclaim(Take),
    /// Take what evidence has brought the account: a reporter's share
    Collect(Take),
    /// Show what validators have at stake, and what they may collect
    #[command(after_help = "Examples:
  dtn-cli stake show
  dtn-cli stake show owner-01 multisig --json")]
    Show(Show),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// How much, such as 2ether
    #[arg(value_parser = amount)]
    amount: U256,
    #[command(flatten)]
    account: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Take {
    /// To whom [default: the account itself]
    #[arg(long, value_name = "WHO")]
    to: Option<String>,
    #[command(flatten)]
    account: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Whose: addresses, names of keys, or multisig [default: the validators and the guardian]
    #[arg(value_name = "WHO")]
    accounts: Vec<String>,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Add(args) => add(args, context).await,
        Command::Remove(sender) => send_open(&sender, context, |_| OpenCall::Unstake).await,
        Command::Reclaim(args) => take(args, OpenCall::Reclaim, context).await,
        Command::Collect(args) => take(args, OpenCall::Collect, context).await,
        Command::Show(args) => show(args, context).await,
    }
}

async fn add(args: Add, context: &Context) -> Result<()> {
    let amount: u128 = args.amount.try_into().ok().context("an amount of more than 128 bits")?;
    let (desk, account) = Desk::open_as(context, &args.account).await?;
    let mut records = Vec::new();
    for call in desk.registry().stake_calls(account.address(), amount).await? {
        records.push(account.send(&call).await?);
    }
    if context.json {
        return output::json(&json!({ "transactions": records }));
    }
    records.iter().try_for_each(|record| done(&desk.chain, record))
}

async fn take(args: Take, call: fn(Address) -> OpenCall, context: &Context) -> Result<()> {
    let to = args.to.map(|word| context.account(&word)).transpose()?;
    send_open(&args.account, context, |account| call(to.unwrap_or(account.address()))).await
}

async fn show(args: Show, context: &Context) -> Result<()> {
    let desk = Desk::open(context).await?;
    let (registry, mut stakes) = (desk.registry(), Vec::new());
    let terms = registry.stake_terms().await?;
    if args.accounts.is_empty() {
        let state = registry.state().await?;
        stakes = state.validators;
        if !stakes.iter().any(|stake| stake.address == state.guardian) {
            stakes.push(registry.stake(state.guardian).await?);
        }
    }
    for account in context.accounts(&args.accounts)? {
        stakes.push(registry.stake(account).await?);
    }
    if context.json {
        return output::json(&json!({ "terms": terms, "stakes": stakes }));
    }
    output::line(table(&terms, &stakes))
}

/// What accounts have at stake.
fn table(terms: &StakeTerms, stakes: &[Stake]) -> Table {
    let StakeTerms { token, required } = *terms;
    let title = match required.is_zero() {
        true => format!("No stake is required ({})", token_name(token)),
        false => format!("Each validator has to stake {} ({})", amount_of(token, required), token_name(token)),
    };
    let mut table = Table::new(title, [left("account"), right("stake"), left("free"), right("to collect"), left("")]);
    for Stake { address, amount, free_at, credit, barred } in stakes {
        table.row([
            address.to_string(),
            amount_of(token, *amount),
            free_at.map_or_else(String::new, |at| format!("from {}", output::date(at))),
            amount_of(token, *credit),
            if *barred { "barred".into() } else { String::new() },
        ]);
    }
    table
}
