//! `dtn-cli rewards`: distributions of rewards, from what accounts have earned to what they are paid.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use dtn_bindings::ResultRegistry;
use dtn_chain::amount::deserialize_amount;
use dtn_peer::files;
use dtn_primitives::{Allotment, Distribution, Earning, Earnings, deserialize_address, parse_address};
use dtn_report::{Table, left, right};
use dtn_settlement::{
    calls::{OpenCall, OwnersCall},
    held::kind_of,
    message::{Content, SignedMessage},
    rewards::{Allowance, DistributionState, Distributor, Holdings, LockState, amount_of, token_name, totals},
};
use dtn_testbed::Home;
use serde::Deserialize;
use serde_json::json;

use crate::{
    commands::{
        desk::{AtHeight, Desk, OfWallet, new_salt, propose, send, send_open},
        messages::{self, MAX_FILE, check_network},
        multisig::propose_transaction,
    },
    context::{Context, Sender, allotment, amount, ensure_new},
    failure::Coded,
    output, pledges,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a distribution of what accounts have earned since the beginning
    #[command(after_help = "Examples:
  dtn-cli rewards new --earnings earned.csv --out first.json
  dtn-cli rewards new --earnings earned.csv --previous first.json --out second.json
  dtn-cli rewards new --earnings earned.csv --allot 0.5ether --out first.json

earned.csv has a line for each account and token (zero for the native currency), with all that was ever earned, in the
token's unit:

  account,token,cumulative
  0x70997970C51812dc3A010C7d01b50e0d17dc79C8,0x0000000000000000000000000000000000000000,1500000000000000000

What claims may take is stated as a total: that of the previous distribution, and what the earnings add to those of it.")]
    New(New),
    /// Sign a distribution as a validator, off chain
    #[command(after_help = "Example:
  dtn-cli rewards sign first.json --from validator-01")]
    Sign(messages::Sign),
    /// Put the signatures of several files into one
    Combine(messages::Combine),
    /// Post a distribution with a quorum's signatures to the registry
    #[command(after_help = "Examples:
  dtn-cli rewards certify first.json --from dev:0
  dtn-cli rewards certify first.json --certificate bls --from dev:0   (takes published keys: dtn-cli bls)")]
    Certify(messages::Post),
    /// Propose to the multisig's owners that a certified distribution takes effect
    Schedule(ByFile),
    /// Put a scheduled distribution into effect once its delay is over; anybody may
    Activate(ByFile),
    /// Pay an account what it has earned and not had; anybody may
    #[command(after_help = "Examples:
  dtn-cli rewards claim first.json --account 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --from dev:0
  dtn-cli rewards claim first.json --account worker-01 --token 0x5FbD…0aa3 --from worker-01")]
    Claim(Claim),
    /// Take a credit: what could not be pushed to the account
    #[command(after_help = "Examples:
  dtn-cli rewards withdraw --from worker-01
  dtn-cli rewards withdraw --account 0x7099…79C8 --to 0x3C44…93BC --from worker-01     (as its claimer)")]
    Withdraw(Withdraw),
    /// Name who may claim and withdraw for the account, beside itself
    #[command(after_help = "Examples:
  dtn-cli rewards claimer worker-01 --from worker-02
  dtn-cli rewards claimer 0x0000000000000000000000000000000000000000 --from worker-02   (nobody)")]
    Claimer(Claimer),
    /// Show what the distributor holds, what its limits leave, and where distributions stand
    #[command(after_help = "Examples:
  dtn-cli rewards show
  dtn-cli rewards show --token 0x5FbD…0aa3 --account worker-01
  dtn-cli rewards show --requester 0x7099…79C8 --json | jq .allowances")]
    Show(Show),
    #[command(flatten)]
    Owners(OwnersCommand),
}

/// What takes the owners' agreement, or the validators'.
#[derive(Debug, Subcommand)]
pub(crate) enum OwnersCommand {
    /// Propose to the owners another allowance for a requester: what its races may be paid at once
    #[command(after_help = "Examples:
  dtn-cli rewards allow 0x7099…79C8 20ether --from owner-01
  dtn-cli rewards allow 0x7099…79C8 0 --from owner-01      (its key was stolen)

What is used fills again within the period of `rewards show`, and stays used in proportion: where a quarter of the allowance
was left, a quarter of the new one is. Above the cap of all that may leave, it is of no use.")]
    Allow(Allow),
    /// Propose to the owners to take the scheduled distribution off the table, or a batch
    Cancel(Cancel),
    /// Propose to the owners that no block above a height is paid any more, so that another distributor goes on from there
    #[command(after_help = "Example:
  dtn-cli rewards close 70000 --from owner-01
  dtn-cli deploy --first-height 70001 --after 0x5FbD…0aa3

Once the owners have executed it. The height must be at least the latest that the registry holds (`registry show`); choose one
that the network reaches when the next distributor is there.")]
    Close(AtHeight),
    /// Propose to the owners that the free money of a closed distributor goes to the next one
    #[command(
        after_help = "Example, two days after it was announced that the validators have resolved it (`dtn-cli registry announce move-on`):
  dtn-cli rewards move-on 0x5FbD…0aa3 --from owner-01"
    )]
    MoveOn(MoveOn),
    /// Propose to the owners that what nobody has claimed goes to the wallet, once the claim period is over
    Sweep(OfToken),
    /// Propose to the owners that claims of a token that has shrunk may take so much less
    WriteOff(OfToken),
    /// Pause the owners' lock, which the validators have resolved (`dtn-cli registry resolve pause-owners`); anybody may
    PauseOwners(Sender),
    /// Hand the owners' lock over to another wallet
    #[command(subcommand)]
    HandOver(HandOver),
}

/// Another wallet for the owners' lock.
#[derive(Debug, Subcommand)]
pub(crate) enum HandOver {
    /// Propose to the owners the wallet that is to take over, two days later
    #[command(after_help = "Example:
  dtn-cli deploy --wallet-only --owners owner-01,owner-02,owner-04 --threshold 2
  dtn-cli rewards hand-over propose 0x9fE4…6e0 --from owner-01")]
    Propose(OfWallet),
    /// Name the wallet if the owners' keys are lost, which the validators have resolved; it waits for 90 days. Anybody may
    Lost(OfWallet),
    /// Propose to the owners that no other wallet takes over
    Cancel(Sender),
    /// Propose to the owners of the wallet that is to take over that it does, which shows that they can call
    Take(Sender),
}

#[derive(Debug, Args)]
pub(crate) struct Allow {
    /// The requester: an address or the name of a key
    requester: String,
    /// What its races may be paid at once, such as 2ether
    #[arg(value_parser = amount)]
    amount: U256,
    #[command(flatten)]
    owner: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The id of a batch, in place of the distribution
    #[arg(long, value_name = "ID")]
    batch: Option<B256>,
    /// What the ledger has stated of earnings instead, for good: the next statement can be scheduled
    #[arg(long, conflicts_with = "batch")]
    earned: bool,
    #[command(flatten)]
    owner: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct MoveOn {
    /// The next distributor
    successor: String,
    /// The closed one [default: the one that was deployed last, which is the next one once that is]
    #[arg(long, value_name = "WHO")]
    of: Option<String>,
    #[command(flatten)]
    token: OfToken,
}

#[derive(Debug, Args)]
pub(crate) struct OfToken {
    /// Of which token
    #[arg(long, default_value_t = Address::ZERO, value_parser = parse_address)]
    token: Address,
    #[command(flatten)]
    owner: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Claimer {
    /// Who may: an address or the name of a key
    claimer: String,
    #[command(flatten)]
    account: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What accounts have earned: CSV
    #[arg(long, value_name = "FILE")]
    earnings: PathBuf,
    /// The distribution before this one
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Its number [default: the next one that the registry takes and under which nothing else was signed from here]
    #[arg(long)]
    number: Option<u32>,
    /// What claims may take since the beginning, in place of the sum of the earnings
    #[arg(long, value_name = "[TOKEN=]AMOUNT", value_parser = allotment)]
    allot: Vec<Allotment>,
    /// Where to write: a file that is not there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ByFile {
    /// The distribution
    file: PathBuf,
    #[command(flatten)]
    sender: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Claim {
    /// The distribution in effect
    file: PathBuf,
    /// Who is paid: an address or the name of a key
    #[arg(long)]
    account: String,
    /// In which token
    #[arg(long, default_value_t = Address::ZERO, value_parser = parse_address)]
    token: Address,
    /// To another account, which the account itself or its claimer may ask for
    #[arg(long, value_name = "WHO")]
    to: Option<String>,
    #[command(flatten)]
    sender: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    /// Of which token
    #[arg(long, default_value_t = Address::ZERO, value_parser = parse_address)]
    token: Address,
    /// To whom [default: the account that withdraws]
    #[arg(long)]
    to: Option<String>,
    /// Whose credit, for its claimer [default: the account that withdraws]
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    sender: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A token to show besides the native currency
    #[arg(long = "token", value_name = "ADDRESS", value_parser = parse_address)]
    tokens: Vec<Address>,
    /// What this account has claimed and may withdraw, too
    #[arg(long)]
    account: Option<String>,
    /// The allowance of this requester besides those of the genesis and those that the owners have set
    #[arg(long = "requester", value_name = "WHO")]
    requesters: Vec<String>,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::New(args) => new(args, context).await,
        Command::Sign(args) => messages::sign(args, context).await,
        Command::Combine(args) => messages::combine(args, context),
        Command::Certify(args) => messages::post(args, context).await,
        Command::Schedule(args) => schedule(args, context).await,
        Command::Activate(args) => activate(args, context).await,
        Command::Claim(args) => claim(args, context).await,
        Command::Withdraw(args) => withdraw(args, context).await,
        Command::Claimer(args) => {
            let claimer = context.account(&args.claimer)?;
            send_open(&args.account, context, |_| OpenCall::SetClaimer(claimer)).await
        }
        Command::Show(args) => show(args, context).await,
        Command::Owners(command) => owners(command, context).await,
    }
}

async fn owners(command: OwnersCommand, context: &Context) -> Result<()> {
    let (call, sender) = match command {
        OwnersCommand::Allow(Allow { requester, amount, owner }) => {
            let cap = amount.try_into().ok().with_context(|| format!("{amount} is more than 128 bits hold"))?;
            (OwnersCall::SetAllowance { requester: context.account(&requester)?, cap }, owner)
        }
        OwnersCommand::Cancel(Cancel { batch: Some(id), owner, .. }) => (OwnersCall::CancelBatch(id), owner),
        OwnersCommand::Cancel(Cancel { earned: true, owner, .. }) => (OwnersCall::CancelEarned, owner),
        OwnersCommand::Cancel(Cancel { owner, .. }) => (OwnersCall::Cancel, owner),
        OwnersCommand::Close(AtHeight { height, sender }) => (OwnersCall::Close { height }, sender),
        OwnersCommand::MoveOn(MoveOn { successor, of, token: OfToken { token, owner } }) => {
            let closed = of.map(|word| context.account(&word)).transpose()?;
            (OwnersCall::MoveOn { closed, token, successor: context.account(&successor)? }, owner)
        }
        OwnersCommand::Sweep(OfToken { token, owner }) => (OwnersCall::Sweep { token }, owner),
        OwnersCommand::WriteOff(OfToken { token, owner }) => (OwnersCall::WriteOff { token }, owner),
        OwnersCommand::PauseOwners(sender) => return send_open(&sender, context, |_| OpenCall::PauseOwners).await,
        OwnersCommand::HandOver(HandOver::Propose(OfWallet { wallet, sender })) => {
            (OwnersCall::HandOver(context.account(&wallet)?), sender)
        }
        OwnersCommand::HandOver(HandOver::Lost(OfWallet { wallet, sender })) => {
            let wallet = context.account(&wallet)?;
            return send_open(&sender, context, |_| OpenCall::HandOverLost(wallet)).await;
        }
        OwnersCommand::HandOver(HandOver::Cancel(owner)) => (OwnersCall::CancelHandOver, owner),
        OwnersCommand::HandOver(HandOver::Take(owner)) => (OwnersCall::TakeOver, owner),
    };
    propose(call, &sender, context).await
}

async fn new(args: New, context: &Context) -> Result<()> {
    ensure_new(&args.out)?;
    let earnings = Earnings::new(read_earnings(&args.earnings)?)
        .with_context(|| format!("{} is unusable", args.earnings.display()))?;
    let previous = args.previous.as_deref().map(read_distribution).transpose()?;
    let desk = Desk::open(context).await?;
    let registry = desk.deployment.addresses.registry;
    let epoch = desk.chain.read(registry, &ResultRegistry::epochCall {}).await?;
    let allotments = match args.allot.as_slice() {
        [] => match &previous {
            Some((_, before, earned)) => totals(&earnings, &before.allotments, earned)?,
            None => totals(&earnings, &[], &[])?,
        },
        given => {
            let mut given = given.to_vec();
            given.sort_by_key(|allotment| allotment.token);
            given
        }
    };
    check_means(&desk.distributor(), &allotments).await?;
    let distributor = desk.deployment.addresses.distributor;
    let mut distribution = Distribution { distributor, number: 0, root: earnings.root(), allotments };
    distribution.number = match args.number {
        Some(number) => number,
        None => {
            let next = desk.chain.read(registry, &ResultRegistry::distributionNumberCall {}).await?.saturating_add(1);
            pledges::free_number(&distribution, (epoch, next), &desk.deployment, context)?
        }
    };
    let content = Content::Distribution { epoch, distribution, earnings: earnings.as_slice().to_vec() };
    messages::new(content, &desk, &args.out, context)
}

/// Refuses what could never take effect, before anybody signs it and its number is used; says what could not yet.
async fn check_means(distributor: &Distributor, allotments: &[Allotment]) -> Result<()> {
    for allotment in allotments {
        let token = token_name(allotment.token);
        let (added, holdings) = (distributor.added(allotment).await?, distributor.holdings(allotment.token).await?);
        if added > holdings.cap {
            bail!(Coded::argument(format!(
                "it adds {added} of {token}, and a distribution may add {}: allot less with --allot, and the rest later",
                holdings.cap
            )));
        }
        if added > holdings.free {
            output::note(format_args!(
                "note: it adds {added} of {token}, and the distributor holds {} that is owed to nobody",
                holdings.free
            ));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(deserialize_with = "deserialize_address")]
    account: Address,
    #[serde(deserialize_with = "deserialize_address")]
    token: Address,
    #[serde(deserialize_with = "deserialize_amount")]
    cumulative: U256,
}

fn read_earnings(file: &Path) -> Result<Vec<Earning>> {
    let text = files::read_text(file, MAX_FILE)?;
    let rows = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes())
        .into_deserialize();
    let earning = |row: csv::Result<Row>| {
        let Row { account, token, cumulative } = row.with_context(|| format!("{} is not valid", file.display()))?;
        Ok(Earning { account, token, cumulative })
    };
    rows.map(earning).collect()
}

async fn schedule(args: ByFile, context: &Context) -> Result<()> {
    let (signed, distribution, _) = read_distribution(&args.file)?;
    let desk = Desk::open(context).await?;
    check_network(&signed, &desk, &args.file)?;
    let transaction = desk.distributor().schedule(&distribution, new_salt());
    propose_transaction(transaction, &desk, &args.sender, context).await
}

async fn activate(args: ByFile, context: &Context) -> Result<()> {
    let (signed, distribution, _) = read_distribution(&args.file)?;
    let (desk, account) = Desk::open_as(context, &args.sender).await?;
    check_network(&signed, &desk, &args.file)?;
    send(&account, &desk.distributor().activate(&distribution), context).await
}

async fn claim(args: Claim, context: &Context) -> Result<()> {
    let (signed, _, earnings) = read_distribution(&args.file)?;
    let (desk, account) = Desk::open_as(context, &args.sender).await?;
    check_network(&signed, &desk, &args.file)?;
    let payee = context.account(&args.account)?;
    let (earning, proof) = Earnings::new(earnings)?.claim(payee, args.token).with_context(|| {
        format!("{} states nothing that {payee} has earned of {}", args.file.display(), token_name(args.token))
    })?;
    let call = match args.to {
        Some(to) => desk.distributor().claim_to(&earning, proof, context.account(&to)?),
        None => desk.distributor().claim(&earning, proof),
    };
    send(&account, &call, context).await
}

async fn withdraw(args: Withdraw, context: &Context) -> Result<()> {
    let (desk, account) = Desk::open_as(context, &args.sender).await?;
    let named = |word: &Option<String>| word.as_ref().map(|word| context.account(word)).transpose();
    let (to, of) = (named(&args.to)?.unwrap_or(account.address()), named(&args.account)?);
    let call = match of {
        Some(of) => OpenCall::WithdrawFor { account: of, token: args.token, to }.call(&desk.deployment.addresses),
        None => desk.distributor().withdraw(args.token, to),
    };
    send(&account, &call, context).await
}

/// The requesters whose allowances are shown: those that are named, those of the network in the home, those whose allowance
/// the owners have set, and the kinds of work that share one.
async fn requesters(args: &Show, desk: &Desk, context: &Context) -> Result<Vec<Address>> {
    let mut all = BTreeSet::new();
    for word in &args.requesters {
        all.insert(context.account(word)?);
    }
    let home = Home::new(&context.home);
    if files::exists(&home.genesis_file())? {
        let genesis = home.genesis()?;
        if genesis.network_id() == desk.deployment.network_id {
            all.extend(genesis.requesters.iter().copied());
        }
    }
    all.extend(desk.distributor().allowed(desk.deployment.from_block).await?);
    Ok(all.into_iter().collect())
}

async fn show(args: Show, context: &Context) -> Result<()> {
    let desk = Desk::open(context).await?;
    let distributor = desk.distributor();
    let (state, locks) = (distributor.state().await?, distributor.locks().await?);
    let registry = desk.deployment.addresses.registry;
    let certified = desk.chain.read(registry, &ResultRegistry::distributionNumberCall {}).await?;
    let mut tokens = vec![Address::ZERO];
    tokens.extend(args.tokens.iter().filter(|token| !token.is_zero()));
    let mut held = Vec::new();
    for token in &tokens {
        held.push(distributor.holdings(*token).await?);
    }
    let mut allowances = Vec::new();
    for requester in requesters(&args, &desk, context).await? {
        allowances.push(distributor.allowance(requester).await?);
    }
    let account = args.account.map(|word| context.account(&word)).transpose()?;
    let mut balances = Vec::new();
    if let Some(account) = account {
        for token in tokens {
            let (claimed, credit) =
                (distributor.claimed(account, token).await?, distributor.credit(account, token).await?);
            balances.push(json!({ "account": account, "token": token, "claimed": claimed, "credit": credit }));
        }
    }
    let period = distributor.period().await?;
    if context.json {
        let state = json!({ "state": state, "certified": certified, "locks": locks, "holdings": held,
            "period": period, "allowances": allowances, "accounts": balances });
        return output::json(&state);
    }
    output::line(standing(&state, certified))?;
    for line in locked(&locks) {
        output::line(line)?;
    }
    output::line(holdings(held, period))?;
    if !allowances.is_empty() {
        output::line(allowed(&allowances))?;
    }
    for balance in balances {
        output::line(format!(
            "{} has claimed {} and may withdraw {}",
            balance["account"], balance["claimed"], balance["credit"]
        ))?;
    }
    Ok(())
}

fn holdings(held: Vec<Holdings>, period: u64) -> Table {
    let names = ["free", "for claims", "to withdraw", "may leave now", "at once"];
    let mut table = Table::new("", std::iter::once(left("token")).chain(names.map(right)));
    for Holdings { token, free, allotted, credited, cap, available } in held {
        let amounts = [free, allotted, credited, available, cap].map(|amount| amount_of(token, amount));
        table.row(std::iter::once(token_name(token)).chain(amounts));
    }
    let period = humantime::format_duration(Duration::from_secs(period));
    table.note(format!("What has left may leave once more within {period}."));
    table
}

fn allowed(allowances: &[Allowance]) -> Table {
    let mut table = Table::new("\nAllowances", [left("requester"), right("left"), right("at once")]);
    for Allowance { requester, cap, left } in allowances {
        let who = kind_of(*requester).map_or_else(|| requester.to_string(), |kind| format!("all of kind {kind}"));
        table.row([who, amount_of(Address::ZERO, *left), amount_of(Address::ZERO, *cap)]);
    }
    table
}

/// What is out of the ordinary with the distributor's locks.
fn locked(locks: &LockState) -> Vec<String> {
    let at = output::date;
    let mut lines = Vec::new();
    if let Some(last) = locks.last_height {
        lines.push(format!("It pays no block above {last}."));
    }
    if locks.paused_until > locks.now {
        lines.push(format!("The validators have paused the owners' lock until {}.", at(locks.paused_until)));
    }
    if let Some((heir, from)) = locks.heir {
        lines.push(format!("The wallet {heir} can take the place of {} from {} on.", locks.multisig, at(from)));
    }
    lines
}

fn standing(state: &DistributionState, certified: u32) -> String {
    let at = output::date;
    let mut text = match state.number {
        0 => "No distribution is in effect.".to_string(),
        number => {
            format!(
                "Distribution {number} is in effect; what nobody claims may be swept from {} on.",
                at(state.expires_at)
            )
        }
    };
    if !state.scheduled.is_zero() {
        text +=
            &format!("\nThe one with hash {} can be activated from {} on.", state.scheduled, at(state.effective_at));
    }
    if certified > state.number && state.scheduled.is_zero() {
        text += &format!("\nDistribution {certified} is certified and not scheduled.");
    }
    text
}

fn read_distribution(file: &Path) -> Result<(SignedMessage, Distribution, Vec<Earning>)> {
    let signed = messages::read(file)?;
    match signed.content.clone() {
        Content::Distribution { distribution, earnings, .. } => Ok((signed, distribution, earnings)),
        _ => bail!(Coded::not_valid(file, None, format_args!("{} is no distribution of rewards", file.display()))),
    }
}
