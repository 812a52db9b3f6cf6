//! `dtn-cli money`: how money comes into the ledger, what accounts have there, and how it comes back.

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use dtn_client::Client;
use dtn_keys::KeyChoice;
use dtn_primitives::Earnings;
use dtn_report::{Table, left, right};
use dtn_settlement::{
    deposits::deposit_calls,
    rewards::{Distributor, amount_of, token_name},
};
use dtn_testbed::Home;
use serde::Serialize;
use serde_json::json;

use crate::{
    commands::desk::{Desk, done, send},
    context::{Context, Sender, amount},
    failure::Coded,
    output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pay into the network's vault: a quorum of validators states it, and the account has it in the ledger
    #[command(after_help = "Examples:
  dtn-cli money deposit 10ether --from alice
  dtn-cli money deposit 2ether --account worker-01 --from treasurer
  dtn-cli money deposit 500000000 --from alice        (of the token that the vault takes, in its smallest unit)

Of a token the vault is allowed to take as much first. The validators state what is irrevocable on the settlement chain.")]
    Deposit(Deposit),
    /// Take money out of the ledger: it is earned from then on, and paid on the settlement chain with the next statement
    #[command(after_help = "Example:
  dtn-cli money withdraw 3ether --from alice")]
    Withdraw(Withdraw),
    /// Show what accounts have in the ledger, and what of their earnings is claimed and claimable
    #[command(after_help = "Examples:
  dtn-cli money show alice worker-01
  dtn-cli money show --json | jq '.accounts[].free'")]
    Show(Show),
    /// Claim what an account has earned in the ledger; peers do that by themselves for what is worth the gas
    #[command(after_help = "Examples:
  dtn-cli money claim alice --from alice
  dtn-cli money claim alice --to cold-wallet --from alice

The proof is taken from the network's peers and checked against the root on chain.")]
    Claim(Claim),
}

#[derive(Debug, Args)]
pub(crate) struct Deposit {
    /// How much, such as 10ether
    #[arg(value_parser = amount)]
    amount: U256,
    /// Whose it is in the ledger: an address or the name of a key [default: who pays]
    #[arg(long, value_name = "WHO")]
    account: Option<String>,
    #[command(flatten)]
    sender: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    /// How much, such as 3ether
    #[arg(value_parser = amount)]
    amount: U256,
    /// Whose money: a key's name, an address, a file or dev:N [default on a development chain: dev:0]
    #[arg(long, env = "DTN_FROM", hide_env_values = true, value_name = "KEY")]
    from: Option<KeyChoice>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Whose: addresses or names of keys [default: all that have earned something, up to the statement in effect]
    #[arg(value_name = "WHO")]
    accounts: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Claim {
    /// Whose earnings: an address or the name of a key
    account: String,
    /// Pay another account; only the account itself and its claimer may
    #[arg(long, value_name = "WHO")]
    to: Option<String>,
    #[command(flatten)]
    sender: Sender,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Deposit(args) => deposit(args, context).await,
        Command::Withdraw(args) => withdraw(args, context).await,
        Command::Show(args) => show(args, context).await,
        Command::Claim(args) => claim(args, context).await,
    }
}

async fn deposit(args: Deposit, context: &Context) -> Result<()> {
    let (desk, sender) = Desk::open_as(context, &args.sender).await?;
    let account = args.account.map(|word| context.account(&word)).transpose()?.unwrap_or(sender.address());
    let vault = context.account("vault")?;
    let calls = deposit_calls(&desk.chain, vault, (sender.address(), account), args.amount).await?;
    let mut records = Vec::new();
    for call in calls {
        records.push(sender.send(&call).await?);
    }
    if context.json {
        return output::json(&json!({ "account": account, "vault": vault, "transactions": records }));
    }
    records.iter().try_for_each(|record| done(&desk.chain, record))
}

async fn withdraw(args: Withdraw, context: &Context) -> Result<()> {
    let client = dtn_testbed::client(&Home::new(&context.home))?;
    let key = context.signer(args.from.as_ref(), &context.network()?).await?;
    let amount = args.amount.try_into().ok().context("an amount of more than 128 bits")?;
    let accepted = client.withdraw(&key, amount).await?;
    if context.json {
        return output::json(&json!({ "account": key.address(), "accepted": accepted }));
    }
    let height = accepted.height;
    output::line(format!(
        "{} is earned in block {height}, and paid with the next statement",
        show_amount(&client, args.amount)
    ))
}

fn token_of(client: &Client) -> Address {
    client.genesis.training.map_or(Address::ZERO, |terms| terms.token)
}

fn show_amount(client: &Client, amount: U256) -> String {
    amount_of(token_of(client), amount)
}

/// What the root in effect states, as peers know it.
async fn in_effect(client: &Client, distributor: &Distributor) -> Result<Option<Earnings>> {
    let state = distributor.earned().await?;
    if state.root.is_zero() {
        return Ok(None);
    }
    let earnings = client.earnings(state.number, state.root).await;
    earnings.map(Some).with_context(|| {
        format!(
            "no peer that answers has statement {}, which is in effect on chain: it keeps the last few",
            state.number
        )
    })
}

/// An account in the ledger and on chain.
#[derive(Debug, Serialize)]
struct Row {
    account: Address,
    free: U256,
    earned: U256,
    claimed: U256,
    /// What the root in effect states and was not claimed.
    claimable: U256,
}

async fn show(args: Show, context: &Context) -> Result<()> {
    let client = dtn_testbed::client(&Home::new(&context.home))?;
    let desk = Desk::open(context).await?;
    let (distributor, token) = (desk.distributor(), token_of(&client));
    let (state, earnings) = (distributor.earned().await?, in_effect(&client, &distributor).await?);
    let stated = |account| earnings.as_ref().and_then(|earnings| earnings.claim(account, token));
    let accounts = match args.accounts.as_slice() {
        [] => earnings.iter().flat_map(|it| it.as_slice()).map(|earning| earning.account).collect(),
        words => context.accounts(words)?,
    };
    let mut rows = Vec::new();
    for account in accounts {
        let (balance, claimed) = (client.balance(account).await?, distributor.earned_claimed(account, token).await?);
        let cumulative = stated(account).map_or(U256::ZERO, |(earning, _)| earning.cumulative);
        let (free, earned) = (balance.free, balance.earned);
        rows.push(Row { account, free, earned, claimed, claimable: cumulative.saturating_sub(claimed) });
    }
    let waiting = (state.effectiveAt != 0).then_some(state.waiting);
    if context.json {
        let effective_at = waiting.map(|_| state.effectiveAt);
        let statement = json!({ "in_effect": state.number, "waiting": waiting, "effective_at": effective_at });
        return output::json(&json!({ "token": token, "statement": statement, "accounts": rows }));
    }
    output::line(table(&rows, token, state.number, waiting))
}

fn table(rows: &[Row], token: Address, number: u32, waiting: Option<u32>) -> Table {
    let heads = [left("account"), right("free"), right("earned"), right("claimed"), right("claimable")];
    let mut table = Table::new(format!("Money in the ledger ({})", token_name(token)), heads);
    for row in rows {
        let amounts = [row.free, row.earned, row.claimed, row.claimable].map(|amount| amount_of(token, amount));
        let [free, earned, claimed, claimable] = amounts;
        table.row([row.account.to_string(), free, earned, claimed, claimable]);
    }
    let waits = waiting.map_or_else(String::new, |waiting| format!("; {waiting} waits for its delay"));
    table.note(match number {
        0 => format!("No statement of the ledger is in effect on chain{waits}."),
        number => format!("Statement {number} of the ledger is in effect on chain{waits}."),
    });
    table
}

async fn claim(args: Claim, context: &Context) -> Result<()> {
    let client = dtn_testbed::client(&Home::new(&context.home))?;
    let (desk, sender) = Desk::open_as(context, &args.sender).await?;
    let (distributor, account) = (desk.distributor(), context.account(&args.account)?);
    let Some(earnings) = in_effect(&client, &distributor).await? else {
        bail!(Coded::argument("nothing that the ledger has stated is in effect on chain yet"));
    };
    let stated: Option<(_, Vec<B256>)> = earnings.claim(account, token_of(&client));
    let (earning, proof) = stated.with_context(|| format!("the statement in effect has nothing of {account}"))?;
    let call = match args.to {
        Some(to) => distributor.claim_earned_to(&earning, proof, context.account(&to)?),
        None => distributor.claim_earned(&earning, proof),
    };
    send(&sender, &call, context).await
}
