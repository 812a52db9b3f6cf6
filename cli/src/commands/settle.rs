//! `dtn-cli settle`: how far the peers' results are on their way to the chain, and what that has cost.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy::providers::Provider;
use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use dtn_bindings::ContractAddresses;
use dtn_chain::{
    Chain,
    amount::format_amount,
    gas_ledger::{GasLedger, TransactionStatus, spent_in_a_day},
};
use dtn_keys::KeyInfo;
use dtn_peer::files::exists;
use dtn_primitives::{Earning, FinalizedResult, Statement};
use dtn_report::{Table, left, right, units};
use dtn_settlement::{
    earnings::{EarningsDesk, StatementSource},
    held::{Held, Limits},
    payment::{Payments, Stage},
    relayer::{CLAIM_PATIENCE, SourceError},
    rewards::amount_of,
};
use dtn_testbed::Home;
use serde::Serialize;
use serde_json::json;

use crate::{commands::desk::Desk, context::Context, failure::Coded, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show which payments are open and who is missing, and each peer's account, journal and budget
    #[command(after_help = "Examples:
  dtn-cli settle status
  dtn-cli settle status --all --json | jq .paid

The results are those of the peers' ledgers; how far they are is read from the chain, not from the peers.")]
    Status(Status),
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Show the payments that are settled, too
    #[arg(long)]
    all: bool,
    /// Begin with this height
    #[arg(long, value_name = "HEIGHT", default_value_t = 1)]
    from: u64,
}

/// One transaction of the multisig, as the chain has it.
#[derive(Debug, Serialize)]
struct Progress {
    height: u64,
    proposal: B256,
    results: Vec<B256>,
    amount_wei: U256,
    stage: &'static str,
    forfeited: usize,
    /// What holds it back, if anything does.
    held: Option<Held>,
    confirmed: Vec<Address>,
    missing: Vec<Address>,
}

/// A peer's account and what its gas ledger says.
#[derive(Debug, Serialize)]
struct Purse {
    peer: String,
    account: Option<Address>,
    balance_wei: Option<U256>,
    transactions: usize,
    pending: usize,
    reverted: usize,
    fees_wei: U256,
    spent_in_a_day_wei: U256,
    daily_budget_wei: u64,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    let Command::Status(args) = command;
    status(args, context).await
}

fn check_network(network: B256, desk: &Desk, context: &Context) -> Result<()> {
    let deployed = desk.deployment.network_id;
    if network != deployed {
        bail!("the peers in {} are of network {network}, and {deployed} was deployed", context.home.display());
    }
    Ok(())
}

async fn status(args: Status, context: &Context) -> Result<()> {
    let home = Home::new(&context.home);
    let client = dtn_testbed::client(&home)?;
    let desk = Desk::open(context).await?;
    check_network(client.genesis.network_id(), &desk, context)?;
    let nobody = || Coded::no_answer("no peer answers; `dtn-cli l1 up` starts them");
    let results = client.results(args.from).await.ok_or_else(nobody)?;
    let contracts = ContractAddresses { multisig: desk.multisig.address(), ..desk.deployment.addresses };
    let payments = Payments::new(desk.chain.clone(), contracts, CLAIM_PATIENCE);
    let limits = Limits::new(desk.chain.clone(), desk.deployment.addresses);
    let (owners, threshold) = (desk.multisig.owners().await?, desk.multisig.threshold().await?);

    let bar = output::progress(results.len() as u64, "payments");
    let (mut shown, mut paid, mut forfeited, mut open) = (Vec::new(), 0, 0, 0);
    for block in results.chunk_by(|one, other| one.header.height == other.header.height) {
        let mut stack = payments.of_block(block);
        // In the order of the block, whatever is divided in place of what it was.
        stack.reverse();
        while let Some(payment) = stack.pop() {
            let (stage, confirmed) = payments.look(&payment, threshold).await?;
            if stage == Stage::Divided {
                stack.extend(payment.results().iter().rev().filter_map(|one| payments.alone(one)));
                continue;
            }
            let count = payment.results().len();
            let lost = match stage {
                Stage::Settled { forfeited } => forfeited,
                _ => 0,
            };
            let is_open = !matches!(stage, Stage::Settled { .. });
            (paid, forfeited) = if is_open { (paid, forfeited) } else { (paid + count - lost, forfeited + lost) };
            open += if is_open { count } else { 0 };
            if is_open || args.all {
                let lacks = |owner: &&Address| is_open && !confirmed.contains(owner);
                let missing = owners.iter().filter(lacks).copied().collect();
                let held = limits.held(&payment, stage).await?;
                shown.push(Progress {
                    height: block[0].header.height,
                    proposal: payment.id,
                    results: payment.results().iter().map(|one| one.result.id).collect(),
                    amount_wei: payment.results().iter().map(|one| one.result.amount).sum(),
                    stage: name(stage),
                    forfeited: lost,
                    held,
                    confirmed,
                    missing,
                });
            }
        }
        bar.inc(block.len() as u64);
    }
    bar.finish_and_clear();
    let distributor = desk.chain.provider().get_balance(desk.deployment.addresses.distributor).await?;
    let (purses, earnings) =
        (purses(&home, &desk.chain).await?, of_statements(&desk, contracts, results, threshold).await?);
    if context.json {
        return output::json(&json!({ "paid": paid, "forfeited": forfeited, "open": open, "threshold": threshold,
            "distributor_wei": distributor, "payments": shown, "earnings": earnings, "peers": purses }));
    }
    output::line(format!(
        "{paid} results are paid, {forfeited} forfeited, {open} open. The distributor holds {}.",
        format_amount(distributor)
    ))?;
    let (payments, earnings) = (of_payments(&shown, threshold), earnings.as_ref().map(Stating::told));
    let payments = (!shown.is_empty()).then_some(payments);
    payments.map_or(Ok(()), output::line)?;
    earnings.map_or(Ok(()), output::line)?;
    output::line(of_relayers(purses))
}

/// How far what the ledger states of earnings is on its way.
#[derive(Debug, Serialize)]
struct Stating {
    /// The last statement of the ledger.
    last: u32,
    in_effect: u32,
    waiting: Option<u32>,
    effective_at: Option<u64>,
    allotted: U256,
    left: U256,
    /// The one that is to be scheduled, and how far that is.
    next: Option<(u32, &'static str)>,
    #[serde(skip)]
    token: Address,
}

impl Stating {
    fn told(&self) -> String {
        let Self { last, in_effect, waiting, allotted, left, next, token, .. } = self;
        let waits = waiting.map_or_else(String::new, |number| format!(", {number} waits for its delay"));
        let next = next.map_or_else(String::new, |(number, stage)| format!(", {number} is {stage}"));
        let (allotted, left) = (amount_of(*token, *allotted), amount_of(*token, *left));
        format!(
            "The ledger has stated earnings {last} times: {in_effect} is in effect{waits}{next}. {allotted} were allotted to them, \
             {left} are not claimed."
        )
    }
}

/// The statements among results that were read.
struct Stated(Vec<FinalizedResult>);

impl Stated {
    fn numbered(&self) -> impl Iterator<Item = (Statement, &FinalizedResult)> {
        self.0.iter().filter_map(|result| Statement::of(&result.result).map(|statement| (statement, result)))
    }
}

impl StatementSource for Stated {
    async fn last_statement(&self) -> Result<u32, SourceError> {
        Ok(self.numbered().map(|(statement, _)| statement.number).max().unwrap_or_default())
    }

    async fn statement(&self, number: u32) -> Result<Option<FinalizedResult>, SourceError> {
        Ok(self.numbered().find(|(statement, _)| statement.number == number).map(|(_, result)| result.clone()))
    }

    async fn earnings(&self, _: u32) -> Result<Option<Vec<Earning>>, SourceError> {
        Ok(None)
    }
}

/// `None` if the ledger has stated nothing.
async fn of_statements(
    desk: &Desk,
    contracts: ContractAddresses,
    results: Vec<FinalizedResult>,
    threshold: usize,
) -> Result<Option<Stating>> {
    let stated = Stated(results);
    let Some((Statement { number: last, token, .. }, _)) = stated.numbered().last() else { return Ok(None) };
    let state = desk.distributor().earned().await?;
    let (allotted, left) = desk.distributor().earned_of(token).await?;
    let next = EarningsDesk::new(desk.chain.clone(), contracts).scheduling(&stated, &state, threshold).await;
    let next = next.map_err(|error| anyhow!(error))?.map(|next| (next.statement.number, name(next.stage)));
    let waits = state.effectiveAt != 0;
    Ok(Some(Stating {
        last,
        in_effect: state.number,
        waiting: waits.then_some(state.waiting),
        effective_at: waits.then_some(state.effectiveAt),
        allotted: U256::from(allotted),
        left,
        next,
        token,
    }))
}

/// The payments and what holds them back.
fn of_payments(shown: &[Progress], threshold: usize) -> Table {
    let heads = [
        right("height"),
        left("proposal"),
        right("results"),
        right("amount"),
        left("stage"),
        right("confirmed"),
        left("missing"),
    ];
    let mut table = Table::new("", heads);
    for row in shown {
        let missing = row.missing.iter().map(units::short).collect::<Vec<_>>().join(" ");
        let confirmed = format!("{} of {threshold}", row.confirmed.len());
        table.row([
            row.height.to_string(),
            row.proposal.to_string(),
            row.results.len().to_string(),
            format_amount(row.amount_wei),
            row.stage.to_string(),
            confirmed,
            missing,
        ]);
    }
    for line in shown.iter().filter_map(waits) {
        table.note(line);
    }
    table
}

/// The peers' accounts.
fn of_relayers(purses: Vec<Purse>) -> Table {
    let heads = [
        left("peer"),
        left("account"),
        right("balance"),
        right("sent"),
        right("pending"),
        right("reverted"),
        right("fees"),
        right("in 24 h"),
        right("budget"),
    ];
    let mut table = Table::new("\nRelayers", heads);
    for purse in purses {
        let none = || units::NONE.to_string();
        let budget = match purse.daily_budget_wei {
            0 => "any".to_string(),
            wei => format_amount(U256::from(wei)),
        };
        table.row([
            purse.peer,
            purse.account.map_or_else(none, |account| account.to_string()),
            purse.balance_wei.map_or_else(none, format_amount),
            purse.transactions.to_string(),
            purse.pending.to_string(),
            purse.reverted.to_string(),
            format_amount(purse.fees_wei),
            format_amount(purse.spent_in_a_day_wei),
            budget,
        ]);
    }
    table
}

/// Why a payment waits that its owners could make.
fn waits(row: &Progress) -> Option<String> {
    let held = row.held?;
    let lasting = if held.is_lasting() { "; waiting alone does not help" } else { "" };
    Some(format!("{} is held back: {held}{lasting}", units::short(row.proposal)))
}

async fn purses(home: &Home, chain: &Chain) -> Result<Vec<Purse>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let mut purses = Vec::new();
    // A client may be on another machine than its peers.
    for peer in home.peers()? {
        if !exists(&peer.config_file())? {
            continue;
        }
        let config = peer.config(&[])?;
        let account = KeyInfo::at(&config.keystore)?.address;
        let records = GasLedger::new(peer.gas_ledger()).records().await?.records;
        let count = |status| records.iter().filter(|record| record.status == status).count();
        let balance_wei = match account {
            Some(account) => Some(chain.provider().get_balance(account).await?),
            None => None,
        };
        let name = peer.path().file_name().context("a peer's folder has a name")?.to_string_lossy().into_owned();
        purses.push(Purse {
            peer: name,
            account,
            balance_wei,
            transactions: records.len(),
            pending: count(TransactionStatus::Pending),
            reverted: count(TransactionStatus::Reverted),
            fees_wei: records.iter().map(|record| record.fee()).sum(),
            spent_in_a_day_wei: spent_in_a_day(&records, chain.chain_id(), now),
            daily_budget_wei: config.settlement.map_or(0, |settlement| settlement.chain.daily_budget),
        });
    }
    Ok(purses)
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Unproven => "waits for its claim",
        Stage::Unposted => "to be posted",
        Stage::Unproposed => "to be proposed",
        Stage::Confirming { .. } => "to be confirmed",
        Stage::Executable { .. } => "to be executed",
        Stage::Divided => "divided",
        Stage::Settled { .. } => "settled",
    }
}
