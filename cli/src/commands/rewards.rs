//! `dtn-cli rewards`: distributions of rewards, from what accounts have earned to what they are paid.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use dtn_bindings::ResultRegistry;
use dtn_chain::{
    Account, Call,
    amount::{deserialize_amount, format_amount},
    gas_ledger::GasRecord,
};
use dtn_keys::KeyChoice;
use dtn_peer::files;
use dtn_primitives::{Allotment, Distribution, Earning, Earnings, deserialize_address, parse_address};
use dtn_report::{Table, left, right};
use dtn_settlement::{
    bls_keys::BlsKeys,
    message::{CertificateKind, Content, SignedMessage},
    rewards::{DistributionState, Distributor, Holdings},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    combine,
    commands::multisig::{Desk, new_salt, propose_transaction},
    context::{Context, Sender, allotment, ensure_new},
    failure::Coded,
    output,
};

/// The largest file of earnings or signatures that is read: some half a million accounts.
const MAX_FILE: u64 = 128 << 20;

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
    Sign(Sign),
    /// Put the signatures of several files into one
    Combine(Combine),
    /// Post a distribution with a quorum's signatures to the registry
    #[command(after_help = "Examples:
  dtn-cli rewards certify first.json --from dev:0
  dtn-cli rewards certify first.json --certificate bls --from dev:0   (takes published keys: dtn-cli bls)")]
    Certify(Certify),
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
    Withdraw(Withdraw),
    /// Show what the distributor holds, and where distributions stand
    Show(Show),
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What accounts have earned: CSV
    #[arg(long, value_name = "FILE")]
    earnings: PathBuf,
    /// The distribution before this one
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Its number [default: the next one that the registry takes]
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
pub(crate) struct Sign {
    /// The file
    file: PathBuf,
    /// Where to write [default: the same file]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The validator's key: a name, an address, a file, or dev:N
    #[arg(long, env = "DTN_FROM", hide_env_values = true, value_name = "KEY")]
    from: Option<KeyChoice>,
}

#[derive(Debug, Args)]
pub(crate) struct Combine {
    /// The files
    #[arg(required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Where to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A signature of 65 bytes for each signer
    Ecdsa,
    /// One signature for all, by the validators' published BLS keys
    Bls,
}

#[derive(Debug, Args)]
pub(crate) struct Certify {
    /// The file with the signatures
    file: PathBuf,
    /// How it is signed [default: what costs less]
    #[arg(long, value_name = "KIND")]
    certificate: Option<Kind>,
    #[command(flatten)]
    sender: Sender,
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
    #[command(flatten)]
    account: Sender,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A token to show besides the native currency
    #[arg(long = "token", value_name = "ADDRESS", value_parser = parse_address)]
    tokens: Vec<Address>,
    /// What this account has claimed and may withdraw, too
    #[arg(long)]
    account: Option<String>,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::New(args) => new(args, context).await,
        Command::Sign(args) => sign(args, context).await,
        Command::Combine(args) => combine(args, context),
        Command::Certify(args) => certify(args, context).await,
        Command::Schedule(args) => schedule(args, context).await,
        Command::Activate(args) => activate(args, context).await,
        Command::Claim(args) => claim(args, context).await,
        Command::Withdraw(args) => withdraw(args, context).await,
        Command::Show(args) => show(args, context).await,
    }
}

async fn new(args: New, context: &Context) -> Result<()> {
    ensure_new(&args.out)?;
    let earnings = Earnings::new(read_earnings(&args.earnings)?)
        .with_context(|| format!("{} is unusable", args.earnings.display()))?;
    let previous = args.previous.as_deref().map(read_distribution).transpose()?;
    let desk = Desk::open(context).await?;
    let registry = desk.deployment.addresses.registry;
    let epoch = desk.chain.read(registry, &ResultRegistry::epochCall {}).await?;
    let number = match args.number {
        Some(number) => number,
        None => desk.chain.read(registry, &ResultRegistry::distributionNumberCall {}).await?.saturating_add(1),
    };
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
    check_means(&distributor(&desk), &allotments).await?;
    let distribution =
        Distribution { distributor: desk.deployment.addresses.distributor, number, root: earnings.root(), allotments };
    let content = Content::Distribution { epoch, distribution, earnings: earnings.as_slice().to_vec() };
    let signed = SignedMessage::new(desk.deployment.network_id, desk.deployment.chain_id, content)?;
    preview(&signed);
    write(&args.out, &signed, context)
}

/// What claims may take of each token since the beginning: what they might before, and what the earnings add. What an account
/// had less of before counts from there: it may have claimed all of it.
fn totals(earnings: &Earnings, before: &[Allotment], earned: &[Earning]) -> Result<Vec<Allotment>> {
    let had: BTreeMap<_, _> =
        earned.iter().map(|earning| ((earning.account, earning.token), earning.cumulative)).collect();
    let mut totals: BTreeMap<Address, U256> =
        before.iter().map(|allotment| (allotment.token, U256::from(allotment.amount))).collect();
    for Earning { account, token, cumulative } in earnings.as_slice() {
        let before = had.get(&(*account, *token)).copied().unwrap_or_default();
        let sum = totals.entry(*token).or_default();
        *sum =
            sum.checked_add(cumulative.saturating_sub(before)).context("the earnings add up to more than 256 bits")?;
    }
    let allotment = |(token, amount): (Address, U256)| {
        let amount =
            amount.try_into().ok().with_context(|| format!("{amount} of {token} are more than 128 bits hold"))?;
        Ok(Allotment { token, amount })
    };
    totals.into_iter().filter(|(_, amount)| !amount.is_zero()).map(allotment).collect()
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

pub(crate) async fn sign(args: Sign, context: &Context) -> Result<()> {
    let mut signed = read(&args.file)?;
    preview(&signed);
    let mut network = context.network()?;
    // The keys of a development chain sign for no other one.
    network.chain_id = signed.chain_id;
    signed.sign(&context.signer(args.from.as_ref(), &network).await?);
    match args.out {
        Some(out) => write(&out, &signed, context),
        None => written(&args.file, &combine::add_to(&args.file, MAX_FILE, signed, SignedMessage::combine)?, context),
    }
}

pub(crate) fn combine(args: Combine, context: &Context) -> Result<()> {
    let signed = combine::combined(&args.files, MAX_FILE, SignedMessage::combine)?;
    preview(&signed);
    write(&args.out, &signed, context)
}

pub(crate) async fn certify(args: Certify, context: &Context) -> Result<()> {
    let signed = read(&args.file)?;
    let (desk, account) = Desk::open_as(context, &args.sender).await?;
    check_network(&signed, &desk, &args.file)?;
    let keys = BlsKeys::new(desk.chain.clone(), desk.deployment.addresses.registry, desk.deployment.from_block);
    let (epoch, validators) = keys.validators().await?;
    let given = signed.message().epoch();
    ensure!(
        given == epoch,
        "{} is of epoch {given}, and the registry is at {epoch}: make it anew",
        args.file.display()
    );
    let kind = args.certificate.map(|kind| match kind {
        Kind::Ecdsa => CertificateKind::Ecdsa,
        Kind::Bls => CertificateKind::Bls,
    });
    let published = match kind {
        Some(CertificateKind::Ecdsa) => BTreeMap::new(),
        _ => keys.published().await?,
    };
    if kind == Some(CertificateKind::Bls) && published.is_empty() {
        bail!("no BLS keys of epoch {epoch} are published: `dtn-cli bls register` and `dtn-cli bls publish` do that");
    }
    let certificate = signed.certificate(&validators, &published, kind)?;
    preview(&signed);
    send(&account, &signed.post(desk.deployment.addresses.registry, &certificate), context).await
}

async fn schedule(args: ByFile, context: &Context) -> Result<()> {
    let (signed, distribution, _) = read_distribution(&args.file)?;
    let desk = Desk::open(context).await?;
    check_network(&signed, &desk, &args.file)?;
    let transaction = distributor(&desk).schedule(&distribution, new_salt());
    propose_transaction(transaction, &desk, &args.sender, context).await
}

async fn activate(args: ByFile, context: &Context) -> Result<()> {
    let (signed, distribution, _) = read_distribution(&args.file)?;
    let (desk, account) = Desk::open_as(context, &args.sender).await?;
    check_network(&signed, &desk, &args.file)?;
    send(&account, &distributor(&desk).activate(&distribution), context).await
}

async fn claim(args: Claim, context: &Context) -> Result<()> {
    let (signed, _, earnings) = read_distribution(&args.file)?;
    let (desk, account) = Desk::open_as(context, &args.sender).await?;
    check_network(&signed, &desk, &args.file)?;
    let payee = context.account(&args.account)?;
    let (earning, proof) = Earnings::new(earnings)?.claim(payee, args.token).with_context(|| {
        format!("{} states nothing that {payee} has earned of {}", args.file.display(), token_name(args.token))
    })?;
    send(&account, &distributor(&desk).claim(&earning, proof), context).await
}

async fn withdraw(args: Withdraw, context: &Context) -> Result<()> {
    let (desk, account) = Desk::open_as(context, &args.account).await?;
    let to = match &args.to {
        Some(word) => context.account(word)?,
        None => account.address(),
    };
    send(&account, &distributor(&desk).withdraw(args.token, to), context).await
}

async fn show(args: Show, context: &Context) -> Result<()> {
    let desk = Desk::open(context).await?;
    let distributor = distributor(&desk);
    let state = distributor.state().await?;
    let registry = desk.deployment.addresses.registry;
    let certified = desk.chain.read(registry, &ResultRegistry::distributionNumberCall {}).await?;
    let mut tokens = vec![Address::ZERO];
    tokens.extend(args.tokens.iter().filter(|token| !token.is_zero()));
    let mut held = Vec::new();
    for token in &tokens {
        held.push(distributor.holdings(*token).await?);
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
    if context.json {
        let state = json!({ "state": state, "certified": certified, "holdings": held, "accounts": balances });
        return output::json(&state);
    }
    output::line(standing(&state, certified))?;
    let names = ["free", "for claims", "to withdraw", "may leave now", "at once"];
    let mut table = Table::new("", std::iter::once(left("token")).chain(names.map(right)));
    for Holdings { token, free, allotted, credited, cap, available } in held {
        let show = |amount: U256| if token.is_zero() { format_amount(amount) } else { amount.to_string() };
        let amounts = [free, allotted, credited, available, cap].map(show);
        table.row(std::iter::once(token_name(token)).chain(amounts));
    }
    let period = humantime::format_duration(Duration::from_secs(distributor.period().await?));
    table.note(format!("What has left may leave once more within {period}."));
    output::line(table)?;
    for balance in balances {
        output::line(format!(
            "{} has claimed {} and may withdraw {}",
            balance["account"], balance["claimed"], balance["credit"]
        ))?;
    }
    Ok(())
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

fn distributor(desk: &Desk) -> Distributor {
    Distributor::new(desk.chain.clone(), desk.deployment.addresses.distributor)
}

fn token_name(token: Address) -> String {
    if token.is_zero() { "native".into() } else { token.to_string() }
}

fn check_network(signed: &SignedMessage, desk: &Desk, file: &Path) -> Result<()> {
    let (network, chain) = (desk.deployment.network_id, desk.deployment.chain_id);
    let theirs = (signed.network_id, signed.chain_id);
    ensure!(
        theirs == (network, chain),
        "{} is of network {} on chain {}, and here is network {network} on chain {chain}",
        file.display(),
        theirs.0,
        theirs.1
    );
    Ok(())
}

/// Sends a call and says what it cost.
pub(crate) async fn send(account: &Account, call: &Call, context: &Context) -> Result<()> {
    let record: GasRecord = account.send(call).await?;
    if context.json {
        return output::json(&json!({ "transaction": record }));
    }
    output::line(format!("{} in {}, {} gas", record.function, record.tx, record.gas_used.unwrap_or(0)))?;
    match account.chain().network().transaction_url(record.tx) {
        Some(url) => output::line(url),
        None => Ok(()),
    }
}

/// What is signed, before it is.
pub(crate) fn preview(signed: &SignedMessage) {
    match &signed.content {
        Content::Distribution { epoch, distribution, earnings } => {
            let Distribution { distributor, number, root, allotments } = distribution;
            output::note(format_args!(
                "distribution {number} of {distributor}, epoch {epoch}: {} earnings under {root}",
                earnings.len()
            ));
            for Allotment { token, amount } in allotments {
                let shown = if token.is_zero() { format_amount(U256::from(*amount)) } else { amount.to_string() };
                output::note(format_args!("allots {shown} ({})", token_name(*token)));
            }
            output::note(format_args!("hash   {}", distribution.hash()));
        }
        Content::Rotation(rotation) => {
            output::note(format_args!(
                "rotation from epoch {} to {} validators:",
                rotation.epoch,
                rotation.validators.len()
            ));
            for validator in &rotation.validators {
                output::note(format_args!("  {validator}"));
            }
        }
    }
    let (network, chain): (B256, u64) = (signed.network_id, signed.chain_id);
    output::note(format_args!("digest {} (network {network}, chain {chain})", signed.digest()));
}

/// Reads a message with its signatures, each of which is checked.
pub(crate) fn read(file: &Path) -> Result<SignedMessage> {
    Ok(files::read_json(file, MAX_FILE)?)
}

fn read_distribution(file: &Path) -> Result<(SignedMessage, Distribution, Vec<Earning>)> {
    let signed = read(file)?;
    match signed.content.clone() {
        Content::Distribution { distribution, earnings, .. } => Ok((signed, distribution, earnings)),
        Content::Rotation(_) => bail!("{} is a rotation of validators, not a distribution", file.display()),
    }
}

pub(crate) fn write(file: &Path, signed: &SignedMessage, context: &Context) -> Result<()> {
    files::write_json(file, signed)?;
    written(file, signed, context)
}

fn written(file: &Path, signed: &SignedMessage, context: &Context) -> Result<()> {
    let signers: Vec<_> = signed.signers().collect();
    if context.json {
        return output::json(&json!({ "file": file, "digest": signed.digest(), "signers": signers }));
    }
    let by = match signers.as_slice() {
        [] => "signed by nobody yet".to_string(),
        some => format!("signed by {}", some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    };
    output::line(format!("{}: {by}", file.display()))
}
