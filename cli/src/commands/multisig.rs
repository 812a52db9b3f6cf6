//! `dtn-cli propose`, `confirm`, `revoke`, `cancel`, `execute` and `show`: the multisig wallet.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::{eips::BlockNumberOrTag, providers::Provider};
use alloy_primitives::{Address, B256, Bytes, U256};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use dtn_bindings::{
    ResultRegistry,
    abi::{describe_call, encode_call},
};
use dtn_chain::{Account, amount::format_amount, gas_ledger::GasRecord};
use dtn_report::{Table, left, right};
use dtn_settlement::{
    deploy::Deployment,
    multisig::{Multisig, ProposalState, ProposalStatus, WalletTransaction},
};
use serde_json::json;

use crate::{
    commands::{
        desk::{Desk, done, new_salt},
        signatures,
    },
    context::{Context, Sender, amount},
    failure::Coded,
    output, said,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli propose --from owner-01 --to 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --value 0.5ether
  dtn-cli propose --from owner-01 --to TOKEN --call 'transfer(address,uint256)' 0x7099…79C8 25000000
  dtn-cli propose --from owner-01 --to multisig --call 'changeThreshold(uint8)' 4 --expires 2h

The proposer confirms with the proposal. The printed id is what the other owners confirm.")]
pub(crate) struct Propose {
    #[command(flatten)]
    call: CallArgs,
    /// Tells apart proposals of the same call [default: random]
    #[arg(long)]
    salt: Option<B256>,
    #[command(flatten)]
    owner: Sender,
}

/// What the wallet is to do.
#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// The account to call: an address or the name of a key
    #[arg(long)]
    to: Option<String>,
    /// What to send, such as 0.5ether
    #[arg(long, default_value = "0", value_parser = amount)]
    value: U256,
    /// Calldata in hexadecimal
    #[arg(long, default_value = "0x", conflicts_with = "call")]
    data: Bytes,
    /// A function's signature and its arguments, in place of calldata
    #[arg(long, num_args = 1.., value_names = ["SIGNATURE", "ARGUMENT"])]
    call: Vec<String>,
    /// How long it can be agreed on and executed, such as 2h [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
}

/// A call of the wallet, as the arguments describe it.
pub(crate) struct WalletCall {
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) data: Bytes,
    pub(crate) expiry: u64,
}

impl CallArgs {
    /// Whether there is a call at all.
    pub(crate) fn is_given(&self) -> bool {
        self.to.is_some()
    }

    pub(crate) fn read(self, context: &Context) -> Result<WalletCall> {
        let to = self.to.context("which account is called? Name it with --to")?;
        let to = context.account(&to)?;
        let expiry = match self.expires {
            Some(duration) => {
                if duration.as_secs() == 0 {
                    bail!(Coded::argument("--expires is over at once; give the owners time, such as 2h"));
                }
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                now.checked_add(duration).context("that is beyond all time")?.as_secs()
            }
            None => 0,
        };
        let data = match self.call.split_first() {
            Some((signature, arguments)) => encode_call(signature, arguments)?,
            None => self.data,
        };
        Ok(WalletCall { to, value: self.value, data, expiry })
    }
}

#[derive(Debug, Args)]
pub(crate) struct ById {
    /// The proposal's id
    id: B256,
    #[command(flatten)]
    owner: Sender,
}

impl ById {
    /// The wallet in which it is proposed, and who sends.
    async fn open(&self, context: &Context) -> Result<(Desk, Account)> {
        let desk = Desk::of_proposal(context, self.id).await?;
        let account = self.owner.account(&desk.chain, context).await?;
        Ok((desk, account))
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli execute 0x1234… --from owner-03
  dtn-cli execute --signatures payment.json --from anybody

Executing a proposal confirms it, so the last owner needs no transaction to confirm. With signatures that owners have made
off chain (`dtn-cli sign`), anybody can send them, in one transaction for all.")]
pub(crate) struct Execute {
    /// The proposal's id
    #[arg(conflicts_with = "signatures")]
    id: Option<B256>,
    /// A file of signatures, in place of a proposal
    #[arg(long, value_name = "FILE")]
    signatures: Option<PathBuf>,
    #[command(flatten)]
    owner: Sender,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli show             (the contracts, the owners, all proposals)
  dtn-cli show 0x1234…     (one proposal: who confirmed, who is missing)")]
pub(crate) struct Show {
    /// A proposal's id
    id: Option<B256>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli list                        (what can still be confirmed or executed, and who has not)
  dtn-cli list --all --json | jq '.[].proposal.status'")]
pub(crate) struct List {
    /// The executed and the cancelled ones, too
    #[arg(long)]
    all: bool,
}

fn describe(transaction: &WalletTransaction) -> String {
    let WalletTransaction { to, value, data, expiry, .. } = transaction;
    describe_parts(to, *value, data, *expiry)
}

/// What the wallet is to do, in words.
pub(crate) fn describe_parts(to: &Address, value: U256, data: &Bytes, expiry: u64) -> String {
    let call = match data.is_empty() {
        true => String::new(),
        false => format!(", calling {}", describe_call(data).unwrap_or_else(|| data.to_string())),
    };
    let until = match expiry {
        0 => String::new(),
        expiry => format!(", until {}", output::date(expiry)),
    };
    format!("{} to {to}{call}{until}", format_amount(value))
}

pub(crate) async fn propose(args: Propose, context: &Context) -> Result<()> {
    let WalletCall { to, value, data, expiry } = args.call.read(context)?;
    let transaction = WalletTransaction { to, value, data, expiry, salt: args.salt.unwrap_or_else(new_salt) };
    propose_transaction(transaction, &Desk::open(context).await?, &args.owner, context).await
}

/// Shows a transaction, remembers it, and proposes it.
pub(crate) async fn propose_transaction(
    transaction: WalletTransaction,
    desk: &Desk,
    sender: &Sender,
    context: &Context,
) -> Result<()> {
    let account = sender.account(&desk.chain, context).await?;
    let id = desk.multisig.check_id(&transaction).await?;
    said::preview(format_args!("Proposing {}", describe(&transaction)))?;
    said::preview(desk.multisig.preview(&transaction))?;
    for remark in remarks(&transaction, desk).await? {
        output::note(format_args!("note: {remark}"));
    }
    if !sender.dry_run {
        context.save_proposal(id, &transaction)?;
    }
    let record = desk.multisig.propose(&account, &transaction).await?;
    report(context, desk, id, &record).await
}

/// What would go wrong if the call were made now. It may be right later, so it is no reason not to propose.
async fn remarks(transaction: &WalletTransaction, desk: &Desk) -> Result<Vec<String>> {
    let WalletTransaction { to, value, data, expiry, .. } = transaction;
    let (chain, wallet) = (&desk.chain, desk.multisig.address());
    let mut remarks = Vec::new();
    if !data.is_empty() && !chain.has_code(*to).await? {
        remarks.push(format!("{to} has no code, so calling it does nothing"));
    }
    let holds = chain.provider().get_balance(wallet).await?;
    if holds < *value {
        remarks.push(format!(
            "the wallet holds {}, less than the {} to send",
            format_amount(holds),
            format_amount(*value)
        ));
    } else if let Some(revert) = chain.would_revert(wallet, *to, *value, data.clone()).await? {
        remarks.push(format!("made by the wallet now, the call would revert: {revert}"));
    }
    let clock = chain.provider().get_block_by_number(BlockNumberOrTag::Latest).await?;
    if clock.is_some_and(|block| *expiry != 0 && *expiry <= block.header.timestamp) {
        remarks.push("by the chain's clock its time is over already".into());
    }
    Ok(remarks)
}

pub(crate) async fn confirm(args: ById, context: &Context) -> Result<()> {
    let (desk, account) = args.open(context).await?;
    let transaction = desk.transaction(context, args.id).await?;
    said::preview(format_args!("Confirming {}", describe(&transaction)))?;
    said::preview(desk.multisig.preview(&transaction))?;
    let record = desk.multisig.confirm(&account, args.id).await?;
    report(context, &desk, args.id, &record).await
}

pub(crate) async fn revoke(args: ById, context: &Context) -> Result<()> {
    let (desk, account) = args.open(context).await?;
    let record = desk.multisig.revoke(&account, args.id).await?;
    report(context, &desk, args.id, &record).await
}

pub(crate) async fn cancel(args: ById, context: &Context) -> Result<()> {
    let (desk, account) = args.open(context).await?;
    let record = desk.multisig.cancel(&account, args.id).await?;
    report(context, &desk, args.id, &record).await
}

pub(crate) async fn execute(args: Execute, context: &Context) -> Result<()> {
    if let Some(file) = &args.signatures {
        let (desk, account) = Desk::open_as(context, &args.owner).await?;
        return signatures::execute(file, context, &desk.multisig, &account).await;
    }
    let id = args.id.context("which proposal? Give its id, or --signatures FILE")?;
    let (desk, account) = ById { id, owner: args.owner }.open(context).await?;
    let transaction = desk.transaction(context, id).await?;
    said::preview(format_args!("Executing {}", describe(&transaction)))?;
    let record = desk.multisig.execute(&account, &transaction).await?;
    report(context, &desk, id, &record).await
}

async fn report(context: &Context, desk: &Desk, id: B256, record: &GasRecord) -> Result<()> {
    let state = desk.multisig.state(id).await?;
    if context.json {
        return output::json(&json!({ "proposal": state, "transaction": record }));
    }
    done(&desk.chain, record)?;
    output::line(standing(&state))
}

/// Where a proposal stands, in one line.
fn standing(state: &ProposalState) -> String {
    let ProposalState { id, status, confirmed, threshold, .. } = state;
    match (status, confirmed.len()) {
        (ProposalStatus::Pending, have) if have >= *threshold => {
            format!("{id}: {have} of {threshold} confirmations; it can be executed")
        }
        (ProposalStatus::Pending, have) => format!("{id}: {have} of {threshold} confirmations"),
        (status, _) => format!("{id}: {status}"),
    }
}

pub(crate) async fn show(args: Show, context: &Context) -> Result<()> {
    match args.id {
        Some(id) => show_proposal(context, &Desk::of_proposal(context, id).await?, id).await,
        None => show_all(context, &Desk::open(context).await?).await,
    }
}

async fn show_proposal(context: &Context, desk: &Desk, id: B256) -> Result<()> {
    let state = desk.multisig.state(id).await?;
    let transaction = desk.transaction(context, id).await?;
    if context.json {
        return output::json(&json!({ "proposal": state, "transaction": transaction }));
    }
    output::line(standing(&state))?;
    output::line(describe(&transaction))?;
    let mut table = Table::new("", [left("owner"), left("")]);
    for owner in &state.confirmed {
        let proposer = if *owner == state.proposer { "confirmed (proposer)" } else { "confirmed" };
        table.row([owner.to_string(), proposer.to_string()]);
    }
    for owner in &state.missing {
        table.row([owner.to_string(), "missing".to_string()]);
    }
    output::line(table)
}

pub(crate) async fn list(args: List, context: &Context) -> Result<()> {
    let desk = Desk::open(context).await?;
    let mut proposals = Vec::new();
    for wallet in desk.wallets().await? {
        let multisig = Multisig::new(desk.chain.clone(), wallet);
        for (id, transaction) in multisig.proposals(None, desk.deployment.from_block).await? {
            let state = multisig.state(id).await?;
            if args.all || state.status == ProposalStatus::Pending {
                proposals.push((state, transaction));
            }
        }
    }
    if context.json {
        let proposal = |(state, transaction): &(_, _)| json!({ "proposal": state, "transaction": transaction });
        return output::json(&proposals.iter().map(proposal).collect::<Vec<_>>());
    }
    for (state, transaction) in &proposals {
        output::line(standing(state))?;
        let what = transaction.as_ref().map_or_else(|| "proposed by a contract".to_string(), describe);
        output::line(format!("  {what}"))?;
        if state.status == ProposalStatus::Pending {
            let missing = state.missing.iter().map(ToString::to_string).collect::<Vec<_>>();
            output::line(format!("  missing: {}", missing.join(" ")))?;
        }
    }
    match (proposals.is_empty(), args.all) {
        (true, false) => output::line("Nothing is pending; --all shows what was."),
        (true, true) => output::line("Nothing was ever proposed."),
        _ => Ok(()),
    }
}

async fn show_all(context: &Context, desk: &Desk) -> Result<()> {
    let Deployment { addresses, from_block, .. } = &desk.deployment;
    let balance = async |account: Address| desk.chain.provider().get_balance(account).await;
    let (owners, threshold) = (desk.multisig.owners().await?, desk.multisig.threshold().await?);
    let latest = desk.chain.read(addresses.registry, &ResultRegistry::latestHeightCall {}).await?;
    let (wallet, distributor) = (balance(desk.multisig.address()).await?, balance(addresses.distributor).await?);
    let claims = balance(addresses.aow).await?;
    let mut owned = Vec::new();
    for owner in owners {
        owned.push((owner, balance(owner).await?));
    }
    let mut proposals = Vec::new();
    for (id, transaction) in desk.multisig.proposals(None, *from_block).await? {
        proposals.push((desk.multisig.state(id).await?, transaction));
    }
    if context.json {
        let owner = |(address, balance): &(Address, U256)| json!({ "address": address, "balance_wei": balance });
        let proposal = |(state, transaction): &(_, _)| json!({ "proposal": state, "transaction": transaction });
        return output::json(&json!({
            "chain_id": desk.chain.chain_id(),
            "registry": { "address": addresses.registry, "latest_height": latest },
            "multisig": { "address": desk.multisig.address(), "balance_wei": wallet, "threshold": threshold,
                          "owners": owned.iter().map(owner).collect::<Vec<_>>() },
            "aow": { "address": addresses.aow, "balance_wei": claims },
            "distributor": { "address": addresses.distributor, "balance_wei": distributor },
            "proposals": proposals.iter().map(proposal).collect::<Vec<_>>(),
        }));
    }
    let mut contracts = Table::new("Contracts", [left("contract"), left("address"), left("")]);
    contracts.row(["ResultRegistry", &addresses.registry.to_string(), &format!("latest height {latest}")]);
    let decides = format!("{}, {threshold} of {} decide", format_amount(wallet), owned.len());
    contracts.row(["MultiSigWallet", &desk.multisig.address().to_string(), &decides]);
    contracts.row(["AowChallenge", &addresses.aow.to_string(), &format_amount(claims)]);
    contracts.row(["RewardDistributor", &addresses.distributor.to_string(), &format_amount(distributor)]);
    output::line(contracts)?;
    let mut table = Table::new("\nOwners", [left("owner"), right("balance")]);
    for (owner, balance) in owned {
        table.row([owner.to_string(), format_amount(balance)]);
    }
    output::line(table)?;
    let mut table = Table::new("\nProposals", [left("id"), left("status"), right("confirmed"), left("what")]);
    for (state, transaction) in &proposals {
        let confirmed = format!("{} of {}", state.confirmed.len(), state.threshold);
        let what = transaction.as_ref().map_or("proposed by a contract".to_string(), |transaction| {
            format!("{} to {}", format_amount(transaction.value), transaction.to)
        });
        table.row([state.id.to_string(), state.status.to_string(), confirmed, what]);
    }
    output::list(&table, "\nNothing was ever proposed; `dtn-cli propose` does.")
}
